package catalog

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/unireel/unireel/internal/fault"
)

// said lists "param code" of every fault, in order.
func said(err error) []string {
	var f *fault.Fault
	if !errors.As(err, &f) {
		return nil
	}

	var list []string
	for _, one := range f.All() {
		list = append(list, one.Param+" "+string(one.Code))
	}

	return list
}

func warned(r Request) []string {
	var list []string
	for _, w := range r.Warnings {
		list = append(list, w.Param+" "+w.Code)
	}

	return list
}

// minimal is the least that a model needs.
func minimal(model string) Ask {
	a := Ask{Model: Give(model, "model", 1), Prompt: Give("p", "prompt", 2), Now: 1_800_000_000}
	switch {
	case strings.Contains(model, "r2v"):
		a.Images = texts("images", 10, "https://example.com/a.png")
	case strings.Contains(model, "i2v"):
		a.Image = Give("https://example.com/a.png", "image", 10)
	}

	return a
}

func many(n int) []string {
	return slices.Repeat([]string{"https://example.com/a"}, n)
}

func TestDefaults(t *testing.T) {
	c := load(t)
	for _, name := range append(c.Families(), slices.Sorted(maps.Keys(c.models))...) {
		r, err := c.Validate(minimal(name))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}

		m, _ := c.Model(r.Resolved)

		want := Request{
			Model: name, Resolved: m.ID, Mode: r.Mode, Prompt: "p", References: r.References,
			Size: m.Sizes[0], SizeAsked: m.Sizes[0], Width: 1280, Height: 720, Seconds: 5, Sound: m.Sound, ShotType: "single", Seed: -1,
		}
		switch m.Tier {
		case "1080p":
			want.Width = 1920
			want.Height = 1080
		case "480p":
			want.Width = 832
			want.Height = 480
		}

		if diff := cmp.Diff(want, r); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestFamilyNames(t *testing.T) {
	c := load(t)
	on := Give(true, "audio", 5)
	off := Give(false, "audio", 5)
	size := func(s string) Given[string] { return Give(s, "size", 6) }

	none := Given[bool]{}
	for _, tt := range []struct {
		name  string
		sound Given[bool]
		size  Given[string]
		tier  string
		want  string
		mode  Mode
	}{
		{"wan2.6-r2v", none, size(""), "", "wan2.6-r2v-1080p", R2V},
		{"wan2.6-r2v", on, size("720*1280"), "", "wan2.6-r2v-720p", R2V},
		{"wan2.6-r2v-flash", none, size(""), "", "wan2.6-r2v-flash-1080p-audio", R2V},
		{"wan2.6-r2v-flash", off, size(""), "", "wan2.6-r2v-flash-1080p-silent", R2V},
		{"wan2.6-r2v-flash", off, size("832x1088"), "", "wan2.6-r2v-flash-720p-silent", R2V},
		{"wan2.6-i2v", none, size("1280*720"), "", "wan2.6-video-720p", I2V},
		{"wan2.6-i2v-flash", off, size(""), "720P", "wan2.6-i2v-flash-720p-silent", I2V},
		{"wan2.6-t2v", none, size(""), "", "wan2.6-video-1080p", T2V},
		{"wan2.6-t2v", on, size("1088*832"), "", "wan2.6-video-720p", T2V},
	} {
		a := minimal(tt.name)

		a.Sound = tt.sound
		if tt.size.Value != "" {
			a.Size = tt.size
		}

		if tt.tier != "" {
			a.Tier = Give(tt.tier, "parameters.resolution", 7)
		}

		r, err := c.Validate(a)
		if err != nil || r.Resolved != tt.want || r.Mode != tt.mode || r.Model != tt.name {
			t.Errorf("%s %v %s: %s %s, %v; want %s", tt.name, tt.sound.Value, tt.size.Value, r.Resolved, r.Mode, err, tt.want)
		}

		if tt.size.Value != "" && r.SizeAsked != tt.size.Value {
			t.Errorf("size %q is echoed as %q", tt.size.Value, r.SizeAsked)
		}
	}
}

type change func(*Ask)

func TestFaultsAndWarnings(t *testing.T) {
	c := load(t)
	for name, tt := range map[string]struct {
		model  string
		change change
		faults []string
		warns  []string
	}{
		"a model that is none":      {"wan2.6-r2v-999p", func(a *Ask) {}, []string{"model unknown_model"}, nil},
		"an empty model":            {"", func(a *Ask) {}, []string{"model missing_field"}, nil},
		"unknown model, and more":   {"wan9", func(a *Ask) { a.Seed = Give(Number("-2"), "seed", 9); a.Size = Give("big", "size", 8) }, []string{"model unknown_model", "size invalid_value", "seed invalid_value"}, nil},
		"a blank prompt":            {"wan2.6-r2v-720p", func(a *Ask) { a.Prompt.Value = " \n" }, []string{"prompt missing_field"}, nil},
		"1500 characters":           {"wan2.6-r2v-720p", func(a *Ask) { a.Prompt.Value = strings.Repeat("字", 1500) }, nil, nil},
		"1501 characters":           {"wan2.6-r2v-720p", func(a *Ask) { a.Prompt.Value = strings.Repeat("字", 1501) }, []string{"prompt invalid_value"}, nil},
		"501 unwanted characters":   {"wan2.6-r2v-720p", func(a *Ask) { a.NegativePrompt = Give(strings.Repeat("字", 501), "negative_prompt", 5) }, []string{"negative_prompt invalid_value"}, nil},
		"the other tier's size":     {"wan2.6-r2v-720p", func(a *Ask) { a.Size = Give("1920*1080", "size", 5) }, []string{"size invalid_value"}, nil},
		"size with an x":            {"wan2.6-r2v-720p", func(a *Ask) { a.Size = Give("960x960", "size", 5) }, nil, nil},
		"size of no family member":  {"wan2.6-r2v", func(a *Ask) { a.Size = Give("1*1", "size", 5) }, []string{"size invalid_value"}, nil},
		"size against resolution":   {"wan2.6-r2v", func(a *Ask) { a.Size = Give("1920*1080", "size", 5); a.Tier = Give("720P", "resolution", 6) }, []string{"size invalid_value"}, nil},
		"resolution against model":  {"wan2.6-r2v-720p", func(a *Ask) { a.Tier = Give("1080P", "resolution", 6) }, []string{"resolution conflicting_fields"}, nil},
		"1 second":                  {"wan2.6-r2v-720p", func(a *Ask) { a.Duration = Give(Number("1"), "duration", 5) }, []string{"duration invalid_value"}, nil},
		"11 seconds":                {"wan2.6-r2v-720p", func(a *Ask) { a.Duration = Give(Number("11"), "duration", 5) }, []string{"duration invalid_value"}, nil},
		"15 seconds of T2V":         {"wan2.6-video-720p", func(a *Ask) { a.Duration = Give(Number("15.0"), "duration", 5) }, nil, nil},
		"not a duration":            {"wan2.6-video-720p", func(a *Ask) { a.Duration = Give(Number("5s"), "duration", 5) }, []string{"duration invalid_value"}, nil},
		"the largest seed":          {"wan2.6-video-720p", func(a *Ask) { a.Seed = Give(Number("2147483647"), "seed", 5) }, nil, nil},
		"a larger seed":             {"wan2.6-video-720p", func(a *Ask) { a.Seed = Give(Number("2147483648"), "seed", 5) }, []string{"seed invalid_value"}, nil},
		"a shot type":               {"wan2.6-video-720p", func(a *Ask) { a.ShotType = Give("double", "shot_type", 5) }, []string{"shot_type invalid_value"}, nil},
		"multi without expansion":   {"wan2.6-video-720p", func(a *Ask) { a.ShotType = Give("multi", "shot_type", 5); a.PromptExpansion = Give(false, "e", 6) }, nil, []string{"shot_type value_not_used"}},
		"the same for references":   {"wan2.6-r2v-720p", func(a *Ask) { a.ShotType = Give("multi", "shot_type", 5); a.PromptExpansion = Give(false, "e", 6) }, nil, nil},
		"no references":             {"wan2.6-r2v-720p", func(a *Ask) { a.Images = Given[[]Given[string]]{} }, []string{"references missing_field"}, nil},
		"empty lists":               {"wan2.6-r2v-720p", func(a *Ask) { a.Images = texts("images", 5) }, []string{"references missing_field"}, nil},
		"4 videos":                  {"wan2.6-r2v-720p", func(a *Ask) { a.Videos = texts("videos", 30, many(4)...) }, []string{"videos invalid_value"}, nil},
		"6 pictures":                {"wan2.6-r2v-720p", func(a *Ask) { a.Images = texts("images", 30, many(6)...) }, []string{"images invalid_value"}, nil},
		"3 videos, 3 pictures":      {"wan2.6-r2v-720p", func(a *Ask) { a.Videos = texts("videos", 30, many(3)...); a.Images = texts("images", 10, many(3)...) }, []string{"videos invalid_value"}, nil},
		"3 videos, 2 pictures":      {"wan2.6-r2v-720p", func(a *Ask) { a.Videos = texts("videos", 30, many(3)...); a.Images = texts("images", 10, many(2)...) }, nil, nil},
		"an image for R2V":          {"wan2.6-r2v-720p", func(a *Ask) { a.Image = Give("file_a", "image", 5) }, []string{"image invalid_value"}, nil},
		"no image for I2V":          {"wan2.6-i2v-flash", func(a *Ask) { a.Image = Given[string]{} }, []string{"image missing_field"}, nil},
		"images for I2V":            {"wan2.6-i2v-flash", func(a *Ask) { a.Images = texts("images", 30, "file_a") }, []string{"images invalid_value"}, nil},
		"an image for T2V":          {"wan2.6-t2v", func(a *Ask) { a.Image = Give("file_a", "image", 5) }, []string{"image invalid_value"}, nil},
		"an image makes it I2V":     {"wan2.6-video-720p", func(a *Ask) { a.Image = Give("file_a", "image", 5); a.Size = Give("720*1280", "size", 6) }, nil, []string{"size size_from_picture"}},
		"videos for T2V":            {"wan2.6-video-720p", func(a *Ask) { a.Videos = texts("videos", 30, "file_a") }, []string{"videos invalid_value"}, nil},
		"guide audio, documented":   {"wan2.6-video-720p", func(a *Ask) { a.Audio = Give("file_a", "audio", 5) }, nil, nil},
		"guide audio, undocumented": {"wan2.6-r2v-720p", func(a *Ask) { a.Audio = Give("file_a", "audio", 5) }, nil, []string{"audio undocumented_by_supplier"}},
		"guide audio, silent":       {"wan2.6-r2v-flash-720p-silent", func(a *Ask) { a.Audio = Give("file_a", "audio", 5) }, []string{"audio invalid_value"}, nil},
		"sound against the model":   {"wan2.6-r2v-flash-720p-silent", func(a *Ask) { a.Sound = Give(true, "audio", 5) }, []string{"audio conflicting_fields"}, nil},
		"sound with the model":      {"wan2.6-r2v-flash-720p-silent", func(a *Ask) { a.Sound = Give(false, "audio", 5) }, nil, nil},
		"silence that is not made":  {"wan2.6-r2v", func(a *Ask) { a.Sound = Give(false, "audio", 5) }, []string{"audio invalid_value"}, nil},
		"characters": {"wan2.6-r2v-720p", func(a *Ask) {
			a.Prompt.Value = "Character1和CHARACTER2, CHARACTER2, character0, character99999999999999999999, mycharacter7"
		}, nil, []string{"prompt no_such_character", "prompt no_such_character", "prompt no_such_character"}},
		"a webhook":            {"wan2.6-r2v-720p", func(a *Ask) { a.WebhookURL = Give("gopher://example.com/", "webhook_url", 5) }, []string{"webhook_url invalid_value"}, nil},
		"past":                 {"wan2.6-r2v-720p", func(a *Ask) { a.StartBy = Give(Number("1800000000"), "start_by", 5) }, []string{"start_by invalid_value"}, nil},
		"soon":                 {"wan2.6-r2v-720p", func(a *Ask) { a.StartBy = Give(Number("1800000001"), "start_by", 5) }, nil, nil},
		"milliseconds":         {"wan2.6-r2v-720p", func(a *Ask) { a.StartBy = Give(Number("1800000001000"), "start_by", 5) }, []string{"start_by invalid_value"}, nil},
		"a check that is none": {"wan2.6-r2v-720p", func(a *Ask) { a.ReferencesCheck = Give("never", "references_check", 5) }, []string{"references_check invalid_value"}, nil},
		"17 pairs":             {"wan2.6-r2v-720p", func(a *Ask) { a.Metadata = pairs(17, "v") }, []string{"metadata invalid_value"}, nil},
		"16 pairs":             {"wan2.6-r2v-720p", func(a *Ask) { a.Metadata = pairs(16, strings.Repeat("字", 512)) }, nil, nil},
		"a long pair":          {"wan2.6-r2v-720p", func(a *Ask) { a.Metadata = pairs(1, strings.Repeat("字", 513)) }, []string{"metadata.k0 invalid_value"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			a := minimal(tt.model)
			tt.change(&a)

			r, err := c.Validate(a)
			if diff := cmp.Diff(tt.faults, said(err)); diff != "" {
				t.Errorf("%v: %s", err, diff)
			}

			if diff := cmp.Diff(tt.warns, warned(r)); diff != "" {
				t.Errorf("warnings: %s", diff)
			}
		})
	}
}

func pairs(n int, value string) Given[[]Pair] {
	var list []Pair

	for i := range n {
		key := fmt.Sprintf("k%d", i)
		list = append(list, Pair{Key: key, Value: Give(value, "metadata."+key, 50+i)})
	}

	return Give(list, "metadata", 49)
}

func TestReferenceSyntax(t *testing.T) {
	c := load(t)

	for input, want := range map[string]string{
		"https://example.com/a.png":           "",
		"HTTP://example.com/a.png":            "",
		"https://例子.中国/图.png":                 "",
		"https://[::1]:8080/a":                "", // where it leads is checkout's to judge
		"file_01ARZ3NDEKTSV4RRFFQ69G5FAV":     "",
		"file_sample_lamp":                    "",
		"data:image/png;base64,iVBORw0KGgo=":  "",
		"":                                    "empty",
		"example.com/a.png":                   "http://",
		"ftp://example.com/a.png":             "http://",
		"file:///etc/passwd":                  "http://",
		"https:///a.png":                      "no host",
		"https://example.com/a b.png":         "white space",
		"https://example.com/\x00":            "white space",
		"https://example.com/%zz":             "no URL",
		"file_":                               "no file id",
		"file_../../secret":                   "no file id",
		"data:image/png,raw":                  "data URI begins",
		"data:image/png;base64,":              "no bytes",
		"data:video/mp4;base64,AAAA":          "should be a picture",
		"data:text/html;base64,AAAA":          "cannot be of the type",
		"https://e.com/" + longText:           "longer than",
		"data:" + longText + ";base64,AAAAAA": "data URI begins",
	} {
		a := minimal("wan2.6-r2v-720p")
		a.Images = texts("images", 5, input)

		r, err := c.Validate(a)
		if want == "" {
			if err != nil || len(r.References) != 1 || r.References[0] != (Reference{Kind: Image, Input: input, Param: "images[0]"}) {
				t.Errorf("%.40q: %+v, %v", input, r.References, err)
			}

			continue
		}

		if err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 400 {
			t.Errorf("%.40q: %v; want %q", input, err, want)
		}
	}
}

var longText = strings.Repeat("a", 9000)

func TestMixedReferences(t *testing.T) {
	c := load(t)
	a := minimal("wan2.6-r2v-720p")
	a.Images = Given[[]Given[string]]{}
	a.References = Give([]Pointed{
		{URL: Give("file_a", "references[0]", 11)},
		{URL: Give("file_b", "references[1].url", 12), Type: Give("image", "references[1].type", 13)},
		{URL: Give("data:video/mp4;base64,AA", "references[2]", 14)},
	}, "references", 10)
	r, err := c.Validate(a)

	want := []Reference{
		{Input: "file_a", Param: "references[0]"},
		{Kind: Image, Input: "file_b", Param: "references[1].url"},
		{Kind: Video, Input: "data:video/mp4;base64,AA", Param: "references[2]"},
	}
	if diff := cmp.Diff(want, r.References); diff != "" || err != nil {
		t.Fatal(diff, err)
	}

	if q, err := c.Price(r); err != nil || q.MaxMillis != 2*1650+5000 {
		t.Errorf("%+v, %v: what may be a video is not priced as one", q, err)
	}
}

func TestTheSizeFaultListsAndSuggests(t *testing.T) {
	a := minimal("wan2.6-r2v-flash-720p-silent")
	a.Size = Give("1920*1080", "size", 5)
	_, err := load(t).Validate(a)

	want := `size: "1920*1080" is no size of wan2.6-r2v-flash-720p-silent, which makes 1280*720, 720*1280, 960*960, 1088*832 or 832*1088; ask for wan2.6-r2v-flash-1080p-silent instead.`
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
}

func TestMissingFieldsBearTheDialectsNames(t *testing.T) {
	_, err := load(t).Validate(Ask{Model: Give("wan2.6-t2v", "model", 1), Names: map[string]string{"prompt": "input.prompt"}})
	if diff := cmp.Diff([]string{"input.prompt missing_field"}, said(err)); diff != "" {
		t.Error(diff)
	}
}

func TestNearest(t *testing.T) {
	list := load(t).names()
	for word, want := range map[string]string{"wan2.6-r2v-flash-720-audio": "wan2.6-r2v-flash-720p-audio", "WAN2.6-R2V": "wan2.6-r2v", "sora-2": "", "": ""} {
		if got, _ := Nearest(word, list); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}

func TestWhole(t *testing.T) {
	for text, want := range map[Number]string{
		"5": "5", "5.0": "5", "5e0": "5", "50e-1": "5", "-1": "-1", "-0": "0", "9223372036854775807": "9223372036854775807",
		"9223372036854775808": "", "5.5": "", "": "", " 5": "", "+5": "", "0x5": "", "5e99999999": "", ".5": "", "NaN": "", "1e30": "",
	} {
		got := ""
		if n, ok := text.Whole(); ok {
			got = fmt.Sprint(n)
		}

		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// changes are what can be done to an Ask, one thing each: most of it sensible.
func changes(t *rapid.T, c *Catalog) []change {
	word := func(good ...string) string {
		if rapid.IntRange(0, 9).Draw(t, "odd") == 0 {
			return rapid.String().Draw(t, "word")
		}

		return rapid.SampledFrom(good).Draw(t, "word")
	}
	number := func() Number { return Number(word("5", "5.0", "2", "-1", "42", "1800000042")) }
	links := func(param string, at int) Given[[]Given[string]] {
		var list []string
		for range rapid.IntRange(0, 4).Draw(t, "links") {
			list = append(list, word("https://example.com/a", "file_a"))
		}

		return texts(param, at, list...)
	}
	flag := func() bool { return rapid.Bool().Draw(t, "flag") }

	return []change{
		func(a *Ask) { a.Model.Value = word(c.names()...) },
		func(a *Ask) { a.Prompt.Value = word("p", "character3", "") },
		func(a *Ask) {
			a.Prompt = Given[string]{Param: "prompt", At: 2, Wrong: true}
			a.Faults = append(a.Faults, Placed{At: 2, Fault: *fault.New(fault.CodeWrongJSONType, "prompt", "It is no string.")})
		},
		func(a *Ask) { a.NegativePrompt = Give(word("n"), "negative_prompt", 3) },
		func(a *Ask) { a.Image = Give(word("file_a", "data:image/png;base64,AA"), "image", 4) },
		func(a *Ask) { a.Videos = links("videos", 30) },
		func(a *Ask) { a.Images = links("images", 10) },
		func(a *Ask) { a.Audio = Give(word("file_a", "data:audio/wav;base64,AA"), "audio", 5) },
		func(a *Ask) { a.Sound = Give(flag(), "audio", 6) },
		func(a *Ask) { a.Size = Give(word("1280*720", "1920x1080", "720X1280"), "size", 7) },
		func(a *Ask) { a.Tier = Give(word("720P", "1080p"), "resolution", 8) },
		func(a *Ask) { a.Duration = Give(number(), "duration", 9) },
		func(a *Ask) { a.Seed = Give(number(), "seed", 20) },
		func(a *Ask) { a.ShotType = Give(word("single", "multi"), "shot_type", 21) },
		func(a *Ask) { a.PromptExpansion = Give(flag(), "enable_prompt_expansion", 22) },
		func(a *Ask) { a.Watermark = Give(flag(), "watermark", 23) },
		func(a *Ask) { a.Preview = Give(flag(), "preview", 24) },
		func(a *Ask) { a.StartBy = Give(number(), "start_by", 25) },
		func(a *Ask) { a.WebhookURL = Give(word("https://example.com/hook"), "webhook_url", 26) },
		func(a *Ask) { a.ReferencesCheck = Give(word("probe", "trust"), "references_check", 27) },
		func(a *Ask) { a.Metadata = pairs(rapid.IntRange(0, 17).Draw(t, "pairs"), word("v")) },
	}
}

func anyAsk(t *rapid.T, c *Catalog) Ask {
	a := minimal(rapid.SampledFrom(c.names()).Draw(t, "model"))

	all := changes(t, c)
	for range rapid.IntRange(0, 5).Draw(t, "changes") {
		all[rapid.IntRange(0, len(all)-1).Draw(t, "change")](&a)
	}

	return a
}

// again asks for exactly what a request says.
func again(r Request) Ask {
	a := Ask{
		Model: Give(r.Model, "model", 1), Prompt: Give(r.Prompt, "prompt", 2), NegativePrompt: Give(r.NegativePrompt, "negative_prompt", 3),
		Duration: Give(Number(fmt.Sprint(r.Seconds)), "duration", 5), Seed: Give(Number(fmt.Sprint(r.Seed)), "seed", 6),
		Now: 1_800_000_000, Sound: Give(r.Sound, "audio", 7), ShotType: Give(r.ShotType, "shot_type", 8), Preview: Give(r.Preview, "preview", 9),
	}

	a.Size = Give(r.SizeAsked, "size", 4)
	if r.PromptExpansion != nil {
		a.PromptExpansion = Give(*r.PromptExpansion, "enable_prompt_expansion", 10)
	}

	if r.Watermark != nil {
		a.Watermark = Give(*r.Watermark, "watermark", 11)
	}

	if r.StartBy != 0 {
		a.StartBy = Give(Number(fmt.Sprint(r.StartBy)), "start_by", 12)
	}

	if r.WebhookURL != "" {
		a.WebhookURL = Give(r.WebhookURL, "webhook_url", 13)
	}

	if r.ReferencesCheck != "" {
		a.ReferencesCheck = Give(r.ReferencesCheck, "references_check", 14)
	}

	for key, value := range r.Metadata {
		a.Metadata.Param = "metadata"
		a.Metadata.Value = append(a.Metadata.Value, Pair{Key: key, Value: Give(value, "metadata."+key, 17)})
	}

	if r.Audio != nil {
		a.Audio = Give(r.Audio.Input, r.Audio.Param, 15)
	}

	if r.Mode == I2V {
		a.Image = Give(r.References[0].Input, r.References[0].Param, 16)
		return a
	}

	for i, ref := range r.References {
		list := &a.Images
		if ref.Kind == Video {
			list = &a.Videos
		}

		list.Param = string(ref.Kind) + "s"
		list.At = 20
		list.Value = append(list.Value, Give(ref.Input, ref.Param, 21+i))
	}

	return a
}

// Validate never panics, its verdicts are faults about fields, and what it takes
// it takes again unchanged.
func TestWhatIsAcceptedIsAcceptedAgain(t *testing.T) {
	c := load(t)
	accepted := 0

	rapid.Check(t, func(t *rapid.T) {
		r, err := c.Validate(anyAsk(t, c))
		if err != nil {
			if f := fault.From(err); f.Kind != fault.Invalid || f.Param == "" {
				t.Fatalf("%+v", f)
			}

			return
		}

		accepted++

		if _, err := c.Price(r); err != nil {
			t.Fatal(err)
		}

		twice, err := c.Validate(again(r))
		if err != nil {
			t.Fatalf("%+v: %v", r, err)
		}
		// The warning about a size that was not asked the first time is new.
		r.Warnings = nil

		twice.Warnings = nil
		if diff := cmp.Diff(r, twice); diff != "" {
			t.Fatal(diff)
		}
	})

	if accepted < 10 {
		t.Fatalf("only %d were accepted: the property was hardly tried", accepted)
	}
}

func FuzzValidate(f *testing.F) {
	f.Add("wan2.6-r2v-flash", "character2 runs", "1280*720", "5", "https://example.com/a.mp4", "data:audio/mpeg;base64,AA", "k")
	f.Add("wan2.6-i2v", "p", "1920x1080", "5.0", "file_a", "file_sample_song", "total_time")
	c := load(f)
	f.Fuzz(func(t *testing.T, model, prompt, size, number, link, audio, key string) {
		ask := minimal(model)
		ask.Prompt.Value = prompt
		ask.NegativePrompt = Give(prompt, "negative_prompt", 3)
		ask.Size = Give(size, "size", 4)
		ask.Duration = Give(Number(number), "duration", 5)
		ask.Seed = Give(Number(number), "seed", 6)
		ask.Images = texts("images", 10, link)

		ask.Image = Give(link, "image", 20)
		if strings.Contains(model, "r2v") {
			ask.Image = Given[string]{}
		} else {
			ask.Images = Given[[]Given[string]]{}
		}

		ask.Audio = Give(audio, "audio", 21)
		ask.Metadata = Give([]Pair{{Key: key, Value: Give(prompt, "metadata", 22)}}, "metadata", 22)

		r, err := c.Validate(ask)
		if err != nil {
			if f := fault.From(err); f.Kind != fault.Invalid || len(f.Detail) > 2000 {
				t.Fatalf("%+v", f)
			}

			return
		}

		if _, err := c.Price(r); err != nil {
			t.Fatal(err)
		}
	})
}
