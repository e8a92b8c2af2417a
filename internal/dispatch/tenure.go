package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/unireel/unireel/internal/limit"
	"github.com/unireel/unireel/internal/task"
)

// tenure is the time in which this process serves an upstream: from a lease to
// its end. Everything that acts for the upstream belongs to it and ends with it;
// the next tenure, here or elsewhere, begins with what the tables say.
type tenure struct {
	*lease
	up      *upstream
	polls   *polls
	slots   *limit.Slots
	claims  context.Context // ends when nothing new is to be submitted
	rest    context.CancelFunc
	passing sync.WaitGroup // the gates

	door  sync.Mutex
	open  bool             // what is in progress is counted: gates may claim
	gates map[string]*gate // by the supplier's model
}

func newTenure(l *lease, up *upstream) *tenure {
	t := &tenure{lease: l, up: up, slots: limit.NewSlots(5*time.Second, 30*time.Second), gates: map[string]*gate{}}
	t.claims, t.rest = context.WithCancel(l.ctx)
	t.polls = newPolls(t)
	l.tenure = t

	return t
}

// serve takes up what an earlier owner left at the upstream, and only then opens
// its gates: what is in progress is counted before anything is added.
func (t *tenure) serve(ctx context.Context) {
	t.d.Log.Info("serving an upstream", "upstream", t.up.Name, "fence", t.fence)

	for pause := retryFirst; ; pause = min(2*pause, retryLast) {
		err := t.recover(ctx)
		if err == nil {
			break
		}

		if ctx.Err() == nil {
			t.d.Log.Error("cannot take up an upstream's tasks, trying again", "upstream", t.up.Name, "error", err)
		}

		if !wait(ctx, pause) {
			return
		}
	}

	t.door.Lock()
	t.open = true
	t.door.Unlock()
	t.do(t.polls.run)
	t.do(t.orphans)
	t.openGates(t.d.lanes.routes())
	<-ctx.Done()
	t.sayEnd()
}

// sayEnd takes back what only an owner may say of the upstream.
func (t *tenure) sayEnd() {
	for _, g := range t.list() {
		t.d.stats.shut.WithLabelValues(g.route).Set(0)
	}

	level := slog.LevelInfo
	if why := context.Cause(t.ctx); errors.Is(why, errLeaseOld) || errors.Is(why, errLeaseLost) {
		level = slog.LevelWarn
	}

	t.d.Log.Log(context.WithoutCancel(t.ctx), level, "an upstream is not served here any more", "upstream", t.up.Name, "why", context.Cause(t.ctx))
}

// bucket keeps a limit of the supplier for each second. Who served before may have
// used this second up, so that a later tenure begins with an empty one.
func (t *tenure) bucket(rate float64) limit.Bucket {
	b := limit.NewBucket(rate, int(max(1, rate)))
	for full := t.fence > 1 && rate > 0; full; {
		full, _ = b.Take(t.d.Now())
	}

	return b
}

// recover hands every unfinished task of the upstream to its stage, oldest first.
func (t *tenure) recover(ctx context.Context) error {
	for _, s := range stages {
		if !s.owned {
			continue
		}

		err := t.each(ctx, s.state, func(found task.Task) error {
			if err := s.take(t.d, ctx, found); err != nil {
				return fmt.Errorf("%s %s: %w", s.state, found.ID, err)
			}

			return nil
		})
		if err != nil {
			return err
		}
	}

	return nil
}

// each visits the upstream's unfinished tasks in a state, oldest first.
func (t *tenure) each(ctx context.Context, state task.State, visit func(task.Task) error) error {
	return t.d.eachAt(ctx, t.id, state, visit)
}

// eachAt visits the unfinished tasks in a state of an upstream's lease.
func (d *Dispatch) eachAt(ctx context.Context, id string, state task.State, visit func(task.Task) error) error {
	for after := ""; ; {
		list, err := d.Store.UnfinishedAt(ctx, id, state, after, 1000)
		if err != nil {
			return err
		}

		for _, found := range list {
			if err := visit(found); err != nil {
				return err
			}

			after = found.ID
		}

		if len(list) < 1000 {
			return nil
		}
	}
}

// catchUp takes up what no change told of: a fact that a past owner wrote late,
// or a change that was not heard.
func (t *tenure) catchUp(ctx context.Context) error {
	if !t.isOpen() {
		return nil
	}

	err := t.each(ctx, task.Running, func(found task.Task) error {
		if t.polls.has(found.ID) {
			if found.CancelRequestedAt > 0 {
				t.d.heedCancel(ctx, found.ID)
			}

			return nil
		}

		return t.adoptRunning(ctx, found.ID)
	})
	if err != nil {
		return err
	}

	return t.each(ctx, task.Collecting, func(found task.Task) error {
		if !t.d.live.failing(found.ID) { // then its next try has its time
			t.d.collects.add(found.ID)
		}

		return nil
	})
}

// adoptRunning takes up a task that somebody else moved to running. The row is
// read again: a list may be older than our own next step.
func (t *tenure) adoptRunning(ctx context.Context, id string) error {
	fresh, err := t.d.Store.Task(ctx, id)
	if err != nil || fresh.State != task.Running || fresh.Upstream != t.id {
		return err
	}

	return t.d.takeRunning(ctx, fresh)
}

// handOver gives the upstream to whoever comes next: nothing new is submitted,
// what is on the wire is answered and written while polls go on, then the lease
// is dropped.
func (t *tenure) handOver(ctx context.Context, why error) {
	t.door.Lock() // no gate is being made
	t.rest()
	t.door.Unlock()
	t.passing.Wait()
	t.drop(ctx, why)
}

// gate returns the gate of a model and starts it when it is new; nil when the
// upstream does not serve the model.
func (t *tenure) gate(model string) *gate {
	t.door.Lock()
	defer t.door.Unlock()

	if g := t.gates[model]; g != nil {
		return g
	}

	if !t.up.serves(model) {
		return nil
	}

	g := newGate(t, model)
	t.gates[model] = g
	t.slots.Resize(g.route, t.up.Limits.InProgress)

	if t.claims.Err() == nil && t.begin(&t.passing) {
		t.d.ended.Go(func() {
			defer t.passing.Done()

			g.run(t.claims)
		})
	}

	return g
}

// openGates starts the gates of these routes and lets them claim.
func (t *tenure) openGates(routes []string) {
	if !t.isOpen() {
		return
	}

	for _, route := range routes {
		if name, model, _ := strings.Cut(route, "/"); name == t.up.Name {
			t.gate(model)
		}
	}

	for _, g := range t.list() {
		g.wake()
	}
}

// list gives the gates that there are.
func (t *tenure) list() []*gate {
	t.door.Lock()
	defer t.door.Unlock()

	var list []*gate
	for _, g := range t.gates {
		list = append(list, g)
	}

	return list
}

// isOpen says whether gates may claim.
func (t *tenure) isOpen() bool {
	t.door.Lock()
	defer t.door.Unlock()

	return t.open
}

// shut says whether a submission is unsure at one of the gates.
func (t *tenure) shut() bool {
	for _, g := range t.list() {
		if _, shut := g.shutBy(); shut {
			return true
		}
	}

	return false
}
