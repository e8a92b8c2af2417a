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
	serverFlags
	requestFlags

	Out            string `short:"o" name:"output" type:"path" placeholder:"FILE" help:"The file to which the video is written."`
	NoWait         bool   `name:"no-wait" help:"Print the task's id and do not wait for the video."`
	IdempotencyKey string `name:"idempotency-key" placeholder:"WORD" help:"With it, this command creates only one task however often it is run within 24 hours."`
}

// Help returns a description and examples.
func (createCmd) Help() string {
	return `The prompt names references as character1, character2, ...: videos first, then images, or use --reference for any order. Local files are uploaded first.

Examples:

  unireel create --model wan2.6-r2v-flash-720p-audio --video shot.mp4 --prompt "character1 walks on through the rain" -o next.mp4

  unireel create --model wan2.6-r2v-flash-1080p-silent --image a.png --image b.png --shot-type multi --duration 10 --prompt "..." -o product.mp4

  unireel create --model wan2.6-video-720p --prompt "a paper boat at dawn" --preview -o sketch.mp4

  unireel create --from body.json --no-wait

Ctrl-C only stops this command: the task continues, and "unireel watch" shows it again.`
}

// Run creates the task and, unless --no-wait is set, waits for it.
func (c *createCmd) Run(ctx context.Context, env *Env) error {
	if c.NoWait && c.Out != "" {
		return usagef("--output needs the video, but --no-wait does not wait for it; download it later with \"unireel watch ID -o FILE\"")
	}

	if err := c.requestFlags.validate(); err != nil {
		return err
	}

	if err := prepareOutput(c.Out); err != nil {
		return err
	}

	server, err := c.connect()
	if err != nil {
		return err
	}
	defer server.Close()

	progress := env.newProgress()

	body, err := c.requestFlags.requestBody(ctx, env, server, progress)
	if err != nil {
		return err
	}

	var options []client.CreateOption
	if c.IdempotencyKey != "" {
		options = append(options, client.WithIdempotencyKey(c.IdempotencyKey))
	}

	t, err := server.CreateRaw(ctx, body, options...)
	if err != nil {
		return err
	}

	for _, warning := range t.Warnings {
		fmt.Fprintf(env.Err, "warning: %s\n", withPeriod(warning.Message))
	}

	if c.NoWait {
		if c.JSON {
			return env.printJSON(t.Raw)
		}

		fmt.Fprintln(env.Out, t.ID)
		fmt.Fprintf(env.Err, "  Watch it with: unireel watch %s\n", t.ID)

		return nil
	}

	return watchTask(ctx, env, server, watchOptions{task: t, out: c.Out, json: c.JSON, row: progress.addRow(t.ID)})
}

// prepareOutput creates the folder of the output file, so that no task is created whose
// video cannot be written.
func prepareOutput(out string) error {
	if out == "" {
		return nil
	}

	if info, err := os.Stat(out); err == nil && info.IsDir() {
		return usagef("-o: %s is a folder; give the name of a file in it", out)
	}

	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return usagef("-o: the folder of %s cannot be created: %s", out, err)
	}

	return nil
}

// watchOptions are the arguments of watchTask.
type watchOptions struct {
	task client.Task
	out  string // the file for the video; "" for none
	json bool
	row  *progressRow
}

// watchTask waits for a task, downloads its video and prints the outcome.
func watchTask(ctx context.Context, env *Env, server *client.Client, o watchOptions) error {
	t := o.task
	o.row.showTask(t)

	if !t.Status.Final() {
		final, err := server.Wait(ctx, t.ID, o.row.showTask)
		if err != nil {
			return printResumeHint(ctx, env, t.ID, err)
		}

		t = final
	}

	if t.Status == client.Completed && o.out != "" {
		o.row.update(100, "downloading")

		err := server.Download(ctx, t.ID, o.out, func(done, total int64) {
			o.row.setStatus(fmt.Sprintf("downloading %s of %s", megabytes(done), megabytes(total)))
		})
		if err != nil {
			return printResumeHint(ctx, env, t.ID, err)
		}

		o.row.update(100, "saved to "+o.out)
	}

	if o.json {
		if err := env.printJSON(t.Raw); err != nil {
			return err
		}
	} else {
		printOutcome(env, t, o.out)
	}

	if t.Status != client.Completed {
		return exitError(exitFailure)
	}

	return nil
}

// printResumeHint prints how to continue with a task after watching it failed or was
// interrupted.
func printResumeHint(ctx context.Context, env *Env, id string, err error) error {
	if ctx.Err() != nil || errors.Is(err, context.Canceled) {
		fmt.Fprintf(env.Err, "\nStopped watching. Nothing is lost: %s continues.\n  Watch it again with: unireel watch %s\n  Cancel it with: unireel cancel %s\n", id, id, id)
		return exitError(exitFailure)
	}

	fmt.Fprintf(env.Err, "Nothing is lost: %s continues. Watch it again with: unireel watch %s\n", id, id)

	return err
}

func printOutcome(env *Env, t client.Task, out string) {
	switch t.Status {
	case client.Completed:
		if out != "" {
			fmt.Fprintln(env.Out, out)
		} else {
			fmt.Fprintln(env.Out, t.VideoURL)
		}

		if t.Usage != nil {
			fmt.Fprintf(env.Err, "%s: %s seconds billed, %s %s\n", t.ID, t.Usage.BilledSeconds, t.Usage.Cost, t.Usage.Currency)
		}

		if t.Preview {
			fmt.Fprintln(env.Err, "  This is a preview by the embedded renderer, not a video of the model.")
		}
	case client.Failed:
		detail := client.ErrorDetail{Code: "unknown", Message: "The task failed."}
		if t.Error != nil {
			detail = *t.Error
		}

		single := client.Error{Param: detail.Param, Message: detail.Message}
		fmt.Fprintf(env.Err, "error: %s (%s)\n  Nothing was charged for %s.\n", single.Error(), detail.Code, t.ID)
	default:
		fmt.Fprintf(env.Err, "%s is %s; nothing was charged.\n", t.ID, t.Status)
	}
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
