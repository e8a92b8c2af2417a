package api

import (
	"log/slog"
	"net/http/httptest"
	"testing"

	"github.com/unireel/unireel/internal/store/storetest"
)

// BenchmarkStatus measures one poll of a task that is in the task cache, without the
// network.
func BenchmarkStatus(b *testing.B) {
	env := newTestEnv(b, storetest.SQLiteFile(b))
	id := env.createTask(env.alice)
	env.finishTask(id, []byte("film"))
	env.api.Log = slog.New(slog.DiscardHandler)
	h := env.api.Handler()
	r := httptest.NewRequest("GET", "/v1/videos/"+id, nil)
	r.Header.Set("Authorization", "Bearer "+env.alice)
	b.ReportAllocs()

	for b.Loop() {
		got := httptest.NewRecorder()
		h.ServeHTTP(got, r)

		if got.Code != 200 {
			b.Fatal(got.Code)
		}
	}
}
