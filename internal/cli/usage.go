package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/unireel/unireel/client"
)

type usageCmd struct {
	serverFlags
	From    string   `name:"from" placeholder:"DAY" help:"The first day, in UTC, such as 2026-01-31. Default: 30 days that end with --to."`
	To      string   `name:"to" placeholder:"DAY" help:"The last day, in UTC. Default: today."`
	GroupBy []string `name:"by" default:"day,model" placeholder:"WHAT" help:"Group by these: day, model, key; none prints only the total."`
	Model   string   `name:"model" placeholder:"ID" help:"Only tasks billed as this model."`
	Key     string   `name:"key-id" placeholder:"ID" help:"Only tasks of the key with this id."`
	CSV     bool     `name:"csv" help:"Print CSV."`
}

// Help returns a description and examples.
func (usageCmd) Help() string {
	return "A task counts for the day on which it ended.\n\nExamples:\n\n  unireel usage\n\n  unireel usage --by key --from 2026-01-01 --to 2026-01-31\n\n  unireel usage --csv > usage.csv"
}

// Run prints the report.
func (c *usageCmd) Run(ctx context.Context, env *Env) error {
	server, err := c.connect()
	if err != nil {
		return err
	}
	defer server.Close()

	filter := client.UsageFilter{
		From:  c.From,
		To:    c.To,
		By:    c.GroupBy,
		Model: c.Model,
		Key:   c.Key,
	}
	if len(c.GroupBy) == 1 && c.GroupBy[0] == "none" {
		filter.By = []string{}
	}

	if c.CSV {
		table, err := server.UsageCSV(ctx, filter)
		if err != nil {
			return err
		}

		_, err = env.Out.Write(table)

		return err
	}

	u, err := server.Usage(ctx, filter)
	if err != nil {
		return err
	}

	if c.JSON {
		return env.printJSON(u)
	}

	return printUsage(env.Out, u)
}

func printUsage(out io.Writer, u client.UsageReport) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, strings.ToUpper(strings.Join(append(u.By, "tasks", "completed", "failed", "cancelled", "seconds", "billed", "cost"), "\t")))

	row := func(names []string, s client.UsageSums) {
		fmt.Fprintf(table, "%s%d\t%d\t%d\t%d\t%d\t%s\t%s %s\n", strings.Join(append(names, ""), "\t"), s.Tasks, s.Completed, s.Failed, s.Cancelled, s.Seconds, s.BilledSeconds, s.Cost, u.Currency)
	}
	for _, g := range u.Data {
		var names []string
		for _, by := range u.By {
			names = append(names, map[string]string{"day": g.Day, "model": g.Model, "key": g.Key}[by])
		}

		row(names, g.UsageSums)
	}

	if len(u.By) == 0 || len(u.Data) != 1 {
		names := make([]string, len(u.By))
		if len(names) > 0 {
			names[0] = "total"
		}

		row(names, u.Total)
	}

	return table.Flush()
}
