package manual

import (
	"fmt"
	"strings"

	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/sample"
)

func modelPageName(m *catalog.Model) string { return "model-" + m.ID + ".md" }

// price returns the price of a model: "0.05 USD per second".
func (w writer) price(m *catalog.Model) string {
	return fmt.Sprintf(w.localize(textPerSecond), m.UnitPrice, w.Currency)
}

// modelPage generates the page of one model.
func (w writer) modelPage(m *catalog.Model) string {
	var out strings.Builder
	fmt.Fprintf(&out, "# %s\n\n`%s`\n\n```http\nPOST /v1/video/generations\n```\n\n%s\n\n", w.localize(m.Title), m.ID, w.localize(m.Description))
	fmt.Fprintf(&out, "## %s\n\n%s\n\n", w.localize(labelAuthentication), w.localize(textAPIKeyAuth))
	w.writeModes(&out, m)
	w.writeFields(&out, m)
	w.writeMedia(&out, m)
	fmt.Fprintf(&out, "## %s\n\n**%s**\n\n%s\n\n", w.localize(labelPrice), w.price(m), w.localize(billingText(m.Price.Billing)))
	fmt.Fprintf(&out, "## %s\n\n", w.localize(labelRequests))

	create := w.createOperation()
	for i, example := range w.exampleRequests(m, create) {
		curl := w.curl(create, bodyArgs("application/json", example.json))
		fmt.Fprintf(&out, "### %s %d%s%s\n\n```json\n%s\n```\n\n```bash\n%s\n```\n\n",
			w.localize(labelExample), i+1, w.localize(colon), example.summary, example.json, curl)
	}

	fmt.Fprintf(&out, "%s\n", fmt.Sprintf(w.localize(textResponse), w.link(create.pageName())))

	return out.String()
}

func (w writer) createOperation() operation {
	for _, o := range operations(w.spec) {
		if o.method == "POST" && o.path == "/v1/video/generations" {
			return o
		}
	}

	return operation{}
}

func (w writer) writeModes(out *strings.Builder, m *catalog.Model) {
	fmt.Fprintf(out, "## %s\n\n", w.localize(labelModes))
	t := table{w.localize(labelModes), w.localize(labelFamily), w.localize(labelMedia), w.localize(labelGuideAudio)}
	t.writeHeader(out)

	for _, mode := range m.ModeList() {
		spec := m.Modes[mode]

		references := w.localize(labelNone)
		if n := spec.References; n.Max > 0 {
			references = fmt.Sprintf(w.localize(textReferences), n.Min, n.Max, n.Images, n.Videos)
		}

		if mode == catalog.I2V {
			references = w.localize(textOneImage)
		}

		t.writeRow(out, w.localize(modeText(mode)), codeSpan(spec.Family), references, w.localize(guideAudioText(spec.GuideAudio)))
	}

	out.WriteString("\n")
}

// writeFields writes the body's fields with the limits of this model.
func (w writer) writeFields(out *strings.Builder, m *catalog.Model) {
	fmt.Fprintf(out, "## %s\n\n", w.localize(labelBody))
	t := table{w.localize(labelField), w.localize(labelRequired), w.localize(labelDefault), w.localize(labelConstraints)}
	t.writeHeader(out)

	maxChars := func(n int) string { return strings.ReplaceAll(w.localize(textMaxLength), "N", fmt.Sprint(n)) }

	t.writeRow(out, "`model`", w.yesNo(true), "", "`"+m.ID+"`")
	t.writeRow(out, "`prompt`", w.yesNo(true), "", maxChars(m.PromptMax))
	t.writeRow(out, "`size`", w.yesNo(false), codeSpan(m.Sizes[0]), "`"+strings.Join(m.Sizes, "`, `")+"`"+w.sizeNote(m))
	t.writeRow(out, "`duration`", w.yesNo(false), codeSpan(fmt.Sprint(m.Seconds.Default)), fmt.Sprintf(w.localize(textSeconds), m.Seconds.Min, m.Seconds.Max)+w.durationNote(m))

	if m.NegativePromptMax > 0 {
		t.writeRow(out, "`extra_body.negative_prompt`", w.yesNo(false), "", maxChars(m.NegativePromptMax))
	}

	t.writeRow(out, "`extra_body.shot_type`", w.yesNo(false), codeSpan(m.ShotTypes[0]), "`"+strings.Join(m.ShotTypes, "`, `")+"`")
	t.writeRow(out, "`extra_body.seed`", w.yesNo(false), "`-1`", "-1 – 2147483647")
	fmt.Fprintf(out, "\n%s %s\n\n", w.localize(soundText(m.Sound)), fmt.Sprintf(w.localize(textAllFields), w.link(w.createOperation().pageName())))
}

// sizeNote returns the note for a model whose picture determines the shape.
func (w writer) sizeNote(m *catalog.Model) string {
	if m.Modes[catalog.I2V].SizeFromImage {
		return w.localize(textSizeFromImage)
	}

	return ""
}

// durationNote returns the notes about shorter maximum durations.
func (w writer) durationNote(m *catalog.Model) string {
	var out string

	for _, mode := range m.ModeList() {
		spec := m.Modes[mode]
		if spec.MaxSecondsWithVideo > 0 {
			out += fmt.Sprintf(w.localize(textSecondsWithVideo), spec.MaxSecondsWithVideo)
		}

		if spec.MaxTotalSeconds > 0 {
			out += fmt.Sprintf(w.localize(textSecondsTogether), spec.MaxTotalSeconds)
		}
	}

	return out
}

func (w writer) writeMedia(out *strings.Builder, m *catalog.Model) {
	if len(m.Media) == 0 {
		return
	}

	fmt.Fprintf(out, "## %s\n\n", w.localize(labelMedia))
	t := table{w.localize(labelKind), w.localize(labelFormats), w.localize(labelConstraints)}
	t.writeHeader(out)

	for _, kind := range []catalog.Kind{catalog.Image, catalog.Video, catalog.Audio} {
		limits, ok := m.Media[kind]
		if !ok {
			continue
		}

		var list []string

		for _, bound := range []struct {
			applies bool
			text    catalog.LocalizedText
			args    []any
		}{
			{limits.MaxMegabytes > 0, textMegabytes, []any{limits.MaxMegabytes}},
			{limits.MaxPixels > 0, textPixels, []any{limits.MinPixels, limits.MaxPixels}},
			{limits.MaxSeconds > 0, textSeconds, []any{limits.MinSeconds, limits.MaxSeconds}},
			{limits.TotalSeconds > 0, textTotalSeconds, []any{limits.TotalSeconds}},
			{limits.MinFPS > 0, textMinFPS, []any{limits.MinFPS}},
			{limits.NoAlpha, textNoAlpha, nil},
		} {
			if bound.applies {
				list = append(list, fmt.Sprintf(w.localize(bound.text), bound.args...))
			}
		}

		t.writeRow(out, w.localize(kindText(kind)), strings.Join(limits.Formats, ", "), strings.Join(list, w.localize(listSeparator)))
	}

	out.WriteString("\n")
}

// example is a valid request body for the model.
type example struct{ summary, json string }

// exampleRequests returns the specification's own examples of the model, then one for each
// mode, with the samples that ship with the program as references.
func (w writer) exampleRequests(m *catalog.Model, create operation) []example {
	var list []example

	for _, e := range create.spec.get("requestBody", "content", "application/json", "examples").fields() {
		if e.get("value", "model").text() == m.ID {
			list = append(list, example{w.translate(e.get("summary").text()), e.get("value").json()})
		}
	}

	for _, mode := range m.ModeList() {
		reference := ""

		switch mode {
		case catalog.I2V:
			reference = fmt.Sprintf("  \"image\": %q,\n", sampleImageID())
		case catalog.R2V:
			reference = fmt.Sprintf("  \"images\": [%q],\n", sampleImageID())
		}

		body := fmt.Sprintf("{\n  \"model\": %q,\n  \"prompt\": %s,\n%s  \"size\": %q,\n  \"duration\": %d\n}",
			m.ID, quote(w.localize(samplePrompt(mode))), reference, m.Sizes[0], m.Seconds.Default)
		list = append(list, example{w.localize(modeText(mode)), body})
	}

	return list
}

// sampleImageID returns the id of a sample picture, which every account can use.
func sampleImageID() string {
	for _, s := range sample.List() {
		if s.Kind == string(catalog.Image) {
			return s.ID
		}
	}

	return "https://example.com/ref-1.png"
}
