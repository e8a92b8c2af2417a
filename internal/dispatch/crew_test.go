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

	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/task"
)

// crew is several replicas on one house's store, and the suppliers that they
// serve. Replicas may be stopped as by SIGTERM, killed as by kill -9, and frozen.
type crew struct {
	*house
	suppliers map[string]*supplier // by upstream
	own       *time.Duration       // how long each replica's own renderer takes; nil: there is none
	replicas  []*replica

	seen  sync.Mutex
	polls map[provider.Ticket][]poll
	notes map[string][]string // which replicas passed a point, in order
}

type poll struct {
	by string
	at time.Time
}

// replica is one process of the crew.
type replica struct {
	crew  *crew
	name  string
	d     *Dispatch
	film  *supplier // its own renderer
	stop  context.CancelFunc
	ended chan error
	at    func(point string) // what a test does at a point; nil nothing

	mu   sync.Mutex
	dead bool
	ice  chan struct{} // closed when it thaws; nil while it is not frozen
}

// inCrew runs a test in a bubble with suppliers for upstreams of these names.
func inCrew(t *testing.T, upstreams int, test func(*crew)) {
	inCrewOf(inHouses, t, upstreams, test)
}

func inCrewOf(in func(*testing.T, func(*house)), t *testing.T, upstreams int, test func(*crew)) {
	in(t, func(h *house) {
		c := &crew{house: h, suppliers: map[string]*supplier{}, polls: map[provider.Ticket][]poll{}, notes: map[string][]string{}}
		kind := h.upstreams[0].Kind
		kind.Traits.PollEvery = [2]time.Duration{200 * time.Millisecond, 400 * time.Millisecond}

		h.upstreams = nil
		for i := range upstreams {
			name := fmt.Sprintf("up%d", i+1)
			c.suppliers[name] = newSupplier(h.supplier.video)
			c.suppliers[name].key = "key-" + name
			h.upstreams = append(h.upstreams, Upstream{Name: name, Kind: kind, Limits: Limits{SubmitsPerSecond: 50, InProgress: 50, QueriesPerSecond: 500}})
		}

		h.account("acct_a", 1, 0)

		defer c.end()

		test(c)
	})
}

// join starts a replica.
func (c *crew) join(name string) *replica {
	c.t.Helper()
	r := &replica{crew: c, name: name, ended: make(chan error, 1)}

	var upstreams []Upstream
	for _, u := range c.upstreams {
		u.Provider = &wired{r: r, up: u.Name, supplier: c.suppliers[u.Name]}
		upstreams = append(upstreams, u)
	}

	if c.own != nil {
		r.film = newSupplier(c.supplier.video)
		r.film.renderIn = *c.own
		upstreams = append(upstreams, Upstream{
			Name: "animatic", Provider: &wired{r: r, up: "animatic", supplier: r.film}, Limits: Limits{InProgress: 2},
			Kind: provider.Kind{Name: "animatic", Traits: provider.Traits{Preview: true, Resubmit: true, PollEvery: [2]time.Duration{200 * time.Millisecond, time.Second}}},
		})
	}

	d, err := New(context.Background(), Options{
		Store: c.store, Blobs: c.blobs, Fetch: c.fetch, Catalog: c.catalog, Samples: samples{}, Upstreams: upstreams, Replica: name,
		Scratch: filepath.Join(c.dir, "scratch"), Now: time.Now, NewID: c.newID, Log: c.log().With("replica", name), Registry: prometheus.NewRegistry(),
		Retention: c.retention, TaskTimeout: c.timeout, Point: r.point,
	})
	if err != nil {
		c.t.Fatal(err)
	}

	if r.d = d; c.house.d == nil {
		c.house.d = d // says what the lanes are; the others have to find out
	}

	ctx, stop := context.WithCancel(context.Background())

	r.stop = stop
	go func() { r.ended <- d.Run(ctx) }()

	c.replicas = append(c.replicas, r)

	return r
}

// end stops every replica that still runs.
func (c *crew) end() {
	for _, r := range c.replicas {
		r.thaw()
		r.leave()
	}
}

// passed says which replicas came to a point, in order.
func (c *crew) passed(point string) []string {
	c.seen.Lock()
	defer c.seen.Unlock()

	return slices.Clone(c.notes[point])
}

// asked says who asked about a ticket when.
func (c *crew) asked(ticket string) []poll {
	c.seen.Lock()
	defer c.seen.Unlock()

	return slices.Clone(c.polls[provider.Ticket(ticket)])
}

// rendersIn says how long renders take from now on.
func (c *crew) rendersIn(t time.Duration) {
	for _, s := range c.suppliers {
		s.mu.Lock()
		s.renderIn = t
		s.mu.Unlock()
	}
}

// point is every fail point of a replica.
func (r *replica) point(name string) {
	r.pass()
	c := r.crew
	c.seen.Lock()
	c.notes[name] = append(c.notes[name], r.name)
	c.seen.Unlock()
	r.mu.Lock()
	at := r.at
	r.mu.Unlock()

	if at != nil {
		at(name)
		r.pass()
	}
}

// meet has something happen the next time that a replica comes to a point.
func (r *replica) meet(point string, what func()) {
	r.mu.Lock()
	defer r.mu.Unlock()

	r.at = func(name string) {
		if name != point {
			return
		}

		r.mu.Lock()
		met := r.at == nil
		r.at = nil
		r.mu.Unlock()

		if !met {
			what()
		}
	}
}

// pass ends whoever comes by in a dead process, and holds up whoever comes by in a
// frozen one.
func (r *replica) pass() {
	for {
		r.mu.Lock()
		dead := r.dead
		ice := r.ice
		r.mu.Unlock()

		switch {
		case dead:
			runtime.Goexit()
		case ice == nil:
			return
		}

		<-ice
	}
}

// kill is kill -9: from now on nothing that it does reaches anything.
func (r *replica) kill() {
	r.mu.Lock()
	defer r.mu.Unlock()

	r.dead = true
}

func (r *replica) freeze() {
	r.mu.Lock()
	defer r.mu.Unlock()

	if r.ice == nil {
		r.ice = make(chan struct{})
	}
}

func (r *replica) thaw() {
	r.mu.Lock()
	defer r.mu.Unlock()

	if r.ice != nil {
		close(r.ice)
		r.ice = nil
	}
}

// leave is SIGTERM; it returns when the process has ended.
func (r *replica) leave() {
	r.crew.t.Helper()
	r.stop()

	if r.ended == nil {
		return
	}

	select {
	case err := <-r.ended:
		if err != nil {
			r.crew.t.Errorf("%s: Run: %v", r.name, err)
		}
	case <-time.After(5 * time.Minute):
		r.crew.t.Fatalf("%s did not end within five minutes", r.name)
	}

	r.ended = nil
}

// works says whether a replica is neither dead, frozen nor ended.
func (r *replica) works() bool {
	r.mu.Lock()
	defer r.mu.Unlock()

	return !r.dead && r.ice == nil && r.ended != nil
}

// serves lists the upstreams that a replica serves, its own renderer aside.
func (r *replica) serves() (list []string) {
	for _, t := range r.d.keeper.tenures() {
		if t.isOpen() && t.id == t.up.Name {
			list = append(list, t.id)
		}
	}

	return list
}

// slowly has a replica's orders to an upstream meet something on the wire.
func (r *replica) slowly(up string, meet func()) {
	r.mu.Lock()
	defer r.mu.Unlock()

	r.d.upstream(up).Provider.(*wired).slow = meet
}

// server is the working replica that serves an upstream, or nil.
func (c *crew) server(up string) *replica {
	for _, r := range c.replicas {
		if r.works() && slices.Contains(r.serves(), up) {
			return r
		}
	}

	return nil
}

// within waits for something to be so, looking every tenth of a second of given
// time.
func (c *crew) within(most time.Duration, what string, ok func() bool) time.Duration {
	c.t.Helper()

	for begin := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		if ok() {
			return time.Since(begin)
		}

		if time.Since(begin) > most {
			c.t.Fatalf("%s: not within %s", what, most)
		}
	}
}

// taken says which tickets all suppliers together gave for a task.
func (c *crew) taken(id string) (list []provider.Ticket) {
	for _, s := range c.suppliers {
		list = append(list, s.taken(id)...)
	}

	for _, r := range c.replicas {
		if r.film != nil {
			list = append(list, r.film.taken(id)...)
		}
	}

	return list
}

// done waits for tasks to be completed, each submitted once, and audits.
func (c *crew) done(ids ...string) {
	c.t.Helper()

	for _, id := range ids {
		c.untilState(id, task.Completed)

		if got := c.taken(id); len(got) != 1 {
			c.t.Errorf("%s was submitted %d times: %v", id, len(got), got)
		}
	}

	c.sound()
}

// wired is a supplier as one replica reaches it: a dead process's calls do not
// come through, and answers do not come back to it.
type wired struct {
	*supplier
	r    *replica
	up   string
	slow func() // what an order meets on the wire, with nobody else held up; nil nothing
}

func (w *wired) Submit(ctx context.Context, o provider.Order) (provider.Ticket, error) {
	w.r.pass()

	if err := provider.May(ctx); err != nil {
		return "", &provider.Failure{Taken: provider.NotTaken, Err: err}
	}

	w.r.mu.Lock()
	slow := w.slow
	w.r.mu.Unlock()

	if slow != nil {
		slow()
	}

	ticket, err := w.supplier.Submit(ctx, o)
	w.r.pass()

	if ticket != "" {
		ticket = provider.Ticket(w.up) + "/" + ticket
	}

	return ticket, err
}

func (w *wired) Poll(ctx context.Context, t provider.Ticket) (provider.Report, error) {
	w.r.pass()
	w.r.crew.seen.Lock()
	w.r.crew.polls[t] = append(w.r.crew.polls[t], poll{w.r.name, time.Now()})
	w.r.crew.seen.Unlock()
	report, err := w.supplier.Poll(ctx, t[min(len(t), len(w.up)+1):])
	w.r.pass()

	return report, err
}

func (w *wired) Open(ctx context.Context, result provider.Result) (io.ReadCloser, error) {
	w.r.pass()
	return w.supplier.Open(ctx, result)
}

func (w *wired) Cancel(ctx context.Context, t provider.Ticket) (bool, error) {
	w.r.pass()
	return w.supplier.Cancel(ctx, t[min(len(t), len(w.up)+1):])
}

func (w *wired) Find(ctx context.Context, model string, since time.Time) ([]provider.Found, error) {
	w.r.pass()

	list, err := w.supplier.Find(ctx, model, since)
	for i := range list {
		list[i].Ticket = provider.Ticket(w.up) + "/" + list[i].Ticket
	}

	w.r.pass()

	return list, err
}
