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

// faultList lists "param code" of every fault, in order.
func faultList(err error) []string {
	var f *fault.Fault
	if !errors.As(err, &f) {
		return nil
	}

	var list []string
	for _, each := range f.All() {
		list = append(list, each.Param+" "+string(each.Code))
	}

	return list
}

func warningList(r Request) []string {
	var list []string
	for _, w := range r.Warnings {
		list = append(list, w.Param+" "+w.Code)
	}

	return list
}

// minimalRequest has only what a model needs.
func minimalRequest(model string) RawRequest {
	raw := RawRequest{Model: NewField(model, "model", 1), Prompt: NewField("p", "prompt", 2), Now: 1_800_000_000}
	switch {
	case strings.Contains(model, "r2v"):
		raw.Images = fieldList("images", 10, "https://example.com/a.png")
	case strings.Contains(model, "i2v"):
		raw.Image = NewField("https://example.com/a.png", "image", 10)
	}

	return raw
}

func repeatURL(n int) []string {
	return slices.Repeat([]string{"https://example.com/a"}, n)
}

func TestDefaults(t *testing.T) {
	c := load(t)
	for _, name := range append(c.Families(), slices.Sorted(maps.Keys(c.byID))...) {
		r, err := c.Validate(minimalRequest(name))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}

		m, _ := c.Model(r.Resolved)

		want := Request{
			Model: name, Resolved: m.ID, Mode: r.Mode, Prompt: "p", References: r.References,
			Size: m.Sizes[0], RequestedSize: m.Sizes[0], Width: 1280, Height: 720, Seconds: 5, Sound: m.Sound, ShotType: "single", Seed: -1,
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
	on := NewField(true, "audio", 5)
	off := NewField(false, "audio", 5)
	size := func(s string) Field[string] { return NewField(s, "size", 6) }

	none := Field[bool]{}
	for _, tt := range []struct {
		name  string
		sound Field[bool]
		size  Field[string]
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
		raw := minimalRequest(tt.name)

		raw.Sound = tt.sound
		if tt.size.Value != "" {
			raw.Size = tt.size
		}

		if tt.tier != "" {
			raw.Tier = NewField(tt.tier, "parameters.resolution", 7)
		}

		r, err := c.Validate(raw)
		if err != nil || r.Resolved != tt.want || r.Mode != tt.mode || r.Model != tt.name {
			t.Errorf("%s %v %s: %s %s, %v; want %s", tt.name, tt.sound.Value, tt.size.Value, r.Resolved, r.Mode, err, tt.want)
		}

		if tt.size.Value != "" && r.RequestedSize != tt.size.Value {
			t.Errorf("size %q is echoed as %q", tt.size.Value, r.RequestedSize)
		}
	}
}

type mutation func(*RawRequest)

func TestFaultsAndWarnings(t *testing.T) {
	c := load(t)
	for name, tt := range map[string]struct {
		model    string
		mutate   mutation
		faults   []string
		warnings []string
	}{
		"an unknown model": {"wan2.6-r2v-999p", func(raw *RawRequest) {}, []string{"model unknown_model"}, nil},
		"an empty model":   {"", func(raw *RawRequest) {}, []string{"model missing_field"}, nil},
		"an unknown model and other faults": {"wan9", func(raw *RawRequest) {
			raw.Seed = NewField(Number("-2"), "seed", 9)
			raw.Size = NewField("big", "size", 8)
		}, []string{"model unknown_model", "size invalid_value", "seed invalid_value"}, nil},
		"a blank prompt":                   {"wan2.6-r2v-720p", func(raw *RawRequest) { raw.Prompt.Value = " \n" }, []string{"prompt missing_field"}, nil},
		"1500 characters":                  {"wan2.6-r2v-720p", func(raw *RawRequest) { raw.Prompt.Value = strings.Repeat("字", 1500) }, nil, nil},
		"1501 characters":                  {"wan2.6-r2v-720p", func(raw *RawRequest) { raw.Prompt.Value = strings.Repeat("字", 1501) }, []string{"prompt invalid_value"}, nil},
		"501 unwanted characters":          {"wan2.6-r2v-720p", func(raw *RawRequest) { raw.NegativePrompt = NewField(strings.Repeat("字", 501), "negative_prompt", 5) }, []string{"negative_prompt invalid_value"}, nil},
		"the other tier's size":            {"wan2.6-r2v-720p", func(raw *RawRequest) { raw.Size = NewField("1920*1080", "size", 5) }, []string{"size invalid_value"}, nil},
		"size with an x":                   {"wan2.6-r2v-720p", func(raw *RawRequest) { raw.Size = NewField("960x960", "size", 5) }, nil, nil},
		"a size that no family member has": {"wan2.6-r2v", func(raw *RawRequest) { raw.Size = NewField("1*1", "size", 5) }, []string{"size invalid_value"}, nil},
		"size conflicts with resolution": {"wan2.6-r2v", func(raw *RawRequest) {
			raw.Size = NewField("1920*1080", "size", 5)
			raw.Tier = NewField("720P", "resolution", 6)
		}, []string{"size invalid_value"}, nil},
		"resolution conflicts with model": {"wan2.6-r2v-720p", func(raw *RawRequest) { raw.Tier = NewField("1080P", "resolution", 6) }, []string{"resolution conflicting_fields"}, nil},
		"1 second":                        {"wan2.6-r2v-720p", func(raw *RawRequest) { raw.Duration = NewField(Number("1"), "duration", 5) }, []string{"duration invalid_value"}, nil},
		"11 seconds":                      {"wan2.6-r2v-720p", func(raw *RawRequest) { raw.Duration = NewField(Number("11"), "duration", 5) }, []string{"duration invalid_value"}, nil},
		"15 seconds of T2V":               {"wan2.6-video-720p", func(raw *RawRequest) { raw.Duration = NewField(Number("15.0"), "duration", 5) }, nil, nil},
		"not a duration":                  {"wan2.6-video-720p", func(raw *RawRequest) { raw.Duration = NewField(Number("5s"), "duration", 5) }, []string{"duration invalid_value"}, nil},
		"the largest seed":                {"wan2.6-video-720p", func(raw *RawRequest) { raw.Seed = NewField(Number("2147483647"), "seed", 5) }, nil, nil},
		"a larger seed":                   {"wan2.6-video-720p", func(raw *RawRequest) { raw.Seed = NewField(Number("2147483648"), "seed", 5) }, []string{"seed invalid_value"}, nil},
		"an unknown shot type":            {"wan2.6-video-720p", func(raw *RawRequest) { raw.ShotType = NewField("double", "shot_type", 5) }, []string{"shot_type invalid_value"}, nil},
		"multi without expansion": {"wan2.6-video-720p", func(raw *RawRequest) {
			raw.ShotType = NewField("multi", "shot_type", 5)
			raw.PromptExpansion = NewField(false, "e", 6)
		}, nil, []string{"shot_type value_not_used"}},
		"the same for references": {"wan2.6-r2v-720p", func(raw *RawRequest) {
			raw.ShotType = NewField("multi", "shot_type", 5)
			raw.PromptExpansion = NewField(false, "e", 6)
		}, nil, nil},
		"no references": {"wan2.6-r2v-720p", func(raw *RawRequest) { raw.Images = Field[[]Field[string]]{} }, []string{"references missing_field"}, nil},
		"empty lists":   {"wan2.6-r2v-720p", func(raw *RawRequest) { raw.Images = fieldList("images", 5) }, []string{"references missing_field"}, nil},
		"4 videos":      {"wan2.6-r2v-720p", func(raw *RawRequest) { raw.Videos = fieldList("videos", 30, repeatURL(4)...) }, []string{"videos invalid_value"}, nil},
		"6 pictures":    {"wan2.6-r2v-720p", func(raw *RawRequest) { raw.Images = fieldList("images", 30, repeatURL(6)...) }, []string{"images invalid_value"}, nil},
		"3 videos, 3 pictures": {"wan2.6-r2v-720p", func(raw *RawRequest) {
			raw.Videos = fieldList("videos", 30, repeatURL(3)...)
			raw.Images = fieldList("images", 10, repeatURL(3)...)
		}, []string{"videos invalid_value"}, nil},
		"3 videos, 2 pictures": {"wan2.6-r2v-720p", func(raw *RawRequest) {
			raw.Videos = fieldList("videos", 30, repeatURL(3)...)
			raw.Images = fieldList("images", 10, repeatURL(2)...)
		}, nil, nil},
		"an image for R2V": {"wan2.6-r2v-720p", func(raw *RawRequest) { raw.Image = NewField("file_a", "image", 5) }, []string{"image invalid_value"}, nil},
		"no image for I2V": {"wan2.6-i2v-flash", func(raw *RawRequest) { raw.Image = Field[string]{} }, []string{"image missing_field"}, nil},
		"images for I2V":   {"wan2.6-i2v-flash", func(raw *RawRequest) { raw.Images = fieldList("images", 30, "file_a") }, []string{"images invalid_value"}, nil},
		"an image for T2V": {"wan2.6-t2v", func(raw *RawRequest) { raw.Image = NewField("file_a", "image", 5) }, []string{"image invalid_value"}, nil},
		"an image selects I2V": {"wan2.6-video-720p", func(raw *RawRequest) {
			raw.Image = NewField("file_a", "image", 5)
			raw.Size = NewField("720*1280", "size", 6)
		}, nil, []string{"size size_from_picture"}},
		"videos for T2V":                 {"wan2.6-video-720p", func(raw *RawRequest) { raw.Videos = fieldList("videos", 30, "file_a") }, []string{"videos invalid_value"}, nil},
		"guide audio, documented":        {"wan2.6-video-720p", func(raw *RawRequest) { raw.Audio = NewField("file_a", "audio", 5) }, nil, nil},
		"guide audio, undocumented":      {"wan2.6-r2v-720p", func(raw *RawRequest) { raw.Audio = NewField("file_a", "audio", 5) }, nil, []string{"audio undocumented_by_supplier"}},
		"guide audio, silent":            {"wan2.6-r2v-flash-720p-silent", func(raw *RawRequest) { raw.Audio = NewField("file_a", "audio", 5) }, []string{"audio invalid_value"}, nil},
		"sound conflicts with the model": {"wan2.6-r2v-flash-720p-silent", func(raw *RawRequest) { raw.Sound = NewField(true, "audio", 5) }, []string{"audio conflicting_fields"}, nil},
		"sound agrees with the model":    {"wan2.6-r2v-flash-720p-silent", func(raw *RawRequest) { raw.Sound = NewField(false, "audio", 5) }, nil, nil},
		"no silent variant":              {"wan2.6-r2v", func(raw *RawRequest) { raw.Sound = NewField(false, "audio", 5) }, []string{"audio invalid_value"}, nil},
		"characters": {"wan2.6-r2v-720p", func(raw *RawRequest) {
			raw.Prompt.Value = "Character1和CHARACTER2, CHARACTER2, character0, character99999999999999999999, mycharacter7"
		}, nil, []string{"prompt no_such_character", "prompt no_such_character", "prompt no_such_character"}},
		"an invalid webhook":          {"wan2.6-r2v-720p", func(raw *RawRequest) { raw.WebhookURL = NewField("gopher://example.com/", "webhook_url", 5) }, []string{"webhook_url invalid_value"}, nil},
		"start_by in the past":        {"wan2.6-r2v-720p", func(raw *RawRequest) { raw.StartBy = NewField(Number("1800000000"), "start_by", 5) }, []string{"start_by invalid_value"}, nil},
		"start_by soon":               {"wan2.6-r2v-720p", func(raw *RawRequest) { raw.StartBy = NewField(Number("1800000001"), "start_by", 5) }, nil, nil},
		"start_by in milliseconds":    {"wan2.6-r2v-720p", func(raw *RawRequest) { raw.StartBy = NewField(Number("1800000001000"), "start_by", 5) }, []string{"start_by invalid_value"}, nil},
		"an unknown references_check": {"wan2.6-r2v-720p", func(raw *RawRequest) { raw.ReferencesCheck = NewField("never", "references_check", 5) }, []string{"references_check invalid_value"}, nil},
		"17 pairs":                    {"wan2.6-r2v-720p", func(raw *RawRequest) { raw.Metadata = pairs(17, "v") }, []string{"metadata invalid_value"}, nil},
		"16 pairs":                    {"wan2.6-r2v-720p", func(raw *RawRequest) { raw.Metadata = pairs(16, strings.Repeat("字", 512)) }, nil, nil},
		"a long pair":                 {"wan2.6-r2v-720p", func(raw *RawRequest) { raw.Metadata = pairs(1, strings.Repeat("字", 513)) }, []string{"metadata.k0 invalid_value"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			raw := minimalRequest(tt.model)
			tt.mutate(&raw)

			r, err := c.Validate(raw)
			if diff := cmp.Diff(tt.faults, faultList(err)); diff != "" {
				t.Errorf("%v: %s", err, diff)
			}

			if diff := cmp.Diff(tt.warnings, warningList(r)); diff != "" {
				t.Errorf("warnings: %s", diff)
			}
		})
	}
}

func pairs(n int, value string) Field[[]Pair] {
	var list []Pair

	for i := range n {
		key := fmt.Sprintf("k%d", i)
		list = append(list, Pair{Key: key, Value: NewField(value, "metadata."+key, 50+i)})
	}

	return NewField(list, "metadata", 49)
}

func TestReferenceSyntax(t *testing.T) {
	c := load(t)

	for input, want := range map[string]string{
		"https://example.com/a.png":           "",
		"HTTP://example.com/a.png":            "",
		"https://例子.中国/图.png":                 "",
		"https://[::1]:8080/a":                "", // checkout decides whether the address is allowed
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
		"https://example.com/%zz":             "not a URL",
		"file_":                               "not a file id",
		"file_../../secret":                   "not a file id",
		"data:image/png,raw":                  "data URI begins",
		"data:image/png;base64,":              "no bytes",
		"data:video/mp4;base64,AAAA":          "should be a picture",
		"data:text/html;base64,AAAA":          "cannot be of the type",
		"https://e.com/" + longText:           "longer than",
		"data:" + longText + ";base64,AAAAAA": "data URI begins",
	} {
		raw := minimalRequest("wan2.6-r2v-720p")
		raw.Images = fieldList("images", 5, input)

		r, err := c.Validate(raw)
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
	raw := minimalRequest("wan2.6-r2v-720p")
	raw.Images = Field[[]Field[string]]{}
	raw.References = NewField([]ReferenceInput{
		{URL: NewField("file_a", "references[0]", 11)},
		{URL: NewField("file_b", "references[1].url", 12), Type: NewField("image", "references[1].type", 13)},
		{URL: NewField("data:video/mp4;base64,AA", "references[2]", 14)},
	}, "references", 10)
	r, err := c.Validate(raw)

	want := []Reference{
		{Input: "file_a", Param: "references[0]"},
		{Kind: Image, Input: "file_b", Param: "references[1].url"},
		{Kind: Video, Input: "data:video/mp4;base64,AA", Param: "references[2]"},
	}
	if diff := cmp.Diff(want, r.References); diff != "" || err != nil {
		t.Fatal(diff, err)
	}

	if q, err := c.Price(r); err != nil || q.MaxMillis != 2*1650+5000 {
		t.Errorf("%+v, %v: a reference that may be a video is not priced as one", q, err)
	}
}

func TestSizeFaultListsSizesAndSuggestsModel(t *testing.T) {
	raw := minimalRequest("wan2.6-r2v-flash-720p-silent")
	raw.Size = NewField("1920*1080", "size", 5)
	_, err := load(t).Validate(raw)

	want := `size: "1920*1080" is not a size of wan2.6-r2v-flash-720p-silent, which makes 1280*720, 720*1280, 960*960, 1088*832 or 832*1088; ask for wan2.6-r2v-flash-1080p-silent instead.`
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
}

func TestMissingFieldsUseDialectNames(t *testing.T) {
	_, err := load(t).Validate(RawRequest{Model: NewField("wan2.6-t2v", "model", 1), FieldNames: map[string]string{"prompt": "input.prompt"}})
	if diff := cmp.Diff([]string{"input.prompt missing_field"}, faultList(err)); diff != "" {
		t.Error(diff)
	}
}

func TestNearest(t *testing.T) {
	list := load(t).allNames()
	for word, want := range map[string]string{"wan2.6-r2v-flash-720-audio": "wan2.6-r2v-flash-720p-audio", "WAN2.6-R2V": "wan2.6-r2v", "sora-2": "", "": ""} {
		if got, _ := Nearest(word, list); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}

func TestNumberInt64(t *testing.T) {
	for text, want := range map[Number]string{
		"5": "5", "5.0": "5", "5e0": "5", "50e-1": "5", "-1": "-1", "-0": "0", "9223372036854775807": "9223372036854775807",
		"9223372036854775808": "", "5.5": "", "": "", " 5": "", "+5": "", "0x5": "", "5e99999999": "", ".5": "", "NaN": "", "1e30": "",
	} {
		got := ""
		if n, ok := text.Int64(); ok {
			got = fmt.Sprint(n)
		}

		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// mutations returns functions that each change one field of a RawRequest, mostly to a
// valid value.
func mutations(t *rapid.T, c *Catalog) []mutation {
	word := func(good ...string) string {
		if rapid.IntRange(0, 9).Draw(t, "odd") == 0 {
			return rapid.String().Draw(t, "word")
		}

		return rapid.SampledFrom(good).Draw(t, "word")
	}
	number := func() Number { return Number(word("5", "5.0", "2", "-1", "42", "1800000042")) }
	urls := func(param string, pos int) Field[[]Field[string]] {
		var list []string
		for range rapid.IntRange(0, 4).Draw(t, "links") {
			list = append(list, word("https://example.com/a", "file_a"))
		}

		return fieldList(param, pos, list...)
	}
	flag := func() bool { return rapid.Bool().Draw(t, "flag") }

	return []mutation{
		func(raw *RawRequest) { raw.Model.Value = word(c.allNames()...) },
		func(raw *RawRequest) { raw.Prompt.Value = word("p", "character3", "") },
		func(raw *RawRequest) {
			raw.Prompt = Field[string]{Param: "prompt", Pos: 2, BadType: true}
			raw.Faults = append(raw.Faults, PositionedFault{Pos: 2, Fault: *fault.New(fault.CodeWrongType, "prompt", "It is not a string.")})
		},
		func(raw *RawRequest) { raw.NegativePrompt = NewField(word("n"), "negative_prompt", 3) },
		func(raw *RawRequest) { raw.Image = NewField(word("file_a", "data:image/png;base64,AA"), "image", 4) },
		func(raw *RawRequest) { raw.Videos = urls("videos", 30) },
		func(raw *RawRequest) { raw.Images = urls("images", 10) },
		func(raw *RawRequest) { raw.Audio = NewField(word("file_a", "data:audio/wav;base64,AA"), "audio", 5) },
		func(raw *RawRequest) { raw.Sound = NewField(flag(), "audio", 6) },
		func(raw *RawRequest) { raw.Size = NewField(word("1280*720", "1920x1080", "720X1280"), "size", 7) },
		func(raw *RawRequest) { raw.Tier = NewField(word("720P", "1080p"), "resolution", 8) },
		func(raw *RawRequest) { raw.Duration = NewField(number(), "duration", 9) },
		func(raw *RawRequest) { raw.Seed = NewField(number(), "seed", 20) },
		func(raw *RawRequest) { raw.ShotType = NewField(word("single", "multi"), "shot_type", 21) },
		func(raw *RawRequest) { raw.PromptExpansion = NewField(flag(), "enable_prompt_expansion", 22) },
		func(raw *RawRequest) { raw.Watermark = NewField(flag(), "watermark", 23) },
		func(raw *RawRequest) { raw.Preview = NewField(flag(), "preview", 24) },
		func(raw *RawRequest) { raw.StartBy = NewField(number(), "start_by", 25) },
		func(raw *RawRequest) { raw.WebhookURL = NewField(word("https://example.com/hook"), "webhook_url", 26) },
		func(raw *RawRequest) { raw.ReferencesCheck = NewField(word("probe", "trust"), "references_check", 27) },
		func(raw *RawRequest) { raw.Metadata = pairs(rapid.IntRange(0, 17).Draw(t, "pairs"), word("v")) },
	}
}

func randomRequest(t *rapid.T, c *Catalog) RawRequest {
	raw := minimalRequest(rapid.SampledFrom(c.allNames()).Draw(t, "model"))

	all := mutations(t, c)
	for range rapid.IntRange(0, 5).Draw(t, "changes") {
		all[rapid.IntRange(0, len(all)-1).Draw(t, "change")](&raw)
	}

	return raw
}

// rawRequestOf returns the RawRequest that asks for exactly this request.
func rawRequestOf(r Request) RawRequest {
	raw := RawRequest{
		Now:            1_800_000_000,
		Model:          NewField(r.Model, "model", 1),
		Prompt:         NewField(r.Prompt, "prompt", 2),
		NegativePrompt: NewField(r.NegativePrompt, "negative_prompt", 3),
		Size:           NewField(r.RequestedSize, "size", 4),
		Duration:       NewField(Number(fmt.Sprint(r.Seconds)), "duration", 5),
		Seed:           NewField(Number(fmt.Sprint(r.Seed)), "seed", 6),
		Sound:          NewField(r.Sound, "audio", 7),
		ShotType:       NewField(r.ShotType, "shot_type", 8),
		Preview:        NewField(r.Preview, "preview", 9),
	}

	if r.PromptExpansion != nil {
		raw.PromptExpansion = NewField(*r.PromptExpansion, "enable_prompt_expansion", 10)
	}

	if r.Watermark != nil {
		raw.Watermark = NewField(*r.Watermark, "watermark", 11)
	}

	if r.StartBy != 0 {
		raw.StartBy = NewField(Number(fmt.Sprint(r.StartBy)), "start_by", 12)
	}

	if r.WebhookURL != "" {
		raw.WebhookURL = NewField(r.WebhookURL, "webhook_url", 13)
	}

	if r.ReferencesCheck != "" {
		raw.ReferencesCheck = NewField(r.ReferencesCheck, "references_check", 14)
	}

	for key, value := range r.Metadata {
		raw.Metadata.Param = "metadata"
		raw.Metadata.Value = append(raw.Metadata.Value, Pair{Key: key, Value: NewField(value, "metadata."+key, 17)})
	}

	if r.Audio != nil {
		raw.Audio = NewField(r.Audio.Input, r.Audio.Param, 15)
	}

	if r.Mode == I2V {
		raw.Image = NewField(r.References[0].Input, r.References[0].Param, 16)
		return raw
	}

	for i, ref := range r.References {
		list := &raw.Images
		if ref.Kind == Video {
			list = &raw.Videos
		}

		list.Param = string(ref.Kind) + "s"
		list.Pos = 20
		list.Value = append(list.Value, NewField(ref.Input, ref.Param, 21+i))
	}

	return raw
}

// Validate never panics, it reports faults about fields, and validating an accepted
// request again gives the same request.
func TestValidateIsIdempotent(t *testing.T) {
	c := load(t)
	accepted := 0

	rapid.Check(t, func(t *rapid.T) {
		r, err := c.Validate(randomRequest(t, c))
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

		second, err := c.Validate(rawRequestOf(r))
		if err != nil {
			t.Fatalf("%+v: %v", r, err)
		}

		// The second request names its size, which may add a warning about it.
		r.Warnings = nil
		second.Warnings = nil

		if diff := cmp.Diff(r, second); diff != "" {
			t.Fatal(diff)
		}
	})

	if accepted < 10 {
		t.Fatalf("only %d were accepted: too few to test the property", accepted)
	}
}

func FuzzValidate(f *testing.F) {
	f.Add("wan2.6-r2v-flash", "character2 runs", "1280*720", "5", "https://example.com/a.mp4", "data:audio/mpeg;base64,AA", "k")
	f.Add("wan2.6-i2v", "p", "1920x1080", "5.0", "file_a", "file_sample_song", "total_time")
	c := load(f)
	f.Fuzz(func(t *testing.T, model, prompt, size, number, link, audio, key string) {
		raw := minimalRequest(model)
		raw.Prompt.Value = prompt
		raw.NegativePrompt = NewField(prompt, "negative_prompt", 3)
		raw.Size = NewField(size, "size", 4)
		raw.Duration = NewField(Number(number), "duration", 5)
		raw.Seed = NewField(Number(number), "seed", 6)
		raw.Images = fieldList("images", 10, link)
		raw.Image = NewField(link, "image", 20)

		if strings.Contains(model, "r2v") {
			raw.Image = Field[string]{}
		} else {
			raw.Images = Field[[]Field[string]]{}
		}

		raw.Audio = NewField(audio, "audio", 21)
		raw.Metadata = NewField([]Pair{{Key: key, Value: NewField(prompt, "metadata", 22)}}, "metadata", 22)

		r, err := c.Validate(raw)
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
