package animatic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"time"
)

// clip is the scene of a video reference: its frames play while the camera moves.
type clip struct {
	tools      *tools
	ctx        context.Context // of the render: all decoders end with it
	media      media
	frame      *frame
	output     box
	move       cameraMove
	frames     int
	startFrame int // the first frame to show, at frameRate
	scaler     *scaler

	cmd        *exec.Cmd
	stderr     *tailBuffer
	stdout     io.ReadCloser
	cancel     context.CancelFunc
	framesRead int // by the current decoder
}

// minLoopFrames is the number of frames below which a video stays at its last frame
// instead of being repeated.
const minLoopFrames = 10

// open starts the decoder.
func (c *clip) open(startFrame int) error {
	ctx, cancel := context.WithCancel(c.ctx)
	w := c.frame.y.w
	h := c.frame.y.h

	args := baseArgs()
	if startFrame > 0 {
		args = append(args, "-ss", strconv.FormatFloat(float64(startFrame)/frameRate, 'f', 3, 64))
	}

	cmd, stderr := c.tools.command(ctx, c.tools.ffmpeg, append(args, "-i", c.media.path, "-map", "0:v:0", "-an", "-sn",
		"-vf", fmt.Sprintf("fps=%d,scale=%d:%d:flags=bicubic:out_color_matrix=bt709:out_range=tv,format=yuv420p", frameRate, w, h),
		"-t", strconv.FormatFloat(float64(c.frames+frameRate)/frameRate, 'f', 3, 64), "-f", "rawvideo", "pipe:1"))

	stdout, err := cmd.StdoutPipe()
	if err != nil {
		cancel()
		return fmt.Errorf("open clip: %w", err)
	}

	if err := c.tools.start(cmd); err != nil {
		cancel()
		return err
	}

	c.cmd = cmd
	c.stderr = stderr
	c.stdout = stdout
	c.cancel = cancel
	c.framesRead = 0

	return nil
}

// close stops the decoder, which usually has frames left.
func (c *clip) close() {
	if c.cmd == nil {
		return
	}

	c.cancel()
	_ = c.tools.wait(c.ctx, c.cmd, c.stderr)
	c.cmd = nil
}

func (c *clip) draw(dst *frame, n int) error {
	if n == 0 {
		if err := c.open(c.startFrame); err != nil {
			return err
		}
	}

	if err := c.readFrame(n); err != nil {
		return err
	}

	u := float64(n) / float64(max(1, c.frames-1))

	var backdrop *frame
	if !c.move.placement(u, c.frame.whole(), c.output).covers(c.output) {
		backdrop = newBackdrop(c.frame, c.output)
	}

	c.scaler.drawPlaced(dst, c.frame, backdrop, c.move, u)

	return nil
}

// readFrame reads the next frame. A video that has ended starts again.
func (c *clip) readFrame(n int) error {
	for range 2 {
		if c.cmd == nil {
			return nil
		}

		_, err := io.ReadFull(c.stdout, c.frame.raw)
		if err == nil {
			c.framesRead++
			return nil
		}

		if c.ctx.Err() != nil {
			return context.Cause(c.ctx)
		}

		framesRead := c.framesRead
		stderr := c.stderr
		c.close()

		if n == 0 && framesRead == 0 && c.startFrame == 0 {
			return unreadableReference(c.media, errors.New(stderr.String()))
		}

		if n > 0 && framesRead < minLoopFrames {
			return nil
		}

		if err := c.open(0); err != nil {
			return err
		}

		c.startFrame = 0
	}

	if c.framesRead == 0 {
		return unreadableReference(c.media, errors.New("no frame can be decoded"))
	}

	return nil
}

// nextStart returns where a video continues after some frames of it were shown.
func (m media) nextStart(start, frames int) int {
	total := int(m.length * frameRate / time.Second)
	if start+frames+minLoopFrames > total {
		return 0
	}

	return start + frames
}
