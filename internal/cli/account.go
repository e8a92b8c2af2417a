package cli

import (
	"context"
	"fmt"
	"text/tabwriter"

	"github.com/unireel/unireel/client"
)

type accountCmd struct {
	Create accountCreateCmd `cmd:"" help:"Make an account."`
	Set    accountSetCmd    `cmd:"" help:"Change an account's weight and cap."`
	List   accountListCmd   `cmd:"" help:"List the accounts."`
}

type accountCreateCmd struct {
	operator
	Name   string `arg:"" help:"What to call it."`
	Weight int64  `name:"weight" default:"1" placeholder:"N" help:"Its share when several accounts wait: 2 gets twice as much as 1."`
	Cap    int64  `name:"cap" default:"0" placeholder:"N" help:"The most tasks that it may have running at once; 0 is no cap."`
	Credit string `name:"credit" placeholder:"AMOUNT" help:"What it starts with."`
}

// Help teaches by examples.
func (accountCreateCmd) Help() string {
	return "Examples:\n\n  unireel account create studio --credit 250.00\n\n  unireel key create studio"
}

// Run makes it.
func (c *accountCreateCmd) Run(ctx context.Context, w *World) error {
	return c.with(ctx, w, func(admin client.Admin) error {
		made, err := admin.CreateAccount(ctx, client.NewAccount{Name: c.Name, Weight: c.Weight, Cap: c.Cap, Credit: c.Credit})
		if err != nil {
			return err
		}

		if c.JSON {
			return w.printJSON(made)
		}

		fmt.Fprintln(w.Out, made.ID)
		fmt.Fprintf(w.Err, "  Make a key for it with: unireel key create %s\n", made.Name)

		return nil
	})
}

type accountSetCmd struct {
	operator
	Account string `arg:"" help:"The account's id or name."`
	Weight  *int64 `name:"weight" placeholder:"N" help:"Its share when several accounts wait: 2 gets twice as much as 1."`
	Cap     *int64 `name:"cap" placeholder:"N" help:"The most tasks that it may have running at once; 0 is no cap."`
}

// Help teaches by examples.
func (accountSetCmd) Help() string {
	return "What is not given stays. Tasks that wait follow at once; what runs above a new cap runs on.\n\nExamples:\n\n  unireel account set studio --weight 2 --cap 10"
}

// Run changes it.
func (c *accountSetCmd) Run(ctx context.Context, w *World) error {
	if c.Weight == nil && c.Cap == nil {
		return usagef("give --weight, --cap or both")
	}

	return c.with(ctx, w, func(admin client.Admin) error {
		changed, err := admin.ChangeAccount(ctx, c.Account, c.Weight, c.Cap)
		if err != nil {
			return err
		}

		if c.JSON {
			return w.printJSON(changed)
		}

		return printAccounts(w, []client.Account{changed})
	})
}

type accountListCmd struct{ operator }

// Help teaches by examples.
func (accountListCmd) Help() string {
	return "Examples:\n\n  unireel account list\n\n  unireel account list --url https://video.example.com --key sk-...   # from elsewhere, with a key of the scope admin"
}

// Run lists them.
func (c *accountListCmd) Run(ctx context.Context, w *World) error {
	return c.with(ctx, w, func(admin client.Admin) error {
		list, err := admin.Accounts(ctx)
		if err != nil {
			return err
		}

		if c.JSON {
			return w.printJSON(list)
		}

		return printAccounts(w, list)
	})
}

func printAccounts(w *World, list []client.Account) error {
	table := tabwriter.NewWriter(w.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ACCOUNT\tNAME\tWEIGHT\tCAP\tFREE\tHELD\tSPENT\tCREATED")

	for _, a := range list {
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%s %s\t%s\t%s\t%s\n", a.ID, a.Name, a.Weight, a.Cap,
			a.Balance.Free, a.Balance.Currency, a.Balance.Held, a.Balance.Spent, clock(a.CreatedAt))
	}

	return table.Flush()
}
