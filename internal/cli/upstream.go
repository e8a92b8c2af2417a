package cli

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/unireel/unireel/client"
)

type upstreamCmd struct {
	List   upstreamListCmd   `cmd:"" help:"Show the accounts at suppliers."`
	Test   upstreamTestCmd   `cmd:"" help:"Ask a supplier whether it would serve; nothing is ordered."`
	Add    upstreamAddCmd    `cmd:"" help:"Add an account at a supplier to the running server."`
	Pause  upstreamPauseCmd  `cmd:"" help:"Submit nothing to a supplier for now; what waits for it goes on waiting."`
	Resume upstreamResumeCmd `cmd:"" help:"Submit again to a supplier that was paused, drained or parked."`
	Drain  upstreamDrainCmd  `cmd:"" help:"Let what is in progress at a supplier end, and send it nothing new."`
	Remove upstreamRemoveCmd `cmd:"" help:"Drain a supplier that was added, and forget it when it is empty."`
}

type upstreamListCmd struct{ operator }

// Help teaches by examples.
func (upstreamListCmd) Help() string { return "Examples:\n\n  unireel upstream list" }

// Run lists them.
func (c *upstreamListCmd) Run(ctx context.Context, w *World) error {
	return c.with(ctx, w, func(admin client.Admin) error {
		list, err := admin.Upstreams(ctx)
		if err != nil {
			return err
		}

		if c.JSON {
			return w.printJSON(list)
		}

		table := tabwriter.NewWriter(w.Out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "UPSTREAM\tPROVIDER\tORDER\tWEIGHT\tRUNNING\tWAITING\tGATE\tPARKED UNTIL\tMODELS\tLAST ERROR")

		for _, u := range list {
			fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%d of %d\t%d\t%s\t%s\t%s\t%s\n", u.Name, u.Provider, u.Order, u.Weight, u.InProgress, u.Limits.InProgress,
				u.Waiting, u.Gate, clock(u.ParkedUntil), strings.Join(u.Models, " "), u.LastError)
		}

		return table.Flush()
	})
}

type upstreamTestCmd struct {
	operator
	Name string `arg:"" help:"The upstream's name."`
}

// Help teaches by examples.
func (upstreamTestCmd) Help() string { return "Examples:\n\n  unireel upstream test dashscope" }

// Run tests it.
func (c *upstreamTestCmd) Run(ctx context.Context, w *World) error {
	return c.with(ctx, w, func(admin client.Admin) error {
		check, err := admin.TestUpstream(ctx, c.Name)
		if err != nil {
			return err
		}

		if c.JSON {
			err = w.printJSON(check)
		} else {
			printChecks(w, []client.Check{check})
		}

		if err == nil && !check.OK {
			return said(exitNo)
		}

		return err
	})
}
