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

var markdownLink = regexp.MustCompile(`\]\((http[^)]+)\)`)

// TestDocsPagesAreServed follows every link of llms.txt and of the pages it leads to.
func TestDocsPagesAreServed(t *testing.T) {
	env := newTestEnv(t, storetest.SQLiteFile(t))

	index := env.request("", "GET", "/llms.txt", "")
	if index.status != 200 || index.header.Get("Content-Type") != "text/plain; charset=utf-8" || !strings.HasPrefix(string(index.body), "# Unireel\n\n> ") {
		t.Fatalf("llms.txt: %d %v %.200s", index.status, index.header, index.body)
	}

	seen := map[string]bool{}
	todo := []string{}
	follow := func(from string, body []byte) {
		for _, m := range markdownLink.FindAllSubmatch(body, -1) {
			path, ours := strings.CutPrefix(string(m[1]), env.server.URL)
			if !ours {
				t.Errorf("%s links to %s, which does not exist", from, m[1])
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

		a := env.request("", "GET", path, "")
		if a.status != 200 || bytes.Contains(a.body, []byte(manual.BaseURLPlaceholder)) {
			t.Errorf("%s: %d, or it contains no server URL", path, a.status)
		}

		if strings.HasSuffix(path, ".md") {
			if a.header.Get("Content-Type") != "text/markdown; charset=utf-8" {
				t.Errorf("%s is %s", path, a.header.Get("Content-Type"))
			}

			follow(path, a.body)
		}
	}

	m, err := env.api.manual()
	if err != nil {
		t.Fatal(err)
	}

	for _, language := range manual.Languages() {
		for _, name := range m.Names(language) {
			if path := "/docs/" + language + "/" + name; !seen[path] {
				t.Errorf("no page links to %s", path)
			}
		}
	}

	for _, path := range []string{"/docs/en/nothing.md", "/docs/fr/index.md", "/docs/nothing.js", "/docs/docs.html"} {
		if code, _ := env.request("", "GET", path, "").errorCode(t); code != "unknown_path" {
			t.Errorf("%s: %s", path, code)
		}
	}
}

var jsonBlockPattern = regexp.MustCompile("(?s)```json\n(\\{.*?\n\\})\n```")

// TestModelPageExamplesAreAccepted requests an estimate for every body on every model's
// page, in both languages, and checks the price on the page.
func TestModelPageExamplesAreAccepted(t *testing.T) {
	env := newTestEnv(t, storetest.SQLiteFile(t))
	sample := regexp.MustCompile(`file_sample_\w+`)

	for _, model := range env.api.Catalog.Models() {
		for _, language := range manual.Languages() {
			page := env.request("", "GET", "/docs/"+language+"/model-"+model.ID+".md", "")

			bodies := jsonBlockPattern.FindAllSubmatch(page.body, -1)
			if len(bodies) < len(model.Modes) || !bytes.Contains(page.body, []byte(model.UnitPrice.String()+" "+env.api.Catalog.Currency())) {
				t.Errorf("the page of %s has %d examples, or its price is missing", model.ID, len(bodies))
			}

			for _, body := range bodies {
				a := env.request(env.alice, "POST", "/v1/video/generations/estimate", sample.ReplaceAllString(string(body[1]), "file_sample_otter"))
				if a.status != 200 || a.json(t)["resolved_model"] != model.ID {
					t.Errorf("%s: %d %s\n%s", model.ID, a.status, a.body, body[1])
				}
			}
		}
	}
}

// TestTranslationIsComplete checks that openapi.zh.yaml translates every text in
// openapi.yaml and every error that it lists, and nothing else.
func TestTranslationIsComplete(t *testing.T) {
	m := shippedManual(t)
	for _, text := range m.Untranslated() {
		text, unused := strings.CutPrefix(text, "unused: ")
		if unused {
			t.Errorf("openapi.zh.yaml has an unused translation: %s", text)
			continue
		}

		t.Errorf("openapi.zh.yaml has no translation of:\n- en: '%s'\n  zh: ''", strings.ReplaceAll(text, "'", "''"))
	}
}

// TestDocumentCaching checks that documents can be revalidated by ETag, and that files
// stored compressed are served compressed to clients that accept it.
func TestDocumentCaching(t *testing.T) {
	env := newTestEnv(t, storetest.SQLiteFile(t))
	for _, path := range []string{"/docs", "/docs/docs.js", "/docs/swagger-ui-bundle.js", "/docs/zh/index.md", "/llms.txt"} {
		first := env.request("", "GET", path, "", "Accept-Encoding", "br, gzip;q=1.0")

		again := env.request("", "GET", path, "", "Accept-Encoding", "br, gzip;q=1.0", "If-None-Match", first.header.Get("ETag"))
		if first.status != 200 || again.status != 304 || len(again.body) != 0 || first.header.Get("Cache-Control") != "no-cache" || first.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d, then %d; %v", path, first.status, again.status, first.header)
		}
	}

	zipped := env.request("", "GET", "/docs/swagger-ui.css", "", "Accept-Encoding", "gzip")
	plain := env.request("", "GET", "/docs/swagger-ui.css", "", "Accept-Encoding", "gzip;q=0, identity")

	body, err := gunzip(zipped.body)
	if err != nil || zipped.header.Get("Content-Encoding") != "gzip" || plain.header.Get("Content-Encoding") != "" || !bytes.Equal(body, plain.body) {
		t.Errorf("compressed: %v %v; not: %v", err, zipped.header, plain.header)
	}

	if zipped.header.Get("ETag") == plain.header.Get("ETag") || zipped.header.Get("Vary") == "" {
		t.Errorf("a cache can confuse the compressed and the plain form: %v %v", zipped.header, plain.header)
	}
}

// TestViewerChecksums compares the third-party files of /docs with the checksums that
// scripts/viewer verified.
func TestViewerChecksums(t *testing.T) {
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
				body, err = gunzip(body)
			}
		}

		if sum := sha256.Sum256(body); err != nil || hex.EncodeToString(sum[:]) != want {
			t.Errorf("%s (%v) differs from the published file; run scripts/viewer to fetch it again", name, err)
		}
	}

	if len(lines) < 5 {
		t.Errorf("only %d files have checksums", len(lines))
	}
}

// shippedManual returns the documentation of the models that ship with the server.
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

// TestDashScopePagesShowDashScopeErrors checks that the DashScope pages show DashScope's
// error codes and format, and that all other pages show Unireel's.
func TestDashScopePagesShowDashScopeErrors(t *testing.T) {
	m := shippedManual(t)
	flat, _ := m.Page("en", "create-dash-scope.md")

	ours, _ := m.Page("en", "create-video.md")
	for text, page := range map[string]string{
		"`{\"code\", \"message\", \"request_id\"}`": flat, "| 429 | `Throttling.RateQuota` |": flat, "| 404 | `ModelNotFound` |": flat, "-H 'X-DashScope-Async: enable'": flat,
		"`{\"error\": {": ours, "| 429 | `rate_limited` |": ours, "| 402 | `budget_exceeded` |": ours,
	} {
		if !strings.Contains(page, text) {
			t.Errorf("missing on the page: %s", text)
		}
	}

	if strings.Contains(flat, "`{\"error\": {") || strings.Contains(flat, "rate_limited") {
		t.Error("the DashScope page also has Unireel's errors")
	}
}

func TestLanguagesHaveSamePages(t *testing.T) {
	m := shippedManual(t)
	if diff := cmp.Diff(m.Names("en"), m.Names("zh")); diff != "" || len(m.Names("en")) < 50 {
		t.Errorf("pages (-en +zh):\n%s", diff)
	}

	blocks := regexp.MustCompile("(?s)```json\n(.*?)\n```")

	for _, name := range m.Names("zh") {
		en, _ := m.Page("en", name)

		zh, _ := m.Page("zh", name)
		if !strings.ContainsFunc(zh, func(r rune) bool { return r >= 0x4e00 && r < 0xa000 }) || strings.Count(en, "\n#") != strings.Count(zh, "\n#") || strings.Count(en, "\n|") != strings.Count(zh, "\n|") {
			t.Errorf("%s: the Chinese page has a different structure than the English one", name)
		}

		for _, page := range []string{en, zh} {
			for _, block := range blocks.FindAllStringSubmatch(page, -1) {
				if !json.Valid([]byte(block[1])) {
					t.Errorf("%s shows invalid JSON: %s", name, block[1])
				}
			}

			if !strings.HasPrefix(page, "# ") || slices.ContainsFunc(strings.Split(page, "\n"), func(l string) bool { return strings.HasPrefix(l, "|") && !strings.HasSuffix(l, "|") }) {
				t.Errorf("%s is not a well-formed page", name)
			}
		}
	}
}
