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

// clip is a video that is cut in: its frames play while the camera moves.
type clip struct {
	tools  *tools
	ctx    context.Context // of the render: every decoder ends with it
	media  media
	kept   *frame
	film   box
	way    move
	frames int
	start  int // the first frame, at the films' rate
	brush  *brush

	cmd    *exec.Cmd
	said   *tail
	out    io.ReadCloser
	cancel context.CancelFunc
	read   int // frames of this run
}

// shortest is the number of frames below which a video is held at its last frame
// instead of being played again.
const shortest = 10

// open starts the decoder.
func (c *clip) open(start int) error {
	ctx, cancel := context.WithCancel(c.ctx)
	w := c.kept.y.w
	h := c.kept.y.h

	args := quiet()
	if start > 0 {
		args = append(args, "-ss", strconv.FormatFloat(float64(start)/rate, 'f', 3, 64))
	}

	cmd, said := c.tools.command(ctx, c.tools.ffmpeg, append(args, "-i", c.media.path, "-map", "0:v:0", "-an", "-sn",
		"-vf", fmt.Sprintf("fps=%d,scale=%d:%d:flags=bicubic:out_color_matrix=bt709:out_range=tv,format=yuv420p", rate, w, h),
		"-t", strconv.FormatFloat(float64(c.frames+rate)/rate, 'f', 3, 64), "-f", "rawvideo", "pipe:1"))

	out, err := cmd.StdoutPipe()
	if err != nil {
		cancel()
		return fmt.Errorf("open clip: %w", err)
	}

	if err := c.tools.begin(cmd); err != nil {
		cancel()
		return err
	}

	c.cmd = cmd
	c.said = said
	c.out = out
	c.cancel = cancel
	c.read = 0

	return nil
}

// close ends the decoder, which mostly has frames left.
func (c *clip) close() {
	if c.cmd == nil {
		return
	}

	c.cancel()
	_ = c.tools.wait(c.ctx, c.cmd, c.said)
	c.cmd = nil
}

func (c *clip) draw(onto *frame, n int) error {
	if n == 0 {
		if err := c.open(c.start); err != nil {
			return err
		}
	}

	if err := c.next(n); err != nil {
		return err
	}

	u := float64(n) / float64(max(1, c.frames-1))

	var ground *frame
	if !c.way.at(u, c.kept.whole(), c.film).covers(c.film) {
		ground = groundOf(c.kept, c.film)
	}

	c.brush.place(onto, c.kept, ground, c.way, u)

	return nil
}

// next reads the next frame; a video that is over plays again.
func (c *clip) next(n int) error {
	for range 2 {
		if c.cmd == nil {
			return nil
		}

		_, err := io.ReadFull(c.out, c.kept.raw)
		if err == nil {
			c.read++
			return nil
		}

		if c.ctx.Err() != nil {
			return context.Cause(c.ctx)
		}

		read := c.read
		said := c.said
		c.close()

		if n == 0 && read == 0 && c.start == 0 {
			return unreadable(c.media, errors.New(said.String()))
		}

		if n > 0 && read < shortest {
			return nil
		}

		if err := c.open(0); err != nil {
			return err
		}

		c.start = 0
	}

	if c.read == 0 {
		return unreadable(c.media, errors.New("no frame can be decoded"))
	}

	return nil
}

// after is where a video that was seen for some frames goes on.
func (m media) after(start, frames int) int {
	all := int(m.length * rate / time.Second)
	if start+frames+shortest > all {
		return 0
	}

	return start + frames
}
