package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/unireel/unireel/internal/manual"
)

// loadSpec parses openapi.yaml as a client would, once, since it is long.
var loadSpec = sync.OnceValues(func() (*openapi3.T, error) {
	text, err := manual.SpecJSON(openapi)
	if err != nil {
		return nil, err
	}

	doc, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		return nil, err
	}

	return doc, doc.Validate(context.Background())
})

func testSpec(t testing.TB) *openapi3.T {
	t.Helper()

	doc, err := loadSpec()
	if err != nil {
		t.Fatal(err)
	}

	return doc
}

// TestSpecJSONEqualsYAML compares the served JSON with what another YAML parser makes of
// the file.
func TestSpecJSONEqualsYAML(t *testing.T) {
	text, err := manual.SpecJSON(openapi)
	if err != nil {
		t.Fatal(err)
	}

	var served, read any
	if err := json.Unmarshal(text, &served); err != nil {
		t.Fatal(err)
	}

	if err := yaml.Unmarshal(openapi, &read); err != nil {
		t.Fatal(err)
	}

	again, err := json.Marshal(read)
	if err != nil {
		t.Fatal(err)
	}

	var want any
	if err := json.Unmarshal(again, &want); err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff(want, served); diff != "" {
		t.Errorf("(-YAML +JSON):\n%s", diff)
	}
}

const specRecord = "testdata/openapi.sum"

// TestSpecChangeRaisesVersion compares openapi.yaml with the recorded version and hash.
// Comments and layout do not count.
func TestSpecChangeRaisesVersion(t *testing.T) {
	text, err := manual.SpecJSON(openapi)
	if err != nil {
		t.Fatal(err)
	}

	sum := sha256.Sum256(text)
	now := testSpec(t).Info.Version + " " + hex.EncodeToString(sum[:])

	record, err := os.ReadFile(specRecord)
	if err != nil {
		t.Fatal(err)
	}

	write, problem := compareRecord(strings.TrimSpace(string(record)), now)
	if write && *update {
		checkGolden(t, specRecord, []byte(now+"\n"))
		return
	}

	if problem != "" {
		t.Error(problem)
	}
}

// compareRecord compares the record with the spec, each as "version hash". It returns
// what is wrong, and whether -update may write the record.
func compareRecord(record, now string) (write bool, problem string) {
	was, wasHash, _ := strings.Cut(record, " ")
	is, isHash, _ := strings.Cut(now, " ")
	before, _ := strconv.Atoi(was)

	after, err := strconv.Atoi(is)
	switch {
	case err != nil:
		return false, fmt.Sprintf("info.version of openapi.yaml is %q; it must be a whole number.", is)
	case after < before:
		return false, fmt.Sprintf("info.version of openapi.yaml was lowered from %d to %d.", before, after)
	case after > before:
		return true, fmt.Sprintf("openapi.yaml is version %d, %s says %d: run go test ./internal/api -run RaisesVersion -update", after, specRecord, before)
	case isHash != wasHash:
		return false, fmt.Sprintf("openapi.yaml changed but is still version %d: raise info.version to %d, then run go test ./internal/api -run RaisesVersion -update", after, after+1)
	}

	return false, ""
}

func TestCompareRecord(t *testing.T) {
	for name, c := range map[string]struct {
		record, now string
		write       bool
		message     string
	}{
		"unchanged":        {"3 aa", "3 aa", false, ""},
		"changed":          {"3 aa", "3 bb", false, "raise info.version to 4"},
		"raised":           {"3 aa", "4 bb", true, "-update"},
		"raised unchanged": {"3 aa", "4 aa", true, "-update"},
		"ten after nine":   {"9 aa", "10 bb", true, "-update"},
		"lowered":          {"3 aa", "2 bb", false, "lowered"},
		"not a number":     {"3 aa", "3.1 bb", false, "whole number"},
	} {
		write, problem := compareRecord(c.record, c.now)
		if write != c.write || !strings.Contains(problem, c.message) || (problem == "") != (c.message == "") {
			t.Errorf("%s: %v %q", name, write, problem)
		}
	}
}

// TestSpecIsComplete checks that nothing in the spec lacks a description, bounds or an
// example.
func TestSpecIsComplete(t *testing.T) {
	doc := testSpec(t)

	gaps := specGaps(doc)
	for _, problem := range gaps {
		t.Error(problem)
	}

	doc.Paths.Value("/v1/videos").Post.Summary = ""
	doc.Paths.Value("/v1/videos").Get.Parameters[0].Value.Description = ""
	doc.Paths.Value("/v1/files").Post.RequestBody.Value.Content["multipart/form-data"].Examples = nil
	doc.Components.Schemas["Extra"].Value.Properties["webhook_url"].Value.MaxLength = nil
	doc.Components.Schemas["Balance"].Value.Properties["held"].Value.Description = ""
	doc.Components.Schemas["Balance"].Value.Example = nil

	doc.Webhooks["video.queued"].Post.Description = ""
	if got := specGaps(doc); len(got) < 7 {
		t.Errorf("for a spec with seven gaps it only reports %q", got)
	}
}

// allPaths returns the paths, and the webhooks under the names of their events.
func allPaths(doc *openapi3.T) map[string]*openapi3.PathItem {
	all := doc.Paths.Map() // a copy
	maps.Copy(all, doc.Webhooks)

	return all
}

func specGaps(doc *openapi3.T) []string {
	var list []string

	addGap := func(where, what string) { list = append(list, where+" lacks "+what) }

	all := allPaths(doc)
	for _, path := range slices.Sorted(maps.Keys(all)) {
		for method, o := range all[path].Operations() {
			where := method + " " + path
			if o.Summary == "" || o.Description == "" || o.OperationID == "" || len(o.Tags) != 1 {
				addGap(where, "a summary, a description, an operationId or its tag")
			}

			for _, p := range o.Parameters {
				if p.Value.Description == "" || p.Value.Schema == nil || p.Value.In == "path" && p.Value.Example == nil {
					addGap(where+" "+p.Value.Name, "a description, a schema or, in the path, an example")
				}
			}

			if o.RequestBody != nil {
				for mediaType, content := range o.RequestBody.Value.Content {
					if len(content.Examples) == 0 {
						addGap(where+" "+mediaType, "an example of its request")
					}

					for name, e := range content.Examples {
						if e.Value.Summary == "" {
							addGap(where+" "+name, "a summary")
						}
					}

					list = append(list, schemaGaps(where+" "+mediaType, content.Schema, strings.HasPrefix(path, "/"))...)
				}
			}

			list = append(list, responseGaps(where, o)...)
		}
	}

	slices.Sort(list)

	return slices.Compact(list)
}

func responseGaps(where string, o *openapi3.Operation) (list []string) {
	for status, answer := range o.Responses.Map() {
		for mediaType, content := range answer.Value.Content {
			shown := len(content.Examples) > 0 || content.Example != nil || content.Schema.Value.Example != nil
			if bytes := mediaType == "*/*" || mediaType == "text/html"; !shown && !bytes {
				list = append(list, fmt.Sprintf("%s %s %s lacks an example", where, status, mediaType))
			}

			list = append(list, schemaGaps(fmt.Sprintf("%s %s", where, status), content.Schema, false)...)
		}
	}

	return list
}

// schemaGaps returns the gaps in a schema and its properties. If the schema is sent by
// clients, its values must have bounds, too.
func schemaGaps(where string, s *openapi3.SchemaRef, sent bool) (list []string) {
	for _, part := range slices.Concat(s.Value.AllOf, s.Value.AnyOf, s.Value.OneOf) {
		list = append(list, schemaGaps(where, part, sent)...)
	}

	if s.Value.Items != nil {
		list = append(list, schemaGaps(where+"[]", s.Value.Items, sent)...)
	}

	for name, p := range s.Value.Properties {
		if p.Value.Description == "" {
			list = append(list, where+"."+name+" lacks a description")
		}

		list = append(list, schemaGaps(where+"."+name, p, sent)...)
	}

	if sent && unbounded(s.Value) {
		list = append(list, where+" lacks bounds")
	}

	return list
}

func unbounded(s *openapi3.Schema) bool {
	return s.Type.Includes("string") && s.MaxLength == nil && len(s.Enum) == 0 && s.Format == "" ||
		(s.Type.Includes("number") || s.Type.Includes("integer")) && s.Min == nil ||
		s.Type.Includes("array") && s.MaxItems == nil
}

// TestSpecExamplesAreValid validates each example against its schema.
func TestSpecExamplesAreValid(t *testing.T) {
	doc := testSpec(t)
	n := 0
	check := func(where string, schema *openapi3.SchemaRef, value any) {
		n++

		if err := schema.Value.VisitJSON(value); err != nil {
			t.Errorf("the example %s does not match its schema: %v", where, err)
		}
	}
	content := func(where string, all openapi3.Content) {
		for mediaType, c := range all {
			for name, e := range c.Examples {
				check(where+" "+mediaType+" "+name, c.Schema, e.Value.Value)
			}

			if c.Example != nil {
				check(where+" "+mediaType, c.Schema, c.Example)
			}
		}
	}

	for path, item := range allPaths(doc) {
		for method, o := range item.Operations() {
			where := method + " " + path
			if o.RequestBody != nil {
				content(where, o.RequestBody.Value.Content)
			}

			for status, answer := range o.Responses.Map() {
				content(where+" "+status, answer.Value.Content)
			}

			for _, p := range o.Parameters {
				if p.Value.Example != nil {
					check(where+" "+p.Value.Name, p.Value.Schema, p.Value.Example)
				}
			}
		}
	}

	for name, s := range doc.Components.Schemas {
		if s.Value.Example != nil {
			check(name, s, s.Value.Example)
		}
	}

	if n < 40 {
		t.Errorf("only %d examples were checked", n)
	}
}

// TestSpecHasUniAllPageExamples checks that the spec's examples include, unchanged, the two
// requests on the page of the UniAll API, with which this API is compatible.
func TestSpecHasUniAllPageExamples(t *testing.T) {
	examples := testSpec(t).Components.RequestBodies["Generation"].Value.Content["application/json"].Examples

	for example, file := range map[string]string{"reference_video": "example-1.json", "reference_pictures": "example-2.json"} {
		var want any
		if err := json.Unmarshal([]byte(readExample(t, file)), &want); err != nil {
			t.Fatal(err)
		}

		if got := examples[example].Value.Value; !reflect.DeepEqual(want, got) {
			t.Errorf("%s differs from %s:\n%v\n%v", example, file, got, want)
		}
	}
}
