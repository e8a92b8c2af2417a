package openai

import (
	"net/http"
	"testing"

	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/provider/providertest"
)

func seeds(f *testing.F, names ...string) {
	for _, name := range names {
		f.Add(providertest.ReadTestdata(f, name))
	}

	f.Add([]byte(`{"id":1e99,"status":[],"error":{"code":{}},"expires_at":"NaN","detail":[{"loc":[1]}]}`))
}

func FuzzVideo(f *testing.F) {
	seeds(f, "queued.json", "in_progress.json", "processing.json", "completed.json", "completed-vllm.json", "completed-url.json", "deleted.json", "cancelled.json")

	p := &openai{client: &provider.Client{Origin: "http://127.0.0.1:1"}}

	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := readVideo(b)
		if err != nil {
			return
		}

		if r := p.result(v); r.URL == "" || r.ExpiresAt < 0 || r.DurationMillis < 0 {
			t.Fatalf("%q became %+v", b, r)
		}

		if n := progressOf(v.Progress); n < -1 || n > 99 {
			t.Fatalf("%q has progress %d", b, n)
		}

		if j := classify(0, v.errorBody()); j.Fault == "" {
			t.Fatalf("%q has no classification", b)
		}
	})
}

func FuzzErrorBody(f *testing.F) {
	f.Add([]byte(`{"error":{"message":"m","type":"t","param":"size","code":"c"}}`))
	f.Add([]byte(`{"object":"error","message":"m","type":"t","code":400}`))
	f.Add([]byte(`{"detail":[{"type":"t","loc":["body","seconds"],"msg":"m"}]}`))
	seeds(f)

	client := &provider.Client{Secret: secret, ParseError: readError, Classify: classify}

	f.Fuzz(func(t *testing.T, b []byte) {
		failure := client.StatusFailure(provider.Response{Status: http.StatusBadRequest, Body: b})
		if failure.Fault == nil || len([]rune(failure.Err.Error())) > 600 {
			t.Fatalf("%q became %v", b, failure)
		}

		if c, own := readError(b); own && c.Code == "" && c.Message == "" {
			t.Fatalf("%q is empty and counts as the server's own error", b)
		}

		if customerParam(submissions["i2v"], failure.Fault.Param) != "" && failure.Class != provider.InvalidRequest {
			t.Fatalf("%q names a field without being an invalid request", b)
		}
	})
}
