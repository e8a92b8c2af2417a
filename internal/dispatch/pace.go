package dispatch

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

const (
	paceKept   = 200 // past durations of a model that count
	paceEnough = 5   // from how many on they are believed
	mostGuess  = 95  // progress without knowing better
)

// guess is how long a render takes where nothing is known yet: DashScope says 1
// to 5 minutes (R2V reference, "usual wall time").
var guess = []int64{60_000, 90_000, 120_000, 180_000, 300_000}

// paces knows how long each model's past tasks took, from ticket to rendered.
type paces struct {
	store  *store.Store
	shared bool // others render too: what they saw is in the tables
	mu     sync.Mutex
	known  map[string][]int64 // by resolved model, oldest first, milliseconds
	order  map[string][]int64 // the same, sorted
}

func newPaces(s *store.Store, shared bool) *paces {
	return &paces{store: s, shared: shared, known: map[string][]int64{}, order: map[string][]int64{}}
}

// previewPace is the name under which the durations of all previews are kept.
const previewPace = "preview"

func paceOf(t task.Task) string {
	if t.Preview {
		return previewPace
	}

	return t.Resolved
}

// of gives a model's past durations, sorted; they are read once.
func (p *paces) of(t task.Task) []int64 {
	name := paceOf(t)

	p.mu.Lock()
	defer p.mu.Unlock()

	if sorted, ok := p.order[name]; ok {
		return sorted
	}

	ctx, done := context.WithTimeout(context.Background(), 5*time.Second)
	defer done()

	list, _ := p.read(ctx, name)
	p.keep(name, list)

	return p.order[name]
}

// read gives what the tables say, oldest first. A process that renders alone has
// its previews' durations at hand: those of an earlier one say little.
func (p *paces) read(ctx context.Context, name string) (list []int64, err error) {
	switch {
	case name != previewPace:
		list, err = p.store.Paces(ctx, name, paceKept)
	case p.shared:
		list, err = p.store.PreviewPaces(ctx, paceKept)
	}

	slices.Reverse(list)

	return list, err
}

// keep makes a list the known one; mu is held.
func (p *paces) keep(name string, list []int64) {
	p.known[name] = list[max(0, len(list)-paceKept):]
	p.order[name] = slices.Sorted(slices.Values(p.known[name]))
}

// refresh reads every known list again.
func (p *paces) refresh(ctx context.Context) error {
	p.mu.Lock()
	names := slices.Collect(maps.Keys(p.known))
	p.mu.Unlock()

	for _, name := range names {
		list, err := p.read(ctx, name)
		if err != nil {
			return err
		}

		p.mu.Lock()
		p.keep(name, list)
		p.mu.Unlock()
	}

	return nil
}

// learn adds a task that was rendered.
func (p *paces) learn(t task.Task) {
	if t.StartedAt == 0 || t.RenderedAt < t.StartedAt || t.Retries > 0 { // a second try says nothing of the first
		return
	}

	p.of(t)
	name := paceOf(t)

	p.mu.Lock()
	defer p.mu.Unlock()

	p.keep(name, append(p.known[name], t.RenderedAt-t.StartedAt))
}

// share is the value below which n tenths of the durations are.
func share(sorted []int64, n int) time.Duration {
	return time.Duration(sorted[min(len(sorted)*n/10, len(sorted)-1)]) * time.Millisecond
}

// first is when a new ticket is first asked about: a little after the fast ones
// are done, since a question that comes just too early costs a whole interval.
func (p *paces) first(t task.Task, traits provider.Traits, now time.Time) time.Duration {
	sorted := p.of(t)
	if len(sorted) < paceEnough {
		return traits.PollEvery[0]
	}

	elapsed := now.Sub(time.UnixMilli(t.StartedAt))

	return max(share(sorted, 1)*103/100-elapsed, traits.PollEvery[0])
}

// next is the time to the next question: a tenth of the model's median.
func (p *paces) next(t task.Task, traits provider.Traits) time.Duration {
	sorted := p.of(t)

	every := (3*traits.PollEvery[0] + traits.PollEvery[1]) / 4
	if len(sorted) >= paceEnough {
		every = share(sorted, 5) / 10
	}

	return min(max(every, traits.PollEvery[0]), traits.PollEvery[1])
}

// progress is what share of the past durations was shorter than the elapsed
// milliseconds, between them in proportion, at most 95.
func (p *paces) progress(t task.Task, elapsed int64) int64 {
	sorted := p.of(t)
	if len(sorted) < paceEnough {
		sorted = guess

		if t.Preview { // a renderer of our own needs seconds where suppliers need minutes
			elapsed *= 10
		}
	}

	below := int64(0)
	last := int64(0)

	for i, d := range sorted {
		if d > elapsed {
			part := int64(0)
			if d > last {
				part = 100 * (elapsed - last) / (d - last)
			}

			return min((int64(i)*100+part)/int64(len(sorted)), mostGuess)
		}

		below = int64(i + 1)
		last = d
	}

	return min(100*below/int64(len(sorted)), mostGuess)
}

// median is how long a task of this kind usually takes.
func (p *paces) median(t task.Task) time.Duration {
	sorted := p.of(t)
	if len(sorted) < paceEnough {
		if t.Preview || len(sorted) > 0 {
			return time.Duration(max(1, len(sorted))) * 10 * time.Second
		}

		sorted = guess
	}

	return share(sorted, 5)
}

// renderedAt is when a supplier was done: by its own clock, else half-way between
// the last "not yet" and now. Taking the poll's own time would teach the next
// first poll to come late, and the one after later.
func renderedAt(t task.Task, result provider.Result, pending, now int64) int64 {
	if result.Took > 0 {
		return min(now, t.StartedAt+result.Took)
	}

	return (max(pending, t.StartedAt) + now) / 2
}
