package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// upstream is an Upstream that can be served here; a worker serves it.
type upstream struct {
	Upstream
	leaseID     string                     // its name; that of an embedded renderer also names this process
	setup       string                     // with which it was added at run time; "": it is configured
	preferences map[string]routePreference // by the supplier's model

	mu            sync.Mutex
	keyID         string // the supplier's id of our key, once a list showed it
	desired       store.DesiredState
	suspended     time.Time
	suspendReason string
	lastErr       string
	breaker       breaker
}

// upstreamRegistry holds the upstreams that this process knows. It changes seldom and is
// read everywhere.
type upstreamRegistry struct {
	changeMu    sync.Mutex // serializes changes of current
	current     atomic.Pointer[[]*upstream]
	syncMu      sync.Mutex        // serializes the reading of rows into memory
	localWrites int               // how often this process itself changed a row
	unusable    map[string]string // setups that cannot be used here, by upstream; each is reported once
}

// version returns a number to take before rows are read that are passed to syncRows.
func (r *upstreamRegistry) version() int {
	r.syncMu.Lock()
	defer r.syncMu.Unlock()

	return r.localWrites
}

// applyLocal runs f, which puts into memory what this process wrote to a row. Rows that
// were read before may be older than that, and syncRows then ignores them.
func (r *upstreamRegistry) applyLocal(f func()) {
	r.syncMu.Lock()
	defer r.syncMu.Unlock()

	r.localWrites++

	f()
}

func (r *upstreamRegistry) list() []*upstream {
	if list := r.current.Load(); list != nil {
		return *list
	}

	return nil
}

func (r *upstreamRegistry) update(f func([]*upstream) ([]*upstream, error)) error {
	r.changeMu.Lock()
	defer r.changeMu.Unlock()

	list, err := f(slices.Clone(r.list()))
	if err == nil {
		r.current.Store(&list)
	}

	return err
}

// register adds an upstream to those that can be served here.
func (d *Dispatch) register(u Upstream, setup string) error {
	if err := task.CheckUpstreamName(u.Name); err != nil {
		return fmt.Errorf("dispatch: %q: %w", u.Name, err)
	}

	up := &upstream{Upstream: u, leaseID: u.Name, setup: setup, preferences: d.routePreferences(u)}
	if u.Driver.Capabilities.SafeToResubmit && !d.SingleInstance { // it renders in this process: every replica has its own
		up.leaseID = task.UpstreamID{Name: u.Name, Process: d.owner}.String()
	}

	return d.registry.update(func(list []*upstream) ([]*upstream, error) {
		if slices.ContainsFunc(list, func(other *upstream) bool { return other.Name == u.Name }) {
			return nil, fmt.Errorf("dispatch: upstream name %q is used twice", u.Name)
		}

		return append(list, up), nil
	})
}

// PreviewFallbackActive reports whether previews serve requests for real videos.
func (d *Dispatch) PreviewFallbackActive() bool {
	return d.PreviewFallback && !slices.ContainsFunc(d.registry.list(), func(up *upstream) bool { return up.setup != "" })
}

// registerAdded registers the upstreams that were added at run time, here or at another
// replica. One that cannot be built here (for example because its key is not on this
// machine) is reported and left to the other replicas.
func (d *Dispatch) registerAdded(ctx context.Context) error {
	rows, err := d.Store.Upstreams(ctx)
	if err != nil {
		return fmt.Errorf("read the upstreams: %w", err)
	}

	d.syncRows(rows, 0)

	return nil
}

// syncRows updates the upstreams from rows that were read after the call of version. If
// this process changed a row since then, the rows may be older than the change: they are
// ignored, and the next observation of the coordinator reads new ones.
func (d *Dispatch) syncRows(rows []store.Upstream, version int) {
	d.registry.syncMu.Lock()
	defer d.registry.syncMu.Unlock()

	if d.registry.localWrites != version {
		return
	}

	for _, row := range rows {
		d.syncRow(row)
	}
}

// syncRow updates what this process knows of an upstream from its row: it adds the
// upstream, removes it, or applies what the operator wants.
func (d *Dispatch) syncRow(row store.Upstream) {
	up := d.upstream(row.ID)
	switch {
	case up != nil && up.setup != "" && up.setup != row.Setup:
		d.removeUpstream(up)
	case up != nil && (up.leaseID == row.ID || up.Name == row.ID):
		up.applyRow(row)
	case up == nil && row.Setup != "" && d.BuildUpstream != nil:
		u, err := d.BuildUpstream(row.Setup)
		if err == nil && u.Name != row.ID {
			err = fmt.Errorf("its setup names it %q", u.Name)
		}

		if err == nil {
			err = d.register(u, row.Setup)
		}

		if err != nil {
			d.metrics.unusable.WithLabelValues(row.ID).Set(1)

			if d.registry.unusable[row.ID] != row.Setup { // it is tried again with every observation
				d.Log.Error("ALERT: an upstream that was added cannot be used here", "upstream", row.ID, "error", err)
			}

			d.registry.unusable[row.ID] = row.Setup

			return
		}

		delete(d.registry.unusable, row.ID)
		d.metrics.unusable.WithLabelValues(row.ID).Set(0)
		d.upstream(row.ID).applyRow(row)
		d.Log.Info("an upstream was added", "upstream", row.ID, "provider", u.Driver.Name)
	}
}

// removeUpstream removes an upstream at which nothing is in progress.
func (d *Dispatch) removeUpstream(up *upstream) {
	_ = d.registry.update(func(list []*upstream) ([]*upstream, error) {
		return slices.DeleteFunc(list, func(other *upstream) bool { return other == up }), nil
	})
	if w := d.coordinator.worker(up.leaseID); w != nil {
		w.revoke(errUpstreamRemoved)
	}

	if c, ok := up.Provider.(provider.Closer); ok {
		_ = c.Close()
	}

	if d.OnUpstreamRemoved != nil {
		d.OnUpstreamRemoved(up.Name)
	}

	d.Log.Info("an upstream was removed", "upstream", up.Name)
}

// applyRow applies what operators and owners wrote into the row.
func (u *upstream) applyRow(row store.Upstream) {
	u.mu.Lock()
	defer u.mu.Unlock()

	u.keyID = row.SupplierKeyID
	u.desired = row.DesiredState
	u.suspended = time.UnixMilli(row.SuspendedUntil)
	u.suspendReason = row.SuspendedReason
}

// suspendedUntil returns the time before which nothing is submitted.
func (u *upstream) suspendedUntil() time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()

	return u.suspended
}

func (u *upstream) desiredState() store.DesiredState {
	u.mu.Lock()
	defer u.mu.Unlock()

	return u.desired
}

// acceptsNewTasks reports whether new tasks may be queued for the upstream; also while it is
// paused, since it will serve again.
func (u *upstream) acceptsNewTasks() bool {
	state := u.desiredState()
	return state == store.DesiredServing || state == store.DesiredPaused
}

func (u *upstream) recordFailure(f *provider.Failure) {
	u.mu.Lock()
	defer u.mu.Unlock()

	u.lastErr = f.Error()
}

// suspendDuration is how long an upstream is suspended for a failure that the operator must resolve.
const suspendDuration = 10 * time.Minute

// suspend suspends an upstream until a time, with the reason for its operator.
func (d *Dispatch) suspend(ctx context.Context, up *upstream, until time.Time, reason string) {
	set := func() {
		up.mu.Lock()
		defer up.mu.Unlock()

		up.suspended = until
		up.suspendReason = reason
	}

	set() // at once, and again after the write, since an older row may be applied in between
	defer d.registry.applyLocal(set)

	d.metrics.suspensions.WithLabelValues(up.Name).Inc()

	err := d.write(ctx, func(tx *store.Tx) error {
		return tx.SuspendUpstream(ctx, up.leaseID, until.UnixMilli(), reason)
	})
	if err != nil {
		d.Log.Error("cannot save that an upstream is suspended", "upstream", up.Name, "error", err)
	}
}

// The limits of the circuit breaker.
const (
	breakerThreshold     = 5 // consecutive failures
	breakerMinSuspension = 30 * time.Second
	breakerMaxSuspension = 10 * time.Minute
)

// breaker is the circuit breaker of an upstream. It is in the memory of the upstream's
// owner; the suspensions that it decides are on disk.
type breaker struct {
	failures   int        // consecutive
	trips      int        // consecutive
	trialRoute task.Route // the one that tries whether the upstream works again; the zero Route: none
}

// countFailure counts a failure of the supplier. After breakerThreshold consecutive failures
// it suspends the upstream, each time for twice as long.
func (d *Dispatch) countFailure(ctx context.Context, up *upstream, f *provider.Failure) {
	up.mu.Lock()
	b := &up.breaker

	b.trialRoute = task.Route{}
	if b.failures++; b.failures < breakerThreshold {
		up.mu.Unlock()
		return
	}

	suspension := min(breakerMinSuspension<<min(b.trips, 10), breakerMaxSuspension)
	b.trips++
	up.mu.Unlock()

	until := d.Now().Add(suspension)
	d.Log.Error("ALERT: an upstream keeps failing and is suspended for a while",
		"upstream", up.Name, "failures", b.failures, "last_error", f.Error(), "until", until)
	d.suspend(ctx, up, until, fmt.Sprintf("%d consecutive failures; the last: %s", b.failures, f.Error()))
}

// resetBreaker resets the count of failures.
func (u *upstream) resetBreaker() {
	u.mu.Lock()
	defer u.mu.Unlock()

	u.breaker = breaker{}
}

// allowSubmit reports whether a submitter may submit. After a suspension only one route
// may, until its answer shows whether the supplier works again.
func (u *upstream) allowSubmit(route task.Route) bool {
	u.mu.Lock()
	defer u.mu.Unlock()

	b := &u.breaker
	if b.failures < breakerThreshold || b.trialRoute == route {
		return true
	}

	if b.trialRoute != (task.Route{}) {
		return false
	}

	b.trialRoute = route

	return true
}

// endTrial ends the trial of a route that had nothing to submit, or whose answer says
// nothing about the supplier.
func (u *upstream) endTrial(route task.Route) {
	u.mu.Lock()
	defer u.mu.Unlock()

	if u.breaker.trialRoute == route {
		u.breaker.trialRoute = task.Route{}
	}
}

// Reasons to refuse a change of an upstream.
var (
	ErrConfigured = errors.New("it is defined in the configuration: remove it there and restart the server")
	ErrExists     = errors.New("an upstream of this name exists already")
	ErrEmbedded   = errors.New("it is the embedded renderer, which is always available")
)

// AddUpstream adds an upstream at run time, on every replica. It is built here first, so
// that the operator learns at once what is wrong with its setup.
func (d *Dispatch) AddUpstream(ctx context.Context, setup string) (name string, err error) {
	u, err := d.BuildUpstream(setup)
	if err != nil {
		return "", err
	}

	if c, ok := u.Provider.(provider.Closer); ok {
		_ = c.Close() // it was built only to check the setup
	}

	if d.upstream(u.Name) != nil {
		return "", ErrExists
	}

	created := false
	auditLine := d.newAuditLine("add", u.Name, auditDetail(setup))

	err = d.Store.Write(ctx, func(tx *store.Tx) (err error) {
		if created, err = tx.AddUpstream(ctx, u.Name, setup); err != nil || !created {
			return err
		}

		return tx.InsertAuditEntry(ctx, auditLine)
	})
	switch {
	case err != nil:
		return "", err
	case !created:
		return "", ErrExists
	}

	return u.Name, d.applyDesiredState(ctx, u.Name)
}

// SetDesiredState records what the operator wants of an upstream. No desired state affects
// what is in progress there.
func (d *Dispatch) SetDesiredState(ctx context.Context, name string, state store.DesiredState) error {
	up := d.upstream(name)
	switch {
	case up != nil && up.Driver.Capabilities.SafeToResubmit:
		return ErrEmbedded
	case up != nil && state == store.DesiredRemoved && up.setup == "":
		return ErrConfigured
	}

	auditLine := d.newAuditLine(auditAction(state), name, nil)

	err := d.Store.Write(ctx, func(tx *store.Tx) error {
		if up != nil { // it may have no row yet: nobody has served it
			if err := tx.EnsureUpstream(ctx, name); err != nil {
				return err
			}
		}

		err := tx.SetDesiredState(ctx, name, state)
		if err == nil && state == store.DesiredServing {
			err = tx.SuspendUpstream(ctx, name, 0, "") // an upstream that is resumed is tried at once
		}

		if err != nil {
			return err
		}

		return tx.InsertAuditEntry(ctx, auditLine)
	})
	if err != nil {
		return err
	}

	if up != nil && state == store.DesiredServing {
		up.resetBreaker()
	}

	return d.applyDesiredState(ctx, name)
}

// applyDesiredState applies the change on this replica now; the others read it when they
// next renew their leases.
func (d *Dispatch) applyDesiredState(ctx context.Context, name string) error {
	row, err := d.Store.Upstream(ctx, name)
	if err != nil {
		return err
	}

	d.registry.applyLocal(func() { d.syncRow(row) })
	d.coordinator.wake()
	d.startSubmitters()

	return nil
}
