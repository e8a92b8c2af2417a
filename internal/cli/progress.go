package cli

import (
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/schollz/progressbar/v3"

	"github.com/unireel/unireel/client"
)

// progressDisplay shows the progress of several operations: on a terminal as bars that are
// redrawn in place, otherwise as a new line at every notable change.
type progressDisplay struct {
	mu    sync.Mutex
	out   io.Writer
	bars  bool
	rows  []*progressRow
	drawn int // rows on the screen
}

// progressRow is one operation of a progressDisplay.
type progressRow struct {
	display   *progressDisplay
	label     string
	bar       *progressbar.ProgressBar
	status    string // the status of the last plain line
	lastTenth int    // the progress at the last plain line, in tenths
}

func (env *Env) newProgress() *progressDisplay {
	return &progressDisplay{out: env.Err, bars: env.Terminal}
}

// addRow adds a row.
func (d *progressDisplay) addRow(label string) *progressRow {
	r := &progressRow{display: d, label: label, lastTenth: -1}
	r.bar = progressbar.NewOptions(100, progressbar.OptionSetWriter(io.Discard), progressbar.OptionSetWidth(24),
		progressbar.OptionSetPredictTime(false), progressbar.OptionSetElapsedTime(false),
		progressbar.OptionSetTheme(progressbar.Theme{Saucer: "█", SaucerPadding: "░", BarStart: " ", BarEnd: " "}))

	d.mu.Lock()
	defer d.mu.Unlock()

	d.rows = append(d.rows, r)

	return r
}

// update sets the progress in percent and the status. Without a terminal it prints a line
// if the status or the tenth of the progress has changed.
func (r *progressRow) update(percent int, status string) {
	d := r.display
	d.mu.Lock()
	defer d.mu.Unlock()

	if !d.bars {
		if status == r.status && percent/10 == r.lastTenth {
			return
		}

		r.status = status
		r.lastTenth = percent / 10
		fmt.Fprintf(d.out, "%s: %d %% %s\n", r.label, percent, status)

		return
	}

	r.bar.Describe(fmt.Sprintf("%-22s", r.label))
	_ = r.bar.Set(percent) // the bar writes to io.Discard, which cannot fail
	r.status = status

	d.draw()
}

// setStatus changes the status on a terminal; it never prints a line.
func (r *progressRow) setStatus(status string) {
	d := r.display
	d.mu.Lock()
	defer d.mu.Unlock()

	if d.bars {
		r.status = status

		d.draw()
	}
}

// draw redraws all rows in place.
func (d *progressDisplay) draw() {
	var frame strings.Builder
	if d.drawn > 0 {
		fmt.Fprintf(&frame, "\x1b[%dA", d.drawn)
	}

	for _, r := range d.rows {
		fmt.Fprintf(&frame, "\r\x1b[2K%s %s\n", strings.TrimSpace(r.bar.String()), r.status)
	}

	d.drawn = len(d.rows)
	_, _ = io.WriteString(d.out, frame.String()) // a terminal that is gone must not stop the command
}

// showTask shows a task's progress.
func (r *progressRow) showTask(t client.Task) { r.update(t.Progress, statusText(t)) }

// statusText returns a task's status for people.
func statusText(t client.Task) string {
	switch t.Status {
	case client.Queued:
		if t.QueuePosition != nil && *t.QueuePosition > 0 {
			return fmt.Sprintf("waiting, position %d", *t.QueuePosition)
		}

		return "waiting"
	case client.InProgress:
		if t.CancelRequestedAt > 0 {
			return "rendering, cancel requested"
		}

		return "rendering"
	}

	return string(t.Status)
}
