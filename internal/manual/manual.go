// Package manual writes the pages that people and their assistants read: a
// Markdown page for every endpoint and every model, one for all webhooks, in English and in Chinese,
// and llms.txt, which lists them. All of it is made from openapi.yaml, from the
// Chinese beside it and from the catalog as it was loaded, so prices are this
// installation's. api calls it once at its start and serves what it wrote; no
// task passes here. It knows no HTTP, reads no file and never says what the
// contract does not say.
package manual

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/fault"
)

// Address stands in a page where the server's own address belongs: the one who
// serves the page knows it, without a slash at its end.
const Address = "{BASE_URL}"

// Options is what the pages are made from.
type Options struct {
	Spec     []byte               // openapi.yaml
	Chinese  []byte               // a list of {en, zh}: every text of Spec, and every meaning of a code that it names
	Models   []*catalog.Model     // in the order in which they are listed
	Currency string               // of the models' prices
	Status   func(fault.Code) int // the HTTP status of a code

	// Flat is a code and its HTTP status where errors are FlatProblem.
	Flat func(fault.Code) (string, int)
}

// Manual is all pages. It is never changed after New.
type Manual struct {
	pages        map[string]map[string]string // language -> name -> text
	index        string
	untranslated []string
}

// Languages are those that every page is written in.
func Languages() []string { return []string{english, chinese} }

const (
	english = "en"
	chinese = "zh"
)

// New writes every page. An error says what is wrong with the spec or its Chinese.
func New(o Options) (*Manual, error) {
	spec, err := readSpec(o.Spec)
	if err != nil {
		return nil, err
	}

	said, err := readChinese(o.Chinese)
	if err != nil {
		return nil, err
	}

	m := &Manual{pages: map[string]map[string]string{}, untranslated: missing(spec, said)}

	var index strings.Builder

	for _, language := range Languages() {
		w := writer{Options: o, spec: spec, language: language, said: said}
		m.pages[language] = w.pages()
		w.list(&index)
	}

	m.index = index.String()

	return m, nil
}

// Page is one page, with Address in it; false when there is none of this name.
func (m *Manual) Page(language, name string) (string, bool) {
	text, ok := m.pages[language][name]
	return text, ok
}

// Names are the names of a language's pages, sorted.
func (m *Manual) Names(language string) []string { return slices.Sorted(maps.Keys(m.pages[language])) }

// Index is llms.txt, with Address in it.
func (m *Manual) Index() string { return m.index }

// Untranslated is what has no Chinese, and then, each behind "unused: ", the
// English of what nothing says any more. The pages say the former in English.
func (m *Manual) Untranslated() []string { return m.untranslated }

// writer writes one language's pages.
type writer struct {
	Options
	spec     node
	language string
	said     map[string]string // English -> Chinese
}

// in is a text of ours in the writer's language.
func (w writer) in(t catalog.Text) string {
	if w.language == chinese {
		return t.ZH
	}

	return t.EN
}

// say is a text of the spec in the writer's language, on one line.
func (w writer) say(text string) string {
	text = flat(text)
	if zh := w.said[text]; zh != "" && w.language == chinese {
		return zh
	}

	return text
}

func (w writer) pages() map[string]string {
	pages := map[string]string{"index.md": w.front()}
	for _, o := range operations(w.spec) {
		pages[o.page()] = w.endpoint(o)
	}

	if len(events(w.spec)) > 0 {
		pages[webhookPage] = w.webhooks()
	}

	for _, m := range w.Models {
		pages[modelPage(m)] = w.model(m)
	}

	return pages
}

func (w writer) link(name string) string { return Address + "/docs/" + w.language + "/" + name }

// list writes the language's part of llms.txt.
func (w writer) list(out *strings.Builder) {
	if w.language == english {
		fmt.Fprintf(out, "# %s\n\n> %s\n\n%s\n\n", w.spec.get("info", "title").text(), w.say(w.spec.get("info", "summary").text()), w.say(w.spec.get("info", "description").text()))
		fmt.Fprintf(out, "## API\n\n- [openapi.json](%s/openapi.json): %s\n- [docs](%s/docs): %s\n",
			Address, "OpenAPI 3.1, with every bound and example", Address, "the same for people with a browser")
	}

	fmt.Fprintf(out, "\n## %s\n\n- [%s](%s)\n", w.in(wordEndpoints), w.in(wordOverview), w.link("index.md"))

	for _, o := range operations(w.spec) {
		fmt.Fprintf(out, "- [%s %s](%s): %s\n", o.method, o.path, w.link(o.page()), w.say(o.spec.get("summary").text()))
	}

	if len(events(w.spec)) > 0 {
		fmt.Fprintf(out, "- [%s](%s)\n", w.in(wordWebhooks), w.link(webhookPage))
	}

	fmt.Fprintf(out, "\n## %s\n\n", w.in(wordModels))

	for _, m := range w.Models {
		fmt.Fprintf(out, "- [%s](%s): %s; %s\n", m.ID, w.link(modelPage(m)), w.in(m.Title), w.price(m))
	}
}

// front is the overview: what holds for every call, the lists, all error codes.
func (w writer) front() string {
	var out strings.Builder
	fmt.Fprintf(&out, "# %s\n\n%s\n\n%s\n\n", w.spec.get("info", "title").text(), w.say(w.spec.get("info", "summary").text()), w.say(w.spec.get("info", "description").text()))
	fmt.Fprintf(&out, "## %s\n\n%s\n\n", w.in(wordAuthentication), w.in(sayKey))
	fmt.Fprintf(&out, "## %s\n\n", w.in(wordEndpoints))
	t := table{w.in(wordEndpoint), w.in(wordDescription)}
	t.head(&out)

	for _, o := range operations(w.spec) {
		t.row(&out, fmt.Sprintf("[`%s %s`](%s)", o.method, o.path, w.link(o.page())), w.say(o.spec.get("summary").text()))
	}

	if len(events(w.spec)) > 0 {
		t.row(&out, fmt.Sprintf("[%s](%s)", w.in(wordWebhooks), w.link(webhookPage)), "")
	}

	fmt.Fprintf(&out, "\n## %s\n\n", w.in(wordModels))
	t = table{w.in(wordModel), w.in(wordDescription), w.in(wordPrice)}
	t.head(&out)

	for _, m := range w.Models {
		t.row(&out, fmt.Sprintf("[`%s`](%s)", m.ID, w.link(modelPage(m))), w.in(m.Description), w.price(m))
	}

	fmt.Fprintf(&out, "\n## %s\n\n%s\n\n", w.in(wordErrors), w.in(sayErrors))
	w.codes(&out, everyError(w.spec), false)

	return out.String()
}

// codes writes a table of error codes, flat ones as Flat has them.
func (w writer) codes(out *strings.Builder, codes []fault.Code, flat bool) {
	t := table{"HTTP", "code", w.in(wordWhen)}
	t.head(out)

	for _, info := range fault.Codes() {
		if !slices.Contains(codes, info.Code) {
			continue
		}

		name := string(info.Code)

		status := w.Status(info.Code)
		if flat {
			name, status = w.Flat(info.Code)
		}

		t.row(out, fmt.Sprint(status), "`"+name+"`", w.say(info.Meaning))
	}
}

// table is a Markdown table's columns.
type table []string

func (t table) head(out *strings.Builder) {
	t.row(out, t...)
	out.WriteString(strings.Repeat("| --- ", len(t)) + "|\n")
}

func (t table) row(out *strings.Builder, cells ...string) {
	for _, cell := range cells {
		out.WriteString("| " + strings.ReplaceAll(flat(cell), "|", `\|`) + " ")
	}

	out.WriteString("|\n")
}

// flat puts a text on one line.
func flat(text string) string { return strings.Join(strings.Fields(text), " ") }
