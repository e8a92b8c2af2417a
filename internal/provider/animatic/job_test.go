package animatic

import (
	"bytes"
	"context"
	"errors"
	"hash/crc32"
	"image/color"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/provider/providertest"
)

func TestContract(t *testing.T) {
	providertest.Run(t, func(t *testing.T) providertest.Harness {
		p, err := Driver().New(provider.Options{Folder: t.TempDir(), Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}

		invalid := testSubmission(t)
		invalid.References = []provider.Reference{fromBytes("image", "images[0]", "a.png", []byte("not a picture"))}

		return providertest.Harness{
			Provider:          p,
			Submission:        smallSize(testSubmission(t)),
			UnknownID:         "task_none.1.AAAA",
			InvalidSubmission: &invalid,
			Advance:           func(*testing.T) { <-time.After(20 * time.Millisecond) },
		}
	})
}

func TestCancelKillsProcessesAndRemovesFiles(t *testing.T) {
	s := newTestRenderer(t, map[string]string{"parallel": "1"})
	pids := make(chan int, 100)
	s.tools.onStart = func(pid int) { pids <- pid }
	o := testSubmission(t)
	o.Seconds = 10

	remoteID, err := s.Submit(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}

	encoder := <-pids // pictures are decoded when they are first drawn, so this is the encoder
	// A suspended process never ends by itself: only a kill can end it.
	if err := syscall.Kill(encoder, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}

	if stopped, err := s.Cancel(t.Context(), remoteID); !stopped || err != nil {
		t.Fatalf("Cancel = %v, %v", stopped, err)
	}
	// The only worker takes the next job when it is done with the first.
	renderVideo(t, s, smallSize(testSubmission(t)))

	if err := syscall.Kill(encoder, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d still exists: %v", encoder, err)
	}

	if list, _ := os.ReadDir(s.folder); len(list) != 1 {
		t.Errorf("%d folders are left, want only that of the second video", len(list))
	}

	if r, _ := s.Poll(t.Context(), remoteID); r.Phase != provider.Cancelled {
		t.Errorf("it ended %s", r.Phase)
	}
}

func TestParallelLimit(t *testing.T) {
	s := newTestRenderer(t, map[string]string{"parallel": "2"})
	entered := make(chan struct{}, maxQueued+10)
	o := testSubmission(t)
	o.References[0].Open = func(ctx context.Context) (io.ReadCloser, error) {
		entered <- struct{}{}

		<-ctx.Done()

		return nil, ctx.Err()
	}

	var remoteIDs []provider.RemoteID

	submit := func() error {
		remoteID, err := s.Submit(t.Context(), o)
		remoteIDs = append(remoteIDs, remoteID)

		return err
	}
	for range 2 {
		if err := submit(); err != nil {
			t.Fatal(err)
		}

		<-entered
	}

	for range maxQueued {
		if err := submit(); err != nil {
			t.Fatal(err)
		}
	}

	var f *provider.Failure
	if _, err := s.Submit(t.Context(), o); !errors.As(err, &f) || f.Class != provider.Throttled || f.Acceptance != provider.NotAccepted {
		t.Errorf("a submission to a full queue: %v", err)
	}

	count := map[provider.Phase]int{}

	for _, remoteID := range remoteIDs {
		r, err := s.Poll(t.Context(), remoteID)
		if err != nil {
			t.Fatal(err)
		}

		count[r.Phase]++
	}

	if count[provider.Rendering] != 2 || count[provider.Queued] != maxQueued || len(entered) != 0 {
		t.Errorf("got %v, %d more entered", count, len(entered))
	}
}

// hugePNG is a small PNG file that claims a huge size.
func hugePNG() []byte {
	head := []byte("IHDR\x00\x00\xff\xff\x00\x00\xff\xff\x08\x06\x00\x00\x00")
	sum := crc32.ChecksumIEEE(head)
	b := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), head...)

	return append(b, byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum))
}

func TestBadReferenceNamesItsParam(t *testing.T) {
	s := newTestRenderer(t, nil)

	good, err := discImage(t, "", color.RGBA{9, 9, 9, 255}, 200, 200).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	whole, err := io.ReadAll(good)
	if err != nil {
		t.Fatal(err)
	}

	for _, c := range []struct {
		name, kind string
		bytes      []byte
	}{
		{"text as a video", "video", []byte("this is not a video but a text")},
		{"a playlist as a video", "video", []byte("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/etc/hostname\n#EXT-X-ENDLIST\n")},
		{"a script as a video", "video", []byte("ffconcat version 1.0\nfile /etc/hostname\n")},
		{"text as a picture", "image", []byte("not a picture")},
		{"a bomb", "image", hugePNG()},
		{"a truncated picture", "image", whole[:60]},
		{"nothing", "image", nil},
		{"text as sound", "audio", []byte("not a sound")},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := smallSize(testSubmission(t))
			param := "images[1]"

			bad := fromBytes(c.kind, param, "x", c.bytes)
			if c.kind == "audio" {
				o.Sound = true
				o.Audio = &bad
			} else {
				o.References[1] = bad
			}

			remoteID, err := s.Submit(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}

			r := waitForEnd(t, s, remoteID)
			if r.Phase != provider.Failed || r.Failure.Fault.Code != fault.CodeReferenceInvalid || r.Failure.Fault.Param != param || r.Failure.Class != provider.InvalidRequest {
				t.Errorf("got %s, %v", r.Phase, r.Failure)
			}

			if detail := r.Failure.Fault.Detail; strings.Contains(detail, s.folder) || !strings.HasSuffix(detail, ".") {
				t.Errorf("the message is %q", detail)
			}
		})
	}

	if list, _ := os.ReadDir(s.folder); len(list) != 0 {
		t.Errorf("%d folders are left behind", len(list))
	}

	o := testSubmission(t)

	o.References[0].Open = nil
	if _, err := s.Submit(t.Context(), o); provider.FailureOf(err).Fault.Code != fault.CodeReferenceUnreachable {
		t.Errorf("a reference without a copy on this server: %v", err)
	}
}

func TestHostilePrompts(t *testing.T) {
	s := newTestRenderer(t, nil)
	for i, prompt := range []string{
		`'; [0:v]drawtext=textfile=/etc/passwd, "\\' %{pts} %n $(id) \`, strings.Repeat("\n\r\t\x00", 100) + "\U0001F600\U0001F468\u200d\U0001F469",
		strings.Repeat("长", 1500), strings.Repeat("w", 1500), strings.Repeat("\u0301", 1500), "", "\xff\xfe",
	} {
		o := smallSize(testSubmission(t))
		o.Prompt = prompt
		o.Seconds = 1

		if i%2 == 1 {
			o.Mode = provider.T2V
			o.References = nil
		}

		checkVideo(t, renderVideo(t, s, o), o)
	}
}

func TestMissingTools(t *testing.T) {
	settings := map[string]string{"ffmpeg": "/nowhere/ffmpeg"}

	_, err := Driver().New(provider.Options{Folder: t.TempDir(), Settings: settings})
	if err == nil || !strings.Contains(err.Error(), installCommand("ffmpeg")) {
		t.Errorf("New returned %v", err)
	}

	if err := Check(t.Context(), settings); err == nil || !strings.Contains(err.Error(), installCommand("ffmpeg")) {
		t.Errorf("Check returned %v", err)
	}

	if err := Check(t.Context(), map[string]string{"font": "/nowhere.ttc"}); err == nil || !strings.Contains(err.Error(), installCommand("fonts-noto-cjk")) {
		t.Errorf("Check returned %v", err)
	}
}

func TestOldVideosAreRemoved(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	s := newTestRenderer(t, nil)
	s.now = func() time.Time { return now }
	o := smallSize(testSubmission(t))
	o.Seconds = 1

	remoteID, err := s.Submit(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}

	r := waitForEnd(t, s, remoteID)
	now = now.Add(retention + time.Second)

	if again, _ := s.Poll(t.Context(), remoteID); again.Phase != provider.Unknown {
		t.Errorf("after an hour it is %s", again.Phase)
	}

	if list, _ := os.ReadDir(s.folder); len(list) != 0 {
		t.Errorf("%d folders are left", len(list))
	}

	if _, err := s.Open(t.Context(), *r.Result); provider.FailureOf(err).Class != provider.NotFound {
		t.Errorf("Open returned %v", err)
	}
}

func FuzzProgress(f *testing.F) {
	f.Add([]byte("frame=12\nfps=3\nframe=  13\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c := progressReader{onFrame: func(int) {}}
		if n, err := io.Copy(&c, bytes.NewReader(b)); err != nil || n != int64(len(b)) || len(c.line) > maxProgressLine {
			t.Fatal(n, err)
		}
	})
}
