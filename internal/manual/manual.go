// Package manual generates the documentation pages for people and their assistants: a
// Markdown page for every endpoint and every model, and one for all webhooks, each in
// English and in Chinese, and llms.txt, which lists them. The pages are generated from
// openapi.yaml, from its Chinese translations and from the loaded catalog, so they have the
// prices of this installation. api generates them when a page is first requested, and
// serves them; the package is not on a task's path. It knows no HTTP, reads no file and
// never documents what the specification does not contain.
package manual

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/fault"
)

// BaseURLPlaceholder is replaced by the server's own address, without a trailing slash, when
// a page is served.
const BaseURLPlaceholder = "{BASE_URL}"

// Options are the sources of the pages.
type Options struct {
	Spec         []byte               // openapi.yaml
	Translations []byte               // YAML list of {en, zh}: every text of Spec, and the meaning of every error code in it
	Models       []*catalog.Model     // in the order of the lists
	Currency     string               // currency of the models' prices
	Status       func(fault.Code) int // the HTTP status of a code

	// FlatError returns the code and HTTP status that an operation with DashScope's error
	// format (FlatProblem) uses for a code.
	FlatError func(fault.Code) (string, int)
}

// Manual has all pages. It is not modified after New and is safe for concurrent use.
type Manual struct {
	pages        map[string]map[string]string // language -> name -> text
	index        string
	untranslated []string
}

// Languages returns the languages in which every page exists.
func Languages() []string { return []string{english, chinese} }

const (
	english = "en"
	chinese = "zh"
)

// New generates every page. An error says what is wrong with the specification or its
// translations.
func New(o Options) (*Manual, error) {
	spec, err := readSpec(o.Spec)
	if err != nil {
		return nil, err
	}

	translations, err := readTranslations(o.Translations)
	if err != nil {
		return nil, err
	}

	m := &Manual{pages: map[string]map[string]string{}, untranslated: compareTranslations(spec, translations)}

	var index strings.Builder

	for _, language := range Languages() {
		w := writer{Options: o, spec: spec, language: language, translations: translations}
		m.pages[language] = w.pages()
		w.writeIndex(&index)
	}

	m.index = index.String()

	return m, nil
}

// Page returns a page, with BaseURLPlaceholder in it, and false if there is none with this
// name.
func (m *Manual) Page(language, name string) (string, bool) {
	text, ok := m.pages[language][name]
	return text, ok
}

// Names returns the names of a language's pages, sorted.
func (m *Manual) Names(language string) []string { return slices.Sorted(maps.Keys(m.pages[language])) }

// Index returns llms.txt, with BaseURLPlaceholder in it.
func (m *Manual) Index() string { return m.index }

// Untranslated returns the texts without a Chinese translation, which the Chinese pages have
// in English, and, each after "unused: ", the translated texts that no page uses.
func (m *Manual) Untranslated() []string { return m.untranslated }

// writer generates one language's pages.
type writer struct {
	Options
	spec         node
	language     string
	translations map[string]string // English -> Chinese
}

// localize returns a text in the writer's language.
func (w writer) localize(t catalog.LocalizedText) string {
	if w.language == chinese {
		return t.ZH
	}

	return t.EN
}

// translate returns a text of the specification in the writer's language, on one line.
func (w writer) translate(text string) string {
	text = oneLine(text)
	if zh := w.translations[text]; zh != "" && w.language == chinese {
		return zh
	}

	return text
}

func (w writer) pages() map[string]string {
	pages := map[string]string{"index.md": w.overview()}
	for _, o := range operations(w.spec) {
		pages[o.pageName()] = w.endpointPage(o)
	}

	if len(events(w.spec)) > 0 {
		pages[webhookPageName] = w.webhooksPage()
	}

	for _, m := range w.Models {
		pages[modelPageName(m)] = w.modelPage(m)
	}

	return pages
}

func (w writer) link(name string) string {
	return BaseURLPlaceholder + "/docs/" + w.language + "/" + name
}

// writeIndex writes the language's part of llms.txt.
func (w writer) writeIndex(out *strings.Builder) {
	if w.language == english {
		fmt.Fprintf(out, "# %s\n\n> %s\n\n%s\n\n",
			w.spec.get("info", "title").text(), w.translate(w.spec.get("info", "summary").text()), w.translate(w.spec.get("info", "description").text()))
		fmt.Fprintf(out, "## API\n\n- [openapi.json](%s/openapi.json): %s\n- [docs](%s/docs): %s\n",
			BaseURLPlaceholder, "OpenAPI 3.1, with every limit and example", BaseURLPlaceholder, "the same as a web page")
	}

	fmt.Fprintf(out, "\n## %s\n\n- [%s](%s)\n", w.localize(labelEndpoints), w.localize(labelOverview), w.link("index.md"))

	for _, o := range operations(w.spec) {
		fmt.Fprintf(out, "- [%s %s](%s): %s\n", o.method, o.path, w.link(o.pageName()), w.translate(o.spec.get("summary").text()))
	}

	if len(events(w.spec)) > 0 {
		fmt.Fprintf(out, "- [%s](%s)\n", w.localize(labelWebhooks), w.link(webhookPageName))
	}

	fmt.Fprintf(out, "\n## %s\n\n", w.localize(labelModels))

	for _, m := range w.Models {
		fmt.Fprintf(out, "- [%s](%s): %s; %s\n", m.ID, w.link(modelPageName(m)), w.localize(m.Title), w.price(m))
	}
}

// overview generates the overview: authentication, the lists of endpoints and models, all
// error codes.
func (w writer) overview() string {
	var out strings.Builder
	fmt.Fprintf(&out, "# %s\n\n%s\n\n%s\n\n", w.spec.get("info", "title").text(), w.translate(w.spec.get("info", "summary").text()), w.translate(w.spec.get("info", "description").text()))
	fmt.Fprintf(&out, "## %s\n\n%s\n\n", w.localize(labelAuthentication), w.localize(textAPIKeyAuth))
	fmt.Fprintf(&out, "## %s\n\n", w.localize(labelEndpoints))
	t := table{w.localize(labelEndpoint), w.localize(labelDescription)}
	t.writeHeader(&out)

	for _, o := range operations(w.spec) {
		t.writeRow(&out, fmt.Sprintf("[`%s %s`](%s)", o.method, o.path, w.link(o.pageName())), w.translate(o.spec.get("summary").text()))
	}

	if len(events(w.spec)) > 0 {
		t.writeRow(&out, fmt.Sprintf("[%s](%s)", w.localize(labelWebhooks), w.link(webhookPageName)), "")
	}

	fmt.Fprintf(&out, "\n## %s\n\n", w.localize(labelModels))
	t = table{w.localize(labelModel), w.localize(labelDescription), w.localize(labelPrice)}
	t.writeHeader(&out)

	for _, m := range w.Models {
		t.writeRow(&out, fmt.Sprintf("[`%s`](%s)", m.ID, w.link(modelPageName(m))), w.localize(m.Description), w.price(m))
	}

	fmt.Fprintf(&out, "\n## %s\n\n%s\n\n", w.localize(labelErrors), w.localize(textErrors))
	w.writeErrorCodes(&out, allErrors(w.spec), false)

	return out.String()
}

// writeErrorCodes writes a table of error codes. With flat it uses FlatError's codes and
// statuses.
func (w writer) writeErrorCodes(out *strings.Builder, codes []fault.Code, flat bool) {
	t := table{"HTTP", "code", w.localize(labelCauseAndFix)}
	t.writeHeader(out)

	for _, info := range fault.Codes() {
		if !slices.Contains(codes, info.Code) {
			continue
		}

		name := string(info.Code)

		status := w.Status(info.Code)
		if flat {
			name, status = w.FlatError(info.Code)
		}

		t.writeRow(out, fmt.Sprint(status), "`"+name+"`", w.translate(info.Meaning))
	}
}

// table has the columns of a Markdown table.
type table []string

func (t table) writeHeader(out *strings.Builder) {
	t.writeRow(out, t...)
	out.WriteString(strings.Repeat("| --- ", len(t)) + "|\n")
}

func (t table) writeRow(out *strings.Builder, cells ...string) {
	for _, cell := range cells {
		out.WriteString("| " + strings.ReplaceAll(oneLine(cell), "|", `\|`) + " ")
	}

	out.WriteString("|\n")
}

// oneLine puts a text on one line.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
