package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
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
	"github.com/unireel/unireel/internal/clock"
	"github.com/unireel/unireel/internal/config"
	"github.com/unireel/unireel/internal/dispatch"
	"github.com/unireel/unireel/internal/fetch"
	"github.com/unireel/unireel/internal/sample"
	"github.com/unireel/unireel/internal/store"
)

// previewUpstream is the name of the embedded provider, which renders previews on this
// host, and of its only upstream.
const previewUpstream = "animatic"

// app is the program with all its parts.
type app struct {
	cfg              config.Config
	folder           folder
	log              *slog.Logger
	ids              *ids
	store            *store.Store
	blobs            blob.Store
	fetch            *fetch.Fetcher
	catalog          *catalog.Catalog
	dispatch         *dispatch.Engine
	checkout         *checkout.Checkout
	api              *api.API
	registry         *prometheus.Registry
	firstKeySecret   string                              // of the first key; set only at the first start
	defaultRates     struct{ create, read account.Rate } // of keys without their own rate
	previewFallback  bool
	runtimeUpstreams []string       // upstreams that are not in the configuration, for the banner
	closers          []func() error // in the order of construction
}

// build opens the data folder and builds the program: all of it for serving, otherwise
// only what the operator's commands need. If a part cannot be built, everything that was
// opened is closed again.
func build(ctx context.Context, cfg config.Config, out io.Writer, serving bool) (a *app, err error) {
	a = &app{cfg: cfg, log: newLog(cfg, out), ids: newIDs(time.Now)}

	// Whatever was opened before an error is closed here, so that no return below has to
	// remember what is open.
	defer func() {
		if err != nil {
			err = errors.Join(err, a.close())
		}
	}()

	if a.defaultRates.create, err = account.ParseRate(cfg.RateCreate); err != nil {
		return a, fmt.Errorf("config: rate_create: %w", err)
	}

	if a.defaultRates.read, err = account.ParseRate(cfg.RateRead); err != nil {
		return a, fmt.Errorf("config: rate_read: %w", err)
	}

	// The lock comes before everything that touches the folder: two processes on one SQLite
	// file would each believe that they serve all upstreams.
	if a.folder, err = lockFolder(cfg.Data); err != nil {
		return a, err
	}

	a.onClose(a.folder.unlock)

	if a.catalog, err = loadCatalog(cfg); err != nil {
		return a, err
	}

	if a.fetch, err = newFetch(cfg); err != nil {
		return a, err
	}

	a.onClose(a.fetch.Close)

	// Before the database is created, so that a misspelt bucket leaves nothing behind.
	if err = a.openBlobs(ctx); err != nil {
		return a, err
	}

	if a.store, err = store.Open(ctx, a.storeOptions()); err != nil {
		return a, fmt.Errorf("open the database%s: %w", a.databaseLocation(), err)
	}

	a.onClose(a.store.Close)

	// The secret of signed links belongs to the installation, not to this process: links
	// stay valid after a restart, and every replica can check them.
	linkSecret, err := initInstallation(ctx, a.store, a.cfg.Currency)
	if err != nil {
		return a, err
	}

	if serving {
		return a, a.wire(ctx, linkSecret)
	}

	return a, a.wireOffline(linkSecret)
}

// storeOptions returns where the database is: on the configured PostgreSQL server, or else
// in the data folder.
func (a *app) storeOptions() store.Options {
	return store.Options{Path: a.folder.database(), Database: a.cfg.Database.Reveal(), Now: time.Now, Log: a.log}
}

func (a *app) databaseLocation() string {
	if a.cfg.Database.Set() {
		return ""
	}

	return " in " + a.folder.path
}

// wireOffline builds what the operator's commands need while no server runs: no dispatch,
// no supplier, no first account.
func (a *app) wireOffline(linkSecret []byte) (err error) {
	a.checkout = checkout.New(checkout.Options{
		Store:   a.store,
		Catalog: a.catalog,
		Blobs:   a.blobs,
		Fetch:   a.fetch,
		Now:     time.Now,
		NewID:   a.ids.New,
		Log:     a.log,
	})
	a.api, err = api.New(api.Options{
		Store:      a.store,
		Catalog:    a.catalog,
		Checkout:   a.checkout,
		Blobs:      a.blobs,
		Engine:     offlineEngine{a.cfg.Upstreams},
		LinkSecret: linkSecret,
		Now:        time.Now,
		NewID:      a.ids.New,
		Log:        a.log,
		Version:    Version(),
	})

	return err
}

// wire builds the parts of the server on the open store and blobs. The order is that of
// their dependencies: dispatch needs the upstreams, checkout needs dispatch for the choice
// of a queue, and api needs all of them.
func (a *app) wire(ctx context.Context, linkSecret []byte) (err error) {
	// Before the server listens, so that the key in the banner works at once.
	if a.firstKeySecret, err = a.bootstrapAccount(ctx); err != nil {
		return err
	}

	upstreams, err := a.buildUpstreams(ctx)
	if err != nil {
		return err
	}

	a.registry = prometheus.NewRegistry()
	a.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	hostname, err := os.Hostname()
	if err != nil {
		hostname = "a host without a name"
	}

	a.dispatch, err = dispatch.New(ctx, dispatch.Options{
		ReplicaName:       hostname,
		Store:             a.store,
		Blobs:             a.blobs,
		Fetch:             a.fetch,
		Catalog:           a.catalog,
		Samples:           sampleSource{},
		Upstreams:         upstreams,
		BuildUpstream:     a.buildFromSetup,
		OnUpstreamRemoved: a.deleteKey,
		PreviewFallback:   a.previewFallback,
		SingleInstance:    !a.cfg.Database.Set(), // SQLite: the folder's lock proves it
		ScratchDir:        a.folder.scratch(),
		Clock:             clock.New(time.Now, rand.Uint64()),
		NewID:             a.ids.New,
		Log:               a.log,
		Registry:          a.registry,
		Retention:         a.cfg.Retention,
		History:           a.cfg.History,
		TaskTimeout:       a.cfg.TaskTimeout,
		FailPoint:         failPoint,
		RecoverySpeedup:   recoverySpeedup(),
	})
	if err != nil {
		return err
	}

	a.checkout = checkout.New(checkout.Options{
		Store:           a.store,
		Catalog:         a.catalog,
		Blobs:           a.blobs,
		Fetch:           a.fetch,
		Samples:         builtinSamples(),
		QueueFor:        a.dispatch.QueueFor,
		PreviewFallback: func(catalog.Request) bool { return a.dispatch.PreviewFallbackActive() },
		Now:             time.Now,
		NewID:           a.ids.New,
		FileRetention:   a.cfg.FileRetention,
		Log:             a.log,
		Failpoint:       failPoint,
	})

	options := api.Options{
		Store:      a.store,
		Catalog:    a.catalog,
		Checkout:   a.checkout,
		Blobs:      a.blobs,
		Engine:     engine{a},
		PublicURL:  a.cfg.PublicURL,
		LinkSecret: linkSecret,
		Now:        time.Now,
		NewID:      a.ids.New,
		Log:        a.log,
		CORS:       a.cfg.CORSOrigins,
		ServeAdmin: a.cfg.Admin,
		MaxUpload:  int64(a.cfg.MaxUpload),
		Version:    Version(),
		RateCreate: a.defaultRates.create,
		RateRead:   a.defaultRates.read,
	}
	if a.cfg.Metrics {
		options.Registry = a.registry
	}

	// Asked again for each page: the fallback ends with the first upstream that is added.
	options.PreviewNote = func() string {
		if a.dispatch.PreviewFallbackActive() {
			return previewFallbackNote
		}

		return ""
	}
	a.api, err = api.New(options)

	return err
}

// previewFallbackNote is shown wherever previews could be mistaken for real videos.
const previewFallbackNote = "No supplier is configured: the embedded renderer makes previews of the Wan models. Set DASHSCOPE_API_KEY to generate real videos."

func (a *app) onClose(f func() error) { a.closers = append(a.closers, f) }

// close closes everything, in reverse order of construction.
func (a *app) close() error {
	var errs error
	for _, f := range slices.Backward(a.closers) {
		errs = errors.Join(errs, f())
	}

	a.closers = nil

	return errs
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
	o := fetch.Options{FFmpeg: cfg.FFmpeg, FFprobe: siblingProgram(cfg.FFmpeg, "ffprobe")}
	for _, a := range cfg.FetchAllow {
		o.Allow = append(o.Allow, a.String())
	}

	for _, m := range cfg.FetchMap {
		o.Map = append(o.Map, fetch.Mapping{Prefix: m.Prefix, Folder: m.Dir})
	}

	return fetch.New(o)
}

// siblingProgram returns the path of a program in the same folder as another program, or
// only the name if the other program is given without a folder.
func siblingProgram(program, name string) string {
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

// sampleSource gives dispatch the embedded sample references.
type sampleSource struct{}

func (sampleSource) Sample(id string) (string, func() (blob.Reader, error), bool) {
	for _, s := range sample.List() {
		if s.ID == id {
			return s.Name, func() (blob.Reader, error) { return openSample(s) }, true
		}
	}

	return "", nil, false
}
