package api

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestUsage(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		first := env.createTask(env.alice)
		second := env.createTask(env.alice)
		third := env.createTask(env.alice)
		env.finishTask(first, []byte("film"))
		env.request(env.alice, "POST", "/v1/videos/"+second+"/cancel", "")
		env.clock.advance(24 * time.Hour)
		env.finishTask(third, []byte("film"))
		env.request(env.alice, "DELETE", "/v1/videos/"+third, "")
		env.createTask(env.alice) // has not ended, so it does not count
		got := env.request(env.alice, "GET", "/v1/usage", "").json(t)
		row := func(day, model any, completed, cancelled float64, billed float64, cost string) map[string]any {
			return map[string]any{
				"day": day, "model": model, "key": nil, "tasks": completed + cancelled, "completed": completed, "failed": 0.0, "cancelled": cancelled,
				"seconds": 5 * completed, "billed_seconds": billed, "cost": cost,
			}
		}

		const model = "wan2.6-video-720p"

		cost := env.request(env.alice, "GET", "/v1/videos/"+first, "").json(t)["usage"].(map[string]any)["cost"].(string)

		total := row(nil, nil, 2, 1, 5, env.balance("alice").Spent.String())
		for _, name := range []string{"day", "model", "key"} {
			delete(total, name)
		}

		want := map[string]any{
			"object": "usage", "from": "2025-12-05", "to": "2026-01-03", "by": []any{"day", "model"}, "currency": "USD", "total": total,
			"data": []any{row("2026-01-02", model, 1, 1, 2.5, cost), row("2026-01-03", model, 1, 0, 2.5, cost)},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}

		if bobs := env.request(env.bob, "GET", "/v1/usage?by=", "").json(t); bobs["total"].(map[string]any)["tasks"] != 0.0 || len(bobs["data"].([]any)) != 0 {
			t.Errorf("bob's usage: %v", bobs)
		}

		table := env.request(env.alice, "GET", "/v1/usage?format=csv&by=model&from=2026-01-03&to=2026-01-03", "")
		if got := string(table.body); got != "day,model,key,tasks,completed,failed,cancelled,seconds,billed_seconds,cost,currency\n,"+model+",,1,1,0,0,5,2.5,"+cost+",USD\n" {
			t.Errorf("CSV: %s", got)
		}

		if h := table.header.Get("Content-Type"); !strings.HasPrefix(h, "text/csv") {
			t.Errorf("content type %s", h)
		}
	})
}

func TestUsageQueryErrors(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		for query, param := range map[string]string{
			"from=yesterday": "from", "to=2026-13-01": "to", "from=2026-01-03&to=2026-01-02": "from", "from=2020-01-01": "from", "to=0001-01-01": "to",
			"by=week": "by", "by=day,day": "by", "format=xml": "format", "model=%00": "model",
		} {
			a := env.request(env.alice, "GET", "/v1/usage?"+query, "")
			if code, got := a.errorCode(t); a.status != 400 || code != "invalid_value" || got != param {
				t.Errorf("%s: %d %s %s", query, a.status, code, got)
			}
		}
	})
}
