package manual

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/fault"
)

const smallSpec = `
info: {title: Small, summary: A small one., description: "Of few\n  words."}
security: [{key: []}]
paths:
  /v1/video/generations:
    post:
      operationId: makeURL
      summary: Make
      description: Makes it.
      x-errors: [unknown_model]
      requestBody:
        content:
          application/json:
            schema: {$ref: "#/components/schemas/Order"}
            examples:
              one: {summary: One, value: {b: "it's <5>", a: 5, "null": ~, list: [true, 1.5], none: {}}}
      responses:
        "200": {description: Made., content: {application/json: {schema: {$ref: "#/components/schemas/Order"}, example: {b: x}}}}
        default: {description: Not made.}
  /open/{id}:
    get:
      operationId: look
      summary: Look
      description: Looks.
      security: []
      parameters:
        - {name: id, in: path, required: true, description: Its id., schema: {type: string, minLength: 1}, example: x1}
        - {name: n, in: query, description: "This | that.", schema: {type: integer, minimum: 1, maximum: 9, default: 3}, example: 7}
      responses: {"204": {description: Nothing.}}
components:
  schemas:
    Inner: {type: object, properties: {deep: {type: [integer, "null"], minimum: 0, description: How deep.}}}
    Order:
      allOf:
        - type: object
          required: [b]
          properties: {b: {type: string, maxLength: 9, description: The b.}}
        - type: object
          properties:
            a: {anyOf: [{type: number}, {type: array, items: {$ref: "#/components/schemas/Inner"}}], description: The a.}
            list: {type: array, maxItems: 2, items: {$ref: "#/components/schemas/Inner"}, description: The list.}
`

func newManual(t *testing.T, chinese string) *Manual {
	t.Helper()

	models, err := catalog.Load(catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}

	m, err := New(Options{
		Spec: []byte(smallSpec), Translations: []byte(chinese), Models: models.Models(), Currency: "USD",
		Status: func(code fault.Code) int { return map[fault.Code]int{fault.CodeUnknownModel: 400}[code] },
	})
	if err != nil {
		t.Fatal(err)
	}

	return m
}

// TestPage checks the pages of a small specification: order, references, constraints, quotes.
func TestPage(t *testing.T) {
	m := newManual(t, "- {en: The b., zh: 乙}\n- {en: 'Of few words.', zh: 少}")

	page, _ := m.Page("zh", "make-url.md")
	for _, want := range []string{
		"# Make\n\n```http\nPOST /v1/video/generations\n```\n\nMakes it.\n",
		"| `b` | string | 是 |  | 最多 9 个字符 | 乙 |\n| `a` | number, object[] | 否 |",
		"| `list[].deep` | integer, null | 否 |  | ≥ 0 | How deep. |",
		"### 示例 1：One\n\n```json\n{\n  \"b\": \"it's <5>\",\n  \"a\": 5,\n  \"null\": null,\n  \"list\": [\n    true,\n    1.5\n  ],\n  \"none\": {}\n}\n```",
		"curl -X POST \"{BASE_URL}/v1/video/generations\" \\\n  -H \"Authorization: Bearer $UNIREEL_API_KEY\" \\\n  -H 'Content-Type: application/json' \\\n  -d '{\n  \"b\": \"it'\\''s <5>\"",
		"| 400 | `unknown_model` |",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not contain\n%s\nbut is\n%s", want, page)
		}
	}

	page, _ = m.Page("en", "look.md")
	for _, want := range []string{"No authentication is needed.", "| `n` | query | integer | No | `3` | 1 – 9 | This \\| that. |", "| `id` | path | string | Yes |  | not empty |", "curl \"{BASE_URL}/open/x1?n=7\"\n", "- `204`: Nothing."} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not contain\n%s\nbut is\n%s", want, page)
		}
	}
}

func TestUntranslated(t *testing.T) {
	var got []string

	for _, text := range newManual(t, "- {en: The b., zh: 乙}\n- {en: Long gone., zh: 无}").Untranslated() {
		if strings.HasPrefix(text, "unused: ") || strings.HasPrefix(text, "The ") && strings.HasSuffix(text, ".") && len(text) < 12 {
			got = append(got, text)
		}
	}

	if diff := cmp.Diff([]string{"The a.", "The list.", "unused: Long gone."}, got); diff != "" {
		t.Errorf("untranslated (-want +got):\n%s", diff)
	}
}

func TestNewRejectsInvalidInput(t *testing.T) {
	for _, o := range []Options{{Spec: []byte("\t")}, {Spec: []byte("[]")}, {Spec: []byte(smallSpec), Translations: []byte("{")}} {
		if _, err := New(o); err == nil {
			t.Errorf("%q, %q: no error", o.Spec, o.Translations)
		}
	}
}
