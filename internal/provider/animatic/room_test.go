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
		p, err := Kind().New(provider.Options{Folder: t.TempDir(), Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}

		refused := order(t)
		refused.References = []provider.Reference{fromBytes("image", "images[0]", "a.png", []byte("no picture"))}

		return providertest.Harness{
			Provider: p, Order: small(order(t)), Unknown: "task_none.1.AAAA", Refused: &refused,
			Next: func(*testing.T) { <-time.After(20 * time.Millisecond) },
		}
	})
}

func TestCancelKillsAndTidies(t *testing.T) {
	s := newStudio(t, map[string]string{"parallel": "1"})
	pids := make(chan int, 100)
	s.tools.started = func(pid int) { pids <- pid }
	o := order(t)
	o.Seconds = 10

	ticket, err := s.Submit(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}

	encoder := <-pids // the pictures are decoded when they are first seen: this one encodes
	// A stopped process never ends by itself: only the kill can end it.
	if err := syscall.Kill(encoder, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}

	if stopped, err := s.Cancel(t.Context(), ticket); !stopped || err != nil {
		t.Fatalf("Cancel = %v, %v", stopped, err)
	}
	// The only worker takes the next order when it is done with the first.
	shoot(t, s, small(order(t)))

	if err := syscall.Kill(encoder, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d is still there: %v", encoder, err)
	}

	if list, _ := os.ReadDir(s.folder); len(list) != 1 {
		t.Errorf("%d folders are left, want the second film's only", len(list))
	}

	if r, _ := s.Poll(t.Context(), ticket); r.Phase != provider.Stopped {
		t.Errorf("it ended %s", r.Phase)
	}
}

func TestOnlySoManyAtOnce(t *testing.T) {
	s := newStudio(t, map[string]string{"parallel": "2"})
	entered := make(chan struct{}, mostWaiting+10)
	o := order(t)
	o.References[0].Open = func(ctx context.Context) (io.ReadCloser, error) {
		entered <- struct{}{}

		<-ctx.Done()

		return nil, ctx.Err()
	}

	var tickets []provider.Ticket

	submit := func() error {
		ticket, err := s.Submit(t.Context(), o)
		tickets = append(tickets, ticket)

		return err
	}
	for range 2 {
		if err := submit(); err != nil {
			t.Fatal(err)
		}

		<-entered
	}

	for range mostWaiting {
		if err := submit(); err != nil {
			t.Fatal(err)
		}
	}

	var f *provider.Failure
	if _, err := s.Submit(t.Context(), o); !errors.As(err, &f) || f.Class != provider.Throttled || f.Taken != provider.NotTaken {
		t.Errorf("one too many: %v", err)
	}

	count := map[provider.Phase]int{}

	for _, ticket := range tickets {
		r, err := s.Poll(t.Context(), ticket)
		if err != nil {
			t.Fatal(err)
		}

		count[r.Phase]++
	}

	if count[provider.Rendering] != 2 || count[provider.Waiting] != mostWaiting || len(entered) != 0 {
		t.Errorf("got %v, %d more entered", count, len(entered))
	}
}

// bomb is a PNG of a few bytes that claims a huge size.
func bomb() []byte {
	head := []byte("IHDR\x00\x00\xff\xff\x00\x00\xff\xff\x08\x06\x00\x00\x00")
	sum := crc32.ChecksumIEEE(head)
	b := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), head...)

	return append(b, byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum))
}

func TestBadReferencesSayWhich(t *testing.T) {
	s := newStudio(t, nil)

	good, err := image1(t, "", color.RGBA{9, 9, 9, 255}, 200, 200).Open(t.Context())
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
		{"text as a video", "video", []byte("this is no video, it is a text")},
		{"a playlist as a video", "video", []byte("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/etc/hostname\n#EXT-X-ENDLIST\n")},
		{"a script as a video", "video", []byte("ffconcat version 1.0\nfile /etc/hostname\n")},
		{"text as a picture", "image", []byte("no picture")},
		{"a bomb", "image", bomb()},
		{"a cut picture", "image", whole[:60]},
		{"nothing", "image", nil},
		{"text as sound", "audio", []byte("no sound")},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := small(order(t))
			param := "images[1]"

			bad := fromBytes(c.kind, param, "x", c.bytes)
			if c.kind == "audio" {
				o.Sound = true
				o.Audio = &bad
			} else {
				o.References[1] = bad
			}

			ticket, err := s.Submit(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}

			r := await(t, s, ticket)
			if r.Phase != provider.Broken || r.Failure.Fault.Code != fault.CodeBadReference || r.Failure.Fault.Param != param || r.Failure.Class != provider.Refused {
				t.Errorf("got %s, %v", r.Phase, r.Failure)
			}

			if said := r.Failure.Fault.Detail; strings.Contains(said, s.folder) || !strings.HasSuffix(said, ".") {
				t.Errorf("it says %q", said)
			}
		})
	}

	if list, _ := os.ReadDir(s.folder); len(list) != 0 {
		t.Errorf("%d folders are left behind", len(list))
	}

	o := order(t)

	o.References[0].Open = nil
	if _, err := s.Submit(t.Context(), o); provider.FailureOf(err).Fault.Code != fault.CodeUnreachable {
		t.Errorf("a reference that we have no copy of: %v", err)
	}
}

func TestHostilePrompts(t *testing.T) {
	s := newStudio(t, nil)
	for i, prompt := range []string{
		`'; [0:v]drawtext=textfile=/etc/passwd, "\\' %{pts} %n $(id) \`, strings.Repeat("\n\r\t\x00", 100) + "\U0001F600\U0001F468\u200d\U0001F469",
		strings.Repeat("长", 1500), strings.Repeat("w", 1500), strings.Repeat("\u0301", 1500), "", "\xff\xfe",
	} {
		o := small(order(t))
		o.Prompt = prompt

		o.Seconds = 1
		if i%2 == 1 {
			o.Mode = provider.T2V
			o.References = nil
		}

		isFilm(t, shoot(t, s, o), o)
	}
}

func TestMissingFfmpegIsSaidClearly(t *testing.T) {
	settings := map[string]string{"ffmpeg": "/nowhere/ffmpeg"}

	_, err := Kind().New(provider.Options{Folder: t.TempDir(), Settings: settings})
	if err == nil || !strings.Contains(err.Error(), install("ffmpeg")) {
		t.Errorf("New says %v", err)
	}

	if err := Check(t.Context(), settings); err == nil || !strings.Contains(err.Error(), install("ffmpeg")) {
		t.Errorf("Check says %v", err)
	}

	if err := Check(t.Context(), map[string]string{"font": "/nowhere.ttc"}); err == nil || !strings.Contains(err.Error(), install("fonts-noto-cjk")) {
		t.Errorf("Check says %v", err)
	}
}

func TestOldFilmsAreSwept(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	s := newStudio(t, nil)
	s.now = func() time.Time { return now }
	o := small(order(t))
	o.Seconds = 1

	ticket, err := s.Submit(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}

	r := await(t, s, ticket)
	now = now.Add(keepFor + time.Second)

	if again, _ := s.Poll(t.Context(), ticket); again.Phase != provider.Unknown {
		t.Errorf("after an hour it is %s", again.Phase)
	}

	if list, _ := os.ReadDir(s.folder); len(list) != 0 {
		t.Errorf("%d folders are left", len(list))
	}

	if _, err := s.Open(t.Context(), *r.Result); provider.FailureOf(err).Class != provider.Gone {
		t.Errorf("Open says %v", err)
	}
}

func FuzzProgress(f *testing.F) {
	f.Add([]byte("frame=12\nfps=3\nframe=  13\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c := counter{tell: func(int) {}}
		if n, err := io.Copy(&c, bytes.NewReader(b)); err != nil || n != int64(len(b)) || len(c.line) > mostLine {
			t.Fatal(n, err)
		}
	})
}
