package eta

import (
	"testing"

	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/task"
)

// The recorded duration must be the supplier's, not that of our polls: otherwise each
// late poll would lengthen the expected duration, and so delay the next poll.
func TestRenderedAtIsSuppliersTime(t *testing.T) {
	t.Parallel()

	started := task.Task{StartedAt: 1_000}
	for name, c := range map[string]struct {
		took, pending, now, want int64
	}{
		"supplier reports a duration":           {5_000, 4_000, 9_000, 6_000},
		"reported duration ends in the future":  {50_000, 4_000, 9_000, 9_000},
		"between the last pending poll and now": {0, 5_000, 9_000, 7_000},
		"rendered at the first poll":            {0, 0, 9_000, 5_000},
		"polled at the moment it started":       {0, 0, 1_000, 1_000},
	} {
		if got := RenderedAt(started, provider.Result{DurationMillis: c.took}, c.pending, c.now); got != c.want {
			t.Errorf("%s: rendered at %d, want %d", name, got, c.want)
		}
	}
}
