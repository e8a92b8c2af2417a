package main

import (
	"context"
	"fmt"
	"os"
	"time"
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
		begin, before := time.Now(), cpu(s.pid())
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
	return []line{{
		name: "animatic: 5 s of 1280x720 from two pictures, AAC", unit: "s of processor", target: 4, most: true, measured: max(single, multi),
		also:   fmt.Sprintf("one shot %.1f s of processor in %.1f s, several %.1f s in %.1f s", single, took, multi, tookMulti),
		bounds: "composing frames and x264; with fetching and probing",
	}}, nil
}
