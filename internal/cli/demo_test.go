package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/config"
)

// renderVideo renders a small test video.
func renderVideo(t *testing.T, path, size string, seconds int, sound bool) {
	t.Helper()

	args := []string{"-v", "error", "-y", "-f", "lavfi", "-i", fmt.Sprintf("color=red:s=%s:r=30:d=%d", size, seconds)}
	if sound {
		args = append(args, "-f", "lavfi", "-i", fmt.Sprintf("sine=d=%d", seconds), "-c:a", "aac")
	}

	args = append(args, "-c:v", "libx264", "-preset", "ultrafast", path)
	if out, err := exec.Command("ffmpeg", args...).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg is needed (apt-get install ffmpeg): %v\n%s", err, out)
	}
}

// serveVideos returns a server whose tasks complete at once with the two videos.
func serveVideos(videos string, seen *[]string, cfg *config.Config) func(context.Context, config.Config, io.Writer) error {
	var mu sync.Mutex // both tasks are created at the same time

	return func(ctx context.Context, c config.Config, _ io.Writer) error {
		*cfg = c
		mux := http.NewServeMux()
		mux.HandleFunc("POST /v1/video/generations", func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)

			var request struct{ Size string }

			_ = json.Unmarshal(body, &request)

			mu.Lock()

			*seen = append(*seen, string(body))
			mu.Unlock()
			fmt.Fprintf(w, `{"id":"task_%s","status":"queued"}`, request.Size[:4])
		})
		mux.HandleFunc("GET /v1/videos/{id}", func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, `{"id":%q,"status":"completed","progress":100,"video_url":"http://v","thumbnail_url":"http://t","usage":{"billed_seconds":5,"cost":"0.00","currency":"USD"}}`, r.PathValue("id"))
		})
		mux.HandleFunc("GET /v1/videos/{id}/content", func(w http.ResponseWriter, r *http.Request) {
			http.ServeFile(w, r, filepath.Join(videos, r.PathValue("id")+".mp4"))
		})

		listener, err := net.Listen("tcp", c.Addr)
		if err != nil {
			return err
		}

		server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}

		ended := make(chan struct{})
		go func() {
			defer close(ended)

			<-ctx.Done()

			_ = server.Close()
		}()

		err = config.WriteProfile(c.Data, config.Profile{URL: "http://" + listener.Addr().String(), Key: config.NewSecret(testKey)})
		if err == nil {
			err = server.Serve(listener)
		}

		<-ended

		if errors.Is(err, http.ErrServerClosed) {
			return nil
		}

		return err
	}
}

func TestDemoSendsExamplesAndVerifiesVideos(t *testing.T) {
	isolateEnv(t)
	t.Setenv("DASHSCOPE_API_KEY", "sk-real-money-0123")
	videos := t.TempDir()
	renderVideo(t, filepath.Join(videos, "task_1280.mp4"), "1280x720", 5, true)
	renderVideo(t, filepath.Join(videos, "task_1920.mp4"), "1920x1080", 10, false)

	var (
		seen []string
		cfg  config.Config
	)

	testApp := App{Serve: serveVideos(videos, &seen, &cfg), Samples: samples()}

	got := run(context.Background(), t, Env{App: testApp}, "demo")
	if got.code != exitOK || !strings.Contains(got.out, "Both videos are verified") || strings.Contains(got.err, "\x1b") {
		t.Fatalf("%+v", got)
	}

	for _, name := range []string{"reference-shot", "product"} {
		if info, err := os.Stat(filepath.Join("demo", name+".mp4")); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}

	if len(cfg.Upstreams) > 0 || cfg.FetchMap[0].Prefix != "https://example.com/" {
		t.Errorf("the demo's server: %+v", cfg)
	}

	if _, err := os.Stat(cfg.Data); !os.IsNotExist(err) {
		t.Errorf("the demo left %s behind", cfg.Data)
	}

	for _, body := range [][]byte{exampleOne, exampleTwo} {
		if !bytes.Contains([]byte(strings.Join(seen, "\n")), body) {
			t.Errorf("the page's example was not sent byte for byte: %s", body)
		}
	}
}

func TestDemoRejectsWrongVideo(t *testing.T) {
	isolateEnv(t)
	videos := t.TempDir()
	renderVideo(t, filepath.Join(videos, "task_1280.mp4"), "1280x720", 4, true)
	renderVideo(t, filepath.Join(videos, "task_1920.mp4"), "1920x1080", 10, false)

	var (
		seen []string
		cfg  config.Config
	)

	got := run(context.Background(), t, Env{App: App{Serve: serveVideos(videos, &seen, &cfg), Samples: samples()}}, "demo")
	if got.code != exitFailure || !strings.Contains(got.err, "it has 120 frames, not 150") {
		t.Fatalf("%+v", got)
	}
}

func TestDemoReportsMissingFFmpegAndStartFailure(t *testing.T) {
	isolateEnv(t)

	got := run(context.Background(), t, Env{App: App{Samples: samples()}}, "demo", "--ffmpeg", "/nowhere/ffmpeg")
	if got.code != exitFailure || !strings.Contains(got.err, "apt-get install ffmpeg") {
		t.Fatalf("%+v", got)
	}

	testApp := App{Samples: samples(), Serve: func(context.Context, config.Config, io.Writer) error { return fmt.Errorf("port taken") }}
	if got = run(context.Background(), t, Env{App: testApp}, "demo"); got.code != exitFailure || !strings.Contains(got.err, "did not start: port taken") {
		t.Fatalf("%+v", got)
	}
}

func TestVideoSpecCheck(t *testing.T) {
	video := stream{Type: "video", Codec: "h264", Width: 1280, Height: 720, Rate: "30/1", Frames: "151"}
	audio := stream{Type: "audio", Codec: "aac"}

	want := videoSpec{1280, 720, 5, true}
	if err := want.check([]stream{video, audio}); err != nil {
		t.Fatal(err)
	}

	for name, change := range map[string]func(v, a *stream){
		"codec":  func(v, _ *stream) { v.Codec = "vp9" },
		"size":   func(v, _ *stream) { v.Width = 1281 },
		"rate":   func(v, _ *stream) { v.Rate = "25/1" },
		"frames": func(v, _ *stream) { v.Frames = "152" },
		"sound":  func(_, a *stream) { a.Codec = "mp3" },
		"silent": func(_, a *stream) { a.Type = "data" },
		"video":  func(v, _ *stream) { v.Type = "data" },
	} {
		v := video
		a := audio
		change(&v, &a)

		if want.check([]stream{v, a}) == nil {
			t.Errorf("a wrong %s was accepted", name)
		}
	}
}

func TestProgressRedraws(t *testing.T) {
	var out bytes.Buffer

	env := Env{Err: &out, Terminal: true}
	b := env.newProgress()
	one := b.addRow("one")
	two := b.addRow("two")

	one.update(10, "rendering")
	out.Reset()
	two.update(55, "rendering")

	if text := out.String(); !strings.HasPrefix(text, "\x1b[2A") || strings.Count(text, "\n") != 2 || !strings.Contains(text, "55%") || !strings.Contains(text, "one") {
		t.Fatalf("%q", text)
	}

	env.Terminal = false

	out.Reset()

	plain := env.newProgress().addRow("one")
	for percent := range 100 {
		plain.update(percent, "rendering")
	}

	if lines := strings.Count(out.String(), "\n"); lines != 10 || strings.Contains(out.String(), "\x1b") {
		t.Fatalf("%d plain lines", lines)
	}
}

func TestSimulatorServesAndStops(t *testing.T) {
	isolateEnv(t)

	ctx, cancel := context.WithCancel(context.Background())
	reader, writer := io.Pipe()

	code := make(chan int, 1)
	go func() {
		code <- Run(ctx, []string{"sim", "dashscope", "--addr", "127.0.0.1:0", "--api-key", "sk-sim"}, Env{Out: writer, Err: io.Discard})

		_ = writer.Close()
	}()

	var address string

	if _, err := fmt.Fscanf(reader, "Simulating DashScope at %s until Ctrl-C", &address); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, reader) }()

	answer, err := http.Get(address + "/api/v1/tasks/x")
	if err != nil || answer.StatusCode != 401 {
		t.Fatalf("%v, %v", answer, err)
	}

	_ = answer.Body.Close()

	http.DefaultClient.CloseIdleConnections()
	cancel()

	if got := <-code; got != exitOK {
		t.Fatalf("code %d", got)
	}
}
