package animatic

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
)

// encoder is the ffmpeg that makes the file. Frames go in through its standard
// input, its progress comes out through its standard output.
type encoder struct {
	w, h, frames int
	sound        string // a file of raw 48 kHz stereo samples, or ""
	film         string // where the file goes
}

// spareTime leaves out of the preset what films of still pictures gain nothing by:
// half the processor time for files of the same size and look.
const spareTime = "me=dia:subme=1:ref=1:rc-lookahead=5:b-adapt=0:partitions=i8x8,i4x4"

// args are bitexact and on one thread, so that the same frames make the same bytes.
func (e encoder) args() []string {
	size := fmt.Sprintf("%dx%d", e.w, e.h)
	// Bits per second at most: about 6 Mbit/s at 720p, 13 Mbit/s at 1080p.
	most := strconv.Itoa(e.w * e.h * 13 / 2)

	a := []string{
		"-hide_banner", "-nostdin", "-loglevel", "error", "-y", "-progress", "pipe:1", "-stats_period", "0.2",
		"-protocol_whitelist", "pipe", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", size, "-r", strconv.Itoa(rate), "-i", "pipe:0",
	}
	if e.sound != "" {
		a = append(a, "-protocol_whitelist", "file", "-f", "s16le", "-ar", strconv.Itoa(hertz), "-ac", "2", "-i", e.sound,
			"-map", "0:v:0", "-map", "1:a:0", "-c:a", "aac", "-b:a", "160k", "-flags:a", "+bitexact")
	}

	return append(a,
		"-c:v", "libx264", "-preset", "veryfast", "-x264-params", spareTime, "-profile:v", "high", "-pix_fmt", "yuv420p",
		"-crf", "20", "-maxrate", most, "-bufsize", most, "-g", strconv.Itoa(2*rate), "-threads", "1",
		"-color_range", "tv", "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709",
		"-flags:v", "+bitexact", "-fflags", "+bitexact", "-map_metadata", "-1", "-movflags", "+faststart", "-f", "mp4", e.film)
}

// errStarved ends the encoder when a frame could not be made.
var errStarved = errors.New("a frame could not be made")

// encode writes what next draws, frame by frame. progress is told how many frames
// are done.
func (t *tools) encode(ctx context.Context, e encoder, next func(n int) (*frame, error), progress func(done int)) error {
	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	cmd, said := t.command(inner, t.ffmpeg, e.args())
	cmd.Stdout = &counter{tell: progress}

	pipe, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("open encoder: %w", err)
	}

	widen(pipe)

	if err := t.begin(cmd); err != nil {
		return err
	}

	var drawn error

	for n := range e.frames {
		f, err := next(n)
		if err != nil {
			drawn = err

			cancel(errStarved)

			break
		}

		if _, err := pipe.Write(f.raw); err != nil {
			break // why it hung up is what it says at its end
		}
	}

	_ = pipe.Close()
	err = t.wait(inner, cmd, said)

	if drawn != nil && ctx.Err() == nil {
		return drawn
	}

	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}

	return nil
}

// counter reads ffmpeg's progress: lines of key=value.
type counter struct {
	line []byte
	tell func(done int)
}

const mostLine = 256

func (c *counter) Write(p []byte) (int, error) {
	for _, b := range p {
		if b != '\n' {
			if len(c.line) < mostLine {
				c.line = append(c.line, b)
			}

			continue
		}

		if value, ok := bytes.CutPrefix(c.line, []byte("frame=")); ok {
			if n, err := strconv.Atoi(string(bytes.TrimSpace(value))); err == nil {
				c.tell(n)
			}
		}

		c.line = c.line[:0]
	}

	return len(p), nil
}
