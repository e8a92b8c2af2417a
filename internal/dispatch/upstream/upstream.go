// Package upstream knows the configured accounts at suppliers: which exist, what each can
// serve, what the operator wants of each, and how well it works at the moment. It says
// which routes a request may take, and which of a queue's routes is the best for a task.
// The engine asks it before a task is queued and before one is claimed; it never submits.
package upstream

import (
	"slices"
	"sync"
	"time"

	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// Limits are the limits of an account at a supplier.
type Limits struct {
	SubmitsPerSecond float64 // for each model
	InProgress       int     // for each model
	QueriesPerSecond float64 // all models together
}

// Config is one configured account at a supplier, ready to use. Each upstream has one key,
// so that its name stands for the supplier account too.
type Config struct {
	Name     string
	Driver   provider.Driver
	Provider provider.Provider
	Models   []string // the supplier's models that it may serve; empty: all
	Limits   Limits
	Order    int          // 0 and 1 come first; a later one serves what the earlier ones have no room for
	Weight   int          // share among upstreams of the same order; 0 counts as 1
	Routes   []ModelRoute // what it serves of our models; empty: everything that their files list for its provider
}

// ModelRoute is what an operator configured for some of our models at one upstream.
type ModelRoute struct {
	Models     []string           // ids and family names; empty: all
	Capability catalog.Capability // SupplierModel "": the name in the model's file
	Order      int                // 0: the upstream's
	Weight     int                // 0: the upstream's
}

// Upstream is an upstream that can be served here; a worker serves it.
type Upstream struct {
	Config
	LeaseID     string                // its name; that of an embedded renderer also names this process
	setup       string                // with which it was added at run time; "": it is configured
	preferences map[string]preference // by the supplier's model

	mu            sync.Mutex
	keyID         string // the supplier's id of our key, once a list showed it
	desired       store.DesiredState
	suspended     time.Time
	suspendReason string
	lastErr       string
	breaker       breaker
}

// State is what an operator sees of an upstream.
type State struct {
	Desired        store.DesiredState
	SuspendedUntil time.Time // in the past: not suspended
	SuspendReason  string
	LastError      string
}

// Shared reports whether other replicas can serve the upstream too. An embedded renderer
// belongs to its process.
func (u *Upstream) Shared() bool { return u.LeaseID == u.Name }

// Added reports whether the upstream was added at run time; it is not in the configuration.
func (u *Upstream) Added() bool { return u.setup != "" }

// AllowsModel reports whether the upstream may serve a model of the supplier.
func (u *Upstream) AllowsModel(model string) bool {
	return len(u.Models) == 0 || slices.Contains(u.Models, model)
}

// State returns what an operator sees of the upstream.
func (u *Upstream) State() State {
	u.mu.Lock()
	defer u.mu.Unlock()

	return State{Desired: u.desired, SuspendedUntil: u.suspended, SuspendReason: u.suspendReason, LastError: u.lastErr}
}

// applyRow applies what operators and owners wrote into the row.
func (u *Upstream) applyRow(row store.Upstream) {
	u.mu.Lock()
	defer u.mu.Unlock()

	u.keyID = row.SupplierKeyID
	u.desired = row.DesiredState
	u.suspended = time.UnixMilli(row.SuspendedUntil)
	u.suspendReason = row.SuspendedReason
}

// setSuspended suspends the upstream in memory.
func (u *Upstream) setSuspended(until time.Time, reason string) {
	u.mu.Lock()
	defer u.mu.Unlock()

	u.suspended = until
	u.suspendReason = reason
}

// acceptsNewTasks reports whether new tasks may be queued for the upstream; also while it is
// paused, since it will serve again.
func (u *Upstream) acceptsNewTasks() bool {
	state := u.State().Desired
	return state == store.DesiredServing || state == store.DesiredPaused
}

// KeyID returns the supplier's id of our API key, "" while it is unknown.
func (u *Upstream) KeyID() string {
	u.mu.Lock()
	defer u.mu.Unlock()

	return u.keyID
}

// SetKeyID records the supplier's id of our API key.
func (u *Upstream) SetKeyID(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()

	u.keyID = id
}

// RecordFailure keeps a failure for the operator to see.
func (u *Upstream) RecordFailure(f *provider.Failure) {
	u.mu.Lock()
	defer u.mu.Unlock()

	u.lastErr = f.Error()
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

// recordBreakerFailure counts a failure of the supplier. After breakerThreshold consecutive
// ones it returns for how long to suspend the upstream, each time for twice as long; until
// then it returns 0.
func (u *Upstream) recordBreakerFailure() (suspension time.Duration, failures int) {
	u.mu.Lock()
	defer u.mu.Unlock()

	b := &u.breaker
	b.trialRoute = task.Route{}

	if b.failures++; b.failures < breakerThreshold {
		return 0, b.failures
	}

	suspension = min(breakerMinSuspension<<min(b.trips, 10), breakerMaxSuspension)
	b.trips++

	return suspension, b.failures
}

// ResetBreaker forgets the failures: the supplier works.
func (u *Upstream) ResetBreaker() {
	u.mu.Lock()
	defer u.mu.Unlock()

	u.breaker = breaker{}
}

// AllowSubmit reports whether a route may be submitted to. After a suspension only one
// route may, until its answer shows whether the supplier works again.
func (u *Upstream) AllowSubmit(route task.Route) bool {
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

// EndTrial ends the trial of a route that had nothing to submit, or whose answer says
// nothing about the supplier.
func (u *Upstream) EndTrial(route task.Route) {
	u.mu.Lock()
	defer u.mu.Unlock()

	if u.breaker.trialRoute == route {
		u.breaker.trialRoute = task.Route{}
	}
}
