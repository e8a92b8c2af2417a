package api

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/fault"
)

func uniallCatalog(t testing.TB) *catalog.Catalog {
	t.Helper()

	c, err := catalog.Load(catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}

	return c
}

// validateUniAll decodes and validates a body as the handler does.
func validateUniAll(c *catalog.Catalog, body string) (catalog.Request, error) {
	raw, err := decodeBody([]byte(body))
	if err != nil {
		return catalog.Request{}, err
	}

	raw.Now = 1_800_000_000

	return c.Validate(raw)
}

func decodeBody(body []byte) (catalog.RawRequest, error) {
	root, err := parseObject(body)
	if err != nil {
		return catalog.RawRequest{}, err
	}

	return decodeUniAll(root), nil
}

func canonicalBody(body []byte) ([]byte, error) {
	v, err := parseJSON(body)
	if err != nil {
		return nil, err
	}

	return v.canonical(nil), nil
}

// faultList returns "param code" of every fault, in order.
func faultList(err error) []string {
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

func TestUniAllDecodesPageExamples(t *testing.T) {
	c := uniallCatalog(t)
	no := false
	yes := true
	want := map[string]catalog.Request{
		"example-1.json": {
			Model: "wan2.6-r2v-flash-720p-audio", Resolved: "wan2.6-r2v-flash-720p-audio", Mode: catalog.R2V,
			Prompt:         "保持相同主体身份与电影感风格,生成一段更快节奏的新镜头。",
			NegativePrompt: "watermark, blur, flicker",
			References:     []catalog.Reference{{Kind: catalog.Video, Input: "https://example.com/reference-shot-1.mp4", Param: "videos[0]"}},
			Audio:          &catalog.Reference{Kind: catalog.Audio, Input: "https://example.com/guide-audio.mp3", Param: "extra_body.audio"},
			Size:           "1280*720", RequestedSize: "1280*720", Width: 1280, Height: 720, Seconds: 5, Sound: true,
			ShotType: "single", PromptExpansion: &no, Seed: -1,
			Warnings: []catalog.Warning{{
				Code: string(fault.CodeUndocumentedBySupplier), Param: "extra_body.audio",
				Message: "The supplier does not document guide audio for wan2.6-r2v-flash-720p-audio; it is sent anyway and may have no effect.",
			}},
		},
		"example-2.json": {
			Model: "wan2.6-r2v-flash-1080p-silent", Resolved: "wan2.6-r2v-flash-1080p-silent", Mode: catalog.R2V,
			Prompt:         "保持相同产品身份与风格,生成一段干净的营销视频。",
			NegativePrompt: "watermark, blur",
			References: []catalog.Reference{
				{Kind: catalog.Image, Input: "https://example.com/ref-1.png", Param: "images[0]"},
				{Kind: catalog.Image, Input: "https://example.com/ref-2.png", Param: "images[1]"},
			},
			Size: "1920*1080", RequestedSize: "1920*1080", Width: 1920, Height: 1080, Seconds: 10, Sound: false,
			ShotType: "multi", PromptExpansion: &yes, Seed: 42,
		},
	}
	hold := map[string]string{"example-1.json": "0.50", "example-2.json": "0.375"}

	for name, request := range want {
		body, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}

		r, err := validateUniAll(c, string(body))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}

		if diff := cmp.Diff(request, r); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}

		if q, err := c.Price(r); err != nil || q.Hold.String() != hold[name] {
			t.Errorf("%s: hold %s, %v; want %s", name, q.Hold, err, hold[name])
		}
	}
}

// r2vBody returns a complete R2V body with the given additional fields.
func r2vBody(fields string) string {
	return `{"model":"wan2.6-r2v-720p","prompt":"p","images":["https://example.com/a.png"]` + fields + `}`
}

func TestUniAllFaults(t *testing.T) {
	c := uniallCatalog(t)
	for name, tt := range map[string]struct {
		body string
		want []string
	}{
		"nothing":                {`{}`, []string{"model missing_field", "prompt missing_field"}},
		"no references":          {`{"model":"wan2.6-r2v-720p","prompt":"p"}`, []string{"references missing_field"}},
		"null is absent":         {`{"model":"wan2.6-r2v-720p","prompt":null,"images":["file_a"],"seed":null}`, []string{"prompt missing_field"}},
		"unknown":                {r2vBody(`,"sizes":"1280*720"`), []string{"sizes unknown_field"}},
		"unknown in extra_body":  {r2vBody(`,"extra_body":{"seeds":1}`), []string{"extra_body.seeds unknown_field"}},
		"top field in extra":     {r2vBody(`,"extra_body":{"size":"1280*720"}`), []string{"extra_body.size unknown_field"}},
		"extra field at top":     {r2vBody(`,"seed":7,"shot_type":"multi"`), nil},
		"twice, equal":           {r2vBody(`,"seed":7,"extra_body":{"seed":7.0}`), nil},
		"twice, different":       {r2vBody(`,"seed":7,"extra_body":{"seed":8}`), []string{"extra_body.seed conflicting_fields"}},
		"twice at one level":     {r2vBody(`,"size":"1280*720","size":"720*1280"`), []string{"size conflicting_fields"}},
		"extra_body twice":       {r2vBody(`,"extra_body":{"seed":1},"extra_body":{"seed":2}`), []string{"extra_body conflicting_fields"}},
		"an empty list again":    {r2vBody(`,"images":[]`), []string{"images conflicting_fields"}},
		"a different object":     {r2vBody(`,"metadata":{},"extra_body":{"metadata":{"a":"b"}}`), []string{"extra_body.metadata conflicting_fields"}},
		"equal in another form":  {r2vBody(`,"metadata":{"a":"b","c":"d"},"extra_body":{"metadata":{"c":"d","\u0061":"b"}}`), nil},
		"wrong types":            {r2vBody(`,"size":5,"duration":true,"watermark":"yes","extra_body":[]`), []string{"size wrong_type", "duration wrong_type", "watermark wrong_type", "extra_body wrong_type"}},
		"wrong type, not absent": {`{"model":5,"prompt":["p"],"images":"https://example.com/a.png"}`, []string{"model wrong_type", "prompt wrong_type", "images wrong_type"}},
		"element of wrong type":  {`{"model":"wan2.6-r2v-720p","prompt":"p","images":["https://example.com/a.png",3]}`, []string{"images[1] wrong_type"}},
		"audio of wrong type":    {r2vBody(`,"audio":5`), []string{"audio wrong_type"}},
		"duration as string":     {r2vBody(`,"duration":"5"`), nil},
		"duration 5.0":           {r2vBody(`,"duration":5.0`), nil},
		"duration 5.5":           {r2vBody(`,"duration":5.5`), []string{"duration invalid_value"}},
		"seed as string":         {r2vBody(`,"seed":"7"`), []string{"seed wrong_type"}},
		"a huge number":          {r2vBody(`,"seed":1e999999999`), []string{"seed invalid_value"}},
		"a big integer":          {r2vBody(`,"seed":123456789012345678901234567890`), []string{"seed invalid_value"}},
		"body order, missing last": {
			`{"nonsense":1,"duration":99,"model":"wan2.6-r2v-720p","size":"1920*1080","extra_body":{"seed":-2},"videos":["ftp://example.com/a"]}`,
			[]string{"nonsense unknown_field", "duration invalid_value", "size invalid_value", "extra_body.seed invalid_value", "videos[0] invalid_value", "prompt missing_field"},
		},
		"references":             {`{"model":"wan2.6-r2v-720p","prompt":"p","references":["file_a",{"type":"video","url":"file_b"}]}`, nil},
		"references and images":  {r2vBody(`,"references":["file_a"]`), []string{"references conflicting_fields"}},
		"reference without url":  {`{"model":"wan2.6-r2v-720p","prompt":"p","references":[{"type":"video"}]}`, []string{"references[0].url missing_field"}},
		"a misspelled reference": {`{"model":"wan2.6-r2v-720p","prompt":"p","references":[{"uri":"file_a","url":"file_a"}]}`, []string{"references[0].uri unknown_field"}},
		"metadata":               {r2vBody(`,"metadata":{"shot":"7"}`), nil},
		"metadata of numbers":    {r2vBody(`,"metadata":{"shot":7}`), []string{"metadata.shot wrong_type"}},
		"metadata twice":         {r2vBody(`,"metadata":{"shot":"7","shot":"8"}`), []string{"metadata.shot conflicting_fields"}},
		"metadata reserved":      {r2vBody(`,"metadata":{"total_time":"7"}`), []string{"metadata.total_time invalid_value"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := validateUniAll(c, tt.body)
			if diff := cmp.Diff(tt.want, faultList(err)); diff != "" {
				t.Errorf("%s: %s", diff, err)
			}
		})
	}
}

func TestUniAllSuggests(t *testing.T) {
	for field, near := range map[string]string{
		"vidoes": "videos", "Size": "size", "seconds": "duration", "prompt_extend": "enable_prompt_expansion",
		"negativ_prompt": "negative_prompt", "image_url": "image", "webhook": "webhook_url", "extrabody": "extra_body",
	} {
		_, err := validateUniAll(uniallCatalog(t), r2vBody(`,"`+field+`":1`))
		if err == nil || !strings.Contains(err.Error(), "did you mean `"+near+"`") {
			t.Errorf("%s: %v; want %s suggested", field, err, near)
		}
	}
}

func TestUniAllMalformedBodies(t *testing.T) {
	for body, want := range map[string]string{
		"":                        "empty",
		" \n":                     "empty",
		"{":                       "line 1, column 2: it ends too early",
		"{\n  \"model\": \"a\"\n": "line 3, column 1: it ends too early",
		"{\n\"model\" \"a\"}":     "line 2, column 9: a colon",
		"{\n \"模型\" 1}":           "line 2, column 7: a colon",
		`{"a":1 "b":2}`:           "column 8: a comma or }",
		`{"a":1,}`:                "column 8: a field name",
		`{'a':1}`:                 "column 2: a field name",
		`{"a":[1 2]}`:             "column 9: a comma or ]",
		`{"a":[1,]}`:              "column 9: a value",
		`{"a":1} x`:               "column 9: nothing may follow",
		`{"a":tru}`:               "only true, false and null",
		`{"a":01}`:                "a comma or }",
		`{"a":-}`:                 "number",
		"{\"a\":\"b\nc\"}":        "line break",
		`{"a":"\q"}`:              "escape",
		"{\"a\":\"\xff\"}":        "column 7: these bytes are not UTF-8",
		"{\"a\":\"\x00\"}":        "control character",
		strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000):              "nested",
		strings.Repeat("[", 40) + strings.Repeat("]", 40):                        "nested deeper than 16",
		`{"images":[` + strings.Repeat("1,", jsonMaxValues) + `1]}`:              "more than 10000 values",
		"grant_type=client_credentials&model=wan2.6-r2v-flash-720p-audio&size=1": "column 1: a value",
	} {
		_, err := decodeBody([]byte(body))
		if !fault.Is(err, fault.CodeMalformedBody) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v; want %q", body, err, want)
		}
	}

	for _, body := range []string{`[]`, `"a"`, `5`, `null`, `true`} {
		if _, err := decodeBody([]byte(body)); !fault.Is(err, fault.CodeWrongType) {
			t.Errorf("%s: %v; want a wrong type", body, err)
		}
	}
}

func TestUniAllAcceptsByteOrderMark(t *testing.T) {
	if _, err := validateUniAll(uniallCatalog(t), "\uFEFF"+r2vBody("")); err != nil {
		t.Fatal(err)
	}
}

func TestUniAllRejectsNUL(t *testing.T) {
	_, err := validateUniAll(uniallCatalog(t), strings.Replace(r2vBody(""), `"p"`, `"\u0000"`, 1))
	if diff := cmp.Diff([]string{"prompt invalid_value"}, faultList(err)); diff != "" {
		t.Fatal(diff)
	}
}

// TestUniAllDuplicatesAreLinear checks that the time to decode a body of repeated fields
// grows with its length, not with the square of its length.
func TestUniAllDuplicatesAreLinear(t *testing.T) {
	big := `"` + strings.Repeat("a", 4<<20) + `"`

	raw, err := decodeBody([]byte(`{"metadata":{"a":` + big + `}` + strings.Repeat(`,"metadata":{"a":"b"}`, 3000) + `}`))
	if err != nil || len(raw.Faults) != catalog.MaxFaults {
		t.Fatalf("%d faults, %v", len(raw.Faults), err)
	}

	nested := big
	for range 12 {
		nested = `{"a":` + nested + `,"a":1}`
	}

	if _, err := canonicalBody([]byte(nested)); err != nil {
		t.Fatal(err)
	}
}

func TestCanonical(t *testing.T) {
	same := [][]string{
		{`{"a":1,"b":[1,2]}`, ` { "b" : [ 1 , 2 ] , "a" : 1 } `, `{"a":1.0,"b":[10e-1,2e0],"a":1}`},
		{`"é<"`, `"\u00e9\u003c"`},
		{`0`, `-0`, `0.00`, `0e7`},
		{`1200`, `1.2e3`, `12E+2`, `1200.0`},
		{`9007199254740993`, `9007199254740993.0`},
	}
	for i, group := range same {
		first, err := canonicalBody([]byte(group[0]))
		if err != nil {
			t.Fatal(err)
		}

		for _, body := range group[1:] {
			got, err := canonicalBody([]byte(body))
			if err != nil || !bytes.Equal(got, first) {
				t.Errorf("%s = %s, %v; want %s", body, got, err, first)
			}
		}

		next, err := canonicalBody([]byte(same[(i+1)%len(same)][0]))
		if err != nil || bytes.Equal(next, first) {
			t.Errorf("%s and %s have the same canonical form, %v", first, next, err)
		}
	}

	a, _ := canonicalBody([]byte(`9007199254740992`))
	if b, _ := canonicalBody([]byte(`9007199254740993`)); bytes.Equal(a, b) {
		t.Error("big integers lose digits")
	}
}

// TestCanonicalNumberKeepsTheValue compares the canonical form of numbers with exact
// decimals of small exponents.
func TestCanonicalNumberKeepsTheValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64().Draw(t, "n")
		zeros := rapid.IntRange(0, 20).Draw(t, "zeros")

		form := fmt.Sprintf("%d%se-%d", n, strings.Repeat("0", zeros), zeros)
		if got, want := canonicalNumber(form), canonicalNumber(fmt.Sprint(n)); got != want {
			t.Fatalf("%s = %s, want %s", form, got, want)
		}

		if m := n + 1; m > n && canonicalNumber(fmt.Sprint(m)) == canonicalNumber(fmt.Sprint(n)) {
			t.Fatalf("%d and %d have the same canonical form", n, m)
		}
	})
}

func addSeedBodies(f *testing.F) {
	f.Helper()

	for _, name := range []string{"example-1.json", "example-2.json"} {
		body, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}

		f.Add(body)
	}

	for _, body := range []string{
		r2vBody(`,"extra_body":{"seed":1,"seed":2,"audio":true},"seed":3`),
		`{"model":"wan2.6-i2v-flash","image":"data:image/png;base64,AA","prompt":"p","audio":false}`,
		`{"references":[{"type":"video","url":"file_a"},null,"b"],"metadata":{"a":"b"}}`,
	} {
		f.Add([]byte(body))
	}
}

func FuzzDecodeUniAll(f *testing.F) {
	addSeedBodies(f)
	c := uniallCatalog(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := validateUniAll(c, string(body))
		if err != nil {
			var known *fault.Fault
			if !errors.As(err, &known) || known.Kind != fault.Invalid || known.Detail == "" {
				t.Fatalf("%q: %v", body, err)
			}

			return
		}

		if _, err := c.Price(r); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzCanonical(f *testing.F) {
	addSeedBodies(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		once, err := canonicalBody(body)
		if err != nil {
			return
		}

		twice, err := canonicalBody(once)
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%q -> %q -> %q, %v", body, once, twice, err)
		}
	})
}
