package upstream

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/clock"
	"github.com/unireel/unireel/internal/dispatch/record"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// Options are what a Registry needs.
type Options struct {
	record.Writer
	Catalog *catalog.Catalog
	// Build builds an upstream from the setup with which an operator added it; nil: none can
	// be added.
	Build func(setup string) (Config, error)
	// OnRemoved is called when an upstream that an operator added was removed; may be nil.
	OnRemoved func(name string)
	// StopServing ends at once what this process does for an upstream that was removed.
	StopServing func(leaseID string)
	// PreviewFallback says that previews may serve requests for real videos: true only while
	// no real upstream was ever configured. It ends with the first upstream that is added.
	PreviewFallback bool
	Process         string // names the leases of this process's embedded renderer; "": no other process has one
	Clock           clock.Clock
	NewID           func(prefix string) string
	Log             *slog.Logger
	Registry        prometheus.Registerer
}

// Registry holds the upstreams that this process knows. It changes seldom and is read
// everywhere.
type Registry struct {
	Options
	suspensions *prometheus.CounterVec
	unusable    *prometheus.GaugeVec

	changeMu    sync.Mutex // serializes changes of current
	current     atomic.Pointer[[]*Upstream]
	syncMu      sync.Mutex        // serializes the reading of rows into memory
	localWrites int               // how often this process itself changed a row
	unbuilt     map[string]string // setups that cannot be used here, by upstream; each is reported once
}

// NewRegistry returns a registry without upstreams.
func NewRegistry(o Options) *Registry {
	r := &Registry{
		Options: o,
		unbuilt: map[string]string{},
		suspensions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "unireel",
			Name:      "suspensions_total",
			Help:      "Times an upstream was suspended, because of its key, account, balance or repeated failures.",
		}, []string{"upstream"}),
		unusable: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "unireel",
			Name:      "upstream_invalid",
			Help:      "1 while an upstream that was added at run time cannot be used by this server.",
		}, []string{"upstream"}),
	}
	if o.Registry != nil {
		o.Registry.MustRegister(r.suspensions, r.unusable)
	}

	return r
}

// List returns the upstreams. The caller must not change the list.
func (r *Registry) List() []*Upstream {
	if list := r.current.Load(); list != nil {
		return *list
	}

	return nil
}

// Find returns the upstream with this name or lease id, or nil.
func (r *Registry) Find(id string) *Upstream {
	name := task.ParseUpstreamID(id).Name
	return r.first(func(up *Upstream) bool { return up.Name == name })
}

// ByLease returns the upstream that this process can serve under a lease of this id, or nil.
func (r *Registry) ByLease(id string) *Upstream {
	return r.first(func(up *Upstream) bool { return up.LeaseID == id })
}

func (r *Registry) first(match func(*Upstream) bool) *Upstream {
	list := r.List()
	if i := slices.IndexFunc(list, match); i >= 0 {
		return list[i]
	}

	return nil
}

// PreviewFallbackActive reports whether previews serve requests for real videos.
func (r *Registry) PreviewFallbackActive() bool {
	return r.PreviewFallback && !slices.ContainsFunc(r.List(), (*Upstream).Added)
}

// Version returns a number to take before rows are read that are passed to SyncRows.
func (r *Registry) Version() int {
	r.syncMu.Lock()
	defer r.syncMu.Unlock()

	return r.localWrites
}

// SyncRows updates the upstreams from rows that were read after the call of Version. If
// this process changed a row since then, the rows may be older than the change: they are
// ignored, and the next observation of the leases reads new ones.
func (r *Registry) SyncRows(rows []store.Upstream, version int) {
	r.syncMu.Lock()
	defer r.syncMu.Unlock()

	if r.localWrites != version {
		return
	}

	for _, row := range rows {
		r.syncRow(row)
	}
}

// applyLocal runs f, which puts into memory what this process wrote to a row. Rows that
// were read before may be older than that, and SyncRows then ignores them.
func (r *Registry) applyLocal(f func()) {
	r.syncMu.Lock()
	defer r.syncMu.Unlock()

	r.localWrites++

	f()
}

// Register adds a configured upstream.
func (r *Registry) Register(c Config) error { return r.register(c, "") }

// register adds an upstream to those that can be served here.
func (r *Registry) register(c Config, setup string) error {
	if err := task.CheckUpstreamName(c.Name); err != nil {
		return fmt.Errorf("upstream %q: %w", c.Name, err)
	}

	up := &Upstream{Config: c, LeaseID: c.Name, setup: setup, preferences: r.preferences(c)}
	if c.Driver.Capabilities.SafeToResubmit { // it renders in this process: every replica has its own
		up.LeaseID = task.UpstreamID{Name: c.Name, Process: r.Process}.String()
	}

	return r.update(func(list []*Upstream) ([]*Upstream, error) {
		if slices.ContainsFunc(list, func(other *Upstream) bool { return other.Name == c.Name }) {
			return nil, fmt.Errorf("upstream name %q is used twice", c.Name)
		}

		return append(list, up), nil
	})
}

func (r *Registry) update(f func([]*Upstream) ([]*Upstream, error)) error {
	r.changeMu.Lock()
	defer r.changeMu.Unlock()

	list, err := f(slices.Clone(r.List()))
	if err == nil {
		r.current.Store(&list)
	}

	return err
}

// LoadAdded registers the upstreams that were added at run time, here or at another
// replica. One that cannot be built here (for example because its key is not on this
// machine) is reported and left to the other replicas.
func (r *Registry) LoadAdded(ctx context.Context) error {
	rows, err := r.Store.Upstreams(ctx)
	if err != nil {
		return fmt.Errorf("read the upstreams: %w", err)
	}

	r.SyncRows(rows, r.Version())

	return nil
}

// syncRow updates what this process knows of an upstream from its row: it adds the
// upstream, removes it, or applies what the operator wants.
func (r *Registry) syncRow(row store.Upstream) {
	up := r.Find(row.ID)
	switch {
	case up != nil && up.Added() && up.setup != row.Setup:
		r.remove(up)
	case up != nil && (up.LeaseID == row.ID || up.Name == row.ID):
		up.applyRow(row)
	case up == nil && row.Setup != "" && r.Build != nil:
		r.addFromRow(row)
	}
}

// addFromRow adds an upstream that an operator added at run time.
func (r *Registry) addFromRow(row store.Upstream) {
	c, err := r.Build(row.Setup)
	if err == nil && c.Name != row.ID {
		err = fmt.Errorf("its setup names it %q", c.Name)
	}

	if err == nil {
		err = r.register(c, row.Setup)
	}

	if err != nil {
		r.unusable.WithLabelValues(row.ID).Set(1)

		if r.unbuilt[row.ID] != row.Setup { // it is tried again with every observation
			r.Log.Error("ALERT: an upstream that was added cannot be used here", "upstream", row.ID, "error", err)
		}

		r.unbuilt[row.ID] = row.Setup

		return
	}

	delete(r.unbuilt, row.ID)
	r.unusable.WithLabelValues(row.ID).Set(0)
	r.Find(row.ID).applyRow(row)
	r.Log.Info("an upstream was added", "upstream", row.ID, "provider", c.Driver.Name)
}

// remove removes an upstream at which nothing is in progress.
func (r *Registry) remove(up *Upstream) {
	_ = r.update(func(list []*Upstream) ([]*Upstream, error) {
		return slices.DeleteFunc(list, func(other *Upstream) bool { return other == up }), nil
	})

	r.StopServing(up.LeaseID)

	if c, ok := up.Provider.(provider.Closer); ok {
		_ = c.Close()
	}

	if r.OnRemoved != nil {
		r.OnRemoved(up.Name)
	}

	r.Log.Info("an upstream was removed", "upstream", up.Name)
}

// Suspend suspends an upstream until a time, with the reason for its operator.
func (r *Registry) Suspend(ctx context.Context, up *Upstream, until time.Time, reason string) {
	set := func() { up.setSuspended(until, reason) }

	set() // at once, and again after the write, since an older row may be applied in between
	defer r.applyLocal(set)

	r.suspensions.WithLabelValues(up.Name).Inc()

	err := r.Write(ctx, func(tx *store.Tx) error {
		return tx.SuspendUpstream(ctx, up.LeaseID, until.UnixMilli(), reason)
	})
	if err != nil {
		r.Log.Error("cannot save that an upstream is suspended", "upstream", up.Name, "error", err)
	}
}

// CountFailure counts a failure of the supplier towards the circuit breaker, which may
// suspend the upstream.
func (r *Registry) CountFailure(ctx context.Context, up *Upstream, f *provider.Failure) {
	suspension, failures := up.recordBreakerFailure()
	if suspension == 0 {
		return
	}

	until := r.Clock.Now().Add(suspension)
	r.Log.Error("ALERT: an upstream keeps failing and is suspended for a while",
		"upstream", up.Name, "failures", failures, "last_error", f.Error(), "until", until)
	r.Suspend(ctx, up, until, fmt.Sprintf("%d consecutive failures; the last: %s", failures, f.Error()))
}
