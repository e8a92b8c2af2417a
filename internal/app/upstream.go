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
	"github.com/unireel/unireel/internal/dispatch"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/provider/all"
	"github.com/unireel/unireel/internal/store"
)

// upstreams makes every configured upstream, and the embedded one. Previews
// stand in for the real thing only as long as no supplier was ever configured.
func (h *house) upstreams(ctx context.Context) ([]dispatch.Upstream, error) {
	had, err := h.store.Upstreams(ctx)
	if err != nil {
		return nil, err
	}

	for _, u := range had {
		if u.Setup != "" {
			h.added = append(h.added, u.ID+" (added while a server ran)")
		}
	}

	h.standIn = len(h.cfg.Upstreams) == 0 && !slices.ContainsFunc(had, func(u store.Upstream) bool { return u.ID != embedded })
	list := []config.Upstream{{Name: embedded, Provider: embedded, Limits: config.Limits{InProgress: h.cfg.Renders}, Settings: map[string]string{
		"parallel": fmt.Sprint(h.cfg.Renders), "ffmpeg": h.cfg.FFmpeg, "ffprobe": beside(h.cfg.FFmpeg, "ffprobe"), "font": h.cfg.Font,
	}}}

	var made []dispatch.Upstream

	for _, u := range append(list, h.cfg.Upstreams...) {
		up, err := h.upstream(u)
		if err != nil {
			return nil, err
		}

		made = append(made, up)
	}

	return made, nil
}

// upstream makes one of what is configured. Whatever is wrong with it is said with
// the place to mend it.
func (h *house) upstream(u config.Upstream) (dispatch.Upstream, error) {
	wrong := func(err error) (dispatch.Upstream, error) {
		where := ""
		if u.Where != "" {
			where = u.Where + ": "
		}

		text := strings.TrimPrefix(err.Error(), "upstream "+u.Name+": ")

		return dispatch.Upstream{}, fmt.Errorf("config: %supstream %s: %s", where, u.Name, text)
	}

	kind, err := kindOf(u.Provider)
	if err != nil {
		return wrong(err)
	}

	if u.BaseURL == "" {
		u.BaseURL = kind.Home
	}

	routes, err := h.routes(u)
	switch {
	case err != nil:
		return wrong(err)
	case !kind.Keyless && kind.Name != embedded && !u.APIKey.Set():
		return wrong(errors.New("has no key; add api_key, api_key_env or api_key_file"))
	case kind.Name != embedded && u.BaseURL == "":
		return wrong(fmt.Errorf("has no address; add base_url, such as %q", "http://10.0.0.8:8000"))
	}

	private := filepath.Join(h.folder.scratch(), "upstream-"+u.Name)
	if err := os.MkdirAll(private, 0o700); err != nil {
		return dispatch.Upstream{}, err
	}

	client, submit := provider.NewClients(nil)

	p, err := kind.New(provider.Options{
		Upstream: u.Name, BaseURL: u.BaseURL, Secret: u.APIKey.Reveal(), Settings: u.Settings, Client: client, Submit: submit,
		Folder: private, Now: time.Now, Log: h.log.With("upstream", u.Name),
	})
	if err != nil {
		return wrong(err)
	}

	if c, ok := p.(provider.Closer); ok && u.Name == embedded {
		h.later(c.Close)
	}

	return dispatch.Upstream{
		Name: u.Name, Kind: kind, Provider: p, Models: u.Models, Limits: dispatch.Limits(u.Limits), Order: u.Order, Weight: u.Weight, Routes: routes,
	}, nil
}

// kindOf is the provider of a name. The embedded one is not to be had twice.
func kindOf(name string) (provider.Kind, error) {
	var names []string

	for _, kind := range all.Kinds() {
		if kind.Name == name {
			return kind, nil
		}

		if kind.Name != embedded {
			names = append(names, kind.Name)
		}
	}

	hint := ""
	if near, ok := catalog.Nearest(name, names); ok {
		hint = fmt.Sprintf("did you mean %s? ", near)
	}

	return provider.Kind{}, fmt.Errorf("there is no provider %q; %sthere are %s", name, hint, strings.Join(names, ", "))
}

// routes turns what the operator said of models into dispatch's terms.
func (h *house) routes(u config.Upstream) ([]dispatch.Route, error) {
	var routes []dispatch.Route

	for i, r := range u.Routes {
		for _, name := range r.Models {
			if _, ok := h.catalog.Model(name); !ok && !slices.Contains(h.catalog.Families(), name) {
				return nil, fmt.Errorf("routes[%d]: there is no model or family %q", i, name)
			}
		}

		supply := catalog.Supply{
			Model: r.As, Sizes: r.Sizes, Seconds: r.Seconds, PromptMax: r.PromptMax, Images: r.Images, Videos: r.Videos, References: r.References,
		}
		for _, lack := range r.Lacks {
			supply.Lacks = append(supply.Lacks, catalog.Feature(lack))
		}

		whole := supply

		whole.Model = cmp.Or(r.As, "-") // without one it is the model file's
		if err := whole.Check(); err != nil {
			return nil, fmt.Errorf("routes[%d]: %w", i, err)
		}

		routes = append(routes, dispatch.Route{Models: r.Models, Supply: supply, Order: r.Order, Weight: r.Weight})
	}

	return routes, nil
}

// added is where the key of an upstream lies that was added with its value.
const added = "secrets"

// keepKey takes the value of a key out of a set-up, since the database holds no
// secret: it is written to the data folder, where only this host can read it.
func (h *house) keepKey(setup []byte) ([]byte, error) {
	var fields map[string]any
	if err := json.Unmarshal(setup, &fields); err != nil {
		return nil, errors.New("want a JSON object with the keys of an upstream")
	}

	key, ok := fields["api_key"].(string)
	if !ok || key == "" {
		return setup, nil
	}

	if h.cfg.Database.Set() {
		return nil, errors.New("api_key: several servers may share this database, and each must find the key on its own host; give api_key_env or api_key_file")
	}

	u, err := h.cfg.ParseUpstream(setup, "upstream add")
	if err != nil {
		return nil, err
	}

	folder := filepath.Join(h.folder.path, added)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("keep the key: %w", err)
	}

	path := h.keyFile(u.Name)
	if err := os.WriteFile(path, []byte(key+"\n"), 0o600); err != nil {
		return nil, fmt.Errorf("keep the key: %w", err)
	}

	delete(fields, "api_key")
	fields["api_key_file"] = path

	return json.Marshal(fields)
}

func (h *house) keyFile(upstream string) string {
	return filepath.Join(h.folder.path, added, upstream+".key")
}

// forgetKey deletes the key that was kept for an upstream which was removed.
func (h *house) forgetKey(upstream string) {
	if err := os.Remove(h.keyFile(upstream)); err != nil && !errors.Is(err, os.ErrNotExist) {
		h.log.Error("cannot delete the key of a removed upstream", "upstream", upstream, "error", err)
	}
}

// makeAdded makes an upstream of the set-up that it was added with.
func (h *house) makeAdded(setup string) (dispatch.Upstream, error) {
	u, err := h.cfg.ParseUpstream([]byte(setup), "upstream add")
	if err != nil {
		return dispatch.Upstream{}, err
	}

	if u.Provider == embedded {
		return dispatch.Upstream{}, errors.New("the embedded renderer is always there; set --renders to change it")
	}

	return h.upstream(u)
}
