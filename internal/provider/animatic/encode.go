package animatic

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
)

// encoder is the ffmpeg process that encodes the video. It reads frames from its standard
// input and writes its progress to its standard output.
type encoder struct {
	w, h, frames int
	soundPath    string // a file of raw 48 kHz stereo samples, or ""
	outPath      string // of the encoded video
}

// x264Params switches off what videos of still pictures do not benefit from: half the
// processor time for files of the same size and look.
const x264Params = "me=dia:subme=1:ref=1:rc-lookahead=5:b-adapt=0:partitions=i8x8,i4x4"

// args are bitexact and use one thread, so that the same frames give the same bytes.
func (e encoder) args() []string {
	size := fmt.Sprintf("%dx%d", e.w, e.h)
	// The maximum bit rate: about 6 Mbit/s at 720p, 13 Mbit/s at 1080p.
	maxBitrate := strconv.Itoa(e.w * e.h * 13 / 2)

	a := []string{
		"-hide_banner", "-nostdin", "-loglevel", "error", "-y", "-progress", "pipe:1", "-stats_period", "0.2",
		"-protocol_whitelist", "pipe", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", size, "-r", strconv.Itoa(frameRate), "-i", "pipe:0",
	}
	if e.soundPath != "" {
		a = append(a, "-protocol_whitelist", "file", "-f", "s16le", "-ar", strconv.Itoa(sampleRate), "-ac", "2", "-i", e.soundPath,
			"-map", "0:v:0", "-map", "1:a:0", "-c:a", "aac", "-b:a", "160k", "-flags:a", "+bitexact")
	}

	return append(a,
		"-c:v", "libx264", "-preset", "veryfast", "-x264-params", x264Params, "-profile:v", "high", "-pix_fmt", "yuv420p",
		"-crf", "20", "-maxrate", maxBitrate, "-bufsize", maxBitrate, "-g", strconv.Itoa(2*frameRate), "-threads", "1",
		"-color_range", "tv", "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709",
		"-flags:v", "+bitexact", "-fflags", "+bitexact", "-map_metadata", "-1", "-movflags", "+faststart", "-f", "mp4", e.outPath)
}

// errFrameFailed stops the encoder when a frame could not be drawn.
var errFrameFailed = errors.New("a frame could not be made")

// encode encodes the frames that next draws. It calls progress with the number of frames
// that are done.
func (t *tools) encode(ctx context.Context, e encoder, next func(n int) (*frame, error), progress func(framesDone int)) error {
	encodeCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	cmd, stderr := t.command(encodeCtx, t.ffmpeg, e.args())
	cmd.Stdout = &progressReader{onFrame: progress}

	pipe, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("open encoder: %w", err)
	}

	enlargePipe(pipe)

	if err := t.start(cmd); err != nil {
		return err
	}

	var frameErr error

	for n := range e.frames {
		f, err := next(n)
		if err != nil {
			frameErr = err

			cancel(errFrameFailed)

			break
		}

		if _, err := pipe.Write(f.raw); err != nil {
			break // ffmpeg has ended; wait returns why
		}
	}

	_ = pipe.Close()
	err = t.wait(encodeCtx, cmd, stderr)

	if frameErr != nil && ctx.Err() == nil {
		return frameErr
	}

	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}

	return nil
}

// progressReader parses ffmpeg's progress: lines of key=value.
type progressReader struct {
	line    []byte
	onFrame func(done int)
}

const maxProgressLine = 256

func (c *progressReader) Write(p []byte) (int, error) {
	for _, b := range p {
		if b != '\n' {
			if len(c.line) < maxProgressLine {
				c.line = append(c.line, b)
			}

			continue
		}

		if value, ok := bytes.CutPrefix(c.line, []byte("frame=")); ok {
			if n, err := strconv.Atoi(string(bytes.TrimSpace(value))); err == nil {
				c.onFrame(n)
			}
		}

		c.line = c.line[:0]
	}

	return len(p), nil
}
