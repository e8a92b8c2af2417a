package cli

import "context"

type watchCmd struct {
	serverFlags
	ID  string `arg:"" help:"The task's id."`
	Out string `short:"o" name:"output" type:"path" placeholder:"FILE" help:"The file to which the video is written."`
}

// Help returns a description and examples.
func (watchCmd) Help() string {
	return "The exit code is 0 when the video is ready and 1 when the task failed or was cancelled.\n\nExamples:\n\n  unireel watch task_01K...\n\n  unireel watch task_01K... -o shot.mp4"
}

// Run waits for the task.
func (c *watchCmd) Run(ctx context.Context, env *Env) error {
	if err := prepareOutput(c.Out); err != nil {
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

	return watchTask(ctx, env, server, watchOptions{task: t, out: c.Out, json: c.JSON, row: env.newProgress().addRow(t.ID)})
}
