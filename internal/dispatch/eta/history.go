package eta

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
	maxDurations = 200 // past durations of a model that are kept
	minDurations = 5   // with fewer, the defaults are used
)

// MaxEstimatedProgress is the highest progress of a task that is not completed.
const MaxEstimatedProgress = 95

// defaultDurations are the times of renders, in milliseconds, while too few are known:
// DashScope says 1 to 5 minutes (R2V reference, "usual wall time").
var defaultDurations = []int64{60_000, 90_000, 120_000, 180_000, 300_000}

// History holds how long each model's past tasks took, from the accepted submission to the
// rendered video.
type History struct {
	store  *store.Store
	shared bool // other replicas render too: their durations are in the database
	mu     sync.Mutex
	recent map[string][]int64 // by resolved model, oldest first, milliseconds
	sorted map[string][]int64 // the same, sorted
}

// NewHistory returns a history that reads past tasks from the store when they are first
// needed. shared says that other replicas render too.
func NewHistory(s *store.Store, shared bool) *History {
	return &History{store: s, shared: shared, recent: map[string][]int64{}, sorted: map[string][]int64{}}
}

// previewDurationKey is the name for the durations of all previews.
const previewDurationKey = "preview"

func durationKey(t task.Task) string {
	if t.Preview {
		return previewDurationKey
	}

	return t.ResolvedModel
}

// sortedFor returns the past durations of a task's model, sorted; they are loaded once.
func (h *History) sortedFor(t task.Task) []int64 {
	name := durationKey(t)

	h.mu.Lock()
	defer h.mu.Unlock()

	if sorted, ok := h.sorted[name]; ok {
		return sorted
	}

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()

	list, _ := h.load(ctx, name)
	h.set(name, list)

	return h.sorted[name]
}

// load reads the durations of a model from the database, oldest first. A process that
// renders alone remembers the durations of its own previews: those of an earlier
// process say little.
func (h *History) load(ctx context.Context, name string) (list []int64, err error) {
	switch {
	case name != previewDurationKey:
		list, err = h.store.RenderDurations(ctx, name, maxDurations)
	case h.shared:
		list, err = h.store.PreviewDurations(ctx, maxDurations)
	}

	slices.Reverse(list)

	return list, err
}

// set replaces the durations of a model. The caller holds mu.
func (h *History) set(name string, list []int64) {
	h.recent[name] = list[max(0, len(list)-maxDurations):]
	h.sorted[name] = slices.Sorted(slices.Values(h.recent[name]))
}

// Refresh loads the durations of every known model again.
func (h *History) Refresh(ctx context.Context) error {
	h.mu.Lock()
	names := slices.Collect(maps.Keys(h.recent))
	h.mu.Unlock()

	for _, name := range names {
		list, err := h.load(ctx, name)
		if err != nil {
			return err
		}

		h.mu.Lock()
		h.set(name, list)
		h.mu.Unlock()
	}

	return nil
}

// Record adds the duration of a task that was rendered.
func (h *History) Record(t task.Task) {
	if t.StartedAt == 0 || t.RenderedAt < t.StartedAt || t.Retries > 0 { // a retried task also counts the time of the failed render
		return
	}

	h.sortedFor(t)
	name := durationKey(t)

	h.mu.Lock()
	defer h.mu.Unlock()

	h.set(name, append(h.recent[name], t.RenderedAt-t.StartedAt))
}

// decile returns the value below which so many tenths of the durations are.
func decile(sorted []int64, tenths int) time.Duration {
	return time.Duration(sorted[min(len(sorted)*tenths/10, len(sorted)-1)]) * time.Millisecond
}

// FirstPollDelay returns when a new task is first polled: a little after the fastest tenth
// is usually rendered, since a poll that comes just too early costs a whole interval.
func (h *History) FirstPollDelay(t task.Task, limits provider.Capabilities, now time.Time) time.Duration {
	sorted := h.sortedFor(t)
	if len(sorted) < minDurations {
		return limits.PollInterval[0]
	}

	elapsed := now.Sub(time.UnixMilli(t.StartedAt))

	return max(decile(sorted, 1)*103/100-elapsed, limits.PollInterval[0])
}

// NextPollDelay returns the time to the next poll: a tenth of the model's median, within
// the bounds of the provider.
func (h *History) NextPollDelay(t task.Task, limits provider.Capabilities) time.Duration {
	sorted := h.sortedFor(t)

	interval := (3*limits.PollInterval[0] + limits.PollInterval[1]) / 4
	if len(sorted) >= minDurations {
		interval = decile(sorted, 5) / 10
	}

	return min(max(interval, limits.PollInterval[0]), limits.PollInterval[1])
}

// EstimateProgress returns the progress of a task after so many milliseconds: the
// percentage of past durations that were shorter, interpolated between them, at most 95.
func (h *History) EstimateProgress(t task.Task, elapsed int64) int64 {
	sorted := h.sortedFor(t)
	if len(sorted) < minDurations {
		sorted = defaultDurations

		if t.Preview { // the embedded renderer needs seconds where suppliers need minutes
			elapsed *= 10
		}
	}

	below := int64(0)
	last := int64(0)

	for i, d := range sorted {
		if d > elapsed {
			fraction := int64(0)
			if d > last {
				fraction = 100 * (elapsed - last) / (d - last)
			}

			return min((int64(i)*100+fraction)/int64(len(sorted)), MaxEstimatedProgress)
		}

		below = int64(i + 1)
		last = d
	}

	return min(100*below/int64(len(sorted)), MaxEstimatedProgress)
}

// Median returns how long a task of this kind usually takes.
func (h *History) Median(t task.Task) time.Duration {
	sorted := h.sortedFor(t)
	if len(sorted) < minDurations {
		if t.Preview || len(sorted) > 0 {
			return time.Duration(max(1, len(sorted))) * 10 * time.Second
		}

		sorted = defaultDurations
	}

	return decile(sorted, 5)
}

// RenderedAt returns when the supplier had rendered a task: by its own measurement, else
// half-way between the last poll that found it unfinished and now. With the time of the
// poll itself, the next first poll would come later, and the one after it later still.
func RenderedAt(t task.Task, result provider.Result, pending, now int64) int64 {
	if result.DurationMillis > 0 {
		return min(now, t.StartedAt+result.DurationMillis)
	}

	return (max(pending, t.StartedAt) + now) / 2
}
