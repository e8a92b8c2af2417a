package api

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/store"
)

// Limits on the structure of a form, whatever its size in bytes. No valid request comes
// near them.
const (
	formMaxParts = 1000
	formMaxFiles = 16
)

// formBody is the form of a create request. Its parts come in any order; their values
// become the same as those of a JSON body.
type formBody struct {
	save     func(name string, r io.Reader) (store.File, error) // stores a file's bytes
	textLeft int64                                              // bytes that text parts may still use
	fields   []formField
	files    []store.File // stored so far; their bytes are saved, but no row names them yet
	faults   []catalog.PositionedFault
}

// formField is one part: metadata[shot] is the field metadata with the path [shot].
type formField struct {
	name  string
	path  []string // the names in brackets; "" for []
	value jsonValue
}

// formFile is what is known of a file that came as a part.
type formFile struct {
	sum   string // hex SHA-256
	kind  string // "image", "video", "audio"; "" if the file was not stored
	fault *fault.Fault
}

// formListFields are the fields that are lists and accept one value as well as many: a
// value without brackets is one element.
var formListFields = []string{"images", "videos", "references", inputReferenceField}

// acceptsFile reports whether the field may contain a file.
func (f formField) acceptsFile() bool {
	return f.name == "image" || f.name == "audio" || slices.Contains(formListFields, f.name) || f.name == extraBody && slices.Equal(f.path, []string{"audio"})
}

// read reads every part. After an error, files holds what was stored until then, for the
// caller to discard.
func (f *formBody) read(parts *formParts) error {
	for n := 1; ; n++ {
		p, err := parts.next()
		if errors.Is(err, io.EOF) {
			return nil
		}

		if err != nil {
			return err
		}

		if n > formMaxParts {
			return fault.New(fault.CodeMalformedBody, "", fmt.Sprintf("The form has more than %d parts.", formMaxParts))
		}

		fieldName := strings.ToValidUTF8(p.FormName(), "\uFFFD")
		if fieldName == "" {
			return fault.New(fault.CodeMalformedBody, "", "A part of the form has no name: each begins with Content-Disposition: form-data; name=\"prompt\", or another field's.")
		}

		field := newFormField(fieldName)
		if isFile(p) {
			field.value, err = f.readFile(field, fieldName, p)
		} else {
			field.value, err = f.readText(fieldName, p)
		}

		if err != nil {
			return err
		}

		field.value.pos = n
		f.fields = append(f.fields, field)
	}
}

// isFile tells a file from text: by its file name, or by a content type that text does not
// have.
func isFile(p *multipart.Part) bool {
	kind, _, _ := strings.Cut(p.Header.Get("Content-Type"), "/")
	return p.FileName() != "" || kind == "image" || kind == "video" || kind == "audio"
}

// newFormField splits a name like "metadata[shot]". A malformed name is kept as a whole;
// no field has such a name, so it is reported as unknown.
func newFormField(fullName string) formField {
	name, rest, _ := strings.Cut(fullName, "[")

	whole := formField{name: fullName}
	if name == "" || rest == "" {
		return whole.asListElement()
	}

	inner, closed := strings.CutSuffix(rest, "]")

	path := strings.Split(inner, "][")
	if !closed || len(path) > jsonMaxDepth || slices.ContainsFunc(path, func(s string) bool { return strings.ContainsAny(s, "[]") }) {
		return whole
	}

	return formField{name: name, path: path}.asListElement()
}

// asListElement turns a field that names a whole list into one of its elements.
func (f formField) asListElement() formField {
	if slices.Contains(formListFields, f.name) && (len(f.path) == 0 || f.path[0] != "" && !isIndex(f.path[0])) {
		f.path = append([]string{""}, f.path...)
	}

	return f
}

func isIndex(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= 0 && n < formMaxParts && strconv.Itoa(n) == s
}

// readText reads a part that is text.
func (f *formBody) readText(fieldName string, p *multipart.Part) (jsonValue, error) {
	text, err := io.ReadAll(io.LimitReader(formPart{p}, f.textLeft+1))
	if err != nil {
		return jsonValue{}, err
	}

	if f.textLeft -= int64(len(text)); f.textLeft < 0 {
		return jsonValue{}, fault.New(fault.CodeBodyTooLarge, truncateName(fieldName), "The form's text fields are larger than the limit of 32 MiB; send large media as file parts.")
	}

	v := jsonValue{kind: jsonString, text: string(text), fromForm: true}
	if !utf8.Valid(text) {
		v.text = strings.ToValidUTF8(v.text, "\uFFFD")

		f.addFault(len(f.fields)+1, fault.CodeInvalidValue, truncateName(fieldName), "The text has bytes that are not UTF-8; remove them.")
	}

	return v, nil
}

func (f *formBody) addFault(at int, code fault.Code, param, detail string) {
	if len(f.faults) < catalog.MaxFaults {
		f.faults = append(f.faults, catalog.PositionedFault{Pos: at, Fault: *fault.New(code, param, detail)})
	}
}

// readFile stores the bytes of a part whose field accepts a file. An unsupported file type
// is reported later together with the other faults; what must end the request is an error.
func (f *formBody) readFile(field formField, fieldName string, p *multipart.Part) (jsonValue, error) {
	v := jsonValue{kind: jsonFile, file: &formFile{}}

	if !field.acceptsFile() {
		_, err := io.Copy(io.Discard, formPart{p}) // bounded, because the whole body is
		return v, err
	}

	if len(f.files) == formMaxFiles {
		return v, fault.New(fault.CodeInvalidValue, truncateName(fieldName), fmt.Sprintf("The form has more than %d files.", formMaxFiles))
	}

	saved, err := f.save(p.FileName(), formPart{p})

	var fileFault *fault.Fault
	switch {
	case err == nil:
		f.files = append(f.files, saved)
		v.text = saved.ID
		v.file.sum = saved.SHA256
		v.file.kind = saved.Kind

		return v, nil
	case !errors.As(err, &fileFault):
		return v, err
	case fileFault.Code == fault.CodeUnsupportedFileType:
		v.file.fault = fileFault
		_, err := io.Copy(io.Discard, formPart{p})

		return v, err
	case fileFault.Param == "file":
		fieldFault := *fileFault
		fieldFault.Param = truncateName(fieldName)

		return v, &fieldFault
	}

	return v, err
}

// toObject returns the form as the JSON object that it represents.
func (f *formBody) toObject() jsonValue {
	return jsonValue{kind: jsonObject, members: f.members(f.fields, "")}
}

// members groups fields by name, in the order of their first appearance. A field given
// twice with different brackets yields two members with one name. place is the path of the
// enclosing field, "" at the top level.
func (f *formBody) members(fields []formField, path string) []jsonMember {
	byName := map[string][]formField{}

	var names []string

	for _, field := range fields {
		if byName[field.name] == nil {
			names = append(names, field.name)
		}

		byName[field.name] = append(byName[field.name], field)
	}

	var list []jsonMember

	for _, name := range names {
		memberPath := name
		if path != "" {
			memberPath = path + "[" + name + "]"
		}

		for _, v := range f.values(byName[name], memberPath) {
			list = append(list, jsonMember{name: name, pos: v.pos, value: v})
		}
	}

	return list
}

// values returns the values of one name: its plain values, the list of its [] parts, the
// list of its [0], [1] parts, and the object of its other brackets. More than one kind
// yields more than one value, which uniallBody then reports as a conflict unless they are
// equal.
func (f *formBody) values(fields []formField, path string) []jsonValue {
	var (
		list                     []jsonValue
		appended, indexed, named []formField
	)

	for _, field := range fields {
		switch {
		case len(field.path) == 0:
			list = append(list, field.value)
		case field.path[0] == "":
			appended = append(appended, field.inner())
		case isIndex(field.path[0]) && slices.Contains(formListFields, path):
			indexed = append(indexed, field.inner())
		default:
			named = append(named, field.inner())
		}
	}

	if len(appended) > 0 {
		list = append(list, jsonValue{pos: appended[0].value.pos, kind: jsonArray, items: f.appendedItems(appended, path)})
	}

	if len(indexed) > 0 {
		list = append(list, jsonValue{pos: indexed[0].value.pos, kind: jsonArray, items: f.indexedItems(indexed, path)})
	}

	if len(named) > 0 {
		list = append(list, jsonValue{pos: named[0].value.pos, kind: jsonObject, members: f.members(named, path)})
	}

	return list
}

// inner returns the field as seen from inside its first bracket, which becomes its name.
func (f formField) inner() formField {
	return formField{name: f.path[0], path: f.path[1:], value: f.value}
}

// appendedItems returns the elements of a list written with [].
//
// Each plain value is an element. Of references[][url] and references[][type], the nth url
// belongs to the nth type, because some clients send all urls before all types. This is
// only unambiguous if every key appears equally often; otherwise the client must number
// the elements.
func (f *formBody) appendedItems(fields []formField, path string) []jsonValue {
	if !slices.ContainsFunc(fields, func(field formField) bool { return len(field.path) > 0 }) {
		return valuesOf(fields)
	}

	elements := [][]formField{}
	counts := map[string]int{}
	plain := 0

	for _, field := range fields {
		field.name = ""

		n := len(elements)
		if path != inputReferenceField && len(field.path) > 0 {
			key := strings.Join(field.path, "][")
			n = counts[key]
			counts[key]++
		} else {
			plain++
		}

		if n == len(elements) {
			elements = append(elements, nil)
		}

		elements[n] = append(elements[n], field)
	}

	if unevenCounts(counts) || plain > 0 && len(counts) > 0 {
		f.addFault(fields[0].value.pos, fault.CodeConflictingFields, path, fmt.Sprintf("It is ambiguous which values belong together under `%s[]`; number the elements: `%s[0][url]`, `%s[0][type]`, `%s[1][url]`.", path, path, path, path))
		return nil
	}

	items := make([]jsonValue, 0, len(elements))
	for _, element := range elements {
		items = append(items, f.values(element, path+"[]")...)
	}

	return items
}

func valuesOf(fields []formField) []jsonValue {
	items := make([]jsonValue, 0, len(fields))
	for _, field := range fields {
		items = append(items, field.value)
	}

	return items
}

// unevenCounts reports whether the keys of a list's elements appear unequally often.
func unevenCounts(counts map[string]int) bool {
	list := slices.Collect(maps.Values(counts))
	return len(list) > 0 && slices.Min(list) != slices.Max(list)
}

// indexedItems returns the elements of a list written with [0], [1], by number.
func (f *formBody) indexedItems(fields []formField, path string) []jsonValue {
	byIndex := map[int][]formField{}

	for _, field := range fields {
		n, _ := strconv.Atoi(field.name) // isIndex has checked it
		byIndex[n] = append(byIndex[n], field)
	}

	var items []jsonValue

	for i, n := range slices.SortedFunc(maps.Keys(byIndex), cmp.Compare[int]) {
		element := byIndex[n]
		if i != n {
			f.addFault(element[0].value.pos, fault.CodeInvalidValue, fmt.Sprintf("%s[%d]", path, n), fmt.Sprintf("The elements of `%s` are counted from 0 without a gap.", path))
			return items
		}

		values := f.values(element, fmt.Sprintf("%s[%d]", path, n))
		if slices.ContainsFunc(values[1:], func(v jsonValue) bool { return !v.equal(values[0]) }) {
			f.addFault(values[1].pos, fault.CodeConflictingFields, fmt.Sprintf("%s[%d]", path, n), "This field is given twice with different values; give it once.")
		}

		items = append(items, values[0])
	}

	return items
}
