package api

import (
	"context"
	"sync"
	"testing"

	"github.com/unireel/unireel/internal/task"
)

// TestAPollOutlivesTheDatabase polls when the database answers nobody any more.
func TestAPollOutlivesTheDatabase(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		id := w.create(w.alice)
		w.ask(w.alice, "GET", "/v1/videos/"+id, "")

		if err := w.closeStore(); err != nil {
			t.Fatal(err)
		}

		w.clock.move(2 * keyringLife)

		if a := w.ask(w.alice, "GET", "/v1/videos/"+id, ""); a.status != 200 || a.json(t)["id"] != id {
			t.Errorf("%d %s", a.status, a.body)
		}

		a := w.ask(w.alice, "POST", "/v1/video/generations", t2v)
		if code, _ := a.code(t); a.status != 503 || code != "unavailable" || a.header.Get("Retry-After") == "" {
			t.Errorf("a create: %d %s", a.status, a.body)
		}
	})
}

// TestTheHotTasksAreBounded polls more tasks than are kept while they change,
// from many sides.
func TestTheHotTasksAreBounded(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		w.api.hot.close()
		w.api.hot = newHotTasks(w.store, 2)
		t.Cleanup(w.api.hot.close)

		var made []string
		for range 5 {
			made = append(made, w.create(w.alice))
		}

		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for i := range 200 {
					if s, err := w.api.hot.of(context.Background(), w.account, made[i%5]); err != nil || s.ID != made[i%5] {
						t.Errorf("%s: %+v, %v", made[i%5], s, err)
					}
				}
			})
		}

		for _, id := range made {
			if _, err := w.checkout.Cancel(context.Background(), w.account, id); err != nil {
				t.Error(err)
			}

			if s, err := w.api.hot.of(context.Background(), w.account, id); err != nil || s.State != task.Cancelled {
				t.Errorf("after the cancel: %s, %v", s.State, err)
			}
		}

		wg.Wait()

		if n := len(w.api.hot.tasks); n > 2 {
			t.Errorf("%d tasks are kept", n)
		}
	})
}
