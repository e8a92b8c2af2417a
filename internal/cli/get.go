package cli

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/unireel/unireel/client"
)

type getCmd struct {
	serverFlags
	ID string `arg:"" help:"The task's id."`
}

// Help returns examples.
func (getCmd) Help() string {
	return "Examples:\n\n  unireel get task_01K...\n\n  unireel get task_01K... --json | jq -r .video_url"
}

// Run prints the task.
func (c *getCmd) Run(ctx context.Context, env *Env) error {
	server, err := c.connect()
	if err != nil {
		return err
	}
	defer server.Close()

	t, err := server.Get(ctx, c.ID)
	if err != nil {
		return err
	}

	if c.JSON {
		return env.printJSON(t.Raw)
	}

	return printTask(env.Out, t)
}

// printTask prints a task as a table.
func printTask(out io.Writer, t client.Task) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(table, "%s\t%s\n", name, value)
		}
	}
	line("task", t.ID)
	line("status", fmt.Sprintf("%s, %d %%", statusText(t), t.Progress))
	line("model", t.Model)
	line("prompt", t.Prompt)
	line("size", t.Size)
	line("seconds", t.Seconds)
	line("created", formatTime(t.CreatedAt))
	line("ended", formatTime(t.CompletedAt))
	line("kept until", formatTime(t.ExpiresAt))
	line("video", t.VideoURL)
	line("thumbnail", t.ThumbnailURL)

	if t.Usage != nil {
		line("cost", fmt.Sprintf("%s %s for %s s", t.Usage.Cost, t.Usage.Currency, t.Usage.BilledSeconds))
	}

	if t.Preview {
		line("preview", "yes: by the embedded renderer")
	}

	if t.Error != nil {
		line("error", t.Error.Message+" ("+t.Error.Code+")")
	}

	for _, warning := range t.Warnings {
		line("warning", warning.Message)
	}

	return table.Flush()
}

// formatTime formats unix seconds in local time; 0 gives "".
func formatTime(unix int64) string {
	if unix == 0 {
		return ""
	}

	return time.Unix(unix, 0).Format("2006-01-02 15:04:05")
}
