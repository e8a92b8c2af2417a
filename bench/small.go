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

// idle: what it takes to do nothing.
func idle(ctx context.Context, b *bench) ([]line, error) {
	s, err := b.newServer(ctx, "idle", "")
	if err != nil {
		return nil, err
	}
	defer s.stop()

	pause(ctx, 5*time.Second)

	return []line{{
		name: "idle memory (RSS)", unit: "MiB", target: 40, most: true, measured: rss(s.pid()),
		bounds: "the program's own pages, Go's runtime, the connections to the database",
	}}, nil
}

// size: what there is to copy.
func size(_ context.Context, b *bench) ([]line, error) {
	info, err := os.Stat(b.binary)
	if err != nil {
		return nil, err
	}

	return []line{
		{name: "the program's size, stripped", unit: "MiB", target: 40, most: true, measured: float64(info.Size()) / (1 << 20), bounds: "SQLite in Go, the samples"},
	}, nil
}

// animatic: the processor time of one preview, of the server and its ffmpegs.
func animatic(ctx context.Context, b *bench) ([]line, error) {
	s, err := b.newServer(ctx, "animatic", "")
	if err != nil {
		return nil, err
	}
	defer s.stop()

	c := s.caller()
	defer c.close()

	shot := func(shots string) (used, took float64, err error) {
		body := `{"model":"wan2.6-r2v-flash-720p-audio","prompt":"character1 turns to character2, in warm light","images":["file_sample_ref_1","file_sample_ref_2"],"size":"1280*720","duration":5,"shot_type":"` + shots + `"}`
		begin := time.Now()
		before := cpu(s.pid())

		id, err := c.create(ctx, body)
		if err == nil {
			err = c.final(ctx, id)
		}

		return cpu(s.pid()) - before, time.Since(begin).Seconds(), err
	}

	single, took, err := shot("single")
	if err != nil {
		return nil, err
	}

	multi, tookMulti, err := shot("multi")
	if err != nil {
		return nil, err
	}

	bare, err := bareFilm(ctx, b.folder)
	if err != nil {
		return nil, err
	}

	return []line{{
		name: "ffmpeg alone: the same pictures, zoomed and joined, no captions", unit: "s of processor", measured: bare,
		bounds: "zoompan and x264",
	}, {
		name: "animatic: 5 s of 1280x720 from two pictures, AAC", unit: "s of processor", target: 4, most: true, measured: max(single, multi),
		also:   fmt.Sprintf("one shot %.1f s of processor in %.1f s, several %.1f s in %.1f s", single, took, multi, tookMulti),
		bounds: "composing frames and x264; with fetching and probing",
	}}, nil
}

// bareFilm is the processor time that ffmpeg alone takes for as long and as large a
// film of the same two pictures, by the cheapest graph that is known to us.
func bareFilm(ctx context.Context, folder string) (float64, error) {
	args := []string{"-v", "error", "-y", "-nostdin"}

	for _, name := range []string{"ref-1.png", "ref-2.png"} {
		picture, err := fs.ReadFile(sample.Files(), name)
		if err != nil {
			return 0, err
		}

		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, picture, 0o600); err != nil {
			return 0, err
		}

		args = append(args, "-i", path)
	}

	const zoom = "format=yuv420p,scale=2560:1440,zoompan=z=1+0.0007*on:d=75:s=1280x720:fps=30"

	cmd := exec.CommandContext(ctx, "ffmpeg", append(args, "-f", "lavfi", "-i", "sine=duration=5",
		"-filter_complex", "[0]"+zoom+"[a];[1]"+zoom+"[b];[a][b]concat=n=2:v=1[v]", "-map", "[v]", "-map", "2:a",
		"-c:v", "libx264", "-preset", "veryfast", "-threads", "1", "-c:a", "aac", "-movflags", "+faststart", filepath.Join(folder, "bare.mp4"))...)
	if said, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("ffmpeg alone: %w: %s", err, said)
	}

	return (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), nil
}
