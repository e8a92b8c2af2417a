package dashscope

import (
	"strings"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/provider/providertest"
)

// mediaSubmissions are submissions for the models that take a list of media, in
// all modes of 3.0. TestCreateRequestBodies compares their requests with golden files.
var mediaSubmissions = map[string]provider.Submission{
	"2.7-r2v": {
		Model:          "wan2.7-r2v",
		Mode:           provider.R2V,
		Prompt:         `Character3 & character1 meet CHARACTER2, not character4 or mycharacter1`,
		NegativePrompt: "blur",
		References: []provider.Reference{
			{Kind: "image", URL: "https://x.org/1.png"}, {Kind: "video", URL: "oss://a/1.mp4"}, {Kind: "image", URL: "https://x.org/2.png"},
		},
		Size:            "1104*832",
		Width:           1104,
		Height:          832,
		Seconds:         10,
		Sound:           true,
		ShotType:        "single",
		PromptExpansion: boolPtr(false),
		Watermark:       boolPtr(true),
		Seed:            0,
	},
	"2.7-r2v-chinese": {
		Model:  "wan2.7-r2v-2026-06-12",
		Mode:   provider.R2V,
		Prompt: "character1抱着character3，character2弹琴。",
		References: []provider.Reference{
			{URL: "https://x.org/1.MP4?sign=1"}, {MediaType: "video/quicktime", URL: "https://x.org/2"}, {Name: "3.png", URL: "https://x.org/3"},
		},
		Size:     "1080*1920",
		Width:    1080,
		Height:   1920,
		Seconds:  5,
		Sound:    true,
		ShotType: "single",
		Seed:     -1,
	},
	"2.7-i2v": {
		Model:      "wan2.7-i2v",
		Mode:       provider.I2V,
		Prompt:     "character1 moves",
		References: []provider.Reference{{Kind: "image", URL: "oss://a/1.png"}},
		Audio:      &provider.Reference{Kind: "audio", URL: "oss://a/1.mp3"},
		Size:       "1280*720",
		Width:      1280,
		Height:     720,
		Seconds:    15,
		Sound:      true,
		ShotType:   "single",
		Seed:       7,
	},
	"2.7-t2v": {
		Model:           "wan2.7-t2v",
		Mode:            provider.T2V,
		Prompt:          "a street",
		Audio:           &provider.Reference{Kind: "audio", URL: "https://x.org/1.mp3"},
		Size:            "1248*1648",
		Width:           1248,
		Height:          1648,
		Seconds:         5,
		Sound:           true,
		ShotType:        "single",
		PromptExpansion: boolPtr(true),
		Seed:            2147483647,
	},
	"3.0-r2v": {
		Model:      "wan3.0-video",
		Mode:       provider.R2V,
		Prompt:     "character2 sings to character1",
		References: []provider.Reference{{Kind: "video", URL: "https://x.org/1.mp4"}, {Kind: "image", URL: "https://x.org/1.png"}},
		Audio:      &provider.Reference{Kind: "audio", URL: "https://x.org/1.wav"},
		Size:       "832*480",
		Width:      832,
		Height:     480,
		Seconds:    15,
		Sound:      true,
		ShotType:   "single",
		Seed:       -1,
	},
	"3.0-i2v": {
		Model:      "wan3.0-video",
		Mode:       provider.I2V,
		Prompt:     "it moves",
		References: []provider.Reference{{Kind: "image", URL: "https://x.org/1.png"}},
		Size:       "1280*720",
		Width:      1280,
		Height:     720,
		Seconds:    30,
		ShotType:   "single",
		Seed:       -1,
	},
	"3.0-t2v": {
		Model:    "wan3.0-video-prime",
		Mode:     provider.T2V,
		Prompt:   "a street",
		Size:     "1440*1440",
		Width:    1440,
		Height:   1440,
		Seconds:  2,
		Sound:    true,
		ShotType: "single",
		Seed:     1,
	},
}

// Fields of one request format must never appear in the other.
func TestRequestFormatsDoNotMix(t *testing.T) {
	for name, o := range mediaSubmissions {
		c, f := newCreateRequest(o)
		if f != nil {
			t.Fatal(f)
		}

		if c.Parameters.Size != "" || c.Parameters.ShotType != "" || c.Input.ImageURL != "" || c.Input.ReferenceURLs != nil || c.Parameters.Resolution == "" {
			t.Errorf("%s: %+v", name, c)
		}
	}

	for name, o := range submissions {
		if c, _ := newCreateRequest(o); c.Input.Media != nil || c.Parameters.Ratio != "" || c.Parameters.ShotType == "" {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

func TestResolutionTiersAndAspectRatios(t *testing.T) {
	for size, want := range map[[2]int]string{
		{832, 480}:   "480P 16:9",
		{480, 832}:   "480P 9:16",
		{624, 624}:   "480P 1:1",
		{1280, 720}:  "720P 16:9",
		{720, 1280}:  "720P 9:16",
		{960, 960}:   "720P 1:1",
		{1104, 832}:  "720P 4:3",
		{832, 1104}:  "720P 3:4",
		{1088, 832}:  "720P 4:3",
		{1920, 1080}: "1080P 16:9",
		{1080, 1920}: "1080P 9:16",
		{1440, 1440}: "1080P 1:1",
		{1648, 1248}: "1080P 4:3",
		{1248, 1648}: "1080P 3:4",
	} {
		if got := resolutionTier(size[0], size[1]) + " " + aspectRatioOf(size[0], size[1]); got != want {
			t.Errorf("%v: %s, want %s", size, got, want)
		}
	}
}

// FuzzRenameCharacters: renaming changes nothing but the names of references, and
// no name of a reference remains.
func FuzzRenameCharacters(f *testing.F) {
	f.Add("character1 and Character2", "image", "video")
	f.Add("让character2走向character99999999999999999999", "video", "video")
	f.Fuzz(func(t *testing.T, prompt, first, second string) {
		o := provider.Submission{Prompt: prompt, References: []provider.Reference{{Kind: first}, {Kind: second}}}

		got := renameCharacters(o)
		for _, m := range characterPattern.FindAllString(got, -1) {
			if n := strings.TrimLeft(m[len("character"):], "0"); n == "1" || n == "2" {
				t.Fatalf("%q became %q", prompt, got)
			}
		}

		if !characterPattern.MatchString(prompt) && got != prompt {
			t.Fatalf("%q became %q", prompt, got)
		}
	})
}

func TestMediaWithoutURLIsInvalid(t *testing.T) {
	d := connect(t, "http://127.0.0.1:1", secret, time.Now)

	for name := range mediaSubmissions {
		o := mediaSubmissions[name]
		if len(o.References) == 0 {
			continue
		}

		o.References = append([]provider.Reference{{Kind: "image", Param: "images[0]"}}, o.References[1:]...)

		_, err := d.Submit(t.Context(), o)
		if f := providertest.FailureOf(t, err, secret); f.Acceptance != provider.NotAccepted || f.Class != provider.InvalidRequest || f.Fault.Param != "images[0]" {
			t.Errorf("%s: %+v", name, f)
		}
	}
}
