package catalog

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func TestBuiltinModels(t *testing.T) {
	c := load(t)

	var ids []string
	for _, m := range c.Models() {
		ids = append(ids, m.ID)
		if !slices.Contains([]string{"832*480", "1280*720", "1920*1080"}, m.Sizes[0]) {
			t.Errorf("%s: the default size %s is not 16:9", m.ID, m.Sizes[0])
		}

		for _, mode := range m.ModeList() {
			if _, ok := m.Capability("dashscope", mode); !ok {
				t.Errorf("%s: DashScope has no name in mode %s", m.ID, mode)
			}
		}
	}

	want := []string{
		"wan2.6-i2v-flash-1080p-audio", "wan2.6-i2v-flash-1080p-silent", "wan2.6-i2v-flash-720p-audio", "wan2.6-i2v-flash-720p-silent",
		"wan2.6-r2v-1080p", "wan2.6-r2v-720p",
		"wan2.6-r2v-flash-1080p-audio", "wan2.6-r2v-flash-1080p-silent", "wan2.6-r2v-flash-720p-audio", "wan2.6-r2v-flash-720p-silent",
		"wan2.6-video-1080p", "wan2.6-video-720p",
		"wan2.7-r2v-1080p", "wan2.7-r2v-720p", "wan2.7-video-1080p", "wan2.7-video-720p",
		"wan3.0-video-1080p", "wan3.0-video-1080p-silent", "wan3.0-video-480p", "wan3.0-video-480p-silent", "wan3.0-video-720p", "wan3.0-video-720p-silent",
	}
	if diff := cmp.Diff(want, ids); diff != "" {
		t.Error(diff)
	}

	families := []string{
		"wan2.6-i2v", "wan2.6-i2v-flash", "wan2.6-r2v", "wan2.6-r2v-flash", "wan2.6-t2v",
		"wan2.7-i2v", "wan2.7-r2v", "wan2.7-t2v", "wan3.0-video",
	}
	if diff := cmp.Diff(families, c.Families()); diff != "" {
		t.Error(diff)
	}

	if c.Currency() != "USD" {
		t.Errorf("currency %s", c.Currency())
	}
}

// builtinModel returns the file of a model that ships with the program, for tests to change.
func builtinModel(t testing.TB, id string) string {
	t.Helper()

	data, err := embedded.ReadFile("models/" + id + ".yaml")
	if err != nil {
		t.Fatal(err)
	}

	return string(data)
}

func folder(name, text string) fstest.MapFS {
	return fstest.MapFS{name: {Data: []byte(text)}, "README.md": {Data: []byte("not a model")}}
}

func TestLoadAddsAndReplacesModels(t *testing.T) {
	added := strings.NewReplacer("wan2.6-r2v-720p", "studio-r2v", "family: wan2.6-r2v\n", "family: studio\n").Replace(builtinModel(t, "wan2.6-r2v-720p"))
	replaced := strings.ReplaceAll(builtinModel(t, "wan2.6-r2v-720p"), "max: 10,", "max: 8,")

	c, err := Load(Options{}, folder("studio-r2v.yaml", added), folder("wan2.6-r2v-720p.yaml", replaced))
	if err != nil {
		t.Fatal(err)
	}

	if m, ok := c.Model("studio-r2v"); !ok || m.Seconds.Max != 10 || !slices.Contains(c.Families(), "studio") {
		t.Errorf("added: %+v", m)
	}

	if m, _ := c.Model("wan2.6-r2v-720p"); m.Seconds.Max != 8 {
		t.Errorf("replaced: %+v", m)
	}
}

func TestLoadRejectsInvalidFiles(t *testing.T) {
	const id = "wan2.6-r2v-720p"

	valid := builtinModel(t, id)
	for name, tt := range map[string]struct{ old, new, want string }{
		"an unknown key":                  {"tier:", "teir: x\ntier:", "line 9: field teir not found"},
		"a duplicate key":                 {"tier: 720p", "tier: 720p\ntier: 720p", "already"},
		"a wrong type":                    {"sound: true", "sound: loud", "line 11"},
		"not YAML":                        {"id:", "\tid:", "yaml"},
		"two documents":                   {"tier:", "---\ntier:", "more than one"},
		"an id that is not the file name": {"id: " + id, "id: other", "file of another name"},
		"an invalid size":                 {"1280*720", "1280x720", "sizes[0]"},
		"a duplicate size":                {"720*1280", "1280*720", "sizes[1]"},
		"a default out of range":          {"default: 5", "default: 11", "seconds.default"},
		"min above max":                   {"{min: 2, max: 10", "{min: 20, max: 10", "seconds"},
		"an unknown shot":                 {"[single, multi]", "[single, double]", "shot_types[1]"},
		"an unknown mode":                 {"  r2v:", "  v2v:", "modes.v2v"},
		"an unknown format":               {"jpeg, png", "jpeg, tiff", `media.image.formats[1]: "tiff"`},
		"media missing":                   {"  video:\n    formats: [mp4, mov]\n    max_megabytes: 100\n    min_seconds: 1\n    max_seconds: 30\n", "", "media.video is missing"},
		"an unknown billing":              {"input+output", "unknown", "price.billing"},
		"too many references to bill":     {"max: 5, images: 5", "max: 6, images: 5", "references.max"},
		"an invalid price":                {`USD: "0.10"`, `USD: "1e9"`, "price.per_second.USD"},
		"a negative price":                {`USD: "0.10"`, `USD: "-0.10"`, "price.per_second.USD"},
		"no price":                        {`USD: "0.10", `, "", "no price in USD"},
		"guide audio without sound":       {"sound: true", "sound: false", "guide_audio"},
		"a family with different modes":   {"family: wan2.6-r2v", "family: wan2.6-t2v", "is a family of the modes"},
		"a family named like a model": {
			"family: wan2.6-r2v", "family: wan2.6-video-720p", "is already a model's id",
		},
		"two family members with one tier and sound": {"tier: 720p", "tier: 1080p", "same tier and sound"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(valid, tt.old, tt.new, 1)
			if text == valid {
				t.Fatalf("the file has no %q", tt.old)
			}

			_, err := Load(Options{}, folder(id+".yaml", text))
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), ".yaml") {
				t.Errorf("%v; want %q and the file", err, tt.want)
			}
		})
	}

	if _, err := Load(Options{}, folder("a.yml", valid)); err == nil {
		t.Error("a .yml file is ignored")
	}

	if _, err := Load(Options{}, folder("a.yaml", "")); err == nil {
		t.Error("an empty file is accepted")
	}
}

func TestLoadRejectsInvalidOptions(t *testing.T) {
	for _, o := range []Options{
		{Currency: "EUR"},
		{Markup: "0"},
		{Markup: "-1"},
		{Markup: "much"},
		{Markup: "1e9"},
		{Prices: map[string]string{"wan2.6": "1"}},
		{Prices: map[string]string{"wan2.6-r2v-720p": "expensive"}},
	} {
		if _, err := Load(o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}

func TestParsePrices(t *testing.T) {
	got, err := ParsePrices("prices.yaml", []byte("wan2.6-r2v-720p: 0.12\nwan2.6-r2v-1080p: \"0.20\"\n"))
	if diff := cmp.Diff(map[string]string{"wan2.6-r2v-720p": "0.12", "wan2.6-r2v-1080p": "0.20"}, got); diff != "" || err != nil {
		t.Error(diff, err)
	}

	if _, err := ParsePrices("prices.yaml", []byte("a: [1]")); err == nil || !strings.Contains(err.Error(), "prices.yaml") {
		t.Errorf("%v", err)
	}
}

func FuzzLoad(f *testing.F) {
	for _, id := range []string{"wan2.6-r2v-720p", "wan2.6-video-720p"} {
		f.Add(builtinModel(f, id))
	}

	f.Add("id: a\nmodes: {r2v: {}}\n")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := parseModel("wan2.6-r2v-720p.yaml", []byte(text))
		if err != nil {
			return
		}

		c, err := Load(Options{}, folder(m.ID+".yaml", text))
		if err != nil {
			return
		}

		raw := docExample()

		raw.Model.Value = m.ID
		if r, err := c.Validate(raw); err == nil {
			if _, err := c.Price(r); err != nil {
				t.Fatal(err)
			}
		}
	})
}
