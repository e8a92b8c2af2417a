package dispatch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/fetch"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/task"
)

// remade is the house's video through ffmpeg once more.
func remade(t *testing.T, ending string, args ...string) []byte {
	t.Helper()

	video, err := clip()
	if err != nil {
		t.Fatal(err)
	}

	in := filepath.Join(t.TempDir(), "in.mp4")

	out := filepath.Join(t.TempDir(), "out"+ending)
	if err := os.WriteFile(in, video, 0o600); err != nil {
		t.Fatal(err)
	}

	all := append(append([]string{"-nostdin", "-v", "error", "-i", in}, args...), out)
	if said, err := exec.CommandContext(t.Context(), "ffmpeg", all...).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v: %s", err, said)
	}

	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}

	return data
}

func TestTheCodecsAreComparedWithWhatWasBought(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		video []byte
		what  []string // differs
		says  string
	}{
		"as bought":      {remade(t, ".mp4", "-c", "copy"), nil, ""},
		"mp3":            {remade(t, ".mp4", "-c:v", "copy", "-c:a", "libmp3lame"), nil, ""},
		"mpeg4 pictures": {remade(t, ".mp4", "-c:v", "mpeg4", "-c:a", "copy"), []string{"codec"}, "mpeg4"},
		"vp9 pictures":   {remade(t, ".mp4", "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "copy"), []string{"codec"}, "vp9"},
		"opus sound":     {remade(t, ".mp4", "-c:v", "copy", "-c:a", "libopus"), []string{"sound_codec"}, "opus"},
		"matroska":       {remade(t, ".mkv", "-c", "copy"), []string{"container"}, "video/x-matroska"},
		"silent":         {remade(t, ".mp4", "-c", "copy", "-an"), []string{"sound"}, "without"},
	} {
		t.Run(name, func(t *testing.T) {
			inHouse(t, func(h *house) {
				h.account("acct_a", 1, 0)
				h.supplier.video = c.video
				h.start()

				done := h.untilState(h.create("acct_a", words("a boat")), task.Completed)
				if len(done.Warnings) != len(c.what) || len(c.what) > 0 && !strings.Contains(done.Warnings[0].Message, c.says) {
					t.Errorf("warnings %+v", done.Warnings)
				}

				for _, what := range c.what {
					if n := h.counted(h.d.stats.mismatches.WithLabelValues("up", what)); n != 1 {
						t.Errorf("%v mismatches of %s", n, what)
					}
				}

				if n := testutil.CollectAndCount(h.d.stats.mismatches); n != len(c.what) {
					t.Errorf("%d kinds of mismatch were counted", n)
				}

				h.sound()
			})
		})
	}
}

// kept reads what is kept of a task's video, and holds it to its checksum.
func (h *house) kept(id string) []byte {
	h.t.Helper()

	a, err := h.store.Artifact(context.Background(), id, task.Video)
	if err != nil {
		h.t.Fatal(err)
	}

	r, err := h.blobs.Open(context.Background(), a.Blob)
	if err != nil {
		h.t.Fatal(err)
	}

	defer func() { _ = r.Close() }()

	data, err := io.ReadAll(r)
	if err != nil {
		h.t.Fatal(err)
	}

	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != a.SHA256 || int64(len(data)) != a.Bytes {
		h.t.Errorf("the row says %d bytes, %s; the blob has %d, %x", a.Bytes, a.SHA256, len(data), sum)
	}

	return data
}

func TestAKeptVideoPlaysWhileItIsLoaded(t *testing.T) {
	t.Parallel()
	slow := remade(t, ".mp4", "-c", "copy")
	odd := append(bytes.Clone(slow), "\x00\x00\x00\x08mfra"...) // addresses of another kind: not moved

	fast := remade(t, ".mp4", "-c", "copy", "-movflags", "+faststart")
	for name, c := range map[string]struct {
		video []byte
		moved bool
	}{"index behind": {slow, true}, "index before": {fast, false}, "index that cannot be moved": {odd, false}} {
		t.Run(name, func(t *testing.T) {
			inHouse(t, func(h *house) {
				h.account("acct_a", 1, 0)
				h.supplier.video = c.video
				h.start()
				id := h.create("acct_a", words("a boat"))

				done := h.untilState(id, task.Completed)
				if len(done.Warnings) != 0 {
					t.Errorf("warnings %+v", done.Warnings)
				}

				data := h.kept(id)
				if bytes.Equal(data, c.video) == c.moved {
					t.Errorf("moved is %v", !c.moved)
				}

				path := filepath.Join(h.dir, "kept.mp4")
				if err := os.WriteFile(path, data, 0o600); err != nil {
					t.Fatal(err)
				}

				if ok, err := fetch.FastStart(path); c.moved && (err != nil || !ok) {
					t.Errorf("kept with its index behind: %v", err)
				}

				h.halt()
				h.nothingInScratch()
				h.sound()
			})
		})
	}
}

func (h *house) nothingInScratch() {
	h.t.Helper()

	list, err := os.ReadDir(filepath.Join(h.dir, "scratch"))
	if err != nil || len(list) != 0 {
		h.t.Errorf("in scratch: %v, %v", list, err)
	}
}

// relinked is a supplier whose links are bent: link says what the n-th question
// gives, works which of them opens.
func (h *house) relinked(life time.Duration, link func(n int) string, works string) {
	h.supplier.poll = func(_ context.Context, r *render, n int) (*provider.Report, error) {
		if time.Since(r.made) < 40*time.Second {
			r.early = n
			return nil, nil
		}

		n -= r.early
		if link(n) == "" {
			return &provider.Report{Phase: provider.Unknown}, nil
		}

		return &provider.Report{Phase: provider.Rendered, Prompt: r.prompt, Result: &provider.Result{
			URL: link(n), Usage: r.usage, ExpiresAt: r.made.Add(40*time.Second + life).UnixMilli(),
		}}, nil
	}
	h.supplier.opening = func(r provider.Result) error {
		if r.URL != works {
			return &provider.Failure{Class: provider.Gone, Code: "AccessDenied"}
		}

		return nil
	}
}

// A link that is dead at the time of collecting is asked for again until its time
// is over.
func TestADeadLinkIsAskedForAgain(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		life  time.Duration
		link  func(n int) string
		state task.State
		least time.Duration // from rendered to the end
		most  time.Duration
	}{
		"a fresh one at once":          {time.Hour, fromAsk(2, "fake://good"), task.Completed, 0, 30 * time.Second},
		"a fresh one later":            {time.Hour, fromAsk(9, "fake://good"), task.Completed, 2 * time.Minute, 20 * time.Minute},
		"never":                        {time.Hour, fromAsk(1, "fake://dead"), task.Failed, time.Hour, time.Hour + 2*time.Minute},
		"always another, never good":   {time.Hour, func(n int) string { return "fake://dead-" + strings.Repeat("x", n) }, task.Failed, time.Hour, time.Hour + 2*time.Minute},
		"the ticket is unknown by now": {24 * time.Hour, fromAsk(2, ""), task.Failed, unknownTwice, 2 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			inHouses(t, func(h *house) {
				h.account("acct_a", 1, 0)
				h.relinked(c.life, c.link, "fake://good")
				h.start()
				id := h.create("acct_a", words("a boat"))
				done := h.untilState(id, c.state)

				took := time.Duration(done.CompletedAt-done.RenderedAt) * time.Millisecond
				if took < c.least || took > c.most {
					t.Errorf("it ended after %s", took)
				}

				lost := h.counted(h.d.stats.lost.WithLabelValues("up"))
				if failed := done.State == task.Failed; (lost == 1) != failed || failed && (done.Error.Code != string(fault.CodeResultLost) || done.Cost != 0) {
					t.Errorf("lost %v, cost %s, error %+v", lost, done.Cost, done.Error)
				}

				if done.State == task.Completed {
					h.kept(id)
				}

				h.halt()
				h.nothingInScratch()
				h.takenTimes(id, 1)
				h.sound()
			})
		})
	}
}

// fromAsk gives another link from the n-th question after the end of the render.
func fromAsk(first int, link string) func(int) string {
	return func(n int) string {
		if n >= first {
			return link
		}

		return "fake://dead"
	}
}

// A link whose time is over is asked for once more: a later one saves the video.
func TestALinkThatEndedIsRenewed(t *testing.T) {
	t.Parallel()
	inHouses(t, func(h *house) {
		h.account("acct_a", 1, 0)

		back := time.Now().Add(2 * time.Hour)
		h.supplier.poll = func(_ context.Context, r *render, _ int) (*provider.Report, error) {
			if time.Since(r.made) < 40*time.Second {
				return nil, nil
			}

			return &provider.Report{Phase: provider.Rendered, Prompt: r.prompt, Result: &provider.Result{
				URL: "fake://" + time.Now().String(), Usage: r.usage, ExpiresAt: time.Now().Add(10 * time.Minute).UnixMilli(),
			}}, nil
		}
		h.supplier.open = func(int) (io.ReadCloser, error) {
			if time.Now().Before(back) {
				return nil, &provider.Failure{Err: io.ErrUnexpectedEOF} // its storage is away
			}

			return nil, nil
		}
		h.start()
		id := h.create("acct_a", words("a boat"))

		done := h.untilState(id, task.Completed)
		if done.CompletedAt < back.UnixMilli() || done.Cost == 0 {
			t.Errorf("completed at %d, cost %s", done.CompletedAt, done.Cost)
		}

		h.takenTimes(id, 1)
		h.sound()
	})
}

// A process that dies between the fresh link and the bytes, or before the link is
// written, leaves a task that the next one collects.
func TestACrashWhileALinkIsRenewed(t *testing.T) {
	t.Parallel()

	for name, point := range map[string]string{"before it is written": "writing", "before its bytes": "collecting"} {
		t.Run(name, func(t *testing.T) {
			inHouses(t, func(h *house) {
				h.account("acct_a", 1, 0)
				h.relinked(time.Hour, fromAsk(2, "fake://good"), "fake://good")
				h.start()
				id := h.create("acct_a", words("a boat"))
				h.untilState(id, task.Collecting)
				h.dieAt(point)
				h.start()

				done := h.untilState(id, task.Completed)
				if done.Attempt != 1 {
					t.Errorf("attempt %d", done.Attempt)
				}

				h.kept(id)
				h.takenTimes(id, 1)
				h.sound()
			})
		})
	}
}

// dieAt kills the running process at a fail point, and buries it.
func (h *house) dieAt(point string) {
	h.t.Helper()
	h.mu.Lock()
	h.crashAt = point
	h.mu.Unlock()

	select {
	case <-h.crashed:
	case <-time.After(time.Hour):
		h.t.Fatalf("the fail point %s was never reached", point)
	}

	h.mu.Lock()
	h.crashAt = ""
	h.mu.Unlock()
	h.halt()
}

// Dead links cost questions, and those stay within the account's budget.
func TestDeadLinksStayWithinTheBudget(t *testing.T) {
	t.Parallel()
	inHouse(t, func(h *house) {
		h.account("acct_a", 1, 0)
		h.upstreams[0].Limits = Limits{SubmitsPerSecond: 100, InProgress: 40, QueriesPerSecond: 0.1}
		h.relinked(24*time.Hour, func(int) string { return "fake://dead" }, "fake://good")

		var asked []time.Time

		bent := h.supplier.poll
		h.supplier.poll = func(ctx context.Context, r *render, n int) (*provider.Report, error) {
			h.supplier.mu.Lock()

			asked = append(asked, time.Now())
			h.supplier.mu.Unlock()

			return bent(ctx, r, n)
		}
		h.start()

		for range 20 {
			h.create("acct_a", words("a boat"))
		}

		time.Sleep(30 * time.Minute)
		h.supplier.mu.Lock()
		defer h.supplier.mu.Unlock()

		for i := range asked {
			if i > 0 && asked[i].Sub(asked[i-1]) < 10*time.Second {
				t.Fatalf("asked twice within %s", asked[i].Sub(asked[i-1]))
			}
		}

		if len(asked) < 100 {
			t.Errorf("asked %d times only", len(asked))
		}
	})
}
