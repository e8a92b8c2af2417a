package cli

import "context"

type watchCmd struct {
	server
	ID  string `arg:"" help:"The task's id."`
	Out string `short:"o" name:"output" type:"path" placeholder:"FILE" help:"Write the video here when it is ready."`
}

// Help teaches by examples.
func (watchCmd) Help() string {
	return "The exit code is 0 when the video is ready and 1 when the task failed or was cancelled.\n\nExamples:\n\n  unireel watch task_01K...\n\n  unireel watch task_01K... -o shot.mp4"
}

// Run follows the task.
func (c *watchCmd) Run(ctx context.Context, w *World) error {
	if err := ready(c.Out); err != nil {
		return err
	}

	server, err := c.connect()
	if err != nil {
		return err
	}
	defer server.Close()

	t, err := server.Get(ctx, c.ID)
	if err != nil {
		return err
	}

	return finish(ctx, w, server, follow{task: t, out: c.Out, json: c.JSON, row: w.board().row(t.ID)})
}
