package dashscope

import (
	"math"
	"path"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/unireel/unireel/internal/provider"
)

// shape is how the body of an order looks for a line of the supplier's models.
type shape struct {
	begins string // how the names of its models begin
	// media: pictures, videos and sounds stand in one list, size is a tier and a
	// format, and the shots are the prompt's alone. Otherwise the body is 2.6's.
	media bool
	// silent: the sound can be switched off, so it is always said.
	silent bool
	// guide is the kind of medium that a guide audio is, by mode; a mode without
	// one takes it as audio_url.
	guide map[provider.Mode]string
}

// shapes is the one place that says which model takes which body: the first row
// that fits. Each is a page of the supplier's: "Wan 2.7 R2V", "I2V" and "T2V API
// reference", "wan3-video-generation-api-reference", and those of 2.6.
var shapes = []shape{
	{begins: "wan2.7-", media: true, guide: map[provider.Mode]string{provider.I2V: "driving_audio"}},
	{begins: "wan3.0-", media: true, silent: true, guide: map[provider.Mode]string{
		provider.R2V: "reference_audio", provider.I2V: "reference_audio", provider.T2V: "reference_audio",
	}},
	{begins: ""},
}

func shapeOf(model string) shape {
	for _, s := range shapes {
		if strings.HasPrefix(model, s.begins) {
			return s
		}
	}

	return shape{}
}

// medium is one entry of input.media.
type medium struct {
	Type string `json:"type"` // "reference_image", "reference_video", "first_frame", ...
	URL  string `json:"url"`
}

// fill says an order as a list of media. The order of the list is that in which
// the prompt counts them, each kind for itself.
func (s shape) fill(c *creation, o provider.Order) {
	c.Parameters.Resolution = resolution(o.Width, o.Height)
	if s.silent {
		c.Parameters.Audio = &o.Sound
	}

	for _, ref := range o.References {
		kind := "reference_" + kindOf(ref)
		if o.Mode == provider.I2V {
			kind = "first_frame"
		}

		c.Input.Media = append(c.Input.Media, medium{kind, ref.URL})
	}

	if o.Mode != provider.I2V { // the first frame has its own format, and keeps it
		c.Parameters.Format = formatOf(o.Width, o.Height)
	}

	if o.Mode == provider.R2V {
		c.Input.Prompt = retold(o)
	}

	if o.Audio == nil {
		return
	}

	if kind := s.guide[o.Mode]; kind != "" {
		c.Input.Media = append(c.Input.Media, medium{kind, o.Audio.URL})
	} else {
		c.Input.AudioURL = o.Audio.URL
	}
}

// promptKept is how many characters of a 2.6 prompt the supplier keeps. Of later
// models it keeps all that it takes.
const promptKept = 1500

// Repeated is an order's prompt as orig_prompt tells it.
func (*dashscope) Repeated(o provider.Order) string {
	switch {
	case !shapeOf(o.Model).media:
		r := []rune(o.Prompt)
		return string(r[:min(len(r), promptKept)])
	case o.Mode == provider.R2V:
		return retold(o)
	}

	return o.Prompt
}

// character is how our prompts name a reference.
var character = regexp.MustCompile(`(?i)\bcharacter([0-9]+)`)

// retold is the prompt with every characterN named as these models want it:
// "Image 1", "Video 1", in a Chinese prompt 图1, 视频1 ("the serial numbers of
// images and videos are counted separately"). What is none of the references
// stays as it is.
func retold(o provider.Order) string {
	words := map[string]string{"image": "Image ", "video": "Video "}
	if strings.ContainsFunc(o.Prompt, func(r rune) bool { return unicode.Is(unicode.Han, r) }) {
		words = map[string]string{"image": "图", "video": "视频"}
	}

	var names []string

	count := map[string]int{}

	for _, ref := range o.References {
		kind := kindOf(ref)
		count[kind]++
		names = append(names, words[kind]+strconv.Itoa(count[kind]))
	}

	return character.ReplaceAllStringFunc(o.Prompt, func(said string) string {
		n, err := strconv.Atoi(said[len("character"):])
		if err != nil || n < 1 || n > len(names) {
			return said
		}

		return names[n-1]
	})
}

// kindOf is "image" or "video". What nobody looked at is what its name says.
func kindOf(ref provider.Reference) string {
	switch {
	case ref.Kind == "image" || ref.Kind == "video":
		return ref.Kind
	case strings.HasPrefix(ref.Type, "video/"):
		return "video"
	}

	link, _, _ := strings.Cut(ref.URL, "?")
	for _, name := range []string{ref.Name, link} {
		if end := strings.ToLower(path.Ext(name)); end == ".mp4" || end == ".mov" {
			return "video"
		}
	}

	return "image"
}

// resolution is the tier of a size: those of 480P have about 400 000 pixels, those
// of 720P at most 1280x720, those of 1080P about twice as many.
func resolution(width, height int) string {
	switch pixels := width * height; {
	case pixels <= 640*720:
		return "480P"
	case pixels <= 1280*720:
		return "720P"
	default:
		return "1080P"
	}
}

// formats are what the supplier calls ratio.
var formats = []struct {
	name          string
	width, height float64
}{{"16:9", 16, 9}, {"9:16", 9, 16}, {"1:1", 1, 1}, {"4:3", 4, 3}, {"3:4", 3, 4}}

// formatOf is the format that a size comes nearest to: 1104*832 is 4:3.
func formatOf(width, height int) string {
	best := ""

	nearest := math.Inf(1)
	for _, f := range formats {
		if d := math.Abs(math.Log(float64(width) * f.height / (float64(height) * f.width))); d < nearest {
			best = f.name
			nearest = d
		}
	}

	return best
}
