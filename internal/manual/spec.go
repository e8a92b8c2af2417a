package manual

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/unireel/unireel/internal/fault"
)

// SpecJSON converts openapi.yaml to JSON and keeps its order.
func SpecJSON(spec []byte) ([]byte, error) {
	top, err := readSpec(spec)
	if err != nil {
		return nil, err
	}

	var out bytes.Buffer
	encode(&out, top.value)

	return out.Bytes(), nil
}

// node is a value in openapi.yaml. It keeps the order of the file and follows references.
// The zero node has no value.
type node struct {
	value *yaml.Node
	root  *yaml.Node
}

func readSpec(text []byte) (node, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return node{}, fmt.Errorf("read openapi.yaml: %w", err)
	}

	if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return node{}, fmt.Errorf("read openapi.yaml: it is not a mapping")
	}

	return node{value: doc.Content[0], root: doc.Content[0]}, nil
}

// maxRefDepth limits the length of a chain of references.
const maxRefDepth = 8

// resolve follows aliases and $refs to the value itself. It returns an empty node if the
// chain is too long.
func (n node) resolve() node {
	for range maxRefDepth {
		switch {
		case n.value == nil:
			return n
		case n.value.Kind == yaml.AliasNode:
			n.value = n.value.Alias
		case n.ref() != "":
			n = node{n.root, n.root}.get(strings.Split(strings.TrimPrefix(n.ref(), "#/"), "/")...)
		default:
			return n
		}
	}

	return node{root: n.root}
}

// ref returns the node's $ref, or "" if it is not a reference.
func (n node) ref() string {
	if n.value != nil && n.value.Kind == yaml.MappingNode && len(n.value.Content) == 2 && n.value.Content[0].Value == "$ref" {
		return n.value.Content[1].Value
	}

	return ""
}

// get returns the value under the keys, each one level below the previous one.
func (n node) get(keys ...string) node {
	for _, key := range keys {
		n = n.resolve()

		next := node{root: n.root}
		for k, v := range n.fields() {
			if k == key {
				next = v
			}
		}

		n = next
	}

	return n.resolve()
}

func (n node) exists() bool { return n.value != nil }

func (n node) text() string {
	if n.value == nil || n.value.Kind != yaml.ScalarNode {
		return ""
	}

	return n.value.Value
}

// fields iterates over a mapping, in the order of the file.
func (n node) fields() func(func(string, node) bool) {
	return func(yield func(string, node) bool) {
		n = n.resolve()
		if n.value == nil || n.value.Kind != yaml.MappingNode {
			return
		}

		for i := 0; i+1 < len(n.value.Content); i += 2 {
			if !yield(n.value.Content[i].Value, node{n.value.Content[i+1], n.root}) {
				return
			}
		}
	}
}

// items returns a list's entries; any other value counts as a list of one.
func (n node) items() []node {
	n = n.resolve()
	switch {
	case n.value == nil:
		return nil
	case n.value.Kind != yaml.SequenceNode:
		return []node{n}
	}

	var list []node
	for _, item := range n.value.Content {
		list = append(list, node{item, n.root}.resolve())
	}

	return list
}

// texts returns the texts of a list, or a single text as a list of one.
func (n node) texts() []string {
	var list []string
	for _, item := range n.items() {
		list = append(list, item.text())
	}

	return list
}

// json returns the value as JSON, in the order of the file, indented by two spaces.
func (n node) json() string {
	var line, out bytes.Buffer
	encode(&line, n.resolve().value)

	if err := json.Indent(&out, line.Bytes(), "", "  "); err != nil {
		return line.String()
	}

	return out.String()
}

// encode writes a YAML value as JSON. $refs in it stay $refs.
func encode(out *bytes.Buffer, v *yaml.Node) {
	switch {
	case v == nil || v.ShortTag() == "!!null":
		out.WriteString("null")
	case v.Kind == yaml.AliasNode:
		encode(out, v.Alias)
	case v.Kind == yaml.MappingNode:
		out.WriteString("{")

		for i := 0; i+1 < len(v.Content); i += 2 {
			if i > 0 {
				out.WriteString(",")
			}

			out.WriteString(quote(v.Content[i].Value) + ":")
			encode(out, v.Content[i+1])
		}

		out.WriteString("}")
	case v.Kind == yaml.SequenceNode:
		out.WriteString("[")

		for i, item := range v.Content {
			if i > 0 {
				out.WriteString(",")
			}

			encode(out, item)
		}

		out.WriteString("]")
	case v.ShortTag() == "!!str" || v.ShortTag() == "!!timestamp":
		out.WriteString(quote(v.Value))
	default: // a number, true or false
		out.WriteString(v.Value)
	}
}

// quote returns s as a JSON string, without escaping <, > and &.
func quote(s string) string {
	var out bytes.Buffer

	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)

	if err := e.Encode(s); err != nil {
		return `""`
	}

	return strings.TrimSuffix(out.String(), "\n")
}

// operation is one method of one path.
type operation struct {
	method, path string
	spec         node
}

// operations returns all operations, in the order of the specification.
func operations(spec node) []operation { return operationsIn(spec.get("paths")) }

// events returns the webhooks that the server sends; an event's path is its name.
func events(spec node) []operation { return operationsIn(spec.get("webhooks")) }

func operationsIn(paths node) []operation {
	var list []operation

	for path, item := range paths.fields() {
		for method, o := range item.fields() {
			if slices.Contains([]string{"get", "post", "put", "patch", "delete"}, method) {
				list = append(list, operation{strings.ToUpper(method), path, o.resolve()})
			}
		}
	}

	return list
}

// pageName returns the name of the operation's page: create-video.md for createVideo.
func (o operation) pageName() string {
	var name strings.Builder

	id := o.spec.get("operationId").text()
	for i, r := range id {
		upper := r >= 'A' && r <= 'Z'
		if upper && i > 0 && (id[i-1] < 'A' || id[i-1] > 'Z') {
			name.WriteByte('-')
		}

		name.WriteString(strings.ToLower(string(r)))
	}

	return name.String() + ".md"
}

// errors returns the codes with which the operation can fail: its own, those of
// authentication, and those that every operation has.
func (o operation) errors(spec node) []fault.Code {
	var list []fault.Code
	for _, code := range o.spec.get("x-errors").texts() {
		list = append(list, fault.Code(code))
	}

	if o.security(spec).exists() {
		list = append(list, fault.CodeMissingAPIKey, fault.CodeInvalidAPIKey, fault.CodeInsufficientScope, fault.CodeRateLimited)
	}

	if o.spec.get("responses", "default").exists() {
		list = append(list, fault.CodeInvalidValue, fault.CodeInternal, fault.CodeUnavailable)
	}

	return list
}

// hasFlatErrors reports whether the operation's errors have DashScope's format.
func (o operation) hasFlatErrors() bool {
	for key, response := range o.spec.get("responses").fields() {
		if key == "default" {
			return strings.HasSuffix(response.ref(), "/FlatProblem")
		}
	}

	return false
}

// allErrors returns the codes with which any operation can fail.
func allErrors(spec node) []fault.Code {
	var list []fault.Code
	for _, o := range operations(spec) {
		list = append(list, o.errors(spec)...)
	}

	return list
}

// security returns the authentication schemes of the operation; an empty node if it needs
// none.
func (o operation) security(spec node) node {
	list := o.spec.get("security")
	if !list.exists() {
		list = spec.get("security")
	}

	if len(list.items()) == 0 {
		return node{root: spec.root}
	}

	return list
}

// readTranslations parses the list of texts in both languages.
func readTranslations(text []byte) (map[string]string, error) {
	var pairs []struct{ EN, ZH string }
	if err := yaml.Unmarshal(text, &pairs); err != nil {
		return nil, fmt.Errorf("read the Chinese translations: %w", err)
	}

	translations := map[string]string{}
	for _, p := range pairs {
		translations[oneLine(p.EN)] = oneLine(p.ZH)
	}

	return translations, nil
}

// compareTranslations lists the texts of the pages without a translation, and the
// translations that no page uses.
func compareTranslations(spec node, translations map[string]string) []string {
	needed := map[string]bool{}
	spec.collectTexts(needed)

	codes := allErrors(spec)
	for _, info := range fault.Codes() {
		if slices.Contains(codes, info.Code) {
			needed[oneLine(info.Meaning)] = true
		}
	}

	var list []string

	for text := range needed {
		if translations[text] == "" {
			list = append(list, text)
		}
	}

	for text := range translations {
		if !needed[text] {
			list = append(list, "unused: "+text)
		}
	}

	slices.Sort(list)

	return list
}

// collectTexts collects every summary and description in the node and below it.
func (n node) collectTexts(into map[string]bool) {
	if n.value == nil || n.ref() != "" {
		return // the referenced value is visited where it is defined
	}

	if n.value.Kind == yaml.SequenceNode {
		for _, item := range n.value.Content {
			node{item, n.root}.collectTexts(into)
		}

		return
	}

	for key, v := range n.fields() {
		switch {
		case key == "example" || key == "value": // requests and responses are not translated
		case (key == "summary" || key == "description") && v.text() != "":
			into[oneLine(v.text())] = true
		default:
			v.collectTexts(into)
		}
	}
}
