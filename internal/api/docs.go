package api

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/manual"
)

// viewer is the page /docs and its files. What is not ours in it is fetched by
// scripts/viewer, and its licence stands beside it.
//
//go:embed viewer
var viewer embed.FS

//go:embed openapi.zh.yaml
var chinese []byte

// docsPolicy lets the page run the server's own scripts and ask the server alone:
// nothing inline, nothing evaluated. The pictures are those that its style holds.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const textPlain, textHTML, textMarkdown = "text/plain; charset=utf-8", "text/html; charset=utf-8", "text/markdown; charset=utf-8"

// viewerFiles are the files of the page by their names. A compressed one is kept so.
var viewerFiles = map[string]struct{ mediaType, embedded string }{
	"docs.css":             {"text/css; charset=utf-8", "viewer/docs.css"},
	"docs.js":              {"text/javascript; charset=utf-8", "viewer/docs.js"},
	"swagger-ui.css":       {"text/css; charset=utf-8", "viewer/swagger-ui.css.gz"},
	"swagger-ui-bundle.js": {"text/javascript; charset=utf-8", "viewer/swagger-ui-bundle.js.gz"},
}

// newManual writes the Markdown pages: when somebody first asks for one.
func (a *API) newManual() (*manual.Manual, error) {
	return manual.New(manual.Options{
		Spec: openapi, Chinese: chinese, Models: a.Catalog.Models(), Currency: a.Catalog.Currency(),
		Status: func(code fault.Code) int { return statuses[code.Kind()].status },
		Flat:   func(code fault.Code) (string, int) { return flatCode(fault.New(code, "", "")) },
	})
}

// docs is GET /docs.
func (a *API) docs(c *call) error {
	page, err := viewer.ReadFile("viewer/docs.html")
	if err != nil {
		return fmt.Errorf("read the page of /docs: %w", err)
	}

	c.Header().Set("Content-Security-Policy", docsPolicy)
	c.Header().Set("Referrer-Policy", "no-referrer")

	return c.document(textHTML, page)
}

// docsFile is GET /docs/{file}.
func (a *API) docsFile(c *call) error {
	file, ok := viewerFiles[c.r.PathValue("file")]
	if !ok {
		return fault.New(fault.CodeNoPage, "", "There is no such file. GET /llms.txt lists the pages.")
	}

	body, err := viewer.ReadFile(file.embedded)
	if err != nil {
		return fmt.Errorf("read a file of /docs: %w", err)
	}

	if strings.HasSuffix(file.embedded, ".gz") {
		c.Header().Add("Vary", "Accept-Encoding")

		if takesGzip(c.r) {
			c.Header().Set("Content-Encoding", "gzip")
		} else if body, err = unzip(body); err != nil {
			return fmt.Errorf("unpack a file of /docs: %w", err)
		}
	}

	return c.document(file.mediaType, body)
}

// docsPage is GET /docs/{language}/{page}.
func (a *API) docsPage(c *call) error {
	m, err := a.manual()
	if err != nil {
		return err
	}

	page, ok := m.Page(c.r.PathValue("language"), c.r.PathValue("page"))
	if !ok {
		return fault.New(fault.CodeNoPage, "", "There is no such page. GET /llms.txt lists them.")
	}

	return c.document(textMarkdown, []byte(strings.ReplaceAll(page, manual.Address, a.root(c.r))))
}

// llms is GET /llms.txt.
func (a *API) llms(c *call) error {
	m, err := a.manual()
	if err != nil {
		return err
	}

	return c.document(textPlain, []byte(strings.ReplaceAll(m.Index(), manual.Address, a.root(c.r))))
}

// document answers with a text that changes with the program only. A caller who
// has it is asked to look whether it is still the same.
func (c *call) document(mediaType string, body []byte) error {
	sum := sha256.Sum256(body)
	h := c.Header()
	h.Set("Content-Type", mediaType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", `"`+hex.EncodeToString(sum[:12])+`"`)
	http.ServeContent(c, c.r, "", time.Time{}, bytes.NewReader(body))

	return nil
}

// takesGzip says whether a caller reads compressed answers.
func takesGzip(r *http.Request) bool {
	for _, coding := range strings.Split(r.Header.Get("Accept-Encoding"), ",") {
		name, weight, weighed := strings.Cut(strings.ReplaceAll(coding, " ", ""), ";q=")
		if name == "gzip" && (!weighed || strings.Trim(weight, "0.") != "") {
			return true
		}
	}

	return false
}

func unzip(body []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}

	return io.ReadAll(r)
}
