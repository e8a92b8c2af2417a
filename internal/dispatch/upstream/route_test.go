package upstream

import (
	"fmt"
	"testing"

	"github.com/unireel/unireel/internal/task"
)

func TestRendezvousScoreFollowsWeight(t *testing.T) {
	t.Parallel()

	won := 0

	for i := range 20_000 {
		id := fmt.Sprintf("task_%026d", i)
		if rendezvousScore(id, task.Route{Upstream: "a", Model: "m"}, 3) > rendezvousScore(id, task.Route{Upstream: "b", Model: "m"}, 1) {
			won++
		}
	}

	if won < 14_700 || won > 15_300 {
		t.Errorf("a route of weight 3 beside one of weight 1 won %d of 20000", won)
	}
}
