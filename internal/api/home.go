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

// homePage is the page for who comes with a browser: what this is, and the curl
// that works. It asks for nothing from elsewhere and runs nothing.
type homePage struct {
	template *template.Template
	policy   string
}

func newHomePage() (homePage, error) {
	t, err := template.New("home").Parse(homeHTML)
	if err != nil {
		return homePage{}, fmt.Errorf("read home page: %w", err)
	}
	sum := sha256.Sum256([]byte(homeCSS))
	return homePage{template: t, policy: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"}, nil
}

// home is GET /.
func (a *API) home(c *call) error {
	var sample string
	for _, s := range a.Checkout.Samples {
		if s.Kind == string(catalog.Image) {
			sample = s.ID
			break
		}
	}
	var page bytes.Buffer
	err := a.page.template.Execute(&page, map[string]any{
		"Style": template.CSS(homeCSS), "Base": a.root(c.r), "Version": a.Version, "Note": a.PreviewNote, "Sample": sample,
		"Currency": a.Catalog.Currency(), "Models": a.Catalog.Models(),
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
