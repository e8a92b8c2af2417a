package animatic

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/unireel/unireel/internal/provider"
)

func TestMain(m *testing.M) {
	if err := Check(context.Background(), nil); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}

	goleak.VerifyTestMain(m)
}

// newTestRenderer returns a provider with a folder of its own; the test's end closes it.
func newTestRenderer(t testing.TB, settings map[string]string) *renderer {
	t.Helper()

	p, err := Driver().New(provider.Options{Folder: t.TempDir(), Now: time.Now, Settings: settings})
	if err != nil {
		t.Fatal(err)
	}

	s := p.(*renderer)

	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})

	return s
}

// testSubmission is a video of 2 s in 640 x 360 from two pictures, first red, then blue.
func testSubmission(t testing.TB) provider.Submission {
	return provider.Submission{
		TaskID:  "task_test",
		Attempt: 1,
		Mode:    provider.R2V,
		Prompt:  "character1 meets character2 by the sea.",
		References: []provider.Reference{
			discImage(t, "images[0]", color.RGBA{200, 40, 40, 255}, 500, 300),
			discImage(t, "images[1]", color.RGBA{40, 60, 200, 255}, 300, 400),
		},
		Size:     "640*360",
		Width:    640,
		Height:   360,
		Seconds:  2,
		ShotType: "single",
		Seed:     7,
	}
}

func fromBytes(kind, param, name string, b []byte) provider.Reference {
	return provider.Reference{
		Kind:      kind,
		Param:     param,
		Name:      name,
		SizeBytes: int64(len(b)),
		Open:      func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil },
	}
}

func fromFile(kind, param, path string) provider.Reference {
	return provider.Reference{
		Kind: kind, Param: param, Name: filepath.Base(path),
		Open: func(context.Context) (io.ReadCloser, error) { return os.Open(path) },
	}
}

// discImage is a picture of one colour with a lighter disc, so that it has a visible shape.
func discImage(t testing.TB, param string, c color.RGBA, w, h int) provider.Reference {
	t.Helper()

	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			p := c
			if dx, dy := x-w/2, y-h/2; dx*dx+dy*dy < h*h/20 {
				p.R = p.R + 30
				p.G = p.G + 30
				p.B = p.B + 30
			}

			m.SetRGBA(x, y, p)
		}
	}

	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}

	return fromBytes("image", param, "picture.png", b.Bytes())
}

// ffmpeg runs ffmpeg to make the test's own material or to inspect a video.
func ffmpeg(t testing.TB, args ...string) []byte {
	t.Helper()

	var stderr bytes.Buffer

	cmd := exec.Command("ffmpeg", append([]string{"-hide_banner", "-nostdin", "-loglevel", "error", "-y"}, args...)...)
	cmd.Stderr = &stderr

	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ffmpeg %v: %v: %s", args, err, stderr.String())
	}

	return out
}

// waitForEnd polls a job until it ends; progress must not decrease.
func waitForEnd(t testing.TB, s *renderer, remoteID provider.RemoteID) provider.Report {
	t.Helper()

	before := 0

	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); runtime.Gosched() {
		r, err := s.Poll(t.Context(), remoteID)
		if err != nil {
			t.Fatal(err)
		}

		switch r.Phase {
		case provider.Queued, provider.Rendering:
			if r.Progress < before || r.Progress > 99 {
				t.Fatalf("progress went from %d to %d", before, r.Progress)
			}

			before = r.Progress

			<-time.After(20 * time.Millisecond)
		default:
			return r
		}
	}

	t.Fatal("the render did not end")

	return provider.Report{}
}

// renderVideo renders a submission and returns the file's path.
func renderVideo(t testing.TB, s *renderer, o provider.Submission) string {
	t.Helper()

	remoteID, err := s.Submit(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}

	r := waitForEnd(t, s, remoteID)
	if r.Phase != provider.Rendered {
		t.Fatalf("got %s: %v", r.Phase, r.Failure)
	}

	in, err := s.Open(t.Context(), *r.Result)
	if err != nil {
		t.Fatal(err)
	}

	defer func() { _ = in.Close() }()

	b, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}

	path := filepath.Join(t.TempDir(), "video.mp4")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}

	if dir := os.Getenv("ANIMATIC_KEEP"); dir != "" {
		_ = os.WriteFile(filepath.Join(dir, filepath.Base(t.Name())+".mp4"), b, 0o600)
	}

	return path
}

type streamInfo struct {
	Streams []struct {
		Codec    string `json:"codec_name"`
		Type     string `json:"codec_type"`
		Profile  string `json:"profile"`
		PixFmt   string `json:"pix_fmt"`
		W        int    `json:"width"`
		H        int    `json:"height"`
		Rate     string `json:"avg_frame_rate"`
		Frames   string `json:"nb_read_frames"`
		Hertz    string `json:"sample_rate"`
		Channels int    `json:"channels"`
	} `json:"streams"`
	Format struct {
		Duration string `json:"duration"`
	} `json:"format"`
}

func probe(t testing.TB, path string) streamInfo {
	t.Helper()

	out, err := exec.Command("ffprobe", "-v", "error", "-count_frames", "-show_streams", "-show_format", "-of", "json", path).Output()
	if err != nil {
		t.Fatal(err)
	}

	var p streamInfo
	if err := json.Unmarshal(out, &p); err != nil {
		t.Fatal(err)
	}

	return p
}

// checkVideo checks all properties of a rendered file.
func checkVideo(t testing.TB, path string, o provider.Submission) {
	t.Helper()
	p := probe(t, path)

	want := 1
	if o.Sound {
		want = 2
	}

	if len(p.Streams) != want {
		t.Fatalf("%d streams, want %d", len(p.Streams), want)
	}

	v := p.Streams[0]

	got := fmt.Sprint(v.Codec, v.Profile, v.PixFmt, v.W, v.H, v.Rate, v.Frames)
	if want := fmt.Sprint("h264", "High", "yuv420p", o.Width, o.Height, "30/1", strconv.Itoa(o.Seconds*frameRate)); got != want {
		t.Errorf("video is %s, want %s", got, want)
	}

	if o.Sound {
		a := p.Streams[1]
		if got, want := fmt.Sprint(a.Codec, a.Hertz, a.Channels), fmt.Sprint("aac", "48000", 2); got != want {
			t.Errorf("sound is %s, want %s", got, want)
		}
	}

	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}

	if moov, mdat := bytes.Index(b, []byte("moov")), bytes.Index(b, []byte("mdat")); moov < 0 || moov > mdat {
		t.Errorf("moov at %d, mdat at %d: it is not fast start", moov, mdat)
	}
}

func TestTwoImages(t *testing.T) {
	o := testSubmission(t)
	o.Sound = true
	checkVideo(t, renderVideo(t, newTestRenderer(t, nil), o), o)
}

// BenchmarkFiveSeconds720p reports the CPU time of the programs and of this process.
func BenchmarkFiveSeconds720p(b *testing.B) {
	s := newTestRenderer(b, nil)
	o := testSubmission(b)
	o.Width = 1280
	o.Height = 720
	o.Seconds = 5
	o.Sound = true
	o.ShotType = "multi"

	for b.Loop() {
		before := ownCPU(b)
		cpuTime := s.tools.cpuTime.Load()

		remoteID, err := s.Submit(b.Context(), o)
		if err != nil {
			b.Fatal(err)
		}

		if r := waitForEnd(b, s, remoteID); r.Phase != provider.Rendered {
			b.Fatal(r.Failure)
		}

		b.ReportMetric(time.Duration(s.tools.cpuTime.Load()-cpuTime).Seconds(), "children-cpu-s")
		b.ReportMetric((ownCPU(b) - before).Seconds(), "own-cpu-s")
	}
}
