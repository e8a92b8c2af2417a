package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/config"
	"github.com/unireel/unireel/internal/dispatch/upstream"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/provider/all"
	"github.com/unireel/unireel/internal/store"
)

// buildUpstreams builds the embedded upstream and every configured one. Previews replace
// real videos only as long as no supplier was ever configured: the database remembers
// upstreams of earlier starts, so that a lost setting does not turn paid videos into
// previews.
func (a *app) buildUpstreams(ctx context.Context) ([]upstream.Config, error) {
	stored, err := a.store.Upstreams(ctx)
	if err != nil {
		return nil, err
	}

	for _, u := range stored {
		if u.Setup != "" {
			a.runtimeUpstreams = append(a.runtimeUpstreams, u.ID+" (added while a server ran)")
		}
	}

	a.previewFallback = len(a.cfg.Upstreams) == 0 && !slices.ContainsFunc(stored, func(u store.Upstream) bool { return u.ID != previewUpstream })
	preview := []config.Upstream{{Name: previewUpstream, Provider: previewUpstream, Limits: config.Limits{InProgress: a.cfg.Renders}, Settings: map[string]string{
		"parallel": fmt.Sprint(a.cfg.Renders), "ffmpeg": a.cfg.FFmpeg, "ffprobe": siblingProgram(a.cfg.FFmpeg, "ffprobe"), "font": a.cfg.Font,
	}}}

	var built []upstream.Config

	for _, u := range append(preview, a.cfg.Upstreams...) {
		upstream, err := a.buildUpstream(u)
		if err != nil {
			return nil, err
		}

		built = append(built, upstream)
	}

	return built, nil
}

// buildUpstream builds one configured upstream. An error names the place in the
// configuration that must be fixed.
func (a *app) buildUpstream(u config.Upstream) (upstream.Config, error) {
	invalid := func(err error) (upstream.Config, error) {
		source := ""
		if u.Source != "" {
			source = u.Source + ": "
		}

		text := strings.TrimPrefix(err.Error(), "upstream "+u.Name+": ")

		return upstream.Config{}, fmt.Errorf("config: %supstream %s: %s", source, u.Name, text)
	}

	kind, err := findDriver(u.Provider)
	if err != nil {
		return invalid(err)
	}

	if u.BaseURL == "" {
		u.BaseURL = kind.DefaultBaseURL
	}

	routes, err := a.buildRoutes(u)
	switch {
	case err != nil:
		return invalid(err)
	case !kind.KeyOptional && kind.Name != previewUpstream && !u.APIKey.Set():
		return invalid(errors.New("has no key; add api_key, api_key_env or api_key_file"))
	case kind.Name != previewUpstream && u.BaseURL == "":
		return invalid(fmt.Errorf("has no address; add base_url, such as %q", "http://10.0.0.8:8000"))
	}

	workDir := filepath.Join(a.folder.scratch(), "upstream-"+u.Name)
	if err := os.MkdirAll(workDir, 0o700); err != nil {
		return upstream.Config{}, err
	}

	client, submit := provider.NewHTTPClients(nil)

	p, err := kind.New(provider.Options{
		Upstream:         u.Name,
		BaseURL:          u.BaseURL,
		Secret:           u.APIKey.Reveal(),
		Settings:         u.Settings,
		HTTPClient:       client,
		SubmitHTTPClient: submit,
		Folder:           workDir,
		Now:              time.Now,
		Log:              a.log.With("upstream", u.Name),
	})
	if err != nil {
		return invalid(err)
	}

	if c, ok := p.(provider.Closer); ok && u.Name == previewUpstream {
		a.onClose(c.Close)
	}

	return upstream.Config{
		Name:     u.Name,
		Driver:   kind,
		Provider: p,
		Models:   u.Models,
		Limits:   upstream.Limits(u.Limits),
		Order:    u.Order,
		Weight:   u.Weight,
		Routes:   routes,
	}, nil
}

// findDriver returns the driver with a name. An error does not suggest the embedded one,
// which cannot be configured a second time.
func findDriver(name string) (provider.Driver, error) {
	var names []string

	for _, kind := range all.Drivers() {
		if kind.Name == name {
			return kind, nil
		}

		if kind.Name != previewUpstream {
			names = append(names, kind.Name)
		}
	}

	hint := ""
	if suggestion, ok := catalog.Nearest(name, names); ok {
		hint = fmt.Sprintf("did you mean %s? ", suggestion)
	}

	return provider.Driver{}, fmt.Errorf("there is no provider %q; %sthere are %s", name, hint, strings.Join(names, ", "))
}

// buildRoutes converts the configured routes to dispatch's type and checks them.
func (a *app) buildRoutes(u config.Upstream) ([]upstream.ModelRoute, error) {
	var routes []upstream.ModelRoute

	for i, r := range u.Routes {
		for _, name := range r.Models {
			if _, ok := a.catalog.Model(name); !ok && !slices.Contains(a.catalog.Families(), name) {
				return nil, fmt.Errorf("routes[%d]: there is no model or family %q", i, name)
			}
		}

		capability := catalog.Capability{
			SupplierModel: r.SupplierModel,
			Sizes:         r.Sizes,
			Seconds:       r.Seconds,
			PromptMax:     r.PromptMax,
			Images:        r.Images,
			Videos:        r.Videos,
			References:    r.References,
		}
		for _, feature := range r.Unsupported {
			capability.Unsupported = append(capability.Unsupported, catalog.Feature(feature))
		}

		checked := capability

		checked.SupplierModel = cmp.Or(r.SupplierModel, "-") // without one the model file's name is used
		if err := checked.Validate(); err != nil {
			return nil, fmt.Errorf("routes[%d]: %w", i, err)
		}

		routes = append(routes, upstream.ModelRoute{Models: r.Models, Capability: capability, Order: r.Order, Weight: r.Weight})
	}

	return routes, nil
}

// secretsDir is the folder that holds the keys of upstreams that were added with the
// key's value.
const secretsDir = "secrets"

// storeKey moves the value of a key from a setup to a file, because the database holds no
// secret. The file is in the data folder, where only this host can read it.
func (a *app) storeKey(setup []byte) ([]byte, error) {
	var fields map[string]any
	if err := json.Unmarshal(setup, &fields); err != nil {
		return nil, errors.New("want a JSON object with the keys of an upstream")
	}

	key, ok := fields["api_key"].(string)
	if !ok || key == "" {
		return setup, nil
	}

	if a.cfg.Database.Set() {
		return nil, errors.New("api_key: several servers may share this database, and each must find the key on its own host; give api_key_env or api_key_file")
	}

	u, err := a.cfg.ParseUpstream(setup, "upstream add")
	if err != nil {
		return nil, err
	}

	folder := filepath.Join(a.folder.path, secretsDir)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("store the key: %w", err)
	}

	path := a.keyFile(u.Name)
	if err := os.WriteFile(path, []byte(key+"\n"), 0o600); err != nil {
		return nil, fmt.Errorf("store the key: %w", err)
	}

	delete(fields, "api_key")
	fields["api_key_file"] = path

	return json.Marshal(fields)
}

func (a *app) keyFile(upstream string) string {
	return filepath.Join(a.folder.path, secretsDir, upstream+".key")
}

// deleteKey deletes the stored key of an upstream that was removed.
func (a *app) deleteKey(upstream string) {
	if err := os.Remove(a.keyFile(upstream)); err != nil && !errors.Is(err, os.ErrNotExist) {
		a.log.Error("cannot delete the key of a removed upstream", "upstream", upstream, "error", err)
	}
}

// buildFromSetup builds an upstream from the setup with which it was added.
func (a *app) buildFromSetup(setup string) (upstream.Config, error) {
	u, err := a.cfg.ParseUpstream([]byte(setup), "upstream add")
	if err != nil {
		return upstream.Config{}, err
	}

	if u.Provider == previewUpstream {
		return upstream.Config{}, errors.New("the embedded renderer is always there; set --renders to change it")
	}

	return a.buildUpstream(u)
}
