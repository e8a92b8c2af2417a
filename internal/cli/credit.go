package cli

import (
	"context"
	"fmt"
	"text/tabwriter"

	"github.com/unireel/unireel/client"
	"github.com/unireel/unireel/internal/money"
)

type creditCmd struct {
	Grant creditGrantCmd `cmd:"" help:"Add credit to an account."`
	Show  creditShowCmd  `cmd:"" help:"Show an account's balance and newest ledger entries."`
}

type creditGrantCmd struct {
	operatorFlags
	Account string `arg:"" help:"The account's id or name."`
	Amount  string `arg:"" help:"A decimal, such as 25.00."`
	Ref     string `name:"ref" placeholder:"WORD" help:"An invoice or payment. A second grant with the same reference changes nothing. Default: a random one."`
}

// Help returns examples.
func (creditGrantCmd) Help() string {
	return "Examples:\n\n  unireel credit grant studio 250.00 --ref invoice-2041"
}

// Run grants the credit.
func (c *creditGrantCmd) Run(ctx context.Context, env *Env) error {
	if amount, err := money.Parse(c.Amount); err != nil || amount <= 0 {
		return usagef("%q is not an amount above 0; write it like 25.00", c.Amount)
	}

	return c.withAdmin(ctx, env, func(admin client.Admin) error {
		b, err := admin.Grant(ctx, c.Account, c.Amount, c.Ref)
		if err != nil {
			return err
		}

		if c.JSON {
			return env.printJSON(b)
		}

		return printBalance(env.Out, b)
	})
}

type creditShowCmd struct {
	operatorFlags
	Account string `arg:"" help:"The account's id or name."`
	Limit   int    `name:"limit" default:"20" placeholder:"N" help:"The number of ledger entries."`
}

// Help returns examples.
func (creditShowCmd) Help() string { return "Examples:\n\n  unireel credit show studio --limit 100" }

// Run prints the balance and the ledger entries.
func (c *creditShowCmd) Run(ctx context.Context, env *Env) error {
	return c.withAdmin(ctx, env, func(admin client.Admin) error {
		entries, err := admin.Entries(ctx, c.Account, c.Limit)
		if err != nil {
			return err
		}

		accounts, err := admin.Accounts(ctx)
		if err != nil {
			return err
		}

		if c.JSON {
			return env.printJSON(entries)
		}

		for _, a := range accounts {
			if a.ID == c.Account || a.Name == c.Account {
				if err := printBalance(env.Out, a.Balance); err != nil {
					return err
				}
			}
		}

		table := tabwriter.NewWriter(env.Out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "\nAT\tKIND\tAMOUNT\tTASK\tREF")

		for _, e := range entries {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", formatTime(e.At), e.Kind, e.Amount, e.Task, e.Ref)
		}

		return table.Flush()
	})
}
