package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/unireel/unireel/client"
)

type listCmd struct {
	serverFlags
	Limit  int    `name:"limit" default:"20" placeholder:"N" help:"The number of tasks; 0 means all."`
	Status string `name:"status" enum:",queued,in_progress,completed,failed,cancelled" default:"" placeholder:"STATUS" help:"Only tasks with this status: queued, in_progress, completed, failed or cancelled."`
	Model  string `name:"model" placeholder:"ID" help:"Only tasks of this model."`
	After  string `name:"after" placeholder:"TASK" help:"Start after this task."`
	Oldest bool   `name:"oldest-first" help:"List the oldest tasks first."`
}

// Help returns examples.
func (listCmd) Help() string {
	return "Examples:\n\n  unireel list\n\n  unireel list --status failed --limit 0 --json | jq -r .error.message\n\nWith --json each task is printed on one line."
}

// Run lists the tasks.
func (c *listCmd) Run(ctx context.Context, env *Env) error {
	server, err := c.connect()
	if err != nil {
		return err
	}
	defer server.Close()

	filter := client.Filter{Status: client.Status(c.Status), Model: c.Model, After: c.After}
	if c.Oldest {
		filter.Order = "asc"
	}

	if c.Limit > 0 {
		filter.PageSize = min(c.Limit, 100)
	}

	table := tabwriter.NewWriter(env.Out, 0, 0, 2, ' ', 0)
	if !c.JSON {
		fmt.Fprintln(table, "TASK\tSTATUS\tPROGRESS\tMODEL\tCREATED\tCOST")
	}

	seen := 0

	for t, err := range server.List(ctx, filter) {
		if err != nil {
			return err
		}

		if c.JSON {
			if err := json.NewEncoder(env.Out).Encode(t.Raw); err != nil {
				return err
			}
		} else {
			fmt.Fprintf(table, "%s\t%s\t%d %%\t%s\t%s\t%s\n", t.ID, t.Status, t.Progress, t.Model, formatTime(t.CreatedAt), cost(t))
		}

		if seen++; c.Limit > 0 && seen >= c.Limit {
			break
		}
	}

	return table.Flush()
}

func cost(t client.Task) string {
	if t.Usage == nil {
		return ""
	}

	return t.Usage.Cost + " " + t.Usage.Currency
}
