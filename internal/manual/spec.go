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

// JSON is openapi.yaml as JSON, in the order in which it is written.
func JSON(spec []byte) ([]byte, error) {
	top, err := readSpec(spec)
	if err != nil {
		return nil, err
	}

	var out bytes.Buffer
	encode(&out, top.at)

	return out.Bytes(), nil
}

// node is a place in openapi.yaml. It keeps the order in which things are written
// there, and follows references by itself. The zero place is where nothing is.
type node struct {
	at   *yaml.Node
	root *yaml.Node
}

func readSpec(text []byte) (node, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return node{}, fmt.Errorf("read openapi.yaml: %w", err)
	}

	if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return node{}, fmt.Errorf("read openapi.yaml: it is no mapping")
	}

	return node{at: doc.Content[0], root: doc.Content[0]}, nil
}

// followed bounds a chain of references.
const followed = 8

// there is the place itself, behind what points to it.
func (n node) there() node {
	for range followed {
		switch {
		case n.at == nil:
			return n
		case n.at.Kind == yaml.AliasNode:
			n.at = n.at.Alias
		case n.reference() != "":
			n = node{n.root, n.root}.get(strings.Split(strings.TrimPrefix(n.reference(), "#/"), "/")...)
		default:
			return n
		}
	}

	return node{root: n.root}
}

// reference is the place's $ref, "" where it is none.
func (n node) reference() string {
	if n.at != nil && n.at.Kind == yaml.MappingNode && len(n.at.Content) == 2 && n.at.Content[0].Value == "$ref" {
		return n.at.Content[1].Value
	}

	return ""
}

// get is what stands under the keys, one below the other.
func (n node) get(keys ...string) node {
	for _, key := range keys {
		n = n.there()

		next := node{root: n.root}
		for k, v := range n.fields() {
			if k == key {
				next = v
			}
		}

		n = next
	}

	return n.there()
}

func (n node) has() bool { return n.at != nil }

func (n node) text() string {
	if n.at == nil || n.at.Kind != yaml.ScalarNode {
		return ""
	}

	return n.at.Value
}

// fields goes over a mapping in its order.
func (n node) fields() func(func(string, node) bool) {
	return func(yield func(string, node) bool) {
		n = n.there()
		if n.at == nil || n.at.Kind != yaml.MappingNode {
			return
		}

		for i := 0; i+1 < len(n.at.Content); i += 2 {
			if !yield(n.at.Content[i].Value, node{n.at.Content[i+1], n.root}) {
				return
			}
		}
	}
}

// items is a list's entries; a value that is no list is a list of one.
func (n node) items() []node {
	n = n.there()
	switch {
	case n.at == nil:
		return nil
	case n.at.Kind != yaml.SequenceNode:
		return []node{n}
	}

	var list []node
	for _, item := range n.at.Content {
		list = append(list, node{item, n.root}.there())
	}

	return list
}

// texts is a list of texts, or one.
func (n node) texts() []string {
	var list []string
	for _, item := range n.items() {
		list = append(list, item.text())
	}

	return list
}

// json writes the value as JSON, in its order, indented by two spaces.
func (n node) json() string {
	var line, out bytes.Buffer
	encode(&line, n.there().at)

	if err := json.Indent(&out, line.Bytes(), "", "  "); err != nil {
		return line.String()
	}

	return out.String()
}

// encode writes a YAML value as JSON. References in it stay references.
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

// quote is a JSON string whose letters stay as they are.
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

// operations is all of them, in the order of the spec.
func operations(spec node) []operation { return within(spec.get("paths")) }

// events is what the server sends by itself; the path of each is its name.
func events(spec node) []operation { return within(spec.get("webhooks")) }

func within(paths node) []operation {
	var list []operation

	for path, item := range paths.fields() {
		for method, o := range item.fields() {
			if slices.Contains([]string{"get", "post", "put", "patch", "delete"}, method) {
				list = append(list, operation{strings.ToUpper(method), path, o.there()})
			}
		}
	}

	return list
}

// page is the name of its page: createVideo is create-video.md.
func (o operation) page() string {
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

// errors are the codes that it can be refused with: its own, and those that come
// with a key or from the server.
func (o operation) errors(spec node) []fault.Code {
	var list []fault.Code
	for _, code := range o.spec.get("x-errors").texts() {
		list = append(list, fault.Code(code))
	}

	if o.security(spec).has() {
		list = append(list, fault.CodeNoKey, fault.CodeBadKey, fault.CodeScope, fault.CodeRate)
	}

	if o.spec.get("responses", "default").has() {
		list = append(list, fault.CodeInvalidValue, fault.CodeInternal, fault.CodeUnavailable)
	}

	return list
}

// flat says whether its errors are DashScope's.
func (o operation) flat() bool {
	for key, answer := range o.spec.get("responses").fields() {
		if key == "default" {
			return strings.HasSuffix(answer.reference(), "/FlatProblem")
		}
	}

	return false
}

// everyError is all codes that any operation can be refused with.
func everyError(spec node) []fault.Code {
	var list []fault.Code
	for _, o := range operations(spec) {
		list = append(list, o.errors(spec)...)
	}

	return list
}

// security is what opens it; nothing where everybody may.
func (o operation) security(spec node) node {
	list := o.spec.get("security")
	if !list.has() {
		list = spec.get("security")
	}

	if len(list.items()) == 0 {
		return node{root: spec.root}
	}

	return list
}

// readChinese reads the list of texts in both languages.
func readChinese(text []byte) (map[string]string, error) {
	var pairs []struct{ EN, ZH string }
	if err := yaml.Unmarshal(text, &pairs); err != nil {
		return nil, fmt.Errorf("read the Chinese: %w", err)
	}

	said := map[string]string{}
	for _, p := range pairs {
		said[flat(p.EN)] = flat(p.ZH)
	}

	return said, nil
}

// missing compares what the pages say with what there is in Chinese.
func missing(spec node, said map[string]string) []string {
	needed := map[string]bool{}
	spec.prose(needed)

	codes := everyError(spec)
	for _, info := range fault.Codes() {
		if slices.Contains(codes, info.Code) {
			needed[flat(info.Meaning)] = true
		}
	}

	var list []string

	for text := range needed {
		if said[text] == "" {
			list = append(list, text)
		}
	}

	for text := range said {
		if !needed[text] {
			list = append(list, "unused: "+text)
		}
	}

	slices.Sort(list)

	return list
}

// prose notes every text for people at the place and below it.
func (n node) prose(into map[string]bool) {
	if n.at == nil || n.reference() != "" {
		return // what it points to stands elsewhere
	}

	if n.at.Kind == yaml.SequenceNode {
		for _, item := range n.at.Content {
			node{item, n.root}.prose(into)
		}

		return
	}

	for key, v := range n.fields() {
		switch {
		case key == "example" || key == "value": // what is sent and answered is not translated
		case (key == "summary" || key == "description") && v.text() != "":
			into[flat(v.text())] = true
		default:
			v.prose(into)
		}
	}
}
