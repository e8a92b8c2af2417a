package dashscope

import (
	"strings"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/provider/dashscope/dashscopesim"
)

// Every submission of the golden files is rendered by the simulated supplier.
func TestMediaSubmissionsAreRendered(t *testing.T) {
	want := map[string]provider.Usage{
		"2.7-r2v":         {Billed: 11_650, Input: 1650, Output: 10_000}, // one video among three references
		"2.7-r2v-chinese": {Billed: 8300, Input: 3300, Output: 5000},
		"2.7-i2v":         {Billed: 15_000, Output: 15_000},
		"2.7-t2v":         {Billed: 5000, Output: 5000},
		"3.0-r2v":         {Billed: 27_500, Input: 12_500, Output: 15_000}, // the full length
		"3.0-i2v":         {Billed: 30_000, Output: 30_000},
		"3.0-t2v":         {Billed: 2000, Output: 2000},
	}

	for name, o := range mediaSubmissions {
		t.Run(name, func(t *testing.T) {
			specs := make(chan dashscopesim.Spec, 1)
			s := newFixture(t, func(options *dashscopesim.Options) {
				options.ReferenceSeconds = 12.5
				options.Video = func(spec dashscopesim.Spec) ([]byte, error) { specs <- spec; return []byte("video bytes"), nil }
			})
			uploadReferences(t, s, &o)

			remoteID, err := s.Submit(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}

			s.clock.advance(time.Minute)

			report, err := s.Poll(t.Context(), remoteID)
			if err != nil || report.Phase != provider.Rendered {
				t.Fatalf("%+v, %v", report, err)
			}

			if report.Prompt != sentPrompt(t, o) || report.Result.Size != "" || *report.Result.Usage != want[name] {
				t.Errorf("%+v, usage %+v, want %+v", report.Result, *report.Result.Usage, want[name])
			}

			video, err := s.Open(t.Context(), *report.Result)
			if err != nil {
				t.Fatal(err)
			}
			defer video.Close()

			if spec := <-specs; spec != (dashscopesim.Spec{Width: o.Width, Height: o.Height, Seconds: o.Seconds, Sound: o.Sound}) {
				t.Errorf("rendered %+v for %s", spec, o.Size)
			}
		})
	}
}

// uploadReferences uploads the submission's references to the supplier's store.
func uploadReferences(t *testing.T, s fixture, o *provider.Submission) {
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

func sentPrompt(t *testing.T, o provider.Submission) string {
	t.Helper()

	c, f := newCreateRequest(o)
	if f != nil {
		t.Fatal(f)
	}

	return c.Input.Prompt
}
