package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/unireel/unireel/client"
)

type createCmd struct {
	server
	order

	Out    string `short:"o" name:"output" type:"path" placeholder:"FILE" help:"Write the video here when it is ready."`
	NoWait bool   `name:"no-wait" help:"Print the task's id and do not wait for the video."`
	Retry  string `name:"idempotency-key" placeholder:"WORD" help:"Makes one task however often this command is run within 24 hours."`
}

// Help teaches by examples.
func (createCmd) Help() string {
	return `References stand for character1, character2, ... in the prompt: videos first, then images, or --reference for a mixed order. Local files are uploaded first.

Examples:

  unireel create --model wan2.6-r2v-flash-720p-audio --video shot.mp4 --prompt "character1 walks on through the rain" -o next.mp4

  unireel create --model wan2.6-r2v-flash-1080p-silent --image a.png --image b.png --shot-type multi --duration 10 --prompt "..." -o product.mp4

  unireel create --model wan2.6-video-720p --prompt "a paper boat at dawn" --preview -o sketch.mp4

  unireel create --from body.json --no-wait

Ctrl-C stops the watching only: the task goes on, and "unireel watch" follows it again.`
}

// Run orders the video.
func (c *createCmd) Run(ctx context.Context, w *World) error {
	if c.NoWait && c.Out != "" {
		return usagef("--output needs the video, which --no-wait does not wait for; fetch it later with \"unireel watch ID -o FILE\"")
	}

	if err := c.order.check(); err != nil {
		return err
	}

	if err := ready(c.Out); err != nil {
		return err
	}

	server, err := c.connect()
	if err != nil {
		return err
	}
	defer server.Close()

	b := w.board()

	body, err := c.order.body(ctx, w, server, b)
	if err != nil {
		return err
	}

	var options []client.CreateOption
	if c.Retry != "" {
		options = append(options, client.WithIdempotencyKey(c.Retry))
	}

	t, err := server.CreateRaw(ctx, body, options...)
	if err != nil {
		return err
	}

	for _, warning := range t.Warnings {
		fmt.Fprintf(w.Err, "warning: %s\n", sentence(warning.Message))
	}

	if c.NoWait {
		if c.JSON {
			return w.printJSON(t.Raw)
		}

		fmt.Fprintln(w.Out, t.ID)
		fmt.Fprintf(w.Err, "  Follow it with: unireel watch %s\n", t.ID)

		return nil
	}

	return finish(ctx, w, server, follow{task: t, out: c.Out, json: c.JSON, row: b.row(t.ID)})
}

// ready makes the folder of a video to come, so that nothing is ordered for a
// place that cannot be written.
func ready(out string) error {
	if out == "" {
		return nil
	}

	if info, err := os.Stat(out); err == nil && info.IsDir() {
		return usagef("-o: %s is a folder; name the file in it", out)
	}

	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return usagef("-o: the folder of %s cannot be made: %s", out, err)
	}

	return nil
}

// follow is a task that is to be followed to its end.
type follow struct {
	task client.Task
	out  string // where its video goes, "" for nowhere
	json bool
	row  *row
}

// finish follows a task, fetches its video and says what came of it.
func finish(ctx context.Context, w *World, server *client.Client, f follow) error {
	t := f.task
	f.row.task(t)

	if !t.Status.Final() {
		last, err := server.Wait(ctx, t.ID, f.row.task)
		if err != nil {
			return goOn(ctx, w, t.ID, err)
		}

		t = last
	}

	if t.Status == client.Completed && f.out != "" {
		f.row.show(100, "fetching")

		err := server.Download(ctx, t.ID, f.out, func(done, total int64) {
			f.row.glance(fmt.Sprintf("fetching %s of %s", megabytes(done), megabytes(total)))
		})
		if err != nil {
			return goOn(ctx, w, t.ID, err)
		}

		f.row.show(100, "saved to "+f.out)
	}

	if f.json {
		if err := w.printJSON(t.Raw); err != nil {
			return err
		}
	} else {
		printEnd(w, t, f.out)
	}

	if t.Status != client.Completed {
		return said(exitNo)
	}

	return nil
}

// goOn says how to take up a task again that was left.
func goOn(ctx context.Context, w *World, id string, err error) error {
	if ctx.Err() != nil || errors.Is(err, context.Canceled) {
		fmt.Fprintf(w.Err, "\nStopped watching; nothing is lost, %s goes on.\n  Go on with: unireel watch %s\n  Stop it with: unireel cancel %s\n", id, id, id)
		return said(exitNo)
	}

	fmt.Fprintf(w.Err, "Nothing is lost of %s. Take it up again with: unireel watch %s\n", id, id)

	return err
}

func printEnd(w *World, t client.Task, out string) {
	switch t.Status {
	case client.Completed:
		if out != "" {
			fmt.Fprintln(w.Out, out)
		} else {
			fmt.Fprintln(w.Out, t.VideoURL)
		}

		if t.Usage != nil {
			fmt.Fprintf(w.Err, "%s: %s seconds billed, %s %s\n", t.ID, t.Usage.BilledSeconds, t.Usage.Cost, t.Usage.Currency)
		}

		if t.Preview {
			fmt.Fprintln(w.Err, "  This is a preview by the embedded renderer, not the model's own video.")
		}
	case client.Failed:
		flaw := client.Flaw{Code: "unknown", Message: "The task failed."}
		if t.Error != nil {
			flaw = *t.Error
		}

		one := client.Error{Param: flaw.Param, Message: flaw.Message}
		fmt.Fprintf(w.Err, "error: %s (%s)\n  Nothing was charged for %s.\n", one.Error(), flaw.Code, t.ID)
	default:
		fmt.Fprintf(w.Err, "%s is %s; nothing was charged.\n", t.ID, t.Status)
	}
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
