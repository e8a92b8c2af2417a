package cli

import (
	"context"
	"fmt"
	"text/tabwriter"

	"github.com/unireel/unireel/client"
	"github.com/unireel/unireel/internal/money"
)

type creditCmd struct {
	Grant creditGrantCmd `cmd:"" help:"Give an account credit."`
	Show  creditShowCmd  `cmd:"" help:"Show an account's balance and newest ledger lines."`
}

type creditGrantCmd struct {
	operator
	Account string `arg:"" help:"The account's id or name."`
	Amount  string `arg:"" help:"A decimal, such as 25.00."`
	Ref     string `name:"ref" placeholder:"WORD" help:"An invoice or payment: the same one again changes nothing. Default: a random one."`
}

// Help teaches by examples.
func (creditGrantCmd) Help() string {
	return "Examples:\n\n  unireel credit grant studio 250.00 --ref invoice-2041"
}

// Run grants.
func (c *creditGrantCmd) Run(ctx context.Context, w *World) error {
	if amount, err := money.Parse(c.Amount); err != nil || amount <= 0 {
		return usagef("%q is not an amount above 0; write it like 25.00", c.Amount)
	}

	return c.with(ctx, w, func(admin client.Admin) error {
		b, err := admin.Grant(ctx, c.Account, c.Amount, c.Ref)
		if err != nil {
			return err
		}

		if c.JSON {
			return w.printJSON(b)
		}

		return printBalance(w.Out, b)
	})
}

type creditShowCmd struct {
	operator
	Account string `arg:"" help:"The account's id or name."`
	Limit   int    `name:"limit" default:"20" placeholder:"N" help:"How many ledger lines."`
}

// Help teaches by examples.
func (creditShowCmd) Help() string { return "Examples:\n\n  unireel credit show studio --limit 100" }

// Run shows.
func (c *creditShowCmd) Run(ctx context.Context, w *World) error {
	return c.with(ctx, w, func(admin client.Admin) error {
		entries, err := admin.Entries(ctx, c.Account, c.Limit)
		if err != nil {
			return err
		}

		accounts, err := admin.Accounts(ctx)
		if err != nil {
			return err
		}

		if c.JSON {
			return w.printJSON(entries)
		}

		for _, a := range accounts {
			if a.ID == c.Account || a.Name == c.Account {
				if err := printBalance(w.Out, a.Balance); err != nil {
					return err
				}
			}
		}

		table := tabwriter.NewWriter(w.Out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "\nAT\tKIND\tAMOUNT\tTASK\tREF")

		for _, e := range entries {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", clock(e.At), e.Kind, e.Amount, e.Task, e.Ref)
		}

		return table.Flush()
	})
}
