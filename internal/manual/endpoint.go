package manual

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/unireel/unireel/internal/catalog"
)

// endpointPage generates the page of one endpoint.
func (w writer) endpointPage(o operation) string {
	var out strings.Builder

	summary := w.translate(o.spec.get("summary").text())
	description := w.translate(o.spec.get("description").text())

	fmt.Fprintf(&out, "# %s\n\n```http\n%s %s\n```\n\n%s\n\n", summary, o.method, o.path, description)
	fmt.Fprintf(&out, "## %s\n\n%s\n\n", w.localize(labelAuthentication), w.localize(authText(o.security(w.spec))))
	w.writeParameters(&out, o)
	w.writeBody(&out, o)
	w.writeRequests(&out, o)
	w.writeResponses(&out, o)

	if codes := o.errors(w.spec); len(codes) > 0 {
		errorText := textErrors
		if o.hasFlatErrors() {
			errorText = textFlatErrors
		}

		fmt.Fprintf(&out, "## %s\n\n%s\n\n", w.localize(labelErrors), w.localize(errorText))
		w.writeErrorCodes(&out, codes, o.hasFlatErrors())
	}

	return out.String()
}

// authText returns the sentence about the authentication that an operation needs.
func authText(security node) catalog.LocalizedText {
	schemes := security.items()
	switch {
	case len(schemes) == 0:
		return textNoAuth
	case len(schemes) > 1:
		return textSignedLinkAuth
	}

	return textAPIKeyAuth
}

func (w writer) writeParameters(out *strings.Builder, o operation) {
	list := o.spec.get("parameters").items()
	if len(list) == 0 {
		return
	}

	fmt.Fprintf(out, "## %s\n\n", w.localize(labelParameters))
	t := table{
		w.localize(labelName),
		w.localize(labelIn),
		w.localize(labelType),
		w.localize(labelRequired),
		w.localize(labelDefault),
		w.localize(labelConstraints),
		w.localize(labelDescription),
	}
	t.writeHeader(out)

	for _, p := range list {
		schema := p.get("schema")
		t.writeRow(out,
			"`"+p.get("name").text()+"`",
			p.get("in").text(),
			typeName(schema),
			w.yesNo(p.get("required").text() == "true"),
			codeSpan(schema.get("default").text()),
			w.constraints(schema),
			w.translate(p.get("description").text()),
		)
	}

	out.WriteString("\n")
}

func (w writer) writeBody(out *strings.Builder, o operation) {
	for mediaType, content := range o.spec.get("requestBody", "content").fields() {
		fmt.Fprintf(out, "## %s (`%s`)\n\n", w.localize(labelBody), mediaType)

		schema := content.get("schema")
		if text := schema.get("description").text(); text != "" {
			fmt.Fprintf(out, "%s\n\n", w.translate(text))
		}

		t := table{
			w.localize(labelField),
			w.localize(labelType),
			w.localize(labelRequired),
			w.localize(labelDefault),
			w.localize(labelConstraints),
			w.localize(labelDescription),
		}
		t.writeHeader(out)

		for _, f := range flatten(schema, "", 0) {
			t.writeRow(out,
				"`"+f.name+"`",
				typeName(f.schema),
				w.yesNo(f.required),
				codeSpan(f.schema.get("default").text()),
				w.constraints(f.schema),
				w.translate(f.schema.get("description").text()),
			)
		}

		out.WriteString("\n")
	}
}

func (w writer) writeRequests(out *strings.Builder, o operation) {
	fmt.Fprintf(out, "## %s\n\n", w.localize(labelRequests))

	n := 0

	for mediaType, content := range o.spec.get("requestBody", "content").fields() {
		for _, example := range content.get("examples").fields() {
			n++
			fmt.Fprintf(out, "### %s %d%s%s\n\n", w.localize(labelExample), n, w.localize(colon), w.translate(example.get("summary").text()))

			value := example.get("value")
			if mediaType == "multipart/form-data" {
				fmt.Fprintf(out, "```bash\n%s\n```\n\n", w.curl(o, formArgs(content.get("schema"), value)))
				continue
			}

			fmt.Fprintf(out, "```json\n%s\n```\n\n```bash\n%s\n```\n\n", value.json(), w.curl(o, bodyArgs(mediaType, value.json())))
		}
	}

	if n == 0 {
		fmt.Fprintf(out, "```bash\n%s\n```\n\n", w.curl(o, nil))
	}
}

// curl returns the command that sends a request; extra are its last arguments.
func (w writer) curl(o operation, extra []string) string {
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
			args = append(args, "-H "+shellQuote(name+": "+example))
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

	return strings.Join(append([]string{fmt.Sprintf(`curl %s"%s%s"`, method, BaseURLPlaceholder, path)}, append(args, extra...)...), " \\\n  ")
}

func bodyArgs(mediaType, text string) []string {
	return []string{"-H " + shellQuote("Content-Type: "+mediaType), "-d " + shellQuote(text)}
}

// formArgs returns curl's arguments for a form; a binary field is sent from a file.
func formArgs(schema, value node) []string {
	var args []string

	for name, v := range value.fields() {
		property := schema.get("properties", name)
		if property.get("items").exists() {
			property = property.get("items")
		}

		for _, text := range v.texts() {
			if property.get("format").text() == "binary" {
				text = "@" + text
			}

			args = append(args, "-F "+shellQuote(name+"="+text))
		}
	}

	return args
}

// shellQuote quotes a text for sh.
func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func (w writer) writeResponses(out *strings.Builder, o operation) {
	var others []string

	for status, response := range o.spec.get("responses").fields() {
		if status == "default" {
			continue
		}

		description := w.translate(response.get("description").text())
		shown := false

		for mediaType, content := range response.get("content").fields() {
			rows := flatten(content.get("schema"), "", 0)

			list := examples(content)
			if len(rows)+len(list) == 0 {
				continue
			}

			shown = true

			fmt.Fprintf(out, "## %s (HTTP %s, `%s`)\n\n%s\n", w.localize(labelResponse), status, mediaType, description)
			w.writeResponse(out, rows, list)
		}

		if !shown {
			others = append(others, fmt.Sprintf("- `%s`: %s", status, description))
		}
	}

	if len(others) > 0 {
		fmt.Fprintf(out, "## %s\n\n%s\n\n", w.localize(labelOtherResponses), strings.Join(others, "\n"))
	}
}

// writeResponse writes the fields of one response and its examples.
func (w writer) writeResponse(out *strings.Builder, rows []field, list []namedExample) {
	if len(rows) > 0 {
		out.WriteString("\n")

		t := table{w.localize(labelField), w.localize(labelType), w.localize(labelConstraints), w.localize(labelDescription)}
		t.writeHeader(out)

		for _, f := range rows {
			t.writeRow(out, "`"+f.name+"`", typeName(f.schema), w.constraints(f.schema), w.translate(f.schema.get("description").text()))
		}
	}

	for i, example := range list {
		text := example.value.json()
		format := "json"

		if plain := example.value.text(); plain != "" {
			text = strings.TrimSpace(plain)
			format = "text"
		}

		fmt.Fprintf(out, "\n### %s %d%s\n\n```%s\n%s\n```\n", w.localize(labelResponseExample), i+1, w.exampleTitle(example), format, text)
	}

	out.WriteString("\n")
}

// namedExample is an example with its title, "" if it is the only one.
type namedExample struct {
	summary string
	value   node
}

func (w writer) exampleTitle(e namedExample) string {
	if e.summary == "" {
		return ""
	}

	return w.localize(colon) + w.translate(e.summary)
}

// examples returns the examples of a content, or the single one of its schema.
func examples(content node) []namedExample {
	var list []namedExample
	for _, e := range content.get("examples").fields() {
		list = append(list, namedExample{e.get("summary").text(), e.get("value")})
	}

	for _, one := range []node{content.get("example"), content.get("schema", "example")} {
		if len(list) == 0 && one.exists() {
			list = append(list, namedExample{value: one})
		}
	}

	return list
}

// field is a property of a schema, or of an object in it.
type field struct {
	name     string // "extra_body.seed", "data[].id"
	required bool
	schema   node
}

// maxDepth limits how deep a table goes into objects: to the fields of a task in a list.
const maxDepth = 4

// flatten lists a schema's properties and those of nested objects, in their order.
func flatten(schema node, prefix string, depth int) []field {
	var list []field

	if depth > maxDepth {
		return nil
	}

	for _, part := range append(schema.get("allOf").items(), schema.get("anyOf").items()...) {
		list = append(list, flatten(part, prefix, depth+1)...)
	}

	required := schema.get("required").texts()
	for name, property := range schema.get("properties").fields() {
		property = property.resolve()
		f := field{prefix + name, slices.Contains(required, name), property}
		list = append(list, f)
		list = append(list, flatten(property, f.name+".", depth+1)...)
		list = append(list, flatten(property.get("items"), f.name+"[].", depth+1)...)
	}

	return list
}

// typeName returns a schema's JSON types: "string", "number, string", "string[]".
func typeName(schema node) string {
	names := schema.get("type").texts()
	for _, part := range append(schema.get("anyOf").items(), schema.get("allOf").items()...) {
		for _, name := range strings.Split(typeName(part), ", ") {
			if name != "" && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}

	if i := slices.Index(names, "array"); i >= 0 {
		names = slices.Delete(names, i, i+1)
		for _, name := range strings.Split(typeName(schema.get("items")), ", ") {
			names = append(names, name+"[]")
		}
	}

	return strings.Join(names, ", ")
}

// constraints describes the values that a schema allows.
func (w writer) constraints(schema node) string {
	var list []string
	if enum := schema.get("enum").texts(); len(enum) > 0 {
		list = append(list, "`"+strings.Join(enum, "`, `")+"`")
	}

	minimum := schema.get("minimum").text()

	maximum := schema.get("maximum").text()
	switch {
	case minimum != "" && maximum != "":
		list = append(list, minimum+" – "+maximum)
	case minimum != "":
		list = append(list, "≥ "+minimum)
	case maximum != "":
		list = append(list, "≤ "+maximum)
	}

	for _, limit := range []struct {
		key  string
		text catalog.LocalizedText
	}{
		{"minLength", textMinLength},
		{"maxLength", textMaxLength},
		{"minItems", textMinItems},
		{"maxItems", textMaxItems},
		{"maxProperties", textMaxPairs},
	} {
		n := schema.get(limit.key).text()
		if n == "1" && strings.HasPrefix(limit.key, "min") {
			list = append(list, w.localize(textNotEmpty))
		} else if n != "" {
			list = append(list, strings.ReplaceAll(w.localize(limit.text), "N", n))
		}
	}

	for _, key := range []string{"format", "pattern"} {
		if text := schema.get(key).text(); text != "" {
			list = append(list, "`"+text+"`")
		}
	}

	return strings.Join(list, w.localize(listSeparator))
}

func (w writer) yesNo(value bool) string {
	if value {
		return w.localize(labelYes)
	}

	return w.localize(labelNo)
}

func codeSpan(text string) string {
	if text == "" {
		return ""
	}

	return "`" + text + "`"
}
