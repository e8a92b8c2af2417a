package manual

import (
	"fmt"
	"strings"

	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/sample"
)

func modelPage(m *catalog.Model) string { return "model-" + m.ID + ".md" }

// price is what a second costs here: "0.05 USD per second".
func (w writer) price(m *catalog.Model) string {
	return fmt.Sprintf(w.in(sayPerSecond), m.UnitPrice, w.Currency)
}

// model writes the page of one model.
func (w writer) model(m *catalog.Model) string {
	var out strings.Builder
	fmt.Fprintf(&out, "# %s\n\n`%s`\n\n```http\nPOST /v1/video/generations\n```\n\n%s\n\n", w.in(m.Title), m.ID, w.in(m.Description))
	fmt.Fprintf(&out, "## %s\n\n%s\n\n", w.in(wordAuthentication), w.in(sayKey))
	w.modes(&out, m)
	w.fields(&out, m)
	w.media(&out, m)
	fmt.Fprintf(&out, "## %s\n\n**%s**\n\n%s\n\n", w.in(wordPrice), w.price(m), w.in(sayBilling(m.Price.Billing)))
	fmt.Fprintf(&out, "## %s\n\n", w.in(wordRequests))

	create := w.creates()
	for i, example := range w.bodies(m, create) {
		fmt.Fprintf(&out, "### %s %d%s%s\n\n```json\n%s\n```\n\n```bash\n%s\n```\n\n", w.in(wordExample), i+1, w.in(sayColon), example.summary, example.json, w.curl(create, body("application/json", example.json)))
	}

	fmt.Fprintf(&out, "%s\n", fmt.Sprintf(w.in(sayAnswer), w.link(create.page())))

	return out.String()
}

func (w writer) creates() operation {
	for _, o := range operations(w.spec) {
		if o.method == "POST" && o.path == "/v1/video/generations" {
			return o
		}
	}

	return operation{}
}

func (w writer) modes(out *strings.Builder, m *catalog.Model) {
	fmt.Fprintf(out, "## %s\n\n", w.in(wordModes))
	t := table{w.in(wordModes), w.in(wordFamily), w.in(wordMedia), w.in(wordAudio)}
	t.head(out)

	for _, mode := range m.ModeList() {
		sheet := m.Modes[mode]

		references := w.in(wordNone)
		if n := sheet.References; n.Max > 0 {
			references = fmt.Sprintf(w.in(sayReferences), n.Min, n.Max, n.Images, n.Videos)
		}

		if mode == catalog.I2V {
			references = w.in(sayOnePicture)
		}

		t.row(out, w.in(sayMode(mode)), code(sheet.Family), references, w.in(sayGuide(sheet.GuideAudio)))
	}

	out.WriteString("\n")
}

// fields is the body's fields with the bounds that this model sets.
func (w writer) fields(out *strings.Builder, m *catalog.Model) {
	fmt.Fprintf(out, "## %s\n\n", w.in(wordBody))
	t := table{w.in(wordField), w.in(wordRequired), w.in(wordDefault), w.in(wordBounds)}
	t.head(out)

	most := func(n int) string { return strings.ReplaceAll(w.in(sayMaxLength), "N", fmt.Sprint(n)) }

	t.row(out, "`model`", w.yes(true), "", "`"+m.ID+"`")
	t.row(out, "`prompt`", w.yes(true), "", most(m.PromptMax))
	t.row(out, "`size`", w.yes(false), code(m.Sizes[0]), "`"+strings.Join(m.Sizes, "`, `")+"`"+w.shape(m))
	t.row(out, "`duration`", w.yes(false), code(fmt.Sprint(m.Seconds.Default)), fmt.Sprintf(w.in(saySeconds), m.Seconds.Min, m.Seconds.Max)+w.shorter(m))

	if m.NegativePromptMax > 0 {
		t.row(out, "`extra_body.negative_prompt`", w.yes(false), "", most(m.NegativePromptMax))
	}

	t.row(out, "`extra_body.shot_type`", w.yes(false), code(m.ShotTypes[0]), "`"+strings.Join(m.ShotTypes, "`, `")+"`")
	t.row(out, "`extra_body.seed`", w.yes(false), "`-1`", "-1 – 2147483647")
	fmt.Fprintf(out, "\n%s %s\n\n", w.in(saySound(m.Sound)), fmt.Sprintf(w.in(sayAllFields), w.link(w.creates().page())))
}

// shape says when the picture decides the size.
func (w writer) shape(m *catalog.Model) string {
	if m.Modes[catalog.I2V].SizeFromPicture {
		return w.in(sayShape)
	}

	return ""
}

// shorter says when the video must be shorter.
func (w writer) shorter(m *catalog.Model) string {
	var out string

	for _, mode := range m.ModeList() {
		sheet := m.Modes[mode]
		if sheet.VideoSeconds > 0 {
			out += fmt.Sprintf(w.in(sayWithVideo), sheet.VideoSeconds)
		}

		if sheet.TotalSeconds > 0 {
			out += fmt.Sprintf(w.in(sayTogether), sheet.TotalSeconds)
		}
	}

	return out
}

func (w writer) media(out *strings.Builder, m *catalog.Model) {
	if len(m.Media) == 0 {
		return
	}

	fmt.Fprintf(out, "## %s\n\n", w.in(wordMedia))
	t := table{w.in(wordKind), w.in(wordFormats), w.in(wordBounds)}
	t.head(out)

	for _, kind := range []catalog.Kind{catalog.Image, catalog.Video, catalog.Audio} {
		b, ok := m.Media[kind]
		if !ok {
			continue
		}

		var list []string

		for _, bound := range []struct {
			is   bool
			says catalog.Text
			n    []any
		}{
			{b.MaxMegabytes > 0, sayMegabytes, []any{b.MaxMegabytes}},
			{b.MaxPixels > 0, sayPixels, []any{b.MinPixels, b.MaxPixels}},
			{b.MaxSeconds > 0, saySeconds, []any{b.MinSeconds, b.MaxSeconds}},
			{b.TotalSeconds > 0, sayTotal, []any{b.TotalSeconds}},
			{b.MinFPS > 0, sayFrames, []any{b.MinFPS}},
			{b.NoAlpha, sayNoAlpha, nil},
		} {
			if bound.is {
				list = append(list, fmt.Sprintf(w.in(bound.says), bound.n...))
			}
		}

		t.row(out, w.in(sayKind(kind)), strings.Join(b.Formats, ", "), strings.Join(list, w.in(sayAnd)))
	}

	out.WriteString("\n")
}

// example is a body that the model takes.
type example struct{ summary, json string }

// bodies are the spec's own examples of the model, then one for each mode, with
// the references that ship with the server.
func (w writer) bodies(m *catalog.Model, create operation) []example {
	var list []example

	for _, e := range create.spec.get("requestBody", "content", "application/json", "examples").fields() {
		if e.get("value", "model").text() == m.ID {
			list = append(list, example{w.say(e.get("summary").text()), e.get("value").json()})
		}
	}

	for _, mode := range m.ModeList() {
		given := ""

		switch mode {
		case catalog.I2V:
			given = fmt.Sprintf("  \"image\": %q,\n", picture())
		case catalog.R2V:
			given = fmt.Sprintf("  \"images\": [%q],\n", picture())
		}

		list = append(list, example{w.in(sayMode(mode)), fmt.Sprintf("{\n  \"model\": %q,\n  \"prompt\": %s,\n%s  \"size\": %q,\n  \"duration\": %d\n}",
			m.ID, quote(w.in(samplePrompt(mode))), given, m.Sizes[0], m.Seconds.Default)})
	}

	return list
}

// picture is the id of a sample that every account can name.
func picture() string {
	for _, s := range sample.List() {
		if s.Kind == string(catalog.Image) {
			return s.ID
		}
	}

	return "https://example.com/ref-1.png"
}
