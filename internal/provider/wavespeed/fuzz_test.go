package wavespeed

import (
	"testing"
	"time"

	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/provider/providertest"
)

func seeds(f *testing.F, names ...string) {
	for _, name := range names {
		f.Add(providertest.ReadTestdata(f, name))
	}

	f.Add([]byte(`{"code":"-1","data":{"id":[],"status":1e99,"outputs":[null,{},"a"],"created_at":"9999-12-31T00:00:00Z"}}`))
}

func FuzzPrediction(f *testing.F) {
	seeds(f, "create.json", "created.json", "processing.json", "completed.json", "failed.json", "failed-bare.json")

	now := time.Unix(1e9, 0)

	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := readPrediction(b)
		if err != nil {
			return
		}

		if p.ID == "" || p.Status == "" {
			t.Fatalf("%q has no id or status", b)
		}

		if at := p.expiresAt(now); at <= now.UnixMilli() || at > now.Add(retention).UnixMilli() {
			t.Fatalf("%q is kept until %d", b, at)
		}

		if v := classify(0, provider.ErrorBody{Code: string(p.Code), Message: string(p.Error)}); v.Fault == "" || v.Class == provider.Throttled {
			t.Fatalf("%q has the classification %+v", b, v)
		}
	})
}

func FuzzErrorBody(f *testing.F) {
	seeds(f, "error.json")
	f.Fuzz(func(t *testing.T, b []byte) {
		c, own := readError(b)
		if own && (c.Code == "" || c.Code == "200") {
			t.Fatalf("%q was read as %+v", b, c)
		}

		if v := classify(400, c); v.Fault == "" {
			t.Fatalf("%q has no classification", b)
		}
	})
}

func FuzzUpload(f *testing.F) {
	seeds(f, "upload.json")
	f.Fuzz(func(t *testing.T, b []byte) {
		if address, err := readUpload(b); err == nil && len(address) < len("http://") {
			t.Fatalf("%q gave %q", b, address)
		}
	})
}
