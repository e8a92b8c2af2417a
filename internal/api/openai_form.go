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

// What a form may consist of, whatever its bytes: none of ours comes near.
const (
	formMaxParts = 1000
	formMaxFiles = 16
)

// formBody is a create's form. Its parts come in any order; read in the order that
// they have they become the same values as a JSON body's.
type formBody struct {
	keep   func(name string, r io.Reader) (store.File, error) // keeps a file's bytes
	room   int64                                              // bytes that its texts may still have
	fields []formField
	files  []store.File // whose bytes are kept, and who knows them not yet
	faults []catalog.Placed
}

// formField is one part: metadata[shot] is metadata with the path [shot].
type formField struct {
	name  string
	path  []string // what stands in brackets; "" for []
	value jsonValue
}

// formFile is what is known of a file that came as a part.
type formFile struct {
	sum   string // hex SHA-256
	kind  string // "image", "video", "audio"; "" when it was not kept
	wrong *fault.Fault
}

// formLists are the fields that are lists, and take one value as well as many: what
// stands without brackets is one of their elements.
var formLists = []string{"images", "videos", "references", inputReference}

// takesFile says whether a file may stand in a field.
func (f formField) takesFile() bool {
	return f.name == "image" || f.name == "audio" || slices.Contains(formLists, f.name) || f.name == extraBody && slices.Equal(f.path, []string{"audio"})
}

// read reads every part. After an error, files may hold what was kept by then.
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

		written := strings.ToValidUTF8(p.FormName(), "\uFFFD")
		if written == "" {
			return fault.New(fault.CodeMalformedBody, "", "A part of the form has no name: each begins with Content-Disposition: form-data; name=\"prompt\", or another field's.")
		}

		field := newFormField(written)
		if isFile(p) {
			field.value, err = f.file(field, written, p)
		} else {
			field.value, err = f.words(written, p)
		}

		if err != nil {
			return err
		}

		field.value.at = n
		f.fields = append(f.fields, field)
	}
}

// isFile tells a file from a text: by its name, or by a type that no text has.
func isFile(p *multipart.Part) bool {
	kind, _, _ := strings.Cut(p.Header.Get("Content-Type"), "/")
	return p.FileName() != "" || kind == "image" || kind == "video" || kind == "audio"
}

// newFormField takes a name apart: "metadata[shot]". What is not well-formed is a
// name as a whole, which no field has.
func newFormField(written string) formField {
	name, rest, _ := strings.Cut(written, "[")

	whole := formField{name: written}
	if name == "" || rest == "" {
		return whole.listed()
	}

	inner, closed := strings.CutSuffix(rest, "]")

	path := strings.Split(inner, "][")
	if !closed || len(path) > jsonMaxDepth || slices.ContainsFunc(path, func(s string) bool { return strings.ContainsAny(s, "[]") }) {
		return whole
	}

	return formField{name: name, path: path}.listed()
}

// listed makes an element of what names a whole list.
func (f formField) listed() formField {
	if slices.Contains(formLists, f.name) && (len(f.path) == 0 || f.path[0] != "" && !isIndex(f.path[0])) {
		f.path = append([]string{""}, f.path...)
	}

	return f
}

func isIndex(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= 0 && n < formMaxParts && strconv.Itoa(n) == s
}

// words reads a part that is text.
func (f *formBody) words(written string, p *multipart.Part) (jsonValue, error) {
	text, err := io.ReadAll(io.LimitReader(formPart{p}, f.room+1))
	if err != nil {
		return jsonValue{}, err
	}

	if f.room -= int64(len(text)); f.room < 0 {
		return jsonValue{}, fault.New(fault.CodeTooLarge, brief(written), "The form's texts are larger than the 32 MiB that are taken; send big media as file parts.")
	}

	v := jsonValue{kind: jsonString, text: string(text), loose: true}
	if !utf8.Valid(text) {
		v.text = strings.ToValidUTF8(v.text, "\uFFFD")

		f.fault(len(f.fields)+1, fault.CodeInvalidValue, brief(written), "The text has bytes that are no UTF-8; take them out.")
	}

	return v, nil
}

func (f *formBody) fault(at int, code fault.Code, param, detail string) {
	if len(f.faults) < catalog.MaxFaults {
		f.faults = append(f.faults, catalog.Placed{At: at, Fault: *fault.New(code, param, detail)})
	}
}

// file keeps the bytes of a part where its field takes a file. What is wrong with
// the bytes is said among the other faults; what ends the request is an error.
func (f *formBody) file(field formField, written string, p *multipart.Part) (jsonValue, error) {
	v := jsonValue{kind: jsonFile, file: &formFile{}}

	if !field.takesFile() {
		_, err := io.Copy(io.Discard, formPart{p}) // bounded: the whole body is
		return v, err
	}

	if len(f.files) == formMaxFiles {
		return v, fault.New(fault.CodeInvalidValue, brief(written), fmt.Sprintf("The form has more than %d files.", formMaxFiles))
	}

	kept, err := f.keep(p.FileName(), formPart{p})

	var wrong *fault.Fault
	switch {
	case err == nil:
		f.files = append(f.files, kept)
		v.text = kept.ID
		v.file.sum = kept.SHA256
		v.file.kind = kept.Kind

		return v, nil
	case !errors.As(err, &wrong):
		return v, err
	case wrong.Code == fault.CodeFileType:
		v.file.wrong = wrong
		_, err := io.Copy(io.Discard, formPart{p})

		return v, err
	case wrong.Param == "file":
		named := *wrong
		named.Param = brief(written)

		return v, &named
	}

	return v, err
}

// root is the form as the JSON object that it stands for.
func (f *formBody) root() jsonValue {
	return jsonValue{kind: jsonObject, members: f.members(f.fields, "")}
}

// members groups fields by their names, in the order in which these first stand.
// What stands twice with other brackets or none is two members of one name. place
// is where the fields stand, "" at the top.
func (f *formBody) members(fields []formField, place string) []jsonMember {
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
		inside := name
		if place != "" {
			inside = place + "[" + name + "]"
		}

		for _, v := range f.values(byName[name], inside) {
			list = append(list, jsonMember{name: name, at: v.at, value: v})
		}
	}

	return list
}

// values is what stands under one name: its plain values, the list of its [], the
// list of its [0], [1], and the object of its other brackets.
func (f *formBody) values(fields []formField, place string) []jsonValue {
	var (
		list                   []jsonValue
		pushed, indexed, named []formField
	)

	for _, field := range fields {
		switch {
		case len(field.path) == 0:
			list = append(list, field.value)
		case field.path[0] == "":
			pushed = append(pushed, field.below())
		case isIndex(field.path[0]) && slices.Contains(formLists, place):
			indexed = append(indexed, field.below())
		default:
			named = append(named, field.below())
		}
	}

	if len(pushed) > 0 {
		list = append(list, jsonValue{at: pushed[0].value.at, kind: jsonArray, items: f.pushed(pushed, place)})
	}

	if len(indexed) > 0 {
		list = append(list, jsonValue{at: indexed[0].value.at, kind: jsonArray, items: f.indexed(indexed, place)})
	}

	if len(named) > 0 {
		list = append(list, jsonValue{at: named[0].value.at, kind: jsonObject, members: f.members(named, place)})
	}

	return list
}

// below is a field as seen from inside its first bracket, which names it there.
func (f formField) below() formField {
	return formField{name: f.path[0], path: f.path[1:], value: f.value}
}

// pushed is the elements of a list written with []. Each value is an element; but
// those of references[][url] and references[][type] belong together, the nth to the
// nth, since some clients send all of the one before all of the other.
func (f *formBody) pushed(fields []formField, place string) []jsonValue {
	if !slices.ContainsFunc(fields, func(x formField) bool { return len(x.path) > 0 }) {
		return each(fields)
	}

	elements := [][]formField{}
	counts := map[string]int{}
	plain := 0

	for _, x := range fields {
		x.name = ""

		n := len(elements)
		if place != inputReference && len(x.path) > 0 {
			key := strings.Join(x.path, "][")
			n = counts[key]
			counts[key]++
		} else {
			plain++
		}

		if n == len(elements) {
			elements = append(elements, nil)
		}

		elements[n] = append(elements[n], x)
	}

	if uneven(counts) || plain > 0 && len(counts) > 0 {
		f.fault(fields[0].value.at, fault.CodeConflict, place, fmt.Sprintf("It cannot be told what belongs together under `%s[]`; number the elements: `%s[0][url]`, `%s[0][type]`, `%s[1][url]`.", place, place, place, place))
		return nil
	}

	items := make([]jsonValue, 0, len(elements))
	for _, element := range elements {
		items = append(items, f.values(element, place+"[]")...)
	}

	return items
}

func each(fields []formField) []jsonValue {
	items := make([]jsonValue, 0, len(fields))
	for _, x := range fields {
		items = append(items, x.value)
	}

	return items
}

// uneven says whether the keys of a list's elements stand unequally often.
func uneven(counts map[string]int) bool {
	list := slices.Collect(maps.Values(counts))
	return len(list) > 0 && slices.Min(list) != slices.Max(list)
}

// indexed is the elements of a list written with [0], [1], by their numbers.
func (f *formBody) indexed(fields []formField, place string) []jsonValue {
	byIndex := map[int][]formField{}

	for _, x := range fields {
		n, _ := strconv.Atoi(x.name) // isIndex has seen that it is one
		byIndex[n] = append(byIndex[n], x)
	}

	var items []jsonValue

	for i, n := range slices.SortedFunc(maps.Keys(byIndex), cmp.Compare[int]) {
		element := byIndex[n]
		if i != n {
			f.fault(element[0].value.at, fault.CodeInvalidValue, fmt.Sprintf("%s[%d]", place, n), fmt.Sprintf("The elements of `%s` are counted from 0 without a gap.", place))
			return items
		}

		values := f.values(element, fmt.Sprintf("%s[%d]", place, n))
		if slices.ContainsFunc(values[1:], func(v jsonValue) bool { return !v.equal(values[0]) }) {
			f.fault(values[1].at, fault.CodeConflict, fmt.Sprintf("%s[%d]", place, n), "It stands twice with different values; give it once.")
		}

		items = append(items, values[0])
	}

	return items
}
