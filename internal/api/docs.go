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

// viewer is the page /docs and its files. scripts/viewer fetches the third-party files;
// their licence is in the same folder.
//
//go:embed viewer
var viewer embed.FS

//go:embed openapi.zh.yaml
var chineseSpec []byte

// docsPolicy is a Content-Security-Policy that lets the page run the server's own scripts
// and connect to this server only: nothing inline, nothing evaluated. The only other
// images are the data URIs in its style sheet.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const textPlain, textHTML, textMarkdown = "text/plain; charset=utf-8", "text/html; charset=utf-8", "text/markdown; charset=utf-8"

// viewerFiles are the files of the page by name. Compressed files are stored compressed.
var viewerFiles = map[string]struct{ mediaType, embedded string }{
	"docs.css":             {"text/css; charset=utf-8", "viewer/docs.css"},
	"docs.js":              {"text/javascript; charset=utf-8", "viewer/docs.js"},
	"swagger-ui.css":       {"text/css; charset=utf-8", "viewer/swagger-ui.css.gz"},
	"swagger-ui-bundle.js": {"text/javascript; charset=utf-8", "viewer/swagger-ui-bundle.js.gz"},
}

// newManual generates the Markdown pages, when one is first requested.
func (a *API) newManual() (*manual.Manual, error) {
	return manual.New(manual.Options{
		Spec: openapi, Translations: chineseSpec, Models: a.Catalog.Models(), Currency: a.Catalog.Currency(),
		Status:    func(code fault.Code) int { return statuses[code.Kind()].status },
		FlatError: func(code fault.Code) (string, int) { return dashScopeError(fault.New(code, "", "")) },
	})
}

// docs is GET /docs.
func (a *API) docs(c *requestContext) error {
	page, err := viewer.ReadFile("viewer/docs.html")
	if err != nil {
		return fmt.Errorf("read the page of /docs: %w", err)
	}

	c.Header().Set("Content-Security-Policy", docsPolicy)
	c.Header().Set("Referrer-Policy", "no-referrer")

	return c.document(textHTML, page)
}

// docsFile is GET /docs/{file}.
func (a *API) docsFile(c *requestContext) error {
	file, ok := viewerFiles[c.req.PathValue("file")]
	if !ok {
		return fault.New(fault.CodeUnknownPath, "", "There is no such file. GET /llms.txt lists the pages.")
	}

	body, err := viewer.ReadFile(file.embedded)
	if err != nil {
		return fmt.Errorf("read a file of /docs: %w", err)
	}

	if strings.HasSuffix(file.embedded, ".gz") {
		c.Header().Add("Vary", "Accept-Encoding")

		if acceptsGzip(c.req) {
			c.Header().Set("Content-Encoding", "gzip")
		} else if body, err = gunzip(body); err != nil {
			return fmt.Errorf("unpack a file of /docs: %w", err)
		}
	}

	return c.document(file.mediaType, body)
}

// docsPage is GET /docs/{language}/{page}.
func (a *API) docsPage(c *requestContext) error {
	m, err := a.manual()
	if err != nil {
		return err
	}

	page, ok := m.Page(c.req.PathValue("language"), c.req.PathValue("page"))
	if !ok {
		return fault.New(fault.CodeUnknownPath, "", "There is no such page. GET /llms.txt lists them.")
	}

	return c.document(textMarkdown, []byte(strings.ReplaceAll(page, manual.BaseURLPlaceholder, a.baseURL(c.req))))
}

// llms is GET /llms.txt.
func (a *API) llms(c *requestContext) error {
	m, err := a.manual()
	if err != nil {
		return err
	}

	return c.document(textPlain, []byte(strings.ReplaceAll(m.Index(), manual.BaseURLPlaceholder, a.baseURL(c.req))))
}

// document responds with a text that changes only with the program. Caches must revalidate
// it, by its ETag.
func (c *requestContext) document(mediaType string, body []byte) error {
	sum := sha256.Sum256(body)
	h := c.Header()
	h.Set("Content-Type", mediaType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", `"`+hex.EncodeToString(sum[:12])+`"`)
	http.ServeContent(c, c.req, "", time.Time{}, bytes.NewReader(body))

	return nil
}

// acceptsGzip reports whether a caller accepts compressed responses.
func acceptsGzip(r *http.Request) bool {
	for _, coding := range strings.Split(r.Header.Get("Accept-Encoding"), ",") {
		name, weight, weighted := strings.Cut(strings.ReplaceAll(coding, " ", ""), ";q=")
		if name == "gzip" && (!weighted || strings.Trim(weight, "0.") != "") {
			return true
		}
	}

	return false
}

func gunzip(body []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}

	return io.ReadAll(r)
}
