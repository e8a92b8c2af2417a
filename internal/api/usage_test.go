package api

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestUsageIsTheAccountsOwn(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		first := w.create(w.alice)
		second := w.create(w.alice)
		third := w.create(w.alice)
		w.finish(first, []byte("film"))
		w.ask(w.alice, "POST", "/v1/videos/"+second+"/cancel", "")
		w.clock.move(24 * time.Hour)
		w.finish(third, []byte("film"))
		w.ask(w.alice, "DELETE", "/v1/videos/"+third, "")
		w.create(w.alice) // has not ended: does not count
		got := w.ask(w.alice, "GET", "/v1/usage", "").json(t)
		row := func(day, model any, completed, cancelled float64, billed float64, cost string) map[string]any {
			return map[string]any{
				"day": day, "model": model, "key": nil, "tasks": completed + cancelled, "completed": completed, "failed": 0.0, "cancelled": cancelled,
				"seconds": 5 * completed, "billed_seconds": billed, "cost": cost,
			}
		}

		const model = "wan2.6-video-720p"

		cost := w.ask(w.alice, "GET", "/v1/videos/"+first, "").json(t)["usage"].(map[string]any)["cost"].(string)

		total := row(nil, nil, 2, 1, 5, w.balance("alice").Spent.String())
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

		if bobs := w.ask(w.bob, "GET", "/v1/usage?by=", "").json(t); bobs["total"].(map[string]any)["tasks"] != 0.0 || len(bobs["data"].([]any)) != 0 {
			t.Errorf("bob's: %v", bobs)
		}

		table := w.ask(w.alice, "GET", "/v1/usage?format=csv&by=model&from=2026-01-03&to=2026-01-03", "")
		if got := string(table.body); got != "day,model,key,tasks,completed,failed,cancelled,seconds,billed_seconds,cost,currency\n,"+model+",,1,1,0,0,5,2.5,"+cost+",USD\n" {
			t.Errorf("CSV: %s", got)
		}

		if h := table.header.Get("Content-Type"); !strings.HasPrefix(h, "text/csv") {
			t.Errorf("as %s", h)
		}
	})
}

func TestWhatUsageCannotBeAskedFor(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		for query, param := range map[string]string{
			"from=yesterday": "from", "to=2026-13-01": "to", "from=2026-01-03&to=2026-01-02": "from", "from=2020-01-01": "from", "to=0001-01-01": "to",
			"by=week": "by", "by=day,day": "by", "format=xml": "format", "model=%00": "model",
		} {
			a := w.ask(w.alice, "GET", "/v1/usage?"+query, "")
			if code, got := a.code(t); a.status != 400 || code != "invalid_value" || got != param {
				t.Errorf("%s: %d %s %s", query, a.status, code, got)
			}
		}
	})
}
