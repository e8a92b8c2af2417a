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

// requestFormat describes the request body of one family of the supplier's models.
type requestFormat struct {
	modelPrefix string // the common prefix of their names
	// mediaList: pictures, videos and sounds are in one list, the size is given as
	// a tier and an aspect ratio, and shots are described in the prompt only.
	// Otherwise the body is 2.6's.
	mediaList bool
	// soundOptional: the sound can be switched off, so the body always says whether
	// there is sound.
	soundOptional bool
	// guideAudioType is the media type of a guide audio, by mode. A mode that is
	// not in the map takes it as audio_url.
	guideAudioType map[provider.Mode]string
}

// requestFormats is the only place that says which model takes which body; the
// first matching row applies. Each row has a page of the supplier's: "Wan 2.7
// R2V", "I2V" and "T2V API reference", "wan3-video-generation-api-reference", and
// those of 2.6.
var requestFormats = []requestFormat{
	{
		modelPrefix:    "wan2.7-",
		mediaList:      true,
		guideAudioType: map[provider.Mode]string{provider.I2V: "driving_audio"},
	},
	{
		modelPrefix:   "wan3.0-",
		mediaList:     true,
		soundOptional: true,
		guideAudioType: map[provider.Mode]string{
			provider.R2V: "reference_audio", provider.I2V: "reference_audio", provider.T2V: "reference_audio",
		},
	},
	{modelPrefix: ""},
}

func requestFormatOf(model string) requestFormat {
	for _, s := range requestFormats {
		if strings.HasPrefix(model, s.modelPrefix) {
			return s
		}
	}

	return requestFormat{}
}

// mediaItem is one entry of input.media.
type mediaItem struct {
	Type string `json:"type"` // "reference_image", "reference_video", "first_frame", ...
	URL  string `json:"url"`
}

// fillMediaList writes a submission as a list of media. The prompt numbers them in
// the order of the list, each type on its own.
func (s requestFormat) fillMediaList(c *createRequest, sub provider.Submission) {
	c.Parameters.Resolution = resolutionTier(sub.Width, sub.Height)
	if s.soundOptional {
		c.Parameters.Audio = &sub.Sound
	}

	for _, ref := range sub.References {
		kind := "reference_" + referenceKind(ref)
		if sub.Mode == provider.I2V {
			kind = "first_frame"
		}

		c.Input.Media = append(c.Input.Media, mediaItem{kind, ref.URL})
	}

	if sub.Mode != provider.I2V { // the first frame decides the aspect ratio
		c.Parameters.Ratio = aspectRatioOf(sub.Width, sub.Height)
	}

	if sub.Mode == provider.R2V {
		c.Input.Prompt = renameCharacters(sub)
	}

	if sub.Audio == nil {
		return
	}

	if kind := s.guideAudioType[sub.Mode]; kind != "" {
		c.Input.Media = append(c.Input.Media, mediaItem{kind, sub.Audio.URL})
	} else {
		c.Input.AudioURL = sub.Audio.URL
	}
}

// maxEchoedPrompt is how many characters of a 2.6 prompt the supplier keeps. Later
// models keep the whole prompt.
const maxEchoedPrompt = 1500

// EchoedPrompt returns a submission's prompt as the supplier's orig_prompt repeats
// it.
func (*dashscope) EchoedPrompt(sub provider.Submission) string {
	switch {
	case !requestFormatOf(sub.Model).mediaList:
		r := []rune(sub.Prompt)
		return string(r[:min(len(r), maxEchoedPrompt)])
	case sub.Mode == provider.R2V:
		return renameCharacters(sub)
	}

	return sub.Prompt
}

// characterPattern matches a reference's name in our prompts.
var characterPattern = regexp.MustCompile(`(?i)\bcharacter([0-9]+)`)

// renameCharacters returns the prompt with every characterN renamed to what these
// models expect: "Image 1", "Video 1", or in a Chinese prompt 图1, 视频1 ("the serial
// numbers of images and videos are counted separately"). A number without a
// reference stays as it is.
func renameCharacters(sub provider.Submission) string {
	words := map[string]string{"image": "Image ", "video": "Video "}
	if strings.ContainsFunc(sub.Prompt, func(r rune) bool { return unicode.Is(unicode.Han, r) }) {
		words = map[string]string{"image": "图", "video": "视频"}
	}

	var names []string

	count := map[string]int{}

	for _, ref := range sub.References {
		kind := referenceKind(ref)
		count[kind]++
		names = append(names, words[kind]+strconv.Itoa(count[kind]))
	}

	return characterPattern.ReplaceAllStringFunc(sub.Prompt, func(match string) string {
		n, err := strconv.Atoi(match[len("character"):])
		if err != nil || n < 1 || n > len(names) {
			return match
		}

		return names[n-1]
	})
}

// referenceKind is "image" or "video". For a reference that was not inspected, its
// media type or its name decides.
func referenceKind(ref provider.Reference) string {
	switch {
	case ref.Kind == "image" || ref.Kind == "video":
		return ref.Kind
	case strings.HasPrefix(ref.MediaType, "video/"):
		return "video"
	}

	link, _, _ := strings.Cut(ref.URL, "?")
	for _, name := range []string{ref.Name, link} {
		if extension := strings.ToLower(path.Ext(name)); extension == ".mp4" || extension == ".mov" {
			return "video"
		}
	}

	return "image"
}

// resolutionTier returns the tier of a size: sizes of 480P have about 400,000
// pixels, those of 720P at most 1280x720, those of 1080P about twice as many.
func resolutionTier(width, height int) string {
	switch pixels := width * height; {
	case pixels <= 640*720:
		return "480P"
	case pixels <= 1280*720:
		return "720P"
	default:
		return "1080P"
	}
}

// aspectRatios are the supplier's values of ratio.
var aspectRatios = []struct {
	name          string
	width, height float64
}{{"16:9", 16, 9}, {"9:16", 9, 16}, {"1:1", 1, 1}, {"4:3", 4, 3}, {"3:4", 3, 4}}

// aspectRatioOf returns the ratio that is nearest to a size: 1104*832 is 4:3.
func aspectRatioOf(width, height int) string {
	best := ""

	nearest := math.Inf(1)
	for _, f := range aspectRatios {
		if d := math.Abs(math.Log(float64(width) * f.height / (float64(height) * f.width))); d < nearest {
			best = f.name
			nearest = d
		}
	}

	return best
}
