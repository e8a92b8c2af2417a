package catalog

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func load(t testing.TB) *Catalog {
	t.Helper()

	c, err := Load(Options{})
	if err != nil {
		t.Fatal(err)
	}

	return c
}

// fieldList returns a list of strings as a dialect decodes it.
func fieldList(param string, pos int, list ...string) Field[[]Field[string]] {
	var all []Field[string]
	for i, s := range list {
		all = append(all, NewField(s, param+"["+string(rune('0'+i))+"]", pos+i+1))
	}

	return NewField(all, param, pos)
}

// docExample is the first example of the API's documentation.
func docExample() RawRequest {
	return RawRequest{
		Model:           NewField("wan2.6-r2v-flash-720p-audio", "model", 1),
		Prompt:          NewField("保持相同主体身份与电影感风格,生成一段更快节奏的新镜头。", "prompt", 2),
		Videos:          fieldList("videos", 3, "https://example.com/reference-shot-1.mp4"),
		Size:            NewField("1280*720", "size", 10),
		Duration:        NewField(Number("5"), "duration", 11),
		NegativePrompt:  NewField("watermark, blur, flicker", "extra_body.negative_prompt", 12),
		Audio:           NewField("https://example.com/guide-audio.mp3", "extra_body.audio", 13),
		ShotType:        NewField("single", "extra_body.shot_type", 14),
		PromptExpansion: NewField(false, "extra_body.enable_prompt_expansion", 15),
		Seed:            NewField(Number("-1"), "extra_body.seed", 16),
	}
}

func TestDocumentedExample(t *testing.T) {
	c := load(t)

	r, q, err := c.Estimate(docExample())
	if err != nil {
		t.Fatal(err)
	}

	no := false

	want := Request{
		Model: "wan2.6-r2v-flash-720p-audio", Resolved: "wan2.6-r2v-flash-720p-audio", Mode: R2V,
		Prompt:         "保持相同主体身份与电影感风格,生成一段更快节奏的新镜头。",
		NegativePrompt: "watermark, blur, flicker",
		References:     []Reference{{Kind: Video, Input: "https://example.com/reference-shot-1.mp4", Param: "videos[0]"}},
		Audio:          &Reference{Kind: Audio, Input: "https://example.com/guide-audio.mp3", Param: "extra_body.audio"},
		Size:           "1280*720", RequestedSize: "1280*720", Width: 1280, Height: 720, Seconds: 5, Sound: true,
		ShotType: "single", PromptExpansion: &no, Seed: -1,
		Warnings: []Warning{{
			Code: "undocumented_by_supplier", Param: "extra_body.audio",
			Message: "The supplier does not document guide audio for wan2.6-r2v-flash-720p-audio; it is sent anyway and may have no effect.",
		}},
	}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Error(diff)
	}

	wantQuote := Quote{UnitPrice: 50_000, Billing: BillInputOutput, MaxMillis: 10_000, Hold: 500_000}
	if diff := cmp.Diff(wantQuote, q); diff != "" {
		t.Error(diff)
	}
}
