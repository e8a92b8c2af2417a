package api

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"

	"github.com/unireel/unireel/internal/catalog"
)

//go:embed home.html
var homeHTML string

//go:embed home.css
var homeCSS string

//go:embed home.js
var homeJS string

// homePage is the page for people who open the server in a browser: what Unireel is, a
// curl command that works, and the last videos of the key that they type in. It runs only
// its own script and connects only to this server; a video may come from the blob store.
type homePage struct {
	template *template.Template
	policy   string
}

func newHomePage() (homePage, error) {
	t, err := template.New("home").Parse(homeHTML)
	if err != nil {
		return homePage{}, fmt.Errorf("read home page: %w", err)
	}

	policy := "default-src 'none'; style-src " + cspHash(homeCSS) + "; script-src " + cspHash(homeJS) +
		"; connect-src 'self'; media-src http: https:; img-src http: https:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

	return homePage{template: t, policy: policy}, nil
}

// cspHash is how a Content-Security-Policy names the one text that is allowed in the page.
func cspHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// home is GET /.
func (a *API) home(c *requestContext) error {
	var sample string

	for _, s := range a.Checkout.Samples {
		if s.Kind == string(catalog.Image) {
			sample = s.ID
			break
		}
	}

	var page bytes.Buffer

	err := a.page.template.Execute(&page, map[string]any{
		"Style":    template.CSS(homeCSS),
		"Script":   template.JS(homeJS),
		"Base":     a.baseURL(c.req),
		"Version":  a.Version,
		"Note":     a.PreviewNote(),
		"Sample":   sample,
		"Currency": a.Catalog.Currency(),
		"Models":   a.Catalog.Models(),
	})
	if err != nil {
		return fmt.Errorf("write home page: %w", err)
	}

	h := c.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", a.page.policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache")
	c.WriteHeader(http.StatusOK)
	_, _ = c.Write(page.Bytes())

	return nil
}
