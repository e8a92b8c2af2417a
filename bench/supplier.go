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

// renderVideo makes the small file that is the result of every task of the run: like
// the supplier's videos, an MP4 with its index in front of the media.
func renderVideo(ctx context.Context, folder string) ([]byte, error) {
	path := filepath.Join(folder, "video.mp4")
	cmd := exec.CommandContext(ctx, "ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", "testsrc=size=128x72:rate=30:duration=5", "-f", "lavfi", "-i", "sine=duration=5",
		"-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac", "-movflags", "+faststart", path)

	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("render the sample video: %w; ffmpeg is needed (apt-get install ffmpeg)", err)
	}

	return os.ReadFile(path)
}

// newSupplier starts a simulated DashScope in this process.
func (b *bench) newSupplier(o dashscopesim.Options) (*dashscopesim.Sim, *httptest.Server) {
	o.Video = func(dashscopesim.Spec) ([]byte, error) { return b.video, nil }
	sim := dashscopesim.New(o)

	return sim, httptest.NewServer(sim)
}

// newStalledSupplier starts a supplier with the real one's limits, whose renders take
// longer than the run: the server fills the supplier's slots and polls them, and all
// other tasks stay queued.
func (b *bench) newStalledSupplier() *httptest.Server {
	_, supplier := b.newSupplier(dashscopesim.Options{RenderMin: time.Hour, RenderMax: time.Hour})
	return supplier
}

// newRenderingSupplier starts a supplier that reports every remote ID as running, and
// counts its polls.
func newRenderingSupplier() (*httptest.Server, *atomic.Int64) {
	var polls atomic.Int64

	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			polls.Add(1)
		}

		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"request_id": "bench", "output": map[string]string{"task_id": path.Base(r.URL.Path), "task_status": "RUNNING"},
		})
	})), &polls
}
