package dashscopesim

import (
	"fmt"
	"slices"
	"strings"
)

// medium is one entry of input.media.
type medium struct {
	Type  string `json:"type"`
	URL   string `json:"url"`
	Voice string `json:"reference_voice"`
}

// line is what one line of models takes that are given a list of media. It is
// held to strictly: what belongs to 2.6's body is refused here, where the real one
// may pass over it, so that a client's mistake is seen.
type line struct {
	begins  string
	sizes   map[string][]string // by resolution, in the order of formats
	formats []string
	seconds float64 // the longest
	prompt  int     // characters
	most    map[string]int
	sound   bool  // parameters.audio is taken
	seed    int64 // the least
}

// formats are the values of ratio, in the order of the sizes.
var formats = []string{"16:9", "9:16", "1:1", "4:3", "3:4"}

var sizes27 = map[string][]string{
	"720P":  {"1280*720", "720*1280", "960*960", "1104*832", "832*1104"},
	"1080P": {"1920*1080", "1080*1920", "1440*1440", "1648*1248", "1248*1648"},
}

var sizes30 = map[string][]string{
	"480P":  {"832*480", "480*832", "624*624", "736*544", "544*736"}, // the last two are a guess
	"720P":  sizes27["720P"],
	"1080P": sizes27["1080P"],
}

// lines are the lines of models, the most specific first.
var lines = []line{
	{begins: "wan2.7-r2v", sizes: sizes27, formats: formats, seconds: 15, prompt: 5000, most: map[string]int{
		"reference_image": 5, "reference_video": 5, "first_frame": 1,
	}},
	{begins: "wan2.7-i2v", sizes: sizes27, seconds: 15, prompt: 5000, most: map[string]int{
		"first_frame": 1, "last_frame": 1, "driving_audio": 1, "first_clip": 1,
	}},
	{begins: "wan2.7-t2v", sizes: sizes27, formats: formats, seconds: 15, prompt: 5000, most: map[string]int{}},
	{begins: "wan3.0-video", sizes: sizes30, formats: append([]string{"adaptive"}, formats...), seconds: 30, prompt: 20000, sound: true, seed: -1, most: map[string]int{
		"first_frame": 1, "last_frame": 1, "reference_image": 10, "reference_video": 5, "reference_audio": 5, "file": 1, "link": 1,
	}},
}

func lineOf(model string) (line, bool) {
	for _, l := range lines {
		if strings.HasPrefix(model, l.begins) {
			return l, true
		}
	}

	return line{}, false
}

// understand reads an order as Sim.understand does, for this line of models.
func (l line) understand(s *Sim) func(creation) (Spec, float64, string) {
	return func(o creation) (Spec, float64, string) {
		p := o.Parameters

		spec := Spec{Seconds: 5, Sound: true}
		if p.Duration != nil {
			spec.Seconds = int(*p.Duration)
		}

		if l.sound && p.Audio != nil {
			spec.Sound = *p.Audio
		}

		_, _ = fmt.Sscanf(l.size(s, o), "%d*%d", &spec.Width, &spec.Height) // what is no size stays 0
		for _, wrong := range []string{l.stranger(o), l.parameters(o), l.media(o)} {
			if wrong != "" {
				return spec, 0, wrong
			}
		}

		input, wrong := l.input(s, o)

		return spec, input, wrong
	}
}

func missing(name string) string {
	return "Required parameter(" + name + ") missing or invalid, please check the request parameters."
}

// stranger is what of another line's body stands in the order.
func (l line) stranger(o creation) string {
	switch {
	case len(o.Input.References) > 0 || len(o.Input.Videos) > 0:
		return "Field required: input.media"
	case o.Input.Image != "":
		return missing("img_url")
	case o.Parameters.Size != "":
		return missing("size")
	case o.Parameters.ShotType != "":
		return missing("shot_type")
	case o.Parameters.Audio != nil && !l.sound:
		return missing("audio")
	case o.Input.Negative != "" && l.begins == "wan3.0-video":
		return missing("negative_prompt")
	case o.Input.Audio != "" && l.begins != "wan2.7-t2v":
		return missing("audio_url")
	}

	return ""
}

func (l line) parameters(o creation) string {
	p := o.Parameters

	_, tier := l.sizes[p.Resolution]
	switch {
	case p.Resolution != "" && !tier:
		return missing("resolution")
	case p.Format != "" && !slices.Contains(l.formats, p.Format):
		return missing("ratio")
	case p.Duration != nil && (*p.Duration != float64(int(*p.Duration)) || *p.Duration < 2 || *p.Duration > l.seconds):
		return fmt.Sprintf("%s It must be an integer in [2, %d].", missing("duration"), int(l.seconds))
	case p.Seed != nil && (*p.Seed < l.seed || *p.Seed > 2147483647):
		return missing("seed")
	}

	return ""
}

// media is what is wrong with the list.
func (l line) media(o creation) string {
	count := map[string]int{}
	frames := 0
	references := 0

	for i, m := range o.Input.Media {
		most, known := l.most[m.Type]

		count[m.Type]++
		switch {
		case !known:
			return missing(fmt.Sprintf("media[%d].type", i))
		case m.URL == "":
			return "Field required: input.media." + fmt.Sprint(i) + ".url"
		case count[m.Type] > most:
			return fmt.Sprintf("%s At most %d of type %s.", missing("media"), most, m.Type)
		case strings.HasSuffix(m.Type, "_frame"):
			frames++
		case m.Type != "driving_audio" && m.Type != "first_clip":
			references++
		}
	}

	characters := count["reference_image"] + count["reference_video"]
	switch {
	case l.begins == "wan2.7-r2v" && characters == 0, l.begins == "wan2.7-i2v" && count["first_frame"]+count["first_clip"] == 0:
		return "Field required: input.media"
	case l.begins == "wan2.7-r2v" && characters > 5:
		return missing("media") + " At most 5 references."
	case l.begins == "wan3.0-video" && (frames > 0 && references > 0 || count["last_frame"] > count["first_frame"] || count["file"]+count["link"] > 1):
		return missing("media") + " Frames and references exclude each other."
	case l.begins != "wan2.7-i2v" && strings.TrimSpace(o.Input.Prompt) == "":
		return "prompt must contain words"
	}

	return ""
}

// input is the seconds that the reference videos are billed for: of each a part
// that shrinks with their number (2.7), or all (3.0).
func (l line) input(s *Sim, o creation) (float64, string) {
	whole := 0.0
	billed := 0.0
	references := 0

	for _, m := range o.Input.Media {
		if m.Type == "reference_image" || m.Type == "reference_video" {
			references++
		}
	}

	for _, m := range o.Input.Media {
		if m.Type != "reference_video" {
			continue
		}

		whole += s.secondsOf(m.URL)
		billed += min(s.secondsOf(m.URL), caps[min(references, len(caps)-1)])
	}

	seconds := 5.0
	if o.Parameters.Duration != nil {
		seconds = *o.Parameters.Duration
	}

	switch {
	case l.begins == "wan2.7-r2v" && whole > 0 && seconds > 10:
		return 0, missing("duration") + " It must be an integer in [2, 10]."
	case l.begins != "wan3.0-video":
		return billed, ""
	case whole > 15.5 || whole > 0 && whole+seconds > 30.5:
		return 0, "Invalid file duration. The file duration must be 1 s ~ 15 s."
	}

	return whole, ""
}

// size is the size of the video: the first frame's format, or that asked for.
func (l line) size(s *Sim, o creation) string {
	list := l.sizes["1080P"]
	if tier, ok := l.sizes[o.Parameters.Resolution]; ok {
		list = tier
	}

	for _, m := range o.Input.Media {
		if m.Type == "first_frame" {
			return s.shape(m.URL, list)
		}
	}

	return list[max(slices.Index(formats, o.Parameters.Format), 0)]
}
