package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/unireel/unireel/internal/provider/dashscope/dashscopesim"
)

// film makes the one small file that is every video of the run: as the supplier's
// are, an MP4 with its index in front.
func film(ctx context.Context, folder string) ([]byte, error) {
	path := filepath.Join(folder, "film.mp4")
	cmd := exec.CommandContext(ctx, "ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc=size=128x72:rate=30:duration=5", "-f", "lavfi", "-i", "sine=duration=5",
		"-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac", "-movflags", "+faststart", path)

	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("make a film: %w (apt-get install ffmpeg)", err)
	}

	return os.ReadFile(path)
}

// supplier is a simulated DashScope in this process.
func (b *bench) supplier(o dashscopesim.Options) (*dashscopesim.Sim, *httptest.Server) {
	o.Video = func(dashscopesim.Spec) ([]byte, error) { return b.film, nil }
	sim := dashscopesim.New(o)

	return sim, httptest.NewServer(sim)
}

// paused is a supplier with the real one's limits whose renders outlast the run:
// dispatch fills its slots, asks about them, and everything else waits.
func (b *bench) paused() *httptest.Server {
	_, sup := b.supplier(dashscopesim.Options{RenderMin: time.Hour, RenderMax: time.Hour})
	return sup
}

// rendering is a supplier that knows every ticket and says that it is at work,
// and counts how often it is asked.
func rendering() (*httptest.Server, *atomic.Int64) {
	var asked atomic.Int64

	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			asked.Add(1)
		}

		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"request_id": "bench", "output": map[string]string{"task_id": path.Base(r.URL.Path), "task_status": "RUNNING"},
		})
	})), &asked
}
