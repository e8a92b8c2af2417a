package dashscopesim

import (
	"fmt"
	"slices"
	"strings"
)

// mediaItem is one entry of input.media.
type mediaItem struct {
	Type  string `json:"type"`
	URL   string `json:"url"`
	Voice string `json:"reference_voice"`
}

// modelFamily describes the parameters of a family of models that take a list of
// media. The checks are strict: fields that belong to 2.6's body are rejected,
// where the real supplier may ignore them, so that a client's mistake is noticed.
type modelFamily struct {
	prefix        string
	sizes         map[string][]string // by resolution, in the order of ratios
	ratios        []string
	maxSeconds    float64 // the longest video
	maxPrompt     int     // in characters
	maxByType     map[string]int
	soundOptional bool  // parameters.audio is accepted
	minSeed       int64 // the smallest seed
}

// ratios are the values of ratio, in the order of the sizes.
var ratios = []string{"16:9", "9:16", "1:1", "4:3", "3:4"}

var sizes27 = map[string][]string{
	"720P":  {"1280*720", "720*1280", "960*960", "1104*832", "832*1104"},
	"1080P": {"1920*1080", "1080*1920", "1440*1440", "1648*1248", "1248*1648"},
}

var sizes30 = map[string][]string{
	"480P":  {"832*480", "480*832", "624*624", "736*544", "544*736"}, // the last two are a guess
	"720P":  sizes27["720P"],
	"1080P": sizes27["1080P"],
}

// modelFamilies are the families, the most specific first.
var modelFamilies = []modelFamily{
	{
		prefix:     "wan2.7-r2v",
		sizes:      sizes27,
		ratios:     ratios,
		maxSeconds: 15,
		maxPrompt:  5000,
		maxByType: map[string]int{
			"reference_image": 5, "reference_video": 5, "first_frame": 1,
		},
	},
	{
		prefix:     "wan2.7-i2v",
		sizes:      sizes27,
		maxSeconds: 15,
		maxPrompt:  5000,
		maxByType: map[string]int{
			"first_frame":   1,
			"last_frame":    1,
			"driving_audio": 1,
			"first_clip":    1,
		},
	},
	{
		prefix:     "wan2.7-t2v",
		sizes:      sizes27,
		ratios:     ratios,
		maxSeconds: 15,
		maxPrompt:  5000,
		maxByType:  map[string]int{},
	},
	{
		prefix:        "wan3.0-video",
		sizes:         sizes30,
		ratios:        append([]string{"adaptive"}, ratios...),
		maxSeconds:    30,
		maxPrompt:     20000,
		soundOptional: true,
		minSeed:       -1,
		maxByType: map[string]int{
			"first_frame":     1,
			"last_frame":      1,
			"reference_image": 10,
			"reference_video": 5,
			"reference_audio": 5,
			"file":            1,
			"link":            1,
		},
	},
}

func modelFamilyOf(model string) (modelFamily, bool) {
	for _, family := range modelFamilies {
		if strings.HasPrefix(model, family.prefix) {
			return family, true
		}
	}

	return modelFamily{}, false
}

// interpreter reads a request for this family, as Sim.interpret does for 2.6.
func (family modelFamily) interpreter(s *Sim) func(createRequest) (Spec, float64, string) {
	return func(request createRequest) (Spec, float64, string) {
		p := request.Parameters

		spec := Spec{Seconds: 5, Sound: true}
		if p.Duration != nil {
			spec.Seconds = int(*p.Duration)
		}

		if family.soundOptional && p.Audio != nil {
			spec.Sound = *p.Audio
		}

		_, _ = fmt.Sscanf(family.videoSize(s, request), "%d*%d", &spec.Width, &spec.Height) // an invalid size stays 0
		for _, problem := range []string{family.unsupportedField(request), family.checkParameters(request), family.checkMedia(request)} {
			if problem != "" {
				return spec, 0, problem
			}
		}

		input, problem := family.billedInput(s, request)

		return spec, input, problem
	}
}

func invalidParameter(name string) string {
	return "Required parameter(" + name + ") missing or invalid, please check the request parameters."
}

// unsupportedField returns the error for a field that belongs to another family's
// body.
func (family modelFamily) unsupportedField(request createRequest) string {
	switch {
	case len(request.Input.References) > 0 || len(request.Input.Videos) > 0:
		return "Field required: input.media"
	case request.Input.Image != "":
		return invalidParameter("img_url")
	case request.Parameters.Size != "":
		return invalidParameter("size")
	case request.Parameters.ShotType != "":
		return invalidParameter("shot_type")
	case request.Parameters.Audio != nil && !family.soundOptional:
		return invalidParameter("audio")
	case request.Input.Negative != "" && family.prefix == "wan3.0-video":
		return invalidParameter("negative_prompt")
	case request.Input.Audio != "" && family.prefix != "wan2.7-t2v":
		return invalidParameter("audio_url")
	}

	return ""
}

func (family modelFamily) checkParameters(request createRequest) string {
	p := request.Parameters

	_, tier := family.sizes[p.Resolution]
	switch {
	case p.Resolution != "" && !tier:
		return invalidParameter("resolution")
	case p.Format != "" && !slices.Contains(family.ratios, p.Format):
		return invalidParameter("ratio")
	case p.Duration != nil && (*p.Duration != float64(int(*p.Duration)) || *p.Duration < 2 || *p.Duration > family.maxSeconds):
		return fmt.Sprintf("%s It must be an integer in [2, %d].", invalidParameter("duration"), int(family.maxSeconds))
	case p.Seed != nil && (*p.Seed < family.minSeed || *p.Seed > 2147483647):
		return invalidParameter("seed")
	}

	return ""
}

// checkMedia returns what is wrong with the list of media.
func (family modelFamily) checkMedia(request createRequest) string {
	count := map[string]int{}
	frames := 0
	references := 0

	for i, m := range request.Input.Media {
		limit, known := family.maxByType[m.Type]

		count[m.Type]++
		switch {
		case !known:
			return invalidParameter(fmt.Sprintf("media[%d].type", i))
		case m.URL == "":
			return "Field required: input.media." + fmt.Sprint(i) + ".url"
		case count[m.Type] > limit:
			return fmt.Sprintf("%s At most %d of type %s.", invalidParameter("media"), limit, m.Type)
		case strings.HasSuffix(m.Type, "_frame"):
			frames++
		case m.Type != "driving_audio" && m.Type != "first_clip":
			references++
		}
	}

	characters := count["reference_image"] + count["reference_video"]
	switch {
	case family.prefix == "wan2.7-r2v" && characters == 0, family.prefix == "wan2.7-i2v" && count["first_frame"]+count["first_clip"] == 0:
		return "Field required: input.media"
	case family.prefix == "wan2.7-r2v" && characters > 5:
		return invalidParameter("media") + " At most 5 references."
	case family.prefix == "wan3.0-video" && (frames > 0 && references > 0 || count["last_frame"] > count["first_frame"] || count["file"]+count["link"] > 1):
		return invalidParameter("media") + " Frames and references exclude each other."
	case family.prefix != "wan2.7-i2v" && strings.TrimSpace(request.Input.Prompt) == "":
		return "prompt must contain words"
	}

	return ""
}

// billedInput returns the seconds that the reference videos are billed for: a part
// of each that shrinks with their number (2.7), or all (3.0).
func (family modelFamily) billedInput(s *Sim, request createRequest) (float64, string) {
	total := 0.0
	billed := 0.0
	references := 0

	for _, m := range request.Input.Media {
		if m.Type == "reference_image" || m.Type == "reference_video" {
			references++
		}
	}

	for _, m := range request.Input.Media {
		if m.Type != "reference_video" {
			continue
		}

		total += s.referenceLength(m.URL)
		billed += min(s.referenceLength(m.URL), maxBilledSeconds[min(references, len(maxBilledSeconds)-1)])
	}

	seconds := 5.0
	if request.Parameters.Duration != nil {
		seconds = *request.Parameters.Duration
	}

	switch {
	case family.prefix == "wan2.7-r2v" && total > 0 && seconds > 10:
		return 0, invalidParameter("duration") + " It must be an integer in [2, 10]."
	case family.prefix != "wan3.0-video":
		return billed, ""
	case total > 15.5 || total > 0 && total+seconds > 30.5:
		return 0, "Invalid file duration. The file duration must be 1 s ~ 15 s."
	}

	return total, ""
}

// videoSize returns the size of the video: the first frame's aspect ratio, or the
// requested one.
func (family modelFamily) videoSize(s *Sim, request createRequest) string {
	list := family.sizes["1080P"]
	if tier, ok := family.sizes[request.Parameters.Resolution]; ok {
		list = tier
	}

	for _, m := range request.Input.Media {
		if m.Type == "first_frame" {
			return s.closestSize(m.URL, list)
		}
	}

	return list[max(slices.Index(ratios, request.Parameters.Format), 0)]
}
