package cli

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/unireel/unireel/client"
)

type upstreamCmd struct {
	List   upstreamListCmd   `cmd:"" help:"List the accounts at suppliers."`
	Test   upstreamTestCmd   `cmd:"" help:"Check that a supplier answers and accepts the key. No task is submitted."`
	Add    upstreamAddCmd    `cmd:"" help:"Add an account at a supplier to the running server."`
	Pause  upstreamPauseCmd  `cmd:"" help:"Stop submissions to a supplier; tasks that wait for it keep waiting."`
	Resume upstreamResumeCmd `cmd:"" help:"Resume submissions to a supplier that was paused, drained or suspended."`
	Drain  upstreamDrainCmd  `cmd:"" help:"Stop submissions to a supplier and let the tasks in progress there finish."`
	Remove upstreamRemoveCmd `cmd:"" help:"Drain a supplier that was added with \"upstream add\", and remove it when it has no tasks."`
}

type upstreamListCmd struct{ operatorFlags }

// Help returns examples.
func (upstreamListCmd) Help() string { return "Examples:\n\n  unireel upstream list" }

// Run lists the upstreams.
func (c *upstreamListCmd) Run(ctx context.Context, env *Env) error {
	return c.withAdmin(ctx, env, func(admin client.Admin) error {
		list, err := admin.Upstreams(ctx)
		if err != nil {
			return err
		}

		if c.JSON {
			return env.printJSON(list)
		}

		table := tabwriter.NewWriter(env.Out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "UPSTREAM\tPROVIDER\tORDER\tWEIGHT\tRUNNING\tWAITING\tSUBMISSIONS\tSUSPENDED UNTIL\tMODELS\tLAST ERROR")

		for _, u := range list {
			fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%d of %d\t%d\t%s\t%s\t%s\t%s\n", u.Name, u.Provider, u.Order, u.Weight, u.InProgress, u.Limits.InProgress,
				u.Waiting, u.Submissions, formatTime(u.SuspendedUntil), strings.Join(u.Models, " "), u.LastError)
		}

		return table.Flush()
	})
}

type upstreamTestCmd struct {
	operatorFlags
	Name string `arg:"" help:"The upstream's name."`
}

// Help returns examples.
func (upstreamTestCmd) Help() string { return "Examples:\n\n  unireel upstream test dashscope" }

// Run tests the upstream.
func (c *upstreamTestCmd) Run(ctx context.Context, env *Env) error {
	return c.withAdmin(ctx, env, func(admin client.Admin) error {
		check, err := admin.TestUpstream(ctx, c.Name)
		if err != nil {
			return err
		}

		if c.JSON {
			err = env.printJSON(check)
		} else {
			printChecks(env, []client.Check{check})
		}

		if err == nil && !check.OK {
			return exitError(exitFailure)
		}

		return err
	})
}
