package cli

import (
	"context"
	"fmt"

	"github.com/unireel/unireel/client"
)

type cancelCmd struct {
	server
	IDs []string `arg:"" name:"id" help:"The tasks' ids."`
}

// Help teaches by examples.
func (cancelCmd) Help() string {
	return "A task that was not submitted yet is cancelled at once and costs nothing. One that a supplier has may run on and be charged; the answer says so.\n\nExamples:\n\n  unireel cancel task_01K..."
}

// Run cancels.
func (c *cancelCmd) Run(ctx context.Context, w *World) error {
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
			if err := w.printJSON(t.Raw); err != nil {
				return err
			}
		case t.Status == client.Cancelled:
			fmt.Fprintf(w.Out, "%s is cancelled\n", t.ID)
		case t.Status.Final():
			fmt.Fprintf(w.Out, "%s was %s already\n", t.ID, t.Status)
		default:
			fmt.Fprintf(w.Out, "%s: the supplier was asked to stop; see: unireel watch %s\n", t.ID, t.ID)
		}
	}

	return nil
}
