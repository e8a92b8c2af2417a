package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/unireel/unireel/client"
)

type listCmd struct {
	server
	Limit  int    `name:"limit" default:"20" placeholder:"N" help:"How many tasks; 0 is all."`
	Status string `name:"status" enum:",queued,in_progress,completed,failed,cancelled" default:"" placeholder:"STATUS" help:"Only these: queued, in_progress, completed, failed or cancelled."`
	Model  string `name:"model" placeholder:"ID" help:"Only of this model."`
	After  string `name:"after" placeholder:"TASK" help:"Begin after this task."`
	Oldest bool   `name:"oldest-first" help:"Oldest first."`
}

// Help teaches by examples.
func (listCmd) Help() string {
	return "Examples:\n\n  unireel list\n\n  unireel list --status failed --limit 0 --json | jq -r .error.message\n\nWith --json every task is one line."
}

// Run lists.
func (c *listCmd) Run(ctx context.Context, w *World) error {
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
		filter.Page = min(c.Limit, 100)
	}

	table := tabwriter.NewWriter(w.Out, 0, 0, 2, ' ', 0)
	if !c.JSON {
		fmt.Fprintln(table, "TASK\tSTATUS\tPROGRESS\tMODEL\tCREATED\tCOST")
	}

	seen := 0

	for t, err := range server.List(ctx, filter) {
		if err != nil {
			return err
		}

		if c.JSON {
			if err := json.NewEncoder(w.Out).Encode(t.Raw); err != nil {
				return err
			}
		} else {
			fmt.Fprintf(table, "%s\t%s\t%d %%\t%s\t%s\t%s\n", t.ID, t.Status, t.Progress, t.Model, clock(t.CreatedAt), cost(t))
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
