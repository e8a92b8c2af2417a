package cli

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/unireel/unireel/client"
)

type keyCmd struct {
	Create keyCreateCmd `cmd:"" help:"Make an API key; its secret is shown once."`
	Set    keySetCmd    `cmd:"" help:"Change what a key may ask for, spend, and how often."`
	List   keyListCmd   `cmd:"" help:"List an account's keys, with what they spent of their budgets."`
	Revoke keyRevokeCmd `cmd:"" help:"End a key at once."`
}

type keyCreateCmd struct {
	operator
	Account string        `arg:"" help:"The account's id or name."`
	Name    string        `name:"name" default:"key" help:"What to call it."`
	Scope   []string      `name:"scope" enum:"read,write,admin" placeholder:"read,write" help:"What it may do: read, write, and admin, which is what operators do, for all accounts. Default: read and write."`
	Models  []string      `name:"models" placeholder:"ID,..." help:"The models and families that it may ask for. Default: all."`
	Valid   time.Duration `name:"valid" placeholder:"TIME" help:"How long it is valid, such as 720h. Default: until it is revoked."`

	BudgetDay   string `name:"budget-day" placeholder:"AMOUNT" help:"The most that its tasks of one day (UTC) may cost. Default: no bound."`
	BudgetMonth string `name:"budget-month" placeholder:"AMOUNT" help:"The most that its tasks of one month (UTC) may cost. Default: no bound."`
	RateCreate  string `name:"rate-create" placeholder:"N/TIME" help:"The most orders that it may send, such as 10/s, 600/m or 100/h. Default: the server's --rate-create."`
	RateRead    string `name:"rate-read" placeholder:"N/TIME" help:"The same for all other requests. Default: the server's --rate-read."`
}

// Help teaches by examples.
func (keyCreateCmd) Help() string {
	return "The secret goes to the standard output, alone, so that a script can take it.\n\nExamples:\n\n  unireel key create studio --name renderfarm\n\n  export UNIREEL_API_KEY=$(unireel key create studio --scope read --valid 24h)\n\n  unireel key create studio --name drafts --models wan2.6-r2v-flash,wan2.6-video-720p\n\n  unireel key create default --name operator --scope admin   # for --url and --key of the operator's commands\n\n  unireel key create studio --name trainee --budget-day 5 --budget-month 60 --rate-create 10/m"
}

// Run makes it.
func (c *keyCreateCmd) Run(ctx context.Context, w *World) error {
	wish := client.NewKey{
		Name: c.Name, Scopes: c.Scope, Models: c.Models,
		BudgetDay: c.BudgetDay, BudgetMonth: c.BudgetMonth, RateCreate: c.RateCreate, RateRead: c.RateRead,
	}
	if c.Valid < 0 {
		return usagef("--valid must be above 0")
	}

	if c.Valid > 0 {
		wish.ExpiresAt = endOf(c.Valid)
	}

	return c.with(ctx, w, func(admin client.Admin) error {
		made, err := admin.CreateKey(ctx, c.Account, wish)
		if err != nil {
			return err
		}

		if c.JSON {
			return w.printJSON(made)
		}

		fmt.Fprintln(w.Out, made.Secret)
		fmt.Fprintf(w.Err, "%s for %s. Keep the secret: it is not shown again.\n", made.ID, made.Account)

		return nil
	})
}

// endOf is when a time from now is over, in whole unix seconds, none too few.
func endOf(valid time.Duration) int64 { return time.Now().Add(valid + time.Second - 1).Unix() }

type keySetCmd struct {
	operator
	ID          string `arg:"" help:"The key's id."`
	Name        string `name:"name" help:"What to call it."`
	Models      string `name:"models" placeholder:"ID,..." help:"The models and families that it may ask for; none is no bound, as below."`
	Valid       string `name:"valid" placeholder:"TIME" help:"How long it is valid from now, such as 720h."`
	BudgetDay   string `name:"budget-day" placeholder:"AMOUNT" help:"The most that its tasks of one day (UTC) may cost, those that were ordered before included."`
	BudgetMonth string `name:"budget-month" placeholder:"AMOUNT" help:"The same for one month (UTC)."`
	RateCreate  string `name:"rate-create" placeholder:"N/TIME" help:"The most orders that it may send, such as 10/s, 600/m or 100/h; none is the server's."`
	RateRead    string `name:"rate-read" placeholder:"N/TIME" help:"The same for all other requests."`
}

// Help teaches by examples.
func (keySetCmd) Help() string {
	return "What is not given stays. The word none takes a bound away.\n\nExamples:\n\n  unireel key set key_01K... --budget-day 5 --budget-month none\n\n  unireel key set key_01K... --rate-create 2/s --models none --valid none"
}

// Run changes it.
func (c *keySetCmd) Run(ctx context.Context, w *World) error {
	change := client.KeyChange{}

	for name, text := range map[string]string{
		"name": c.Name, "budget_day": c.BudgetDay, "budget_month": c.BudgetMonth, "rate_create": c.RateCreate, "rate_read": c.RateRead,
	} {
		if text != "" {
			change[name] = text
		}
	}

	if c.Models != "" {
		change["models"] = strings.Split(c.Models, ",")
	}

	if c.Valid != "" && c.Valid != none {
		valid, err := time.ParseDuration(c.Valid)
		if err != nil || valid <= 0 {
			return usagef("--valid must be a time above 0, such as 720h, or none")
		}

		change["expires_at"] = endOf(valid)
	}

	for name, text := range map[string]string{
		"models": c.Models, "expires_at": c.Valid, "budget_day": c.BudgetDay, "budget_month": c.BudgetMonth, "rate_create": c.RateCreate, "rate_read": c.RateRead,
	} {
		if text == none {
			change[name] = nil
		}
	}

	if len(change) == 0 {
		return usagef("say what to change; see: unireel key set --help")
	}

	return c.with(ctx, w, func(admin client.Admin) error {
		changed, err := admin.ChangeKey(ctx, c.ID, change)
		if err != nil {
			return err
		}

		if c.JSON {
			return w.printJSON(changed)
		}

		return printKeys(w, []client.APIKey{changed})
	})
}

// none is how a bound is taken away.
const none = "none"

type keyListCmd struct {
	operator
	Account string `arg:"" help:"The account's id or name."`
}

// Help teaches by examples.
func (keyListCmd) Help() string { return "Examples:\n\n  unireel key list studio" }

// Run lists them.
func (c *keyListCmd) Run(ctx context.Context, w *World) error {
	return c.with(ctx, w, func(admin client.Admin) error {
		list, err := admin.Keys(ctx, c.Account)
		if err != nil {
			return err
		}

		if c.JSON {
			return w.printJSON(list)
		}

		return printKeys(w, list)
	})
}

func printKeys(w *World, list []client.APIKey) error {
	table := tabwriter.NewWriter(w.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "KEY\tNAME\tBEGINS\tSCOPES\tMODELS\tDAY\tMONTH\tRATES\tCREATED\tEXPIRES\tREVOKED")

	for _, k := range list {
		fmt.Fprintln(table, strings.Join([]string{
			k.ID, k.Name, k.Hint, strings.Join(k.Scopes, ","), cmp.Or(strings.Join(k.Models, ","), "all"),
			budgetText(k.BudgetDay, k.Spending["day"]), budgetText(k.BudgetMonth, k.Spending["month"]), ratesText(k),
			clock(k.CreatedAt), clock(k.ExpiresAt), clock(k.RevokedAt),
		}, "\t"))
	}

	return table.Flush()
}

// budgetText is what was spent of a budget, what is held counted as spent is.
func budgetText(budget string, s client.Spending) string {
	if budget == "" {
		return "-"
	}

	text := s.Spent
	if s.Held != "0.00" {
		text += "+" + s.Held
	}

	return text + "/" + budget
}

func ratesText(k client.APIKey) string {
	if k.RateCreate == "" && k.RateRead == "" {
		return "-"
	}

	return "create " + cmp.Or(k.RateCreate, "-") + ", read " + cmp.Or(k.RateRead, "-")
}

type keyRevokeCmd struct {
	operator
	ID string `arg:"" help:"The key's id."`
}

// Help teaches by examples.
func (keyRevokeCmd) Help() string { return "Examples:\n\n  unireel key revoke key_01K..." }

// Run revokes it.
func (c *keyRevokeCmd) Run(ctx context.Context, w *World) error {
	return c.with(ctx, w, func(admin client.Admin) error {
		if err := admin.RevokeKey(ctx, c.ID); err != nil {
			return err
		}

		if c.JSON {
			return w.printJSON(map[string]any{"id": c.ID, "revoked": true})
		}

		_, err := fmt.Fprintf(w.Out, "%s is revoked\n", c.ID)

		return err
	})
}
