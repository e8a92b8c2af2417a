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

// What a body may consist of, whatever its bytes: none of ours comes near.
const (
	jsonMaxDepth  = 16
	jsonMaxValues = 10_000
)

// jsonValue is a JSON value with what a map would lose: the order of its members,
// those that stand twice, places, and numbers as they were written.
type jsonValue struct {
	at      int // byte offset of its first byte
	kind    jsonKind
	text    string // of a string, or a number as written
	yes     bool   // of a boolean
	items   []jsonValue
	members []jsonMember
	loose   bool      // a form's text, which stands for a number or a boolean too
	file    *formFile // of a file, whose id text is
}

// jsonMember is one name and value of an object.
type jsonMember struct {
	name  string
	at    int // byte offset of its name
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
	jsonFile // came as a part of a form
)

// String is the kind with its article, for sentences.
func (k jsonKind) String() string {
	return [...]string{"null", "a boolean", "a number", "a string", "an array", "an object", "a file"}[k]
}

// flag is the boolean that a value stands for.
func (v jsonValue) flag() (yes, ok bool) {
	if v.loose {
		return strings.EqualFold(v.text, "true"), strings.EqualFold(v.text, "true") || strings.EqualFold(v.text, "false")
	}

	return v.yes, v.kind == jsonBool
}

// numeric says whether a value may stand for a number, which its text then is.
func (v jsonValue) numeric() bool { return v.kind == jsonNumber || v.kind == jsonString && v.loose }

// parseJSON reads a body that must be one JSON value. The error is a
// *fault.Fault (malformed_body) that names line and column.
func parseJSON(body []byte) (jsonValue, error) {
	body = bytes.TrimPrefix(body, []byte("\uFEFF"))
	if len(bytes.TrimSpace(body)) == 0 {
		return jsonValue{}, fault.New(fault.CodeMalformedBody, "", "The body is empty; send a JSON object.")
	}

	if !utf8.Valid(body) {
		return jsonValue{}, malformed(body, firstInvalid(body), "these bytes are not UTF-8")
	}
	// The scanner judges first: its errors have places, and the reader below may
	// then take the grammar for granted.
	var syntax *json.SyntaxError
	if err := json.Unmarshal(body, new(struct{})); errors.As(err, &syntax) {
		at := int(syntax.Offset) - 1
		if strings.HasPrefix(syntax.Error(), "unexpected end") {
			at = len(body)
		}

		return jsonValue{}, malformed(body, at, expected(syntax.Error())).Because(err)
	}

	r := &jsonReader{body: body, in: json.NewDecoder(bytes.NewReader(body))}
	r.in.UseNumber()

	return r.value(0)
}

// parseObject reads a body that must be a JSON object.
func parseObject(body []byte) (jsonValue, error) {
	root, err := parseJSON(body)
	if err == nil && root.kind != jsonObject {
		err = fault.New(fault.CodeWrongJSONType, "", "The body must be a JSON object; it is "+root.kind.String()+".")
	}

	return root, err
}

func firstInvalid(body []byte) int {
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

// jsonExpected: how the scanner says it -> how we do. The first that is found counts.
var jsonExpected = [...][2]string{
	{"unexpected end", "it ends too early; a value or a closing bracket is missing"},
	{"beginning of object key", "a field's name in double quotes should stand here"},
	{"after object key:value pair", "a comma or } should stand here"},
	{"after object key", "a colon should stand here"},
	{"after array element", "a comma or ] should stand here"},
	{"after top-level value", "nothing may follow the JSON object"},
	{"beginning of value", "a value should stand here (a string in double quotes, a number, true, false, null, an object or an array)"},
	{"in string literal", "a line break or control character inside a string must be written as an escape, like \\n"},
	{"escape", "this escape does not exist; write a backslash as \\\\"},
	{"numeric literal", "this number is not well-formed"},
	{"in literal", "only true, false and null may stand without quotes"},
	{"max depth", "it is nested too deeply"},
}

func expected(message string) string {
	for _, e := range jsonExpected {
		if strings.Contains(message, e[0]) {
			return e[1]
		}
	}

	return "it cannot be read from here on"
}

// jsonReader reads a body that the scanner found valid.
type jsonReader struct {
	body []byte
	in   *json.Decoder
	seen int
}

// next is where the next token begins.
func (r *jsonReader) next() int {
	at := int(r.in.InputOffset())
	for at < len(r.body) && strings.IndexByte(" \t\r\n,:", r.body[at]) >= 0 {
		at++
	}

	return at
}

func (r *jsonReader) value(depth int) (jsonValue, error) {
	v := jsonValue{at: r.next()}
	if r.seen++; depth > jsonMaxDepth || r.seen > jsonMaxValues {
		return v, malformed(r.body, v.at, fmt.Sprintf("it is nested deeper than %d levels or has more than %d values", jsonMaxDepth, jsonMaxValues))
	}

	token, err := r.in.Token()
	if err != nil {
		return v, malformed(r.body, v.at, "it cannot be read from here on").Because(err)
	}

	switch t := token.(type) {
	case bool:
		v.kind = jsonBool
		v.yes = t
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

		err = r.inside(&v, depth)
	}

	return v, err
}

// inside reads on to the end of an array or object.
func (r *jsonReader) inside(v *jsonValue, depth int) error {
	for r.in.More() {
		at := r.next()
		name := ""

		if v.kind == jsonObject {
			token, err := r.in.Token()
			if err != nil {
				return malformed(r.body, at, "it cannot be read from here on").Because(err)
			}

			name, _ = token.(string) // the scanner has seen that it is one
		}

		item, err := r.value(depth + 1)
		if err != nil {
			return err
		}

		if v.kind == jsonObject {
			v.members = append(v.members, jsonMember{name: name, at: at, value: item})
		} else {
			v.items = append(v.items, item)
		}
	}

	if _, err := r.in.Token(); err != nil && !errors.Is(err, io.EOF) {
		return malformed(r.body, r.next(), "it cannot be read from here on").Because(err)
	}

	return nil
}

// canonical appends a body in a form in which key order, white space, escapes and
// the way a number is written make no difference, and a file is its bytes.
// Idempotency hashes it.
func (v jsonValue) canonical(out []byte) []byte {
	switch v.kind {
	case jsonBool:
		return strconv.AppendBool(out, v.yes)
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

func (v jsonValue) canonicalObject(out []byte) []byte {
	out = append(out, '{')
	begin := 0
	last := "" // of the member before

	for i, m := range v.sorted() {
		end := len(out)
		if i > 0 {
			out = append(out, ',')
		}

		begun := len(out)
		out = append(appendString(out, m.name), ':')

		out = m.value.canonical(out)
		if i > 0 && last == m.name && bytes.Equal(out[begin:end], out[begun:]) {
			out = out[:end]
			continue
		}

		begin = begun
		last = m.name
	}

	return append(out, '}')
}

// sorted is an object's members by name, those of one name as they stand.
func (v jsonValue) sorted() []jsonMember {
	return slices.SortedStableFunc(slices.Values(v.members), func(a, b jsonMember) int { return cmp.Compare(a.name, b.name) })
}

// equal says whether two values mean the same. It stops at the first difference,
// so that a body of thousands of repetitions is not compared whole each time.
func (v jsonValue) equal(other jsonValue) bool {
	switch {
	case v.kind != other.kind, len(v.items) != len(other.items), len(v.members) != len(other.members):
		return false
	case v.kind == jsonNumber:
		return canonicalNumber(v.text) == canonicalNumber(other.text)
	case v.kind == jsonFile:
		return v.file.sum == other.file.sum
	case v.text != other.text || v.yes != other.yes:
		return false
	}

	for i, item := range v.items {
		if !item.equal(other.items[i]) {
			return false
		}
	}

	mine := v.sorted()

	theirs := other.sorted()
	for i, m := range mine {
		if m.name != theirs[i].name || !m.value.equal(theirs[i].value) {
			return false
		}
	}

	return true
}

// appendString writes a string as JSON, always the same way.
func appendString(out []byte, s string) []byte {
	quoted, err := json.Marshal(s)
	if err != nil { // encoding/json has no error for strings
		return strconv.AppendQuote(out, s)
	}

	return append(out, quoted...)
}

// canonicalNumber writes every form of a number alike: digits without zeros at
// either end, and a power of ten. It counts in text, so no digit is ever lost.
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
