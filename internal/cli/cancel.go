package cli

import (
	"context"
	"fmt"

	"github.com/unireel/unireel/client"
)

type cancelCmd struct {
	serverFlags
	IDs []string `arg:"" name:"id" help:"The tasks' ids."`
}

// Help returns a description and examples.
func (cancelCmd) Help() string {
	return "A task that was not submitted yet is cancelled at once and costs nothing. A task that a supplier already has may continue and be charged; the command then says so.\n\nExamples:\n\n  unireel cancel task_01K..."
}

// Run cancels the tasks.
func (c *cancelCmd) Run(ctx context.Context, env *Env) error {
	server, err := c.connect()
	if err != nil {
		return err
	}
	defer server.Close()

	for _, id := range c.IDs {
		t, err := server.Cancel(ctx, id)
		switch {
		case err != nil:
			return err
		case c.JSON:
			if err := env.printJSON(t.Raw); err != nil {
				return err
			}
		case t.Status == client.Cancelled:
			fmt.Fprintf(env.Out, "%s is cancelled\n", t.ID)
		case t.Status.Final():
			fmt.Fprintf(env.Out, "%s was already %s\n", t.ID, t.Status)
		default:
			fmt.Fprintf(env.Out, "%s: cancellation was requested from the supplier; see: unireel watch %s\n", t.ID, t.ID)
		}
	}

	return nil
}
