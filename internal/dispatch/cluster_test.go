package dispatch

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/unireel/unireel/internal/clock"
	"github.com/unireel/unireel/internal/dispatch/upstream"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/task"
)

// cluster is several replicas that share one harness's store, and the suppliers that they
// submit to. A replica can be stopped as by SIGTERM, killed as by kill -9, and frozen.
type cluster struct {
	*harness
	suppliers    map[string]*fakeSupplier // by upstream
	rendererTime *time.Duration           // render time of each replica's own renderer; nil: replicas have no renderer
	replicas     []*replica

	recordMu sync.Mutex
	pollLog  map[provider.RemoteID][]pollRecord
	pointLog map[string][]string // by fail point: the replicas that passed it, in order
}

type pollRecord struct {
	replica string
	at      time.Time
}

// replica is one process of the cluster.
type replica struct {
	cluster  *cluster
	name     string
	d        *Engine
	renderer *fakeSupplier // its own renderer; nil without one
	stop     context.CancelFunc
	done     chan error
	onPoint  func(point string) // called at every fail point; nil: nothing happens

	mu     sync.Mutex
	dead   bool
	frozen chan struct{} // closed by thaw; nil while the replica is not frozen
}

// withCluster runs a test on each kind of database with upstreams up1, up2, ... and a
// supplier for each.
func withCluster(t *testing.T, upstreams int, test func(*cluster)) {
	withClusterOn(withEachDatabase, t, upstreams, test)
}

func withClusterOn(withDatabase func(*testing.T, func(*harness)), t *testing.T, upstreams int, test func(*cluster)) {
	withDatabase(t, func(h *harness) {
		c := &cluster{harness: h, suppliers: map[string]*fakeSupplier{}, pollLog: map[provider.RemoteID][]pollRecord{}, pointLog: map[string][]string{}}
		kind := h.upstreams[0].Driver
		kind.Capabilities.PollInterval = [2]time.Duration{200 * time.Millisecond, 400 * time.Millisecond}

		h.upstreams = nil
		for i := range upstreams {
			name := fmt.Sprintf("up%d", i+1)
			c.suppliers[name] = newFakeSupplier(h.supplier.video)
			c.suppliers[name].keyID = "key-" + name
			h.upstreams = append(h.upstreams, upstream.Config{Name: name, Driver: kind, Limits: upstream.Limits{SubmitsPerSecond: 50, InProgress: 50, QueriesPerSecond: 500}})
		}

		h.addAccount("acct_a", 1, 0)

		defer c.shutdownAll()

		test(c)
	})
}

// startReplica starts a replica.
func (c *cluster) startReplica(name string) *replica {
	c.t.Helper()
	r := &replica{cluster: c, name: name, done: make(chan error, 1)}

	var upstreams []upstream.Config
	for _, u := range c.upstreams {
		u.Provider = &replicaLink{r: r, up: u.Name, fakeSupplier: c.suppliers[u.Name]}
		upstreams = append(upstreams, u)
	}

	if c.rendererTime != nil {
		r.renderer = newFakeSupplier(c.supplier.video)
		r.renderer.renderIn = *c.rendererTime
		upstreams = append(upstreams, upstream.Config{
			Name: "animatic", Provider: &replicaLink{r: r, up: "animatic", fakeSupplier: r.renderer}, Limits: upstream.Limits{InProgress: 2},
			Driver: provider.Driver{Name: "animatic", Capabilities: provider.Capabilities{
				Preview:        true,
				SafeToResubmit: true,
				PollInterval:   [2]time.Duration{200 * time.Millisecond, time.Second},
			}},
		})
	}

	d, err := New(context.Background(), Options{
		Store:       c.store,
		Blobs:       c.blobs,
		Fetch:       c.fetcher,
		Catalog:     c.catalog,
		Samples:     noSamples{},
		Upstreams:   upstreams,
		ReplicaName: name,
		ScratchDir:  filepath.Join(c.dir, "scratch"),
		Clock:       clock.New(time.Now, 1),
		NewID:       c.newID,
		Log:         c.log().With("replica", name),
		Registry:    prometheus.NewRegistry(),
		Retention:   c.retention,
		TaskTimeout: c.timeout,
		FailPoint:   r.point,
	})
	if err != nil {
		c.t.Fatal(err)
	}

	if r.d = d; c.harness.d == nil {
		c.harness.d = d // names the queues of new tasks; the other replicas learn of them from the store
	}

	ctx, stop := context.WithCancel(context.Background())

	r.stop = stop
	go func() { r.done <- d.Run(ctx) }()

	c.replicas = append(c.replicas, r)

	return r
}

// shutdownAll stops every replica that still runs.
func (c *cluster) shutdownAll() {
	for _, r := range c.replicas {
		r.thaw()
		r.shutdown()
	}
}

// replicasAt returns the replicas that reached a fail point, in order.
func (c *cluster) replicasAt(point string) []string {
	c.recordMu.Lock()
	defer c.recordMu.Unlock()

	return slices.Clone(c.pointLog[point])
}

// pollsOf returns the polls of a remote task: which replica, and when.
func (c *cluster) pollsOf(remoteID string) []pollRecord {
	c.recordMu.Lock()
	defer c.recordMu.Unlock()

	return slices.Clone(c.pollLog[provider.RemoteID(remoteID)])
}

// setRenderTime sets how long renders take from now on.
func (c *cluster) setRenderTime(t time.Duration) {
	for _, s := range c.suppliers {
		s.mu.Lock()
		s.renderIn = t
		s.mu.Unlock()
	}
}

// point is called at every fail point of a replica.
func (r *replica) point(name string) {
	r.checkAlive()
	c := r.cluster
	c.recordMu.Lock()
	c.pointLog[name] = append(c.pointLog[name], r.name)
	c.recordMu.Unlock()
	r.mu.Lock()
	onPoint := r.onPoint
	r.mu.Unlock()

	if onPoint != nil {
		onPoint(name)
		r.checkAlive()
	}
}

// onNext calls f the next time that the replica reaches a fail point.
func (r *replica) onNext(point string, f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()

	r.onPoint = func(name string) {
		if name != point {
			return
		}

		r.mu.Lock()
		done := r.onPoint == nil
		r.onPoint = nil
		r.mu.Unlock()

		if !done {
			f()
		}
	}
}

// checkAlive ends the calling goroutine if the replica is dead, and blocks it while the
// replica is frozen.
func (r *replica) checkAlive() {
	for {
		r.mu.Lock()
		dead := r.dead
		frozen := r.frozen
		r.mu.Unlock()

		switch {
		case dead:
			runtime.Goexit()
		case frozen == nil:
			return
		}

		<-frozen
	}
}

// kill acts like kill -9: from now on nothing that the replica does has an effect.
func (r *replica) kill() {
	r.mu.Lock()
	defer r.mu.Unlock()

	r.dead = true
}

func (r *replica) freeze() {
	r.mu.Lock()
	defer r.mu.Unlock()

	if r.frozen == nil {
		r.frozen = make(chan struct{})
	}
}

func (r *replica) thaw() {
	r.mu.Lock()
	defer r.mu.Unlock()

	if r.frozen != nil {
		close(r.frozen)
		r.frozen = nil
	}
}

// shutdown acts like SIGTERM; it returns when Run has returned.
func (r *replica) shutdown() {
	r.cluster.t.Helper()
	r.stop()

	if r.done == nil {
		return
	}

	select {
	case err := <-r.done:
		if err != nil {
			r.cluster.t.Errorf("%s: Run: %v", r.name, err)
		}
	case <-time.After(5 * time.Minute):
		r.cluster.t.Fatalf("%s did not end within five minutes", r.name)
	}

	r.done = nil
}

// isWorking reports whether the replica is neither dead, frozen nor stopped.
func (r *replica) isWorking() bool {
	r.mu.Lock()
	defer r.mu.Unlock()

	return !r.dead && r.frozen == nil && r.done != nil
}

// servedUpstreams lists the upstreams that the replica serves, without its own renderer.
func (r *replica) servedUpstreams() (list []string) {
	for _, w := range (fleet{r.d}).workers() {
		if w.Ready() && w.Upstream().Shared() {
			list = append(list, w.ID)
		}
	}

	return list
}

// delaySubmit calls f before each submission of the replica to an upstream.
func (r *replica) delaySubmit(up string, f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()

	r.d.upstreams.Find(up).Provider.(*replicaLink).beforeSubmit = f
}

// replicaServing returns the working replica that serves an upstream, or nil.
func (c *cluster) replicaServing(up string) *replica {
	for _, r := range c.replicas {
		if r.isWorking() && slices.Contains(r.servedUpstreams(), up) {
			return r
		}
	}

	return nil
}

// eventually waits until ok returns true, and returns how long that took. It calls ok
// every 100 ms of fake time.
func (c *cluster) eventually(timeout time.Duration, what string, ok func() bool) time.Duration {
	c.t.Helper()

	for begin := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		if ok() {
			return time.Since(begin)
		}

		if time.Since(begin) > timeout {
			c.t.Fatalf("condition %q did not hold within %s", what, timeout)
		}
	}
}

// accepted returns the remote IDs that all suppliers together gave for a task.
func (c *cluster) accepted(id string) (list []provider.RemoteID) {
	for _, s := range c.suppliers {
		list = append(list, s.accepted(id)...)
	}

	for _, r := range c.replicas {
		if r.renderer != nil {
			list = append(list, r.renderer.accepted(id)...)
		}
	}

	return list
}

// checkCompleted waits until the tasks are completed, and checks that each was accepted
// once and that the invariants hold.
func (c *cluster) checkCompleted(ids ...string) {
	c.t.Helper()

	for _, id := range ids {
		c.waitForState(id, task.Completed)

		if got := c.accepted(id); len(got) != 1 {
			c.t.Errorf("%s was accepted %d times (%v), want once", id, len(got), got)
		}
	}

	c.checkInvariants()
}

// replicaLink is one replica's connection to a supplier: the calls of a dead replica do
// not arrive, and responses do not reach it.
type replicaLink struct {
	*fakeSupplier
	r            *replica
	up           string
	beforeSubmit func() // called before a submission, without blocking other calls; nil: nothing happens
}

func (w *replicaLink) Submit(ctx context.Context, submission provider.Submission) (provider.RemoteID, error) {
	w.r.checkAlive()

	if err := provider.CheckSend(ctx); err != nil {
		return "", &provider.Failure{Acceptance: provider.NotAccepted, Err: err}
	}

	w.r.mu.Lock()
	beforeSubmit := w.beforeSubmit
	w.r.mu.Unlock()

	if beforeSubmit != nil {
		beforeSubmit()
	}

	remoteID, err := w.fakeSupplier.Submit(ctx, submission)
	w.r.checkAlive()

	if remoteID != "" {
		remoteID = provider.RemoteID(w.up) + "/" + remoteID
	}

	return remoteID, err
}

func (w *replicaLink) Poll(ctx context.Context, t provider.RemoteID) (provider.Report, error) {
	w.r.checkAlive()
	w.r.cluster.recordMu.Lock()
	w.r.cluster.pollLog[t] = append(w.r.cluster.pollLog[t], pollRecord{w.r.name, time.Now()})
	w.r.cluster.recordMu.Unlock()
	report, err := w.fakeSupplier.Poll(ctx, t[min(len(t), len(w.up)+1):])
	w.r.checkAlive()

	return report, err
}

func (w *replicaLink) Open(ctx context.Context, result provider.Result) (io.ReadCloser, error) {
	w.r.checkAlive()
	return w.fakeSupplier.Open(ctx, result)
}

func (w *replicaLink) Cancel(ctx context.Context, t provider.RemoteID) (bool, error) {
	w.r.checkAlive()
	return w.fakeSupplier.Cancel(ctx, t[min(len(t), len(w.up)+1):])
}

func (w *replicaLink) Find(ctx context.Context, model string, since time.Time) ([]provider.RemoteTask, error) {
	w.r.checkAlive()

	list, err := w.fakeSupplier.Find(ctx, model, since)
	for i := range list {
		list[i].RemoteID = provider.RemoteID(w.up) + "/" + list[i].RemoteID
	}

	w.r.checkAlive()

	return list, err
}
