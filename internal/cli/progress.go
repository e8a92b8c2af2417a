package cli

import (
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/schollz/progressbar/v3"

	"github.com/unireel/unireel/client"
)

// board shows how several things get on at once: bars that are drawn over
// themselves on a terminal, else a line whenever something is worth telling.
type board struct {
	mu    sync.Mutex
	out   io.Writer
	bars  bool
	rows  []*row
	drawn int // rows on the screen
}

// row is one thing on the board.
type row struct {
	board *board
	label string
	bar   *progressbar.ProgressBar
	told  string // the last plain line
	tenth int    // progress at the last plain line, in tenths
}

func (w *World) board() *board { return &board{out: w.Err, bars: w.Terminal} }

// row adds one.
func (b *board) row(label string) *row {
	r := &row{board: b, label: label, tenth: -1}
	r.bar = progressbar.NewOptions(100, progressbar.OptionSetWriter(io.Discard), progressbar.OptionSetWidth(24),
		progressbar.OptionSetPredictTime(false), progressbar.OptionSetElapsedTime(false),
		progressbar.OptionSetTheme(progressbar.Theme{Saucer: "█", SaucerPadding: "░", BarStart: " ", BarEnd: " "}))

	b.mu.Lock()
	defer b.mu.Unlock()

	b.rows = append(b.rows, r)

	return r
}

// show says how far it is: 0 to 100, and a word about it.
func (r *row) show(percent int, word string) {
	b := r.board
	b.mu.Lock()
	defer b.mu.Unlock()

	if !b.bars {
		if word == r.told && percent/10 == r.tenth {
			return
		}

		r.told = word
		r.tenth = percent / 10
		fmt.Fprintf(b.out, "%s: %d %% %s\n", r.label, percent, word)

		return
	}

	r.bar.Describe(fmt.Sprintf("%-22s", r.label))
	_ = r.bar.Set(percent) // it draws to nowhere, which cannot fail
	r.told = word

	b.draw()
}

// glance changes the word on a screen; it is not worth a line.
func (r *row) glance(word string) {
	b := r.board
	b.mu.Lock()
	defer b.mu.Unlock()

	if b.bars {
		r.told = word

		b.draw()
	}
}

// draw writes all rows over those on the screen.
func (b *board) draw() {
	var frame strings.Builder
	if b.drawn > 0 {
		fmt.Fprintf(&frame, "\x1b[%dA", b.drawn)
	}

	for _, r := range b.rows {
		fmt.Fprintf(&frame, "\r\x1b[2K%s %s\n", strings.TrimSpace(r.bar.String()), r.told)
	}

	b.drawn = len(b.rows)
	_, _ = io.WriteString(b.out, frame.String()) // a screen that is gone is no reason to stop
}

// task shows a task.
func (r *row) task(t client.Task) { r.show(t.Progress, stand(t)) }

// stand is a task's state in a few words.
func stand(t client.Task) string {
	switch t.Status {
	case client.Queued:
		if t.QueuePosition != nil && *t.QueuePosition > 0 {
			return fmt.Sprintf("waiting, place %d", *t.QueuePosition)
		}

		return "waiting"
	case client.InProgress:
		if t.CancelRequestedAt > 0 {
			return "rendering, cancel wished"
		}

		return "rendering"
	}

	return string(t.Status)
}
