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

	"github.com/unireel/unireel/internal/dispatch/record"
	"github.com/unireel/unireel/internal/dispatch/upstream"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/fetch"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/task"
)

// reencode returns the sample video, converted by ffmpeg with the given arguments.
func reencode(t *testing.T, ext string, args ...string) []byte {
	t.Helper()

	video, err := sampleVideo()
	if err != nil {
		t.Fatal(err)
	}

	in := filepath.Join(t.TempDir(), "in.mp4")

	out := filepath.Join(t.TempDir(), "out"+ext)
	if err := os.WriteFile(in, video, 0o600); err != nil {
		t.Fatal(err)
	}

	all := append(append([]string{"-nostdin", "-v", "error", "-i", in}, args...), out)
	if output, err := exec.CommandContext(t.Context(), "ffmpeg", all...).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v: %s", err, output)
	}

	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}

	return data
}

func TestCodecMismatches(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		video      []byte
		properties []string // that differ
		wantText   string   // in the first warning
	}{
		"as requested": {reencode(t, ".mp4", "-c", "copy"), nil, ""},
		"mp3 sound":    {reencode(t, ".mp4", "-c:v", "copy", "-c:a", "libmp3lame"), nil, ""},
		"mpeg4 video":  {reencode(t, ".mp4", "-c:v", "mpeg4", "-c:a", "copy"), []string{"codec"}, "mpeg4"},
		"vp9 video":    {reencode(t, ".mp4", "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "copy"), []string{"codec"}, "vp9"},
		"opus sound":   {reencode(t, ".mp4", "-c:v", "copy", "-c:a", "libopus"), []string{"sound_codec"}, "opus"},
		"matroska":     {reencode(t, ".mkv", "-c", "copy"), []string{"container"}, "video/x-matroska"},
		"silent":       {reencode(t, ".mp4", "-c", "copy", "-an"), []string{"sound"}, "no sound track"},
	} {
		t.Run(name, func(t *testing.T) {
			withHarness(t, func(h *harness) {
				h.addAccount("acct_a", 1, 0)
				h.supplier.video = c.video
				h.start()

				done := h.waitForState(h.createTask("acct_a", textRequest("a boat")), task.Completed)
				if len(done.Warnings) != len(c.properties) || len(c.properties) > 0 && !strings.Contains(done.Warnings[0].Message, c.wantText) {
					t.Errorf("warnings %+v", done.Warnings)
				}

				for _, property := range c.properties {
					if n := h.metricValue("unireel_result_mismatches_total", "up", property); n != 1 {
						t.Errorf("%v mismatches of %s, want 1", n, property)
					}
				}

				if n := h.metricValue("unireel_result_mismatches_total"); n != float64(len(c.properties)) {
					t.Errorf("%v kinds of mismatches were counted", n)
				}

				h.checkInvariants()
			})
		})
	}
}

// storedVideo returns a task's stored video, and checks its size and checksum.
func (h *harness) storedVideo(id string) []byte {
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
		h.t.Errorf("the artifact says %d bytes, %s; the blob has %d bytes, %x", a.Bytes, a.SHA256, len(data), sum)
	}

	return data
}

func TestStoredVideoHasFastStart(t *testing.T) {
	t.Parallel()
	slow := reencode(t, ".mp4", "-c", "copy")
	unmovable := append(bytes.Clone(slow), "\x00\x00\x00\x08mfra"...) // the offsets in an mfra box are not rewritten, so the index is not moved

	fast := reencode(t, ".mp4", "-c", "copy", "-movflags", "+faststart")
	for name, c := range map[string]struct {
		video []byte
		moved bool
	}{"index at the end": {slow, true}, "index at the start": {fast, false}, "index that cannot be moved": {unmovable, false}} {
		t.Run(name, func(t *testing.T) {
			withHarness(t, func(h *harness) {
				h.addAccount("acct_a", 1, 0)
				h.supplier.video = c.video
				h.start()
				id := h.createTask("acct_a", textRequest("a boat"))

				done := h.waitForState(id, task.Completed)
				if len(done.Warnings) != 0 {
					t.Errorf("warnings %+v", done.Warnings)
				}

				data := h.storedVideo(id)
				if bytes.Equal(data, c.video) == c.moved {
					t.Errorf("index moved: %v, want %v", !c.moved, c.moved)
				}

				path := filepath.Join(h.dir, "stored.mp4")
				if err := os.WriteFile(path, data, 0o600); err != nil {
					t.Fatal(err)
				}

				if ok, err := fetch.IsFastStart(path); c.moved && (err != nil || !ok) {
					t.Errorf("stored with its index at the end: %v", err)
				}

				h.shutdown()
				h.checkScratchEmpty()
				h.checkInvariants()
			})
		})
	}
}

func (h *harness) checkScratchEmpty() {
	h.t.Helper()

	list, err := os.ReadDir(filepath.Join(h.dir, "scratch"))
	if err != nil || len(list) != 0 {
		h.t.Errorf("the scratch folder has %v, %v; want nothing", list, err)
	}
}

// setLinks sets the supplier's links: the n-th poll after the render returns link(n), where
// "" means that the remote task is unknown. Only goodLink can be opened. Links live for life.
func (h *harness) setLinks(life time.Duration, link func(n int) string, goodLink string) {
	h.supplier.onPoll = func(_ context.Context, r *render, n int) (*provider.Report, error) {
		if time.Since(r.createdAt) < 40*time.Second {
			r.earlyPolls = n
			return nil, nil
		}

		n -= r.earlyPolls
		if link(n) == "" {
			return &provider.Report{Phase: provider.Unknown}, nil
		}

		return &provider.Report{Phase: provider.Rendered, Prompt: r.prompt, Result: &provider.Result{
			URL: link(n), Usage: r.usage, ExpiresAt: r.createdAt.Add(40*time.Second + life).UnixMilli(),
		}}, nil
	}
	h.supplier.onOpenResult = func(r provider.Result) error {
		if r.URL != goodLink {
			return &provider.Failure{Class: provider.NotFound, Code: "AccessDenied"}
		}

		return nil
	}
}

// When a link is dead at the time of collecting, the supplier is polled for another one
// until the link expires.
func TestDeadLinkIsRefreshed(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		life    time.Duration
		link    func(n int) string
		state   task.State
		minTime time.Duration // from rendered to final
		maxTime time.Duration
	}{
		"new link at once":         {time.Hour, linkFromPoll(2, "fake://good"), task.Completed, 0, 30 * time.Second},
		"new link later":           {time.Hour, linkFromPoll(9, "fake://good"), task.Completed, 2 * time.Minute, 20 * time.Minute},
		"no new link":              {time.Hour, linkFromPoll(1, "fake://dead"), task.Failed, time.Hour, time.Hour + 2*time.Minute},
		"always another dead link": {time.Hour, func(n int) string { return "fake://dead-" + strings.Repeat("x", n) }, task.Failed, time.Hour, time.Hour + 2*time.Minute},
		"remote task not found":    {24 * time.Hour, linkFromPoll(2, ""), task.Failed, record.NotFoundConfirmation, 2 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			withEachDatabase(t, func(h *harness) {
				h.addAccount("acct_a", 1, 0)
				h.setLinks(c.life, c.link, "fake://good")
				h.start()
				id := h.createTask("acct_a", textRequest("a boat"))
				done := h.waitForState(id, c.state)

				took := time.Duration(done.CompletedAt-done.RenderedAt) * time.Millisecond
				if took < c.minTime || took > c.maxTime {
					t.Errorf("it ended after %s, want %s to %s", took, c.minTime, c.maxTime)
				}

				lost := h.metricValue("unireel_results_lost_total", "up")
				if failed := done.State == task.Failed; (lost == 1) != failed || failed && (done.Error.Code != string(fault.CodeResultLost) || done.Cost != 0) {
					t.Errorf("lost %v, cost %s, error %+v", lost, done.Cost, done.Error)
				}

				if done.State == task.Completed {
					h.storedVideo(id)
				}

				h.shutdown()
				h.checkScratchEmpty()
				h.checkAccepted(id, 1)
				h.checkInvariants()
			})
		})
	}
}

// linkFromPoll returns a dead link, and from poll number first after the render the given
// link.
func linkFromPoll(first int, link string) func(int) string {
	return func(n int) string {
		if n >= first {
			return link
		}

		return "fake://dead"
	}
}

// When a link has expired, the supplier is polled once more: a link with a later expiry
// still saves the video.
func TestExpiredLinkIsRefreshed(t *testing.T) {
	t.Parallel()
	withEachDatabase(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)

		available := time.Now().Add(2 * time.Hour)
		h.supplier.onPoll = func(_ context.Context, r *render, _ int) (*provider.Report, error) {
			if time.Since(r.createdAt) < 40*time.Second {
				return nil, nil
			}

			return &provider.Report{Phase: provider.Rendered, Prompt: r.prompt, Result: &provider.Result{
				URL: "fake://" + time.Now().String(), Usage: r.usage, ExpiresAt: time.Now().Add(10 * time.Minute).UnixMilli(),
			}}, nil
		}
		h.supplier.onOpen = func(int) (io.ReadCloser, error) {
			if time.Now().Before(available) {
				return nil, &provider.Failure{Err: io.ErrUnexpectedEOF} // the supplier's storage is unreachable
			}

			return nil, nil
		}
		h.start()
		id := h.createTask("acct_a", textRequest("a boat"))

		done := h.waitForState(id, task.Completed)
		if done.CompletedAt < available.UnixMilli() || done.Cost == 0 {
			t.Errorf("completed at %d, cost %s", done.CompletedAt, done.Cost)
		}

		h.checkAccepted(id, 1)
		h.checkInvariants()
	})
}

// When a process crashes before a new link is written, or between the link and the
// download, the next process collects the task.
func TestCrashDuringLinkRefresh(t *testing.T) {
	t.Parallel()

	for name, point := range map[string]string{"before the link is written": "writing", "before the download": "collecting"} {
		t.Run(name, func(t *testing.T) {
			withEachDatabase(t, func(h *harness) {
				h.addAccount("acct_a", 1, 0)
				h.setLinks(time.Hour, linkFromPoll(2, "fake://good"), "fake://good")
				h.start()
				id := h.createTask("acct_a", textRequest("a boat"))
				h.waitForState(id, task.Collecting)
				h.crashAtPoint(point)
				h.start()

				done := h.waitForState(id, task.Completed)
				if done.Attempt != 1 {
					t.Errorf("attempt %d", done.Attempt)
				}

				h.storedVideo(id)
				h.checkAccepted(id, 1)
				h.checkInvariants()
			})
		})
	}
}

// crashAtPoint waits until the running dispatch crashes at a fail point, and stops it.
func (h *harness) crashAtPoint(point string) {
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
	h.shutdown()
}

// Dead links cost polls, and those stay within the upstream's rate limit.
func TestLinkRefreshStaysWithinRateLimit(t *testing.T) {
	t.Parallel()
	withHarness(t, func(h *harness) {
		h.addAccount("acct_a", 1, 0)
		h.upstreams[0].Limits = upstream.Limits{SubmitsPerSecond: 100, InProgress: 40, QueriesPerSecond: 0.1}
		h.setLinks(24*time.Hour, func(int) string { return "fake://dead" }, "fake://good")

		var polls []time.Time

		onPoll := h.supplier.onPoll
		h.supplier.onPoll = func(ctx context.Context, r *render, n int) (*provider.Report, error) {
			h.supplier.mu.Lock()

			polls = append(polls, time.Now())
			h.supplier.mu.Unlock()

			return onPoll(ctx, r, n)
		}
		h.start()

		for range 20 {
			h.createTask("acct_a", textRequest("a boat"))
		}

		time.Sleep(30 * time.Minute)
		h.supplier.mu.Lock()
		defer h.supplier.mu.Unlock()

		for i := range polls {
			if i > 0 && polls[i].Sub(polls[i-1]) < 10*time.Second {
				t.Fatalf("two polls within %s", polls[i].Sub(polls[i-1]))
			}
		}

		if len(polls) < 100 {
			t.Errorf("%d polls only", len(polls))
		}
	})
}
