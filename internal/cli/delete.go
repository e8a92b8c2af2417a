package cli

import (
	"context"
	"fmt"
)

type deleteCmd struct {
	serverFlags
	IDs []string `arg:"" name:"id" help:"The tasks' ids."`
}

// Help returns a description and examples.
func (deleteCmd) Help() string {
	return "The task is cancelled if that is possible and is not listed any more. Its files are deleted when it has ended. Its cost stays in the ledger.\n\nExamples:\n\n  unireel delete task_01K..."
}

// Run deletes the tasks.
func (c *deleteCmd) Run(ctx context.Context, env *Env) error {
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
			err = env.printJSON(map[string]any{"id": id, "object": "video.deleted", "deleted": true})
		} else {
			_, err = fmt.Fprintf(env.Out, "%s is deleted\n", id)
		}

		if err != nil {
			return err
		}
	}

	return nil
}
