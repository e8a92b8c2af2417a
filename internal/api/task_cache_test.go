package api

import (
	"context"
	"sync"
	"testing"

	"github.com/unireel/unireel/internal/task"
)

// TestPollWithoutDatabase polls a cached task after the database was closed.
func TestPollWithoutDatabase(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		id := env.createTask(env.alice)
		env.request(env.alice, "GET", "/v1/videos/"+id, "")

		if err := env.closeStore(); err != nil {
			t.Fatal(err)
		}

		env.clock.advance(2 * keyCacheTTL)

		if a := env.request(env.alice, "GET", "/v1/videos/"+id, ""); a.status != 200 || a.json(t)["id"] != id {
			t.Errorf("%d %s", a.status, a.body)
		}

		a := env.request(env.alice, "POST", "/v1/video/generations", t2vBody)
		if code, _ := a.errorCode(t); a.status != 503 || code != "unavailable" || a.header.Get("Retry-After") == "" {
			t.Errorf("a create: %d %s", a.status, a.body)
		}
	})
}

// TestTaskCacheIsBounded polls more tasks than the cache holds from many goroutines,
// while the tasks change.
func TestTaskCacheIsBounded(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		env.api.tasks.close()
		env.api.tasks = newTaskCache(env.store, 2)
		t.Cleanup(env.api.tasks.close)

		var ids []string
		for range 5 {
			ids = append(ids, env.createTask(env.alice))
		}

		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for i := range 200 {
					if s, err := env.api.tasks.get(context.Background(), env.account, ids[i%5]); err != nil || s.ID != ids[i%5] {
						t.Errorf("%s: %+v, %v", ids[i%5], s, err)
					}
				}
			})
		}

		for _, id := range ids {
			if _, err := env.checkout.Cancel(context.Background(), env.account, id); err != nil {
				t.Error(err)
			}

			if s, err := env.api.tasks.get(context.Background(), env.account, id); err != nil || s.State != task.Cancelled {
				t.Errorf("after the cancel: %s, %v", s.State, err)
			}
		}

		wg.Wait()

		if n := len(env.api.tasks.tasks); n > 2 {
			t.Errorf("%d tasks are cached", n)
		}
	})
}
