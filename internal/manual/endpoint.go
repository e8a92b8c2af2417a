package manual

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/unireel/unireel/internal/catalog"
)

// endpoint writes the page of one endpoint.
func (w writer) endpoint(o operation) string {
	var out strings.Builder
	fmt.Fprintf(&out, "# %s\n\n```http\n%s %s\n```\n\n%s\n\n", w.say(o.spec.get("summary").text()), o.method, o.path, w.say(o.spec.get("description").text()))
	fmt.Fprintf(&out, "## %s\n\n%s\n\n", w.in(wordAuthentication), w.in(opens(o.security(w.spec))))
	w.parameters(&out, o)
	w.body(&out, o)
	w.requests(&out, o)
	w.answers(&out, o)

	if codes := o.errors(w.spec); len(codes) > 0 {
		says := sayErrors
		if o.flat() {
			says = sayFlatErrors
		}

		fmt.Fprintf(&out, "## %s\n\n%s\n\n", w.in(wordErrors), w.in(says))
		w.codes(&out, codes, o.flat())
	}

	return out.String()
}

// opens says what an operation asks of its caller.
func opens(security node) catalog.Text {
	ways := security.items()
	switch {
	case len(ways) == 0:
		return sayOpen
	case len(ways) > 1:
		return sayLink
	}

	return sayKey
}

func (w writer) parameters(out *strings.Builder, o operation) {
	list := o.spec.get("parameters").items()
	if len(list) == 0 {
		return
	}

	fmt.Fprintf(out, "## %s\n\n", w.in(wordParameters))
	t := table{w.in(wordName), w.in(wordPlace), w.in(wordType), w.in(wordRequired), w.in(wordDefault), w.in(wordBounds), w.in(wordDescription)}
	t.head(out)

	for _, p := range list {
		schema := p.get("schema")
		t.row(out, "`"+p.get("name").text()+"`", p.get("in").text(), kind(schema), w.yes(p.get("required").text() == "true"), code(schema.get("default").text()), w.bounds(schema), w.say(p.get("description").text()))
	}

	out.WriteString("\n")
}

func (w writer) body(out *strings.Builder, o operation) {
	for mediaType, content := range o.spec.get("requestBody", "content").fields() {
		fmt.Fprintf(out, "## %s (`%s`)\n\n", w.in(wordBody), mediaType)

		schema := content.get("schema")
		if text := schema.get("description").text(); text != "" {
			fmt.Fprintf(out, "%s\n\n", w.say(text))
		}

		t := table{w.in(wordField), w.in(wordType), w.in(wordRequired), w.in(wordDefault), w.in(wordBounds), w.in(wordDescription)}
		t.head(out)

		for _, f := range flatten(schema, "", 0) {
			t.row(out, "`"+f.name+"`", kind(f.schema), w.yes(f.required), code(f.schema.get("default").text()), w.bounds(f.schema), w.say(f.schema.get("description").text()))
		}

		out.WriteString("\n")
	}
}

func (w writer) requests(out *strings.Builder, o operation) {
	fmt.Fprintf(out, "## %s\n\n", w.in(wordRequests))

	n := 0

	for mediaType, content := range o.spec.get("requestBody", "content").fields() {
		for _, example := range content.get("examples").fields() {
			n++
			fmt.Fprintf(out, "### %s %d%s%s\n\n", w.in(wordExample), n, w.in(sayColon), w.say(example.get("summary").text()))

			value := example.get("value")
			if mediaType == "multipart/form-data" {
				fmt.Fprintf(out, "```bash\n%s\n```\n\n", w.curl(o, form(content.get("schema"), value)))
				continue
			}

			fmt.Fprintf(out, "```json\n%s\n```\n\n```bash\n%s\n```\n\n", value.json(), w.curl(o, body(mediaType, value.json())))
		}
	}

	if n == 0 {
		fmt.Fprintf(out, "```bash\n%s\n```\n\n", w.curl(o, nil))
	}
}

// curl is the command that sends a request; more are its last arguments.
func (w writer) curl(o operation, more []string) string {
	path := o.path
	query := url.Values{}
	args := []string{}

	for _, p := range o.spec.get("parameters").items() {
		name := p.get("name").text()

		example := p.get("example").text()
		switch {
		case example == "":
		case p.get("in").text() == "path":
			path = strings.ReplaceAll(path, "{"+name+"}", example)
		case p.get("in").text() == "query":
			query.Set(name, example)
		default:
			args = append(args, "-H "+shell(name+": "+example))
		}
	}

	if len(query) > 0 {
		path += "?" + query.Encode()
	}

	if len(o.security(w.spec).items()) > 0 {
		args = append([]string{`-H "Authorization: Bearer $UNIREEL_API_KEY"`}, args...)
	}

	method := ""
	if o.method != "GET" {
		method = "-X " + o.method + " "
	}

	return strings.Join(append([]string{fmt.Sprintf(`curl %s"%s%s"`, method, Address, path)}, append(args, more...)...), " \\\n  ")
}

func body(mediaType, text string) []string {
	return []string{"-H " + shell("Content-Type: "+mediaType), "-d " + shell(text)}
}

// form is curl's arguments for a form: a field that is bytes sends a file.
func form(schema, value node) []string {
	var args []string

	for name, v := range value.fields() {
		property := schema.get("properties", name)
		if property.get("items").has() {
			property = property.get("items")
		}

		for _, text := range v.texts() {
			if property.get("format").text() == "binary" {
				text = "@" + text
			}

			args = append(args, "-F "+shell(name+"="+text))
		}
	}

	return args
}

// shell quotes a text for sh.
func shell(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func (w writer) answers(out *strings.Builder, o operation) {
	var others []string

	for status, answer := range o.spec.get("responses").fields() {
		if status == "default" {
			continue
		}

		said := w.say(answer.get("description").text())
		shown := false

		for mediaType, content := range answer.get("content").fields() {
			rows := flatten(content.get("schema"), "", 0)

			list := examples(content)
			if len(rows)+len(list) == 0 {
				continue
			}

			shown = true

			fmt.Fprintf(out, "## %s (HTTP %s, `%s`)\n\n%s\n", w.in(wordAnswer), status, mediaType, said)
			w.answer(out, rows, list)
		}

		if !shown {
			others = append(others, fmt.Sprintf("- `%s`: %s", status, said))
		}
	}

	if len(others) > 0 {
		fmt.Fprintf(out, "## %s\n\n%s\n\n", w.in(wordOtherAnswers), strings.Join(others, "\n"))
	}
}

// answer writes the fields of one answer and its examples.
func (w writer) answer(out *strings.Builder, rows []field, list []shown) {
	if len(rows) > 0 {
		out.WriteString("\n")

		t := table{w.in(wordField), w.in(wordType), w.in(wordBounds), w.in(wordDescription)}
		t.head(out)

		for _, f := range rows {
			t.row(out, "`"+f.name+"`", kind(f.schema), w.bounds(f.schema), w.say(f.schema.get("description").text()))
		}
	}

	for i, example := range list {
		text := example.value.json()
		format := "json"

		if words := example.value.text(); words != "" {
			text = strings.TrimSpace(words)
			format = "text"
		}

		fmt.Fprintf(out, "\n### %s %d%s\n\n```%s\n%s\n```\n", w.in(wordAnswerExample), i+1, w.titled(example), format, text)
	}

	out.WriteString("\n")
}

// shown is an example and what it is called, "" where it is the only one.
type shown struct {
	summary string
	value   node
}

func (w writer) titled(e shown) string {
	if e.summary == "" {
		return ""
	}

	return w.in(sayColon) + w.say(e.summary)
}

// examples are those of an answer, else the one of its schema.
func examples(content node) []shown {
	var list []shown
	for _, e := range content.get("examples").fields() {
		list = append(list, shown{e.get("summary").text(), e.get("value")})
	}

	for _, one := range []node{content.get("example"), content.get("schema", "example")} {
		if len(list) == 0 && one.has() {
			list = append(list, shown{value: one})
		}
	}

	return list
}

// field is a property, or one of an object within.
type field struct {
	name     string // "extra_body.seed", "data[].id"
	required bool
	schema   node
}

// deepest is how far into objects a table goes: the task in a list, and what is in it.
const deepest = 4

// flatten lists a schema's properties and those within them, in their order.
func flatten(schema node, prefix string, depth int) []field {
	var list []field

	if depth > deepest {
		return nil
	}

	for _, part := range append(schema.get("allOf").items(), schema.get("anyOf").items()...) {
		list = append(list, flatten(part, prefix, depth+1)...)
	}

	required := schema.get("required").texts()
	for name, property := range schema.get("properties").fields() {
		property = property.there()
		f := field{prefix + name, slices.Contains(required, name), property}
		list = append(list, f)
		list = append(list, flatten(property, f.name+".", depth+1)...)
		list = append(list, flatten(property.get("items"), f.name+"[].", depth+1)...)
	}

	return list
}

// kind is a schema's JSON types: "string", "number, string", "string[]".
func kind(schema node) string {
	names := schema.get("type").texts()
	for _, part := range append(schema.get("anyOf").items(), schema.get("allOf").items()...) {
		for _, name := range strings.Split(kind(part), ", ") {
			if name != "" && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}

	if i := slices.Index(names, "array"); i >= 0 {
		names = slices.Delete(names, i, i+1)
		for _, name := range strings.Split(kind(schema.get("items")), ", ") {
			names = append(names, name+"[]")
		}
	}

	return strings.Join(names, ", ")
}

// bounds says what a value may be.
func (w writer) bounds(schema node) string {
	var list []string
	if enum := schema.get("enum").texts(); len(enum) > 0 {
		list = append(list, "`"+strings.Join(enum, "`, `")+"`")
	}

	least := schema.get("minimum").text()

	most := schema.get("maximum").text()
	switch {
	case least != "" && most != "":
		list = append(list, least+" – "+most)
	case least != "":
		list = append(list, "≥ "+least)
	case most != "":
		list = append(list, "≤ "+most)
	}

	for _, limit := range []struct {
		key  string
		says catalog.Text
	}{
		{"minLength", sayMinLength}, {"maxLength", sayMaxLength}, {"minItems", sayMinItems}, {"maxItems", sayMaxItems}, {"maxProperties", sayMaxPairs},
	} {
		n := schema.get(limit.key).text()
		if n == "1" && strings.HasPrefix(limit.key, "min") {
			list = append(list, w.in(sayNotEmpty))
		} else if n != "" {
			list = append(list, strings.ReplaceAll(w.in(limit.says), "N", n))
		}
	}

	for _, key := range []string{"format", "pattern"} {
		if text := schema.get(key).text(); text != "" {
			list = append(list, "`"+text+"`")
		}
	}

	return strings.Join(list, w.in(sayAnd))
}

func (w writer) yes(is bool) string {
	if is {
		return w.in(wordYes)
	}

	return w.in(wordNo)
}

func code(text string) string {
	if text == "" {
		return ""
	}

	return "`" + text + "`"
}
