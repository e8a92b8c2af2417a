package api

import (
	"context"
	_ "embed"
	"net/http"
	"time"
)

//go:embed openapi.yaml
var openapi []byte

const readyTimeout = 5 * time.Second

type health struct {
	Status  string `json:"status"`
	Version string `json:"version"`
}

// healthz is GET /healthz: the process is running.
func (a *API) healthz(c *requestContext) error { return c.json(http.StatusOK, health{"ok", a.Version}) }

// readyz is GET /readyz: the server can do its work. The reason why not is only logged.
func (a *API) readyz(c *requestContext) error {
	ctx, cancel := context.WithTimeout(c.ctx(), readyTimeout)
	defer cancel()

	if err := a.Ready(ctx); err != nil {
		a.Log.Warn("not ready", "error", err)
		return c.json(http.StatusServiceUnavailable, health{"unavailable", a.Version})
	}

	select {
	case <-a.draining:
		return c.json(http.StatusServiceUnavailable, health{"ending", a.Version})
	default:
		return c.json(http.StatusOK, health{"ok", a.Version})
	}
}

// openAPI is GET /openapi.json.
func (a *API) openAPI(c *requestContext) error {
	spec, err := a.spec()
	if err != nil {
		return err
	}

	c.Header().Set("Content-Type", "application/json")
	c.Header().Set("Cache-Control", "public, max-age=300")
	_, _ = c.Write(spec)

	return nil
}
