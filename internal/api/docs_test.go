package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/manual"
	"github.com/unireel/unireel/internal/store/storetest"
)

var link = regexp.MustCompile(`\]\((http[^)]+)\)`)

// TestThePagesAreServed follows every link of llms.txt and of the pages it leads to.
func TestThePagesAreServed(t *testing.T) {
	w := newWorld(t, storetest.File(t))

	index := w.ask("", "GET", "/llms.txt", "")
	if index.status != 200 || index.header.Get("Content-Type") != "text/plain; charset=utf-8" || !strings.HasPrefix(string(index.body), "# Unireel\n\n> ") {
		t.Fatalf("llms.txt: %d %v %.200s", index.status, index.header, index.body)
	}

	seen := map[string]bool{}
	todo := []string{}
	follow := func(from string, body []byte) {
		for _, m := range link.FindAllSubmatch(body, -1) {
			path, ours := strings.CutPrefix(string(m[1]), w.server.URL)
			if !ours {
				t.Errorf("%s leads to %s", from, m[1])
			} else if !seen[path] {
				seen[path] = true
				todo = append(todo, path)
			}
		}
	}
	follow("/llms.txt", index.body)

	for len(todo) > 0 {
		path := todo[0]
		todo = todo[1:]

		a := w.ask("", "GET", path, "")
		if a.status != 200 || bytes.Contains(a.body, []byte(manual.Address)) {
			t.Errorf("%s: %d, or it has no address in it", path, a.status)
		}

		if strings.HasSuffix(path, ".md") {
			if a.header.Get("Content-Type") != "text/markdown; charset=utf-8" {
				t.Errorf("%s is %s", path, a.header.Get("Content-Type"))
			}

			follow(path, a.body)
		}
	}

	m, err := w.api.manual()
	if err != nil {
		t.Fatal(err)
	}

	for _, language := range manual.Languages() {
		for _, name := range m.Names(language) {
			if path := "/docs/" + language + "/" + name; !seen[path] {
				t.Errorf("no link leads to %s", path)
			}
		}
	}

	for _, path := range []string{"/docs/en/nothing.md", "/docs/fr/index.md", "/docs/nothing.js", "/docs/docs.html"} {
		if code, _ := w.ask("", "GET", path, "").code(t); code != "unknown_path" {
			t.Errorf("%s: %s", path, code)
		}
	}
}

var posted = regexp.MustCompile("(?s)```json\n(\\{.*?\n\\})\n```")

// TestTheModelsExamplesAreTaken asks for an estimate of every body on every
// model's page, in both languages, and finds the price that the page says.
func TestTheModelsExamplesAreTaken(t *testing.T) {
	w := newWorld(t, storetest.File(t))
	sample := regexp.MustCompile(`file_sample_\w+`)

	for _, model := range w.api.Catalog.Models() {
		for _, language := range manual.Languages() {
			page := w.ask("", "GET", "/docs/"+language+"/model-"+model.ID+".md", "")

			bodies := posted.FindAllSubmatch(page.body, -1)
			if len(bodies) < len(model.Modes) || !bytes.Contains(page.body, []byte(model.UnitPrice.String()+" "+w.api.Catalog.Currency())) {
				t.Errorf("the page of %s has %d examples or not its price", model.ID, len(bodies))
			}

			for _, body := range bodies {
				a := w.ask(w.alice, "POST", "/v1/video/generations/estimate", sample.ReplaceAllString(string(body[1]), "file_sample_otter"))
				if a.status != 200 || a.json(t)["resolved_model"] != model.ID {
					t.Errorf("%s: %d %s\n%s", model.ID, a.status, a.body, body[1])
				}
			}
		}
	}
}

// TestTheChineseIsWhole: whoever writes a text into openapi.yaml, or names an error
// there, writes its Chinese beside it.
func TestTheChineseIsWhole(t *testing.T) {
	m := shippedManual(t)
	for _, text := range m.Untranslated() {
		text, unused := strings.CutPrefix(text, "unused: ")
		if unused {
			t.Errorf("openapi.zh.yaml has the Chinese of what nothing says: %s", text)
			continue
		}

		t.Errorf("openapi.zh.yaml has no Chinese of:\n- en: '%s'\n  zh: ''", strings.ReplaceAll(text, "'", "''"))
	}
}

// TestTheDocumentsAreCached: who has one is told that it is the same, and gets it
// compressed where that is how it is kept.
func TestTheDocumentsAreCached(t *testing.T) {
	w := newWorld(t, storetest.File(t))
	for _, path := range []string{"/docs", "/docs/docs.js", "/docs/swagger-ui-bundle.js", "/docs/zh/index.md", "/llms.txt"} {
		first := w.ask("", "GET", path, "", "Accept-Encoding", "br, gzip;q=1.0")

		again := w.ask("", "GET", path, "", "Accept-Encoding", "br, gzip;q=1.0", "If-None-Match", first.header.Get("ETag"))
		if first.status != 200 || again.status != 304 || len(again.body) != 0 || first.header.Get("Cache-Control") != "no-cache" || first.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d, then %d; %v", path, first.status, again.status, first.header)
		}
	}

	zipped := w.ask("", "GET", "/docs/swagger-ui.css", "", "Accept-Encoding", "gzip")
	plain := w.ask("", "GET", "/docs/swagger-ui.css", "", "Accept-Encoding", "gzip;q=0, identity")

	body, err := unzip(zipped.body)
	if err != nil || zipped.header.Get("Content-Encoding") != "gzip" || plain.header.Get("Content-Encoding") != "" || !bytes.Equal(body, plain.body) {
		t.Errorf("compressed: %v %v; not: %v", err, zipped.header, plain.header)
	}

	if zipped.header.Get("ETag") == plain.header.Get("ETag") || zipped.header.Get("Vary") == "" {
		t.Errorf("a cache takes one form for the other: %v %v", zipped.header, plain.header)
	}
}

// TestTheViewerIsAsPublished holds the files of /docs that are not ours to the sums
// that scripts/viewer checked.
func TestTheViewerIsAsPublished(t *testing.T) {
	sums, err := os.ReadFile("viewer/SHA256SUMS")
	if err != nil {
		t.Fatal(err)
	}

	lines := strings.Split(strings.TrimSpace(string(sums)), "\n")
	for _, line := range lines {
		want, name, _ := strings.Cut(line, "  ")

		body, err := os.ReadFile("viewer/" + name)
		if err != nil {
			if body, err = os.ReadFile("viewer/" + name + ".gz"); err == nil {
				body, err = unzip(body)
			}
		}

		if sum := sha256.Sum256(body); err != nil || hex.EncodeToString(sum[:]) != want {
			t.Errorf("%s (%v) is not as it was published; scripts/viewer fetches it anew", name, err)
		}
	}

	if len(lines) < 5 {
		t.Errorf("only %d files have sums", len(lines))
	}
}

// shippedManual is the pages of the models that ship.
func shippedManual(t *testing.T) *manual.Manual {
	t.Helper()

	models, err := catalog.Load(catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}

	m, err := (&API{Options: Options{Catalog: models}}).newManual()
	if err != nil {
		t.Fatal(err)
	}

	return m
}

// TestThePagesOfDashScopesDialectSayItsErrors: its codes and its shape, where those
// of every other page are ours.
func TestThePagesOfDashScopesDialectSayItsErrors(t *testing.T) {
	m := shippedManual(t)
	flat, _ := m.Page("en", "create-dash-scope.md")

	ours, _ := m.Page("en", "create-video.md")
	for text, page := range map[string]string{
		"`{\"code\", \"message\", \"request_id\"}`": flat, "| 429 | `Throttling.RateQuota` |": flat, "| 404 | `ModelNotFound` |": flat, "-H 'X-DashScope-Async: enable'": flat,
		"`{\"error\": {": ours, "| 429 | `rate_limited` |": ours, "| 402 | `budget_exceeded` |": ours,
	} {
		if !strings.Contains(page, text) {
			t.Errorf("no page says %s", text)
		}
	}

	if strings.Contains(flat, "`{\"error\": {") || strings.Contains(flat, "rate_limited") {
		t.Error("the page of DashScope's dialect has our errors, too")
	}
}

func TestBothLanguagesHaveTheSamePages(t *testing.T) {
	m := shippedManual(t)
	if diff := cmp.Diff(m.Names("en"), m.Names("zh")); diff != "" || len(m.Names("en")) < 50 {
		t.Errorf("pages (-en +zh):\n%s", diff)
	}

	blocks := regexp.MustCompile("(?s)```json\n(.*?)\n```")

	for _, name := range m.Names("zh") {
		en, _ := m.Page("en", name)

		zh, _ := m.Page("zh", name)
		if !strings.ContainsFunc(zh, func(r rune) bool { return r >= 0x4e00 && r < 0xa000 }) || strings.Count(en, "\n#") != strings.Count(zh, "\n#") || strings.Count(en, "\n|") != strings.Count(zh, "\n|") {
			t.Errorf("%s has other parts in Chinese than in English", name)
		}

		for _, page := range []string{en, zh} {
			for _, block := range blocks.FindAllStringSubmatch(page, -1) {
				if !json.Valid([]byte(block[1])) {
					t.Errorf("%s shows what is no JSON: %s", name, block[1])
				}
			}

			if !strings.HasPrefix(page, "# ") || slices.ContainsFunc(strings.Split(page, "\n"), func(l string) bool { return strings.HasPrefix(l, "|") && !strings.HasSuffix(l, "|") }) {
				t.Errorf("%s is no well-formed page", name)
			}
		}
	}
}
