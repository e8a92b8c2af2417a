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

// film renders a small test film of the asked shape.
func render(t *testing.T, path, size string, seconds int, sound bool) {
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

// theatre is a server that makes the two films at once.
func theatre(films string, seen *[]string, cfg *config.Config) func(context.Context, config.Config, io.Writer) error {
	var mu sync.Mutex // both films are ordered at once

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
			http.ServeFile(w, r, filepath.Join(films, r.PathValue("id")+".mp4"))
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

func TestDemoSendsThePageAndChecksTheFilms(t *testing.T) {
	clean(t)
	t.Setenv("DASHSCOPE_API_KEY", "sk-real-money-0123")
	films := t.TempDir()
	render(t, filepath.Join(films, "task_1280.mp4"), "1280x720", 5, true)
	render(t, filepath.Join(films, "task_1920.mp4"), "1920x1080", 10, false)

	var (
		seen []string
		cfg  config.Config
	)

	house := House{Serve: theatre(films, &seen, &cfg), Samples: samples()}

	got := run(context.Background(), t, World{House: house}, "demo")
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
		t.Errorf("the demo leaves %s behind", cfg.Data)
	}

	for _, body := range [][]byte{exampleOne, exampleTwo} {
		if !bytes.Contains([]byte(strings.Join(seen, "\n")), body) {
			t.Errorf("the page's body was not sent byte for byte: %s", body)
		}
	}
}

func TestDemoRefusesAWrongFilm(t *testing.T) {
	clean(t)
	films := t.TempDir()
	render(t, filepath.Join(films, "task_1280.mp4"), "1280x720", 4, true)
	render(t, filepath.Join(films, "task_1920.mp4"), "1920x1080", 10, false)

	var (
		seen []string
		cfg  config.Config
	)

	got := run(context.Background(), t, World{House: House{Serve: theatre(films, &seen, &cfg), Samples: samples()}}, "demo")
	if got.code != exitNo || !strings.Contains(got.err, "it has 120 frames, not 150") {
		t.Fatalf("%+v", got)
	}
}

func TestDemoSaysWhatIsMissing(t *testing.T) {
	clean(t)

	got := run(context.Background(), t, World{House: House{Samples: samples()}}, "demo", "--ffmpeg", "/nowhere/ffmpeg")
	if got.code != exitNo || !strings.Contains(got.err, "apt-get install ffmpeg") {
		t.Fatalf("%+v", got)
	}

	house := House{Samples: samples(), Serve: func(context.Context, config.Config, io.Writer) error { return fmt.Errorf("port taken") }}
	if got = run(context.Background(), t, World{House: house}, "demo"); got.code != exitNo || !strings.Contains(got.err, "did not start: port taken") {
		t.Fatalf("%+v", got)
	}
}

func TestALookIsStrict(t *testing.T) {
	video := stream{Type: "video", Codec: "h264", Width: 1280, Height: 720, Rate: "30/1", Frames: "151"}
	audio := stream{Type: "audio", Codec: "aac"}

	want := look{1280, 720, 5, true}
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
		"film":   func(v, _ *stream) { v.Type = "data" },
	} {
		v := video
		a := audio
		change(&v, &a)

		if want.check([]stream{v, a}) == nil {
			t.Errorf("a wrong %s passes", name)
		}
	}
}

func TestTheBoardDrawsOverItself(t *testing.T) {
	var out bytes.Buffer

	w := World{Err: &out, Terminal: true}
	b := w.board()
	one := b.row("one")
	two := b.row("two")

	one.show(10, "rendering")
	out.Reset()
	two.show(55, "rendering")

	if text := out.String(); !strings.HasPrefix(text, "\x1b[2A") || strings.Count(text, "\n") != 2 || !strings.Contains(text, "55%") || !strings.Contains(text, "one") {
		t.Fatalf("%q", text)
	}

	w.Terminal = false

	out.Reset()

	plain := w.board().row("one")
	for percent := range 100 {
		plain.show(percent, "rendering")
	}

	if lines := strings.Count(out.String(), "\n"); lines != 10 || strings.Contains(out.String(), "\x1b") {
		t.Fatalf("%d plain lines", lines)
	}
}

func TestSimulatorAnswersAndEnds(t *testing.T) {
	clean(t)

	ctx, cancel := context.WithCancel(context.Background())
	reader, writer := io.Pipe()

	code := make(chan int, 1)
	go func() {
		code <- Run(ctx, []string{"sim", "dashscope", "--addr", "127.0.0.1:0", "--api-key", "sk-sim"}, World{Out: writer, Err: io.Discard})

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
