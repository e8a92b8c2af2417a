package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// The times of a rescue (rules.md): the supplier's list may lag, so that "not
// there" is believed only late and twice.
const (
	rescueEvery  = 15 * time.Second
	clockSlack   = 5 * time.Second   // between our clock and the supplier's
	listsApart   = 30 * time.Second  // two valid lists, at least
	listsAfter   = 120 * time.Second // both at least so long after the answer was lost
	rescueGiveUp = 30 * time.Minute
	listWindow   = 24 * time.Hour // what the supplier's list shows
	promptCut    = 1500           // characters that a supplier repeats, where it does not say
)

// hasty is a rescue's time as it counts here: shorter only in test builds.
func (d *Dispatch) hasty(t time.Duration) time.Duration {
	return t / time.Duration(max(1, d.Haste))
}

// lookup is one look for a submission: what was sent, and what of ours a list
// must or may show.
type lookup struct {
	attempt store.Attempt
	task    task.Task
	since   time.Time       // candidates were made at or after this, by the supplier's clock
	earlier store.Attempt   // our newest earlier ticket of the model: it proves a list
	known   map[string]bool // tickets that are in an attempt
}

// takeSubmitting meets a task that an earlier process was submitting: it may
// have been taken.
func (d *Dispatch) takeSubmitting(ctx context.Context, t task.Task) error {
	a, err := d.Store.Attempt(ctx, t.ID, t.Attempt)
	if err != nil {
		return fmt.Errorf("its attempt: %w", err)
	}

	g := d.gateOf(a)
	if g == nil {
		d.Log.Error("ALERT: a submitted task's upstream is not configured any more; it waits for it", "task", t.ID, "upstream", a.Upstream, "model", a.Model)
		return nil
	}

	g.hold(t.ID)

	if g.up.Kind.Traits.Resubmit {
		g.refused(ctx, t, &provider.Failure{Taken: provider.NotTaken, Class: provider.Passing})
		return nil
	}

	if a.LostAt == 0 {
		g.lose(ctx, t, &provider.Failure{})
		return nil
	}

	g.mu.Lock()
	defer g.mu.Unlock()

	g.unsure = append(g.unsure, t.ID)

	return nil
}

// rescue looks once for what became of a submission. It returns how long to wait
// for the next look, or 0 when the matter is decided and the gate may go on.
func (g *gate) rescue(ctx context.Context, id string) time.Duration {
	d := g.d

	look, err := g.lookup(ctx, id)
	if errors.Is(err, errDecided) || errors.Is(err, store.ErrNotFound) {
		if err := g.letGo(ctx, id); err != nil {
			d.Log.Error("cannot read a submission that was decided", "task", id, "error", err)
			return rescueEvery
		}

		g.decided(id)

		return 0
	}

	if err != nil {
		d.Log.Error("cannot read a submission to rescue", "task", id, "error", err)
		return rescueEvery
	}

	finder, ok := g.up.Provider.(provider.Finder)
	if !ok || g.lookedFor(id) > rescueGiveUp || d.Now().Sub(time.UnixMilli(look.attempt.SentAt)) > listWindow-time.Hour {
		g.giveUp(ctx, look)
		return 0
	}

	asking, done := context.WithTimeout(ctx, pollTime)
	defer done()

	from := look.since
	if proof := time.UnixMilli(look.earlier.SentAt).Add(-clockSlack); look.earlier.Ticket != "" && proof.Before(from) {
		from = proof
	}

	found, err := finder.Find(asking, g.model, from)
	if err != nil {
		if ctx.Err() == nil {
			d.Log.Warn("cannot list the supplier's tasks", "upstream", g.up.Name, "error", err)
		}

		return rescueEvery
	}

	return g.weigh(ctx, look, found)
}

// letGo goes on with a task whose submission somebody else resolved, a past owner
// whose answer came after all: it is polled here, or not here any more.
func (g *gate) letGo(ctx context.Context, id string) error {
	err := g.t.adoptRunning(ctx, id)
	if err == nil && !g.t.polls.has(id) || errors.Is(err, store.ErrNotFound) {
		g.free(id)
		return nil
	}

	return err
}

// heedAnswer wakes the gate that looks for a task whose answer came after all.
func (t *tenure) heedAnswer(id string) {
	for _, g := range t.list() {
		g.mu.Lock()
		unsure := slices.Contains(g.unsure, id)
		g.mu.Unlock()

		if unsure {
			g.wake()
		}
	}
}

// lookedFor is how long this process has looked for a task: one that comes back
// after an hour still looks.
func (g *gate) lookedFor(id string) time.Duration {
	now := g.d.Now()
	g.mu.Lock()
	defer g.mu.Unlock()

	if g.looking[id].IsZero() {
		g.looking[id] = now
	}

	return now.Sub(g.looking[id])
}

func (g *gate) lookup(ctx context.Context, id string) (*lookup, error) {
	t, err := g.d.Store.Task(ctx, id)
	if err != nil {
		return nil, err
	}

	if t.State != task.Submitting || t.Upstream != g.t.id {
		return nil, errDecided
	}

	a, err := g.d.Store.Attempt(ctx, id, t.Attempt)
	if err != nil {
		return nil, err
	}

	look := &lookup{attempt: a, task: t, since: time.UnixMilli(a.SentAt).Add(-clockSlack), known: map[string]bool{}}

	return look, g.earlierTickets(ctx, look)
}

// earlierTickets reads our own tickets of the list's window: the newest one
// before the lost submission proves a list, and none of them is a candidate.
func (g *gate) earlierTickets(ctx context.Context, look *lookup) error {
	attempts, err := g.d.Store.AttemptsSince(ctx, g.t.id, "", look.attempt.SentAt-listWindow.Milliseconds())
	if err != nil {
		return err
	}

	for _, a := range attempts {
		if a.Ticket == "" {
			continue
		}

		look.known[a.Ticket] = true

		recent := a.SentAt > g.d.millis()-listWindow.Milliseconds()+time.Minute.Milliseconds()
		if a.Model == g.model && a.SentAt < look.attempt.SentAt && a.SentAt > look.earlier.SentAt && recent {
			look.earlier = a
		}
	}

	return nil
}

// weigh decides by what a list shows.
func (g *gate) weigh(ctx context.Context, look *lookup, found []provider.Found) time.Duration {
	d := g.d
	key := g.learnKey(ctx, found, look.known)

	var candidates []provider.Found

	valid := look.earlier.Ticket == ""
	for _, f := range found {
		if string(f.Ticket) == look.earlier.Ticket {
			valid = true
		}

		if look.known[string(f.Ticket)] || f.MadeAt.Before(look.since) || (key != "" && f.KeyID != key) {
			continue
		}

		if look.attempt.RequestID != "" && f.RequestID == look.attempt.RequestID {
			return g.adopt(ctx, look, f.Ticket, "identified by its request id")
		}

		candidates = append(candidates, f)
	}

	switch {
	case len(candidates) == 1 && key != "" && look.attempt.RequestID == "" && g.alone():
		return g.adopt(ctx, look, candidates[0].Ticket, "the only candidate")
	case len(candidates) > 0:
		return g.compare(ctx, look, candidates)
	case !valid:
		return rescueEvery
	}

	now := d.Now()
	if now.Sub(time.UnixMilli(look.attempt.LostAt)) < d.hasty(listsAfter) {
		return rescueEvery
	}

	g.mu.Lock()

	first, seen := g.empty[look.task.ID]
	if !seen {
		g.empty[look.task.ID] = now
	}
	g.mu.Unlock()

	if !seen || now.Sub(first) < d.hasty(listsApart) {
		return rescueEvery
	}

	d.stats.rescues.WithLabelValues("not taken").Inc()
	g.refused(ctx, look.task, &provider.Failure{Taken: provider.NotTaken, Class: provider.Passing})
	g.decided(look.task.ID)

	return 0
}

// learnKey finds the supplier's id of our key in a list that shows a ticket of
// ours.
func (g *gate) learnKey(ctx context.Context, found []provider.Found, known map[string]bool) string {
	g.up.mu.Lock()
	key := g.up.keyID
	g.up.mu.Unlock()

	if key != "" {
		return key
	}

	for _, f := range found {
		if known[string(f.Ticket)] && f.KeyID != "" {
			key = f.KeyID
			break
		}
	}

	if key == "" {
		return ""
	}

	g.up.mu.Lock()
	g.up.keyID = key
	g.up.mu.Unlock()

	if err := g.d.write(ctx, func(tx *store.Tx) error { return tx.LearnKey(ctx, g.t.id, key) }); err != nil {
		g.d.Log.Warn("cannot keep the supplier's id of our key", "upstream", g.up.Name, "error", err)
	}

	return key
}

// adopt takes a found ticket as the task's own. It is proved again before
// anything is delivered.
func (g *gate) adopt(ctx context.Context, look *lookup, ticket provider.Ticket, why string) time.Duration {
	g.d.Log.Warn("adopted a ticket whose answer was lost", "task", look.task.ID, "ticket", ticket, "why", why)
	g.d.stats.rescues.WithLabelValues("adopted").Inc()
	g.taken(context.WithoutCancel(ctx), look.task, ticket, "adopted", g.t.lease)
	g.decided(look.task.ID)

	return 0
}

// compare polls several candidates to their end and adopts the only one that is
// what was ordered.
func (g *gate) compare(ctx context.Context, look *lookup, candidates []provider.Found) time.Duration {
	var fits []provider.Ticket

	for _, c := range candidates {
		asking, done := context.WithTimeout(ctx, pollTime)
		report, err := g.up.Provider.Poll(asking, c.Ticket)

		done()

		if err != nil || report.Phase == provider.Waiting || report.Phase == provider.Rendering {
			return rescueEvery // not at its end yet
		}

		if report.Phase != provider.Rendered || report.Result == nil {
			continue
		}

		result := *report.Result
		if report.Prompt != "" {
			result.Prompt = report.Prompt
		}

		same, err := g.d.matches(ctx, look.task, result)
		if err != nil {
			return rescueEvery
		}

		if same {
			fits = append(fits, c.Ticket)
		}
	}

	if len(fits) == 1 {
		return g.adopt(ctx, look, fits[0], "the only candidate that matches")
	}

	return rescueEvery
}

// giveUp ends a task of which it cannot be found out whether it was taken.
func (g *gate) giveUp(ctx context.Context, look *lookup) {
	d := g.d
	d.stats.rescues.WithLabelValues("unknown").Inc()
	d.Log.Error("ALERT: it cannot be found out whether the supplier took a task; look at its list", "task", look.task.ID, "upstream", g.up.Name, "sent", time.UnixMilli(look.attempt.SentAt), "request", look.attempt.RequestID)
	_ = d.insist(ctx, "undecided submission", look.task.ID, func() error {
		return d.fail(ctx, look.task, lostBefore(), step{note: "undecided", fenced: g.t.lease, with: func(ctx context.Context, tx *store.Tx) error {
			return saveAttempt(ctx, tx, look.task, func(a *store.Attempt) { a.Outcome = "unknown" })
		}})
	})
	g.free(look.task.ID)
	g.decided(look.task.ID)
}

// decided lets the gate go on once nothing is unsure any more.
func (g *gate) decided(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()

	g.unsure = slices.DeleteFunc(g.unsure, func(u string) bool { return u == id })
	delete(g.empty, id)
	delete(g.looking, id)

	if len(g.unsure) == 0 {
		g.d.stats.shut.WithLabelValues(g.route).Set(0)
	}
}

// provesOurs holds an adopted ticket's result against what was sent; other
// tickets were given to us by the supplier and need no proof.
func (d *Dispatch) provesOurs(ctx context.Context, t task.Task, result provider.Result) (bool, error) {
	a, err := d.Store.Attempt(ctx, t.ID, t.Attempt)
	if err != nil {
		return false, err
	}

	if a.Outcome != "adopted" {
		return true, nil
	}

	return d.matches(ctx, t, result)
}

// matches says whether a result is what the task ordered: the prompt as the supplier
// repeats it, size and seconds.
func (d *Dispatch) matches(ctx context.Context, t task.Task, result provider.Result) (bool, error) {
	r, ready, err := d.read(ctx, t.ID)
	if err != nil {
		return false, err
	}

	a, err := d.Store.Attempt(ctx, t.ID, t.Attempt)
	if err != nil {
		return false, err
	}

	if d.repeated(t, a.Model, r, ready) != result.Prompt {
		return false, nil
	}

	if result.Size != "" && r.Mode != catalog.I2V && result.Size != r.Size {
		return false, nil
	}

	return result.Usage == nil || result.Usage.Output == 0 || result.Usage.Output == int64(r.Seconds)*1000, nil
}

// repeated is the prompt of a task as its supplier repeats it.
func (d *Dispatch) repeated(t task.Task, model string, r catalog.Request, ready prepared) string {
	if up := d.upstream(t.Upstream); up != nil {
		if p, ok := up.Provider.(provider.Repeater); ok {
			o := provider.Order{Model: model, Mode: provider.Mode(r.Mode), Prompt: r.Prompt}
			for _, ref := range ready.References {
				o.References = append(o.References, provider.Reference{Kind: ref.Kind, Type: ref.Type, Name: ref.Name, URL: ref.URL})
			}

			return p.Repeated(o)
		}
	}

	sent := []rune(r.Prompt)

	return string(sent[:min(len(sent), promptCut)])
}

// orphansEvery is how often a supplier's list is searched for tasks of our key
// that no attempt knows.
const orphansEvery = 10 * time.Minute

// orphans counts, and cancels where it still can, what our key made and nobody
// ordered: the trace of a process that was stopped at the worst moment.
func (t *tenure) orphans(ctx context.Context) {
	finder, ok := t.up.Provider.(provider.Finder)
	for ok && wait(ctx, orphansEvery) {
		for _, g := range t.list() {
			if _, shut := g.shutBy(); shut {
				continue
			}

			if err := g.sweepOrphans(ctx, finder); err != nil && ctx.Err() == nil {
				t.d.Log.Warn("cannot search for orphans", "route", g.route, "error", err)
			}
		}
	}
}

func (g *gate) sweepOrphans(ctx context.Context, finder provider.Finder) error {
	ctx, done := context.WithTimeout(ctx, pollTime)
	defer done()

	now := g.d.Now()

	found, err := finder.Find(ctx, g.model, now.Add(-orphansEvery*2))
	if err != nil {
		return err
	}

	attempts, err := g.d.Store.AttemptsSince(ctx, g.t.id, "", now.Add(-listWindow).UnixMilli())
	if err != nil {
		return err
	}

	known := map[string]bool{}
	for _, a := range attempts {
		known[a.Ticket] = true
	}

	key := g.learnKey(ctx, found, known)

	seen := map[provider.Ticket]bool{} // lists overlap: each orphan is counted once
	defer func() { g.orphans = seen }()

	for _, f := range found {
		if key == "" || f.KeyID != key || known[string(f.Ticket)] || now.Sub(f.MadeAt) < 2*time.Minute {
			continue
		}

		stopped := false
		if c, ok := g.up.Provider.(provider.Canceler); ok && f.Phase == provider.Waiting {
			stopped, _ = c.Cancel(ctx, f.Ticket)
		}

		seen[f.Ticket] = true
		if g.orphans[f.Ticket] {
			continue
		}

		g.d.stats.orphans.WithLabelValues(g.up.Name).Inc()
		g.d.Log.Error("ALERT: the supplier has a task of our key that nobody ordered", "upstream", g.up.Name, "ticket", f.Ticket, "made", f.MadeAt, "cancelled", stopped)
	}

	return nil
}

// alone says whether only one submission is unsure: then one candidate can only
// be its own.
func (g *gate) alone() bool {
	g.mu.Lock()
	defer g.mu.Unlock()

	return len(g.unsure) == 1
}
