package dashscope

import (
	"strings"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/provider/dashscope/dashscopesim"
)

// Every order of the golden files, through the simulated supplier to its end.
func TestMediaOrdersAreMade(t *testing.T) {
	want := map[string]provider.Usage{
		"2.7-r2v":         {Billed: 11_650, Input: 1650, Output: 10_000}, // one video of three references
		"2.7-r2v-chinese": {Billed: 8300, Input: 3300, Output: 5000},
		"2.7-i2v":         {Billed: 15_000, Output: 15_000},
		"2.7-t2v":         {Billed: 5000, Output: 5000},
		"3.0-r2v":         {Billed: 27_500, Input: 12_500, Output: 15_000}, // whole
		"3.0-i2v":         {Billed: 30_000, Output: 30_000},
		"3.0-t2v":         {Billed: 2000, Output: 2000},
	}

	for name, o := range mediaOrders {
		t.Run(name, func(t *testing.T) {
			specs := make(chan dashscopesim.Spec, 1)
			s := simulate(t, func(options *dashscopesim.Options) {
				options.ReferenceSeconds = 12.5
				options.Video = func(spec dashscopesim.Spec) ([]byte, error) { specs <- spec; return []byte("film"), nil }
			})
			readable(t, s, &o)

			ticket, err := s.Submit(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}

			s.clock.pass(time.Minute)

			report, err := s.Poll(t.Context(), ticket)
			if err != nil || report.Phase != provider.Rendered {
				t.Fatalf("%+v, %v", report, err)
			}

			if report.Prompt != wired(t, o) || report.Result.Size != "" || *report.Result.Usage != want[name] {
				t.Errorf("%+v, usage %+v, want %+v", report.Result, *report.Result.Usage, want[name])
			}

			film, err := s.Open(t.Context(), *report.Result)
			if err != nil {
				t.Fatal(err)
			}
			defer film.Close()

			if spec := <-specs; spec != (dashscopesim.Spec{Width: o.Width, Height: o.Height, Seconds: o.Seconds, Sound: o.Sound}) {
				t.Errorf("made %+v of %s", spec, o.Size)
			}
		})
	}
}

// readable uploads what the order has in the supplier's store.
func readable(t *testing.T, s supplier, o *provider.Order) {
	t.Helper()

	put := func(ref *provider.Reference) {
		if !strings.HasPrefix(ref.URL, "oss://") {
			return
		}

		address, err := s.Upload(t.Context(), o.Model, ref.URL, 1, strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}

		ref.URL = address
	}

	o.References = append([]provider.Reference(nil), o.References...)
	for i := range o.References {
		put(&o.References[i])
	}

	if o.Audio != nil {
		audio := *o.Audio
		put(&audio)
		o.Audio = &audio
	}
}

func wired(t *testing.T, o provider.Order) string {
	t.Helper()

	c, f := creationOf(o)
	if f != nil {
		t.Fatal(f)
	}

	return c.Input.Prompt
}
