package cli

import (
	"context"
	"fmt"
	"text/tabwriter"

	"github.com/unireel/unireel/client"
)

type accountCmd struct {
	Create accountCreateCmd `cmd:"" help:"Create an account."`
	Set    accountSetCmd    `cmd:"" help:"Change an account's weight and cap."`
	List   accountListCmd   `cmd:"" help:"List the accounts."`
}

type accountCreateCmd struct {
	operatorFlags
	Name   string `arg:"" help:"Its name."`
	Weight int64  `name:"weight" default:"1" placeholder:"N" help:"Its share when several accounts wait: weight 2 gets twice as much as weight 1."`
	Cap    int64  `name:"cap" default:"0" placeholder:"N" help:"The most tasks that it may run at the same time; 0 means no cap."`
	Credit string `name:"credit" placeholder:"AMOUNT" help:"Its initial credit."`
}

// Help returns examples.
func (accountCreateCmd) Help() string {
	return "Examples:\n\n  unireel account create studio --credit 250.00\n\n  unireel key create studio"
}

// Run creates the account.
func (c *accountCreateCmd) Run(ctx context.Context, env *Env) error {
	return c.withAdmin(ctx, env, func(admin client.Admin) error {
		created, err := admin.CreateAccount(ctx, client.NewAccount{Name: c.Name, Weight: c.Weight, Cap: c.Cap, Credit: c.Credit})
		if err != nil {
			return err
		}

		if c.JSON {
			return env.printJSON(created)
		}

		fmt.Fprintln(env.Out, created.ID)
		fmt.Fprintf(env.Err, "  Create a key for it with: unireel key create %s\n", created.Name)

		return nil
	})
}

type accountSetCmd struct {
	operatorFlags
	Account string `arg:"" help:"The account's id or name."`
	Weight  *int64 `name:"weight" placeholder:"N" help:"Its share when several accounts wait: weight 2 gets twice as much as weight 1."`
	Cap     *int64 `name:"cap" placeholder:"N" help:"The most tasks that it may run at the same time; 0 means no cap."`
}

// Help returns examples.
func (accountSetCmd) Help() string {
	return "Flags that are not given leave their value unchanged. The change applies at once, also to queued tasks; tasks that already run above a new cap continue.\n\nExamples:\n\n  unireel account set studio --weight 2 --cap 10"
}

// Run changes the account.
func (c *accountSetCmd) Run(ctx context.Context, env *Env) error {
	if c.Weight == nil && c.Cap == nil {
		return usagef("set --weight, --cap or both")
	}

	return c.withAdmin(ctx, env, func(admin client.Admin) error {
		changed, err := admin.ChangeAccount(ctx, c.Account, c.Weight, c.Cap)
		if err != nil {
			return err
		}

		if c.JSON {
			return env.printJSON(changed)
		}

		return printAccounts(env, []client.Account{changed})
	})
}

type accountListCmd struct{ operatorFlags }

// Help returns examples.
func (accountListCmd) Help() string {
	return "Examples:\n\n  unireel account list\n\n  unireel account list --url https://video.example.com --key sk-...   # from another host, with a key with the scope admin"
}

// Run lists the accounts.
func (c *accountListCmd) Run(ctx context.Context, env *Env) error {
	return c.withAdmin(ctx, env, func(admin client.Admin) error {
		list, err := admin.Accounts(ctx)
		if err != nil {
			return err
		}

		if c.JSON {
			return env.printJSON(list)
		}

		return printAccounts(env, list)
	})
}

func printAccounts(env *Env, list []client.Account) error {
	table := tabwriter.NewWriter(env.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ACCOUNT\tNAME\tWEIGHT\tCAP\tFREE\tHELD\tSPENT\tCREATED")

	for _, a := range list {
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%s %s\t%s\t%s\t%s\n", a.ID, a.Name, a.Weight, a.Cap,
			a.Balance.Free, a.Balance.Currency, a.Balance.Held, a.Balance.Spent, formatTime(a.CreatedAt))
	}

	return table.Flush()
}
