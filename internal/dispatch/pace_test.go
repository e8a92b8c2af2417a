package dispatch

import (
	"testing"

	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/task"
)

// The pace is the supplier's, not that of our questions: or each late poll would
// make the next one later.
func TestPaceIsTheSuppliers(t *testing.T) {
	t.Parallel()

	started := task.Task{StartedAt: 1_000}
	for name, c := range map[string]struct {
		took, pending, now, want int64
	}{
		"it tells":                       {5_000, 4_000, 9_000, 6_000},
		"it tells more than can be":      {50_000, 4_000, 9_000, 9_000},
		"between not yet and done":       {0, 5_000, 9_000, 7_000},
		"the first question was enough":  {0, 0, 9_000, 5_000},
		"asked in the moment it started": {0, 0, 1_000, 1_000},
	} {
		if got := renderedAt(started, provider.Result{Took: c.took}, c.pending, c.now); got != c.want {
			t.Errorf("%s: rendered at %d, want %d", name, got, c.want)
		}
	}
}
