package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/unireel/unireel/internal/sample"
)

// idle measures the memory of an idle server.
func idle(ctx context.Context, b *bench) ([]measurement, error) {
	s, err := b.newServer(ctx, "idle", "")
	if err != nil {
		return nil, err
	}
	defer s.stop()

	sleep(ctx, 5*time.Second)

	return []measurement{{
		name:      "memory of an idle server (RSS)",
		unit:      "MiB",
		target:    40,
		atMost:    true,
		measured:  rss(s.pid()),
		limitedBy: "the program's own pages, Go's runtime, the connections to the database",
	}}, nil
}

// size measures the size of the program's file.
func size(_ context.Context, b *bench) ([]measurement, error) {
	info, err := os.Stat(b.binary)
	if err != nil {
		return nil, err
	}

	return []measurement{
		{
			name:      "size of the stripped program",
			unit:      "MiB",
			target:    40,
			atMost:    true,
			measured:  float64(info.Size()) / (1 << 20),
			limitedBy: "SQLite in Go, the sample references",
		},
	}, nil
}

// animatic measures the CPU time of one preview: of the server and its ffmpeg
// processes.
func animatic(ctx context.Context, b *bench) ([]measurement, error) {
	s, err := b.newServer(ctx, "animatic", "")
	if err != nil {
		return nil, err
	}
	defer s.stop()

	c := s.newClient()
	defer c.close()

	render := func(shotType string) (used, elapsed float64, err error) {
		body := `{"model":"wan2.6-r2v-flash-720p-audio","prompt":"character1 turns to character2, in warm light","images":["file_sample_ref_1","file_sample_ref_2"],"size":"1280*720","duration":5,"shot_type":"` + shotType + `"}`
		start := time.Now()
		before := cpu(s.pid())

		id, err := c.create(ctx, body)
		if err == nil {
			err = c.waitFinal(ctx, id)
		}

		return cpu(s.pid()) - before, time.Since(start).Seconds(), err
	}

	single, elapsed, err := render("single")
	if err != nil {
		return nil, err
	}

	multi, elapsedMulti, err := render("multi")
	if err != nil {
		return nil, err
	}

	ffmpegAlone, err := ffmpegBaseline(ctx, b.folder)
	if err != nil {
		return nil, err
	}

	return []measurement{{
		name:      "ffmpeg alone: the same images, zoomed and joined, without captions",
		unit:      "s of CPU",
		measured:  ffmpegAlone,
		limitedBy: "zoompan and x264",
	}, {
		name:      "preview: 5 s of 1280x720 from two images, with AAC audio",
		unit:      "s of CPU",
		target:    4,
		atMost:    true,
		measured:  max(single, multi),
		note:      fmt.Sprintf("one shot %.1f s of CPU in %.1f s, several shots %.1f s of CPU in %.1f s", single, elapsed, multi, elapsedMulti),
		limitedBy: "composing frames and x264; includes fetching and probing",
	}}, nil
}

// ffmpegBaseline returns the CPU time of ffmpeg alone, in seconds, for a video of the
// same length and size from the same two images, with the cheapest filter graph that
// we know.
func ffmpegBaseline(ctx context.Context, folder string) (float64, error) {
	args := []string{"-v", "error", "-y", "-nostdin"}

	for _, name := range []string{"ref-1.png", "ref-2.png"} {
		image, err := fs.ReadFile(sample.Files(), name)
		if err != nil {
			return 0, err
		}

		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, image, 0o600); err != nil {
			return 0, err
		}

		args = append(args, "-i", path)
	}

	const zoom = "format=yuv420p,scale=2560:1440,zoompan=z=1+0.0007*on:d=75:s=1280x720:fps=30"

	cmd := exec.CommandContext(ctx, "ffmpeg", append(args, "-f", "lavfi", "-i", "sine=duration=5",
		"-filter_complex", "[0]"+zoom+"[a];[1]"+zoom+"[b];[a][b]concat=n=2:v=1[v]", "-map", "[v]", "-map", "2:a",
		"-c:v", "libx264", "-preset", "veryfast", "-threads", "1", "-c:a", "aac", "-movflags", "+faststart", filepath.Join(folder, "baseline.mp4"))...)
	if output, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("ffmpeg alone: %w: %s", err, output)
	}

	return (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), nil
}
