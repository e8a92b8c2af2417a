package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/unireel/unireel/internal/account"
	"github.com/unireel/unireel/internal/api"
	"github.com/unireel/unireel/internal/blob"
	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/checkout"
	"github.com/unireel/unireel/internal/config"
	"github.com/unireel/unireel/internal/dispatch"
	"github.com/unireel/unireel/internal/fetch"
	"github.com/unireel/unireel/internal/sample"
	"github.com/unireel/unireel/internal/store"
)

// embedded is the name of the provider, and of its one upstream, that renders
// previews on this machine.
const embedded = "animatic"

// house is the program, built: every room with what it needs.
type house struct {
	cfg      config.Config
	folder   folder
	log      *slog.Logger
	ids      *ids
	store    *store.Store
	blobs    blob.Store
	fetch    *fetch.Fetcher
	catalog  *catalog.Catalog
	dispatch *dispatch.Dispatch
	checkout *checkout.Checkout
	api      *api.API
	registry *prometheus.Registry
	secret   string                              // of the first key, at the first start only
	rates    struct{ create, read account.Rate } // of keys that have none of their own
	standIn  bool
	added    []string       // the upstreams that are not in the configuration, for people
	closers  []func() error // in the order of building
}

// build opens the data folder and builds the house in it: whole to serve, or
// only what the operator's commands need. What was opened is closed again when a
// room cannot be built.
func build(ctx context.Context, cfg config.Config, out io.Writer, whole bool) (h *house, err error) {
	h = &house{cfg: cfg, log: newLog(cfg, out), ids: newIDs(time.Now)}

	defer func() {
		if err != nil {
			err = errors.Join(err, h.close())
		}
	}()

	if h.rates.create, err = account.ParseRate(cfg.RateCreate); err != nil {
		return h, fmt.Errorf("config: rate_create: %w", err)
	}

	if h.rates.read, err = account.ParseRate(cfg.RateRead); err != nil {
		return h, fmt.Errorf("config: rate_read: %w", err)
	}

	if h.folder, err = lockFolder(cfg.Data); err != nil {
		return h, err
	}

	h.later(h.folder.unlock)

	if h.catalog, err = loadCatalog(cfg); err != nil {
		return h, err
	}

	if h.fetch, err = newFetch(cfg); err != nil {
		return h, err
	}

	h.later(h.fetch.Close)
	// Before the database is made: a bucket that is misspelt leaves nothing behind.
	if err = h.openBlobs(ctx); err != nil {
		return h, err
	}

	if h.store, err = store.Open(ctx, h.storeOptions()); err != nil {
		return h, fmt.Errorf("open the database%s: %w", h.where(), err)
	}

	h.later(h.store.Close)

	linkSecret, err := settle(ctx, h.store, h.cfg.Currency)
	if err != nil {
		return h, err
	}

	if whole {
		return h, h.furnish(ctx, linkSecret)
	}

	return h, h.furnishOffice(linkSecret)
}

// storeOptions says where the database is: on PostgreSQL where one is configured,
// else in the data folder.
func (h *house) storeOptions() store.Options {
	return store.Options{Path: h.folder.database(), Database: h.cfg.Database.Reveal(), Now: time.Now, Log: h.log}
}

func (h *house) where() string {
	if h.cfg.Database.Set() {
		return ""
	}

	return " in " + h.folder.path
}

// furnishOffice builds what the operator's commands need while no server runs:
// no dispatch, no supplier, no first account.
func (h *house) furnishOffice(linkSecret []byte) (err error) {
	h.checkout = checkout.New(checkout.Options{Store: h.store, Catalog: h.catalog, Blobs: h.blobs, Fetch: h.fetch, Now: time.Now, NewID: h.ids.New, Log: h.log})
	h.api, err = api.New(api.Options{
		Store: h.store, Catalog: h.catalog, Checkout: h.checkout, Blobs: h.blobs, Engine: stopped{h.cfg.Upstreams},
		LinkSecret: linkSecret, Now: time.Now, NewID: h.ids.New, Log: h.log, Version: Version(),
	})

	return err
}

// furnish builds the rooms over what is open.
func (h *house) furnish(ctx context.Context, linkSecret []byte) (err error) {
	if h.secret, err = h.firstAccount(ctx); err != nil {
		return err
	}

	upstreams, err := h.upstreams(ctx)
	if err != nil {
		return err
	}

	h.registry = prometheus.NewRegistry()
	h.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	name, err := os.Hostname()
	if err != nil {
		name = "a host without a name"
	}

	h.dispatch, err = dispatch.New(ctx, dispatch.Options{
		Replica: name,
		Store:   h.store, Blobs: h.blobs, Fetch: h.fetch, Catalog: h.catalog, Samples: samples{}, Upstreams: upstreams, Make: h.makeAdded, Dismissed: h.forgetKey,
		StandIn: h.standIn, Alone: !h.cfg.Database.Set(), Scratch: h.folder.scratch(), Now: time.Now, NewID: h.ids.New, Log: h.log, Registry: h.registry,
		Retention: h.cfg.Retention, History: h.cfg.History, TaskTimeout: h.cfg.TaskTimeout, Point: failPoint, Haste: haste(),
	})
	if err != nil {
		return err
	}

	h.checkout = checkout.New(checkout.Options{
		Store: h.store, Catalog: h.catalog, Blobs: h.blobs, Fetch: h.fetch, Samples: shipped(),
		Route: h.dispatch.Route, StandIn: func(catalog.Request) bool { return h.dispatch.StandsIn() }, Now: time.Now, NewID: h.ids.New, FileRetention: h.cfg.FileRetention, Log: h.log, Point: failPoint,
	})

	options := api.Options{
		Store: h.store, Catalog: h.catalog, Checkout: h.checkout, Blobs: h.blobs, Engine: engine{h}, PublicURL: h.cfg.PublicURL,
		LinkSecret: linkSecret, Now: time.Now, NewID: h.ids.New, Log: h.log, CORS: h.cfg.CORSOrigins, ServeAdmin: h.cfg.Admin, MaxUpload: int64(h.cfg.MaxUpload), Version: Version(),
		RateCreate: h.rates.create, RateRead: h.rates.read,
	}
	if h.cfg.Metrics {
		options.Registry = h.registry
	}

	options.PreviewNote = func() string {
		if h.dispatch.StandsIn() {
			return standInNote
		}

		return ""
	}
	h.api, err = api.New(options)

	return err
}

// standInNote is said wherever somebody could take previews for the real thing.
const standInNote = "No supplier is configured: the embedded renderer makes previews of the Wan models. Set DASHSCOPE_API_KEY to make real videos."

func (h *house) later(f func() error) { h.closers = append(h.closers, f) }

// close gives everything back, the last built first.
func (h *house) close() error {
	var failed error
	for _, f := range slices.Backward(h.closers) {
		failed = errors.Join(failed, f())
	}

	h.closers = nil

	return failed
}

func loadCatalog(cfg config.Config) (*catalog.Catalog, error) {
	o := catalog.Options{Currency: cfg.Currency, Markup: cfg.Markup}
	if cfg.PriceTable != "" {
		data, err := os.ReadFile(cfg.PriceTable)
		if err != nil {
			return nil, fmt.Errorf("price_table: %w", err)
		}

		if o.Prices, err = catalog.ParsePrices(cfg.PriceTable, data); err != nil {
			return nil, err
		}
	}

	if cfg.Models == "" {
		return catalog.Load(o)
	}

	return catalog.Load(o, os.DirFS(cfg.Models))
}

func newFetch(cfg config.Config) (*fetch.Fetcher, error) {
	o := fetch.Options{FFmpeg: cfg.FFmpeg, FFprobe: beside(cfg.FFmpeg, "ffprobe")}
	for _, a := range cfg.FetchAllow {
		o.Allow = append(o.Allow, a.String())
	}

	for _, m := range cfg.FetchMap {
		o.Map = append(o.Map, fetch.Mapping{Prefix: m.Prefix, Folder: m.Dir})
	}

	return fetch.New(o)
}

// beside is a program next to another one: by name when that is only a name.
func beside(program, name string) string {
	if filepath.Base(program) == program {
		return name
	}

	return filepath.Join(filepath.Dir(program), name)
}

func newLog(cfg config.Config, out io.Writer) *slog.Logger {
	var level slog.Level

	_ = level.UnmarshalText([]byte(cfg.LogLevel))

	o := &slog.HandlerOptions{Level: level}
	if cfg.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(out, o))
	}

	return slog.New(slog.NewTextHandler(out, o))
}

// samples gives dispatch the references that ship with the program.
type samples struct{}

func (samples) Sample(id string) (string, func() (blob.Reader, error), bool) {
	for _, s := range sample.List() {
		if s.ID == id {
			return s.Name, func() (blob.Reader, error) { return openSample(s) }, true
		}
	}

	return "", nil, false
}
