package api

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/unireel/unireel/internal/fault"
)

// Limits on the structure of a body, whatever its size in bytes. No valid request comes
// near them.
const (
	jsonMaxDepth  = 16
	jsonMaxValues = 10_000
)

// jsonValue is a JSON value with what a map would lose: the order of members, repeated
// members, positions, and numbers as they were written.
type jsonValue struct {
	pos      int // byte offset of its first byte; in a form, the number of its part
	kind     jsonKind
	text     string // of a string, of a number as written, or the id of a file
	boolean  bool   // of a boolean
	items    []jsonValue
	members  []jsonMember
	fromForm bool      // a form's text, which may also represent a number or a boolean
	file     *formFile // of a file
}

// jsonMember is one name and value of an object.
type jsonMember struct {
	name  string
	pos   int // byte offset of its name; in a form, the number of its part
	value jsonValue
}

type jsonKind uint8

const (
	jsonNull jsonKind = iota
	jsonBool
	jsonNumber
	jsonString
	jsonArray
	jsonObject
	jsonFile // a part of a form
)

// String returns the kind with its article, for error sentences.
func (k jsonKind) String() string {
	return [...]string{"null", "a boolean", "a number", "a string", "an array", "an object", "a file"}[k]
}

// boolValue returns the boolean that a value represents.
func (v jsonValue) boolValue() (yes, ok bool) {
	if v.fromForm {
		return strings.EqualFold(v.text, "true"), strings.EqualFold(v.text, "true") || strings.EqualFold(v.text, "false")
	}

	return v.boolean, v.kind == jsonBool
}

// isNumeric reports whether a value may represent a number; its text is then that number.
func (v jsonValue) isNumeric() bool {
	return v.kind == jsonNumber || v.kind == jsonString && v.fromForm
}

// parseJSON parses a body that must be one JSON value. The error is a *fault.Fault
// (malformed_body) that names line and column.
func parseJSON(body []byte) (jsonValue, error) {
	body = bytes.TrimPrefix(body, []byte("\uFEFF"))
	if len(bytes.TrimSpace(body)) == 0 {
		return jsonValue{}, fault.New(fault.CodeMalformedBody, "", "The body is empty; send a JSON object.")
	}

	if !utf8.Valid(body) {
		return jsonValue{}, malformed(body, firstInvalidUTF8(body), "these bytes are not UTF-8")
	}
	// encoding/json checks the syntax first: its errors have offsets, and the reader below
	// can rely on valid syntax.
	var syntax *json.SyntaxError
	if err := json.Unmarshal(body, new(struct{})); errors.As(err, &syntax) {
		at := int(syntax.Offset) - 1
		if strings.HasPrefix(syntax.Error(), "unexpected end") {
			at = len(body)
		}

		return jsonValue{}, malformed(body, at, explainSyntaxError(syntax.Error())).WithCause(err)
	}

	r := &jsonReader{body: body, decoder: json.NewDecoder(bytes.NewReader(body))}
	r.decoder.UseNumber()

	return r.readValue(0)
}

// parseObject parses a body that must be a JSON object.
func parseObject(body []byte) (jsonValue, error) {
	root, err := parseJSON(body)
	if err == nil && root.kind != jsonObject {
		err = fault.New(fault.CodeWrongType, "", "The body must be a JSON object; it is "+root.kind.String()+".")
	}

	return root, err
}

func firstInvalidUTF8(body []byte) int {
	at := 0
	for at < len(body) {
		r, n := utf8.DecodeRune(body[at:])
		if r == utf8.RuneError && n == 1 {
			break
		}

		at += n
	}

	return at
}

func malformed(body []byte, at int, what string) *fault.Fault {
	before := body[:max(0, min(at, len(body)))]
	line := bytes.Count(before, []byte("\n")) + 1
	column := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1

	return fault.New(fault.CodeMalformedBody, "", fmt.Sprintf("The body is not valid JSON at line %d, column %d: %s.", line, column, what))
}

// syntaxMessages maps parts of encoding/json's messages to ours. The first match counts.
var syntaxMessages = [...][2]string{
	{"unexpected end", "it ends too early; a value or a closing bracket is missing"},
	{"beginning of object key", "a field name in double quotes is expected here"},
	{"after object key:value pair", "a comma or } is expected here"},
	{"after object key", "a colon is expected here"},
	{"after array element", "a comma or ] is expected here"},
	{"after top-level value", "nothing may follow the JSON object"},
	{"beginning of value", "a value is expected here (a string in double quotes, a number, true, false, null, an object or an array)"},
	{"in string literal", "a line break or control character inside a string must be written as an escape, like \\n"},
	{"escape", "this escape does not exist; write a backslash as \\\\"},
	{"numeric literal", "this number is not well-formed"},
	{"in literal", "only true, false and null may be written without quotes"},
	{"max depth", "it is nested too deeply"},
}

func explainSyntaxError(message string) string {
	for _, e := range syntaxMessages {
		if strings.Contains(message, e[0]) {
			return e[1]
		}
	}

	return "it cannot be read from here on"
}

// jsonReader reads a body whose syntax was found valid.
type jsonReader struct {
	body    []byte
	decoder *json.Decoder
	count   int
}

// nextOffset returns the offset of the next token.
func (r *jsonReader) nextOffset() int {
	at := int(r.decoder.InputOffset())
	for at < len(r.body) && strings.IndexByte(" \t\r\n,:", r.body[at]) >= 0 {
		at++
	}

	return at
}

func (r *jsonReader) readValue(depth int) (jsonValue, error) {
	v := jsonValue{pos: r.nextOffset()}
	if r.count++; depth > jsonMaxDepth || r.count > jsonMaxValues {
		return v, malformed(r.body, v.pos, fmt.Sprintf("it is nested deeper than %d levels or has more than %d values", jsonMaxDepth, jsonMaxValues))
	}

	token, err := r.decoder.Token()
	if err != nil {
		return v, malformed(r.body, v.pos, "it cannot be read from here on").WithCause(err)
	}

	switch t := token.(type) {
	case bool:
		v.kind = jsonBool
		v.boolean = t
	case json.Number:
		v.kind = jsonNumber
		v.text = t.String()
	case string:
		v.kind = jsonString
		v.text = t
	case json.Delim:
		v.kind = jsonArray
		if t == '{' {
			v.kind = jsonObject
		}

		err = r.readChildren(&v, depth)
	}

	return v, err
}

// readChildren reads up to the end of an array or object.
func (r *jsonReader) readChildren(v *jsonValue, depth int) error {
	for r.decoder.More() {
		at := r.nextOffset()
		name := ""

		if v.kind == jsonObject {
			token, err := r.decoder.Token()
			if err != nil {
				return malformed(r.body, at, "it cannot be read from here on").WithCause(err)
			}

			name, _ = token.(string) // the syntax check has ensured that it is a string
		}

		item, err := r.readValue(depth + 1)
		if err != nil {
			return err
		}

		if v.kind == jsonObject {
			v.members = append(v.members, jsonMember{name: name, pos: at, value: item})
		} else {
			v.items = append(v.items, item)
		}
	}

	if _, err := r.decoder.Token(); err != nil && !errors.Is(err, io.EOF) {
		return malformed(r.body, r.nextOffset(), "it cannot be read from here on").WithCause(err)
	}

	return nil
}

// canonical appends a canonical form of a body, in which key order, white space, escapes
// and the notation of numbers make no difference, and a file is represented by its
// checksum. The idempotency hash is computed from it.
func (v jsonValue) canonical(out []byte) []byte {
	switch v.kind {
	case jsonBool:
		return strconv.AppendBool(out, v.boolean)
	case jsonNumber:
		return append(out, canonicalNumber(v.text)...)
	case jsonString:
		return appendString(out, v.text)
	case jsonArray:
		out = append(out, '[')

		for i, item := range v.items {
			if i > 0 {
				out = append(out, ',')
			}

			out = item.canonical(out)
		}

		return append(out, ']')
	case jsonObject:
		return v.canonicalObject(out)
	case jsonFile:
		return append(append(out, '@'), v.file.sum...)
	}

	return append(out, "null"...)
}

// canonicalObject appends an object with its members sorted by name. A member that repeats
// the one before it with an equal value is left out, because it does not change what the
// body means.
func (v jsonValue) canonicalObject(out []byte) []byte {
	out = append(out, '{')
	lastStart := 0
	lastName := "" // name of the member written last

	for i, m := range v.sorted() {
		end := len(out)
		if i > 0 {
			out = append(out, ',')
		}

		start := len(out)
		out = append(appendString(out, m.name), ':')

		out = m.value.canonical(out)
		if i > 0 && lastName == m.name && bytes.Equal(out[lastStart:end], out[start:]) {
			out = out[:end]
			continue
		}

		lastStart = start
		lastName = m.name
	}

	return append(out, '}')
}

// sorted returns an object's members sorted by name; members with the same name keep their
// order.
func (v jsonValue) sorted() []jsonMember {
	return slices.SortedStableFunc(slices.Values(v.members), func(a, b jsonMember) int { return cmp.Compare(a.name, b.name) })
}

// equal reports whether two values mean the same. It stops at the first difference, so
// that a body of thousands of repetitions is not compared completely each time.
func (v jsonValue) equal(other jsonValue) bool {
	switch {
	case v.kind != other.kind, len(v.items) != len(other.items), len(v.members) != len(other.members):
		return false
	case v.kind == jsonNumber:
		return canonicalNumber(v.text) == canonicalNumber(other.text)
	case v.kind == jsonFile:
		return v.file.sum == other.file.sum
	case v.text != other.text || v.boolean != other.boolean:
		return false
	}

	for i, item := range v.items {
		if !item.equal(other.items[i]) {
			return false
		}
	}

	members := v.sorted()

	otherMembers := other.sorted()
	for i, m := range members {
		if m.name != otherMembers[i].name || !m.value.equal(otherMembers[i].value) {
			return false
		}
	}

	return true
}

// appendString appends a string as JSON, always in the same notation.
func appendString(out []byte, s string) []byte {
	quoted, err := json.Marshal(s)
	if err != nil { // encoding/json has no error for strings
		return strconv.AppendQuote(out, s)
	}

	return append(out, quoted...)
}

// canonicalNumber returns one notation for all notations of a number: digits without zeros
// at either end, and a power of ten. It works on text, so no digit is lost.
func canonicalNumber(s string) string {
	digits, negative := strings.CutPrefix(s, "-")
	exponent := 0

	if i := strings.IndexAny(digits, "eE"); i >= 0 {
		power, err := strconv.Atoi(digits[i+1:])
		if err != nil || power > 1e9 || power < -1e9 {
			return s
		}

		digits = digits[:i]
		exponent = power
	}

	whole, fraction, _ := strings.Cut(digits, ".")
	digits = strings.TrimLeft(whole+fraction, "0")
	exponent -= len(fraction)
	short := strings.TrimRight(digits, "0")

	exponent += len(digits) - len(short)
	switch {
	case short == "":
		return "0"
	case negative:
		short = "-" + short
	}

	return short + "e" + strconv.Itoa(exponent)
}
