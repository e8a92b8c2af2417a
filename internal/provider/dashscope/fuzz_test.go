package dashscope

import (
	"net/http"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/provider/providertest"
)

func seeds(f *testing.F, names ...string) {
	for _, name := range names {
		f.Add(providertest.ReadTestdata(f, name))
	}

	f.Add([]byte(`{"output":{"task_id":1e99,"task_status":[]},"usage":{"duration":"NaN"}}`))
	f.Add([]byte("<Error><Code>a</Code></Error>"))
}

func FuzzCreateResponse(f *testing.F) {
	seeds(f, "create.json")
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := readTaskResponse(b); err == nil && (a.Output.TaskID == "" || a.Output.Status == "") {
			t.Fatalf("%q has no id or status", b)
		}
	})
}

func FuzzPollResponse(f *testing.F) {
	seeds(f, "pending.json", "running.json", "succeeded.json", "succeeded-lenient.json", "succeeded-media.json", "succeeded-clip.json", "failed.json", "unknown.json")
	d := connect(f, "http://127.0.0.1:1", secret, func() time.Time { return time.Unix(1, 0) })
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := readTaskResponse(b)
		if err != nil {
			return
		}

		r := d.result(a)
		if u := r.Usage; u != nil && (u.Billed < 0 || u.Input < 0 || u.Output < 0 || u.Billed > 2*86400_000) {
			t.Fatalf("%q bills %+v", b, *u)
		}

		if v := classify(0, string(a.Output.Code), string(a.Output.Message)); v.message == "" || v.fault == "" {
			t.Fatalf("%q has no classification", b)
		}
	})
}

func FuzzTaskPage(f *testing.F) {
	seeds(f, "list.json")
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := readTaskPage(b)
		if err != nil {
			return
		}

		for _, r := range *p.Data {
			if one := remoteTaskOf(r); one.RemoteID == "" || one.Phase == "" || one.CreatedAt.UnixMilli() <= 0 {
				t.Fatalf("%q found %+v", b, one)
			}
		}
	})
}

func FuzzErrorBody(f *testing.F) {
	seeds(f, "error.json", "error-compatible.json", "error-oss.xml")
	d := connect(f, "http://127.0.0.1:1", secret, time.Now)
	f.Fuzz(func(t *testing.T, b []byte) {
		failure := d.client.StatusFailure(provider.Response{Status: http.StatusBadRequest, Body: b})
		if failure.Fault == nil || len([]rune(failure.Err.Error())) > 600 {
			t.Fatalf("%q became %v", b, failure)
		}

		if c, own := readError(b); own && c.Code == "" {
			t.Fatalf("%q was read without a code", b)
		}
	})
}

func FuzzUploadPolicy(f *testing.F) {
	seeds(f, "policy.json")
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := readUploadPolicy(b); err == nil && (p.Host == "" || p.Dir == "" || p.Policy == "") {
			t.Fatalf("%q gave %+v", b, p)
		}
	})
}
