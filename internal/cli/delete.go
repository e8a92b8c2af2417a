package cli

import (
	"context"
	"fmt"
)

type deleteCmd struct {
	server
	IDs []string `arg:"" name:"id" help:"The tasks' ids."`
}

// Help teaches by examples.
func (deleteCmd) Help() string {
	return "The task is cancelled if it can be, is not shown again, and its files go when it has ended. What it cost stays in the ledger.\n\nExamples:\n\n  unireel delete task_01K..."
}

// Run deletes.
func (c *deleteCmd) Run(ctx context.Context, w *World) error {
	server, err := c.connect()
	if err != nil {
		return err
	}
	defer server.Close()

	for _, id := range c.IDs {
		if err := server.Delete(ctx, id); err != nil {
			return err
		}

		if c.JSON {
			err = w.printJSON(map[string]any{"id": id, "object": "video.deleted", "deleted": true})
		} else {
			_, err = fmt.Fprintf(w.Out, "%s is deleted\n", id)
		}

		if err != nil {
			return err
		}
	}

	return nil
}
