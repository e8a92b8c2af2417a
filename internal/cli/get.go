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
	server
	ID string `arg:"" help:"The task's id."`
}

// Help teaches by examples.
func (getCmd) Help() string {
	return "Examples:\n\n  unireel get task_01K...\n\n  unireel get task_01K... --json | jq -r .video_url"
}

// Run shows the task.
func (c *getCmd) Run(ctx context.Context, w *World) error {
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
		return w.printJSON(t.Raw)
	}

	return describe(w.Out, t)
}

// describe writes a task for people.
func describe(out io.Writer, t client.Task) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(table, "%s\t%s\n", name, value)
		}
	}
	line("task", t.ID)
	line("status", fmt.Sprintf("%s, %d %%", stand(t), t.Progress))
	line("model", t.Model)
	line("prompt", t.Prompt)
	line("size", t.Size)
	line("seconds", t.Seconds)
	line("created", clock(t.CreatedAt))
	line("ended", clock(t.CompletedAt))
	line("kept until", clock(t.ExpiresAt))
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

// clock writes unix seconds in local time, "" for none.
func clock(unix int64) string {
	if unix == 0 {
		return ""
	}

	return time.Unix(unix, 0).Format("2006-01-02 15:04:05")
}
