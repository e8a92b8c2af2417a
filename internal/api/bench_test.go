package api

import (
	"log/slog"
	"net/http/httptest"
	"testing"

	"github.com/unireel/unireel/internal/store/storetest"
)

// BenchmarkStatus is one poll of a task that is being polled, without the
// network.
func BenchmarkStatus(b *testing.B) {
	w := newWorld(b, storetest.File(b))
	id := w.create(w.alice)
	w.finish(id, []byte("film"))
	w.api.Log = slog.New(slog.DiscardHandler)
	h := w.api.Handler()
	r := httptest.NewRequest("GET", "/v1/videos/"+id, nil)
	r.Header.Set("Authorization", "Bearer "+w.alice)
	b.ReportAllocs()

	for b.Loop() {
		got := httptest.NewRecorder()
		h.ServeHTTP(got, r)

		if got.Code != 200 {
			b.Fatal(got.Code)
		}
	}
}
