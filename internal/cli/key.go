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
	Create keyCreateCmd `cmd:"" help:"Create an API key; its secret is shown once."`
	Set    keySetCmd    `cmd:"" help:"Change a key's models, budgets and rates."`
	List   keyListCmd   `cmd:"" help:"List an account's keys and what they spent of their budgets."`
	Revoke keyRevokeCmd `cmd:"" help:"Revoke a key, effective at once."`
}

type keyCreateCmd struct {
	operatorFlags
	Account  string        `arg:"" help:"The account's id or name."`
	Name     string        `name:"name" default:"key" help:"Its name."`
	Scope    []string      `name:"scope" enum:"read,write,admin" placeholder:"read,write" help:"Its scopes: read, write, and admin, which allows everything that operators do, for all accounts. Default: read and write."`
	Models   []string      `name:"models" placeholder:"ID,..." help:"The models and families that it may use. Default: all."`
	ValidFor time.Duration `name:"valid" placeholder:"TIME" help:"How long the key is valid, such as 720h. Default: until it is revoked."`

	BudgetDay   string `name:"budget-day" placeholder:"AMOUNT" help:"The most that its tasks of one day (UTC) may cost. Default: no limit."`
	BudgetMonth string `name:"budget-month" placeholder:"AMOUNT" help:"The most that its tasks of one month (UTC) may cost. Default: no limit."`
	RateCreate  string `name:"rate-create" placeholder:"N/TIME" help:"The highest rate at which it may create videos, such as 10/s, 600/m or 100/h. Default: the server's --rate-create."`
	RateRead    string `name:"rate-read" placeholder:"N/TIME" help:"The same for all other requests. Default: the server's --rate-read."`
}

// Help returns examples.
func (keyCreateCmd) Help() string {
	return "Only the secret is printed to standard output, so that a script can read it.\n\nExamples:\n\n  unireel key create studio --name renderfarm\n\n  export UNIREEL_API_KEY=$(unireel key create studio --scope read --valid 24h)\n\n  unireel key create studio --name drafts --models wan2.6-r2v-flash,wan2.6-video-720p\n\n  unireel key create default --name operator --scope admin   # for --url and --key of the operator's commands\n\n  unireel key create studio --name trainee --budget-day 5 --budget-month 60 --rate-create 10/m"
}

// Run creates the key.
func (c *keyCreateCmd) Run(ctx context.Context, env *Env) error {
	newKey := client.NewKey{
		Name: c.Name, Scopes: c.Scope, Models: c.Models,
		BudgetDay:   c.BudgetDay,
		BudgetMonth: c.BudgetMonth,
		RateCreate:  c.RateCreate,
		RateRead:    c.RateRead,
	}
	if c.ValidFor < 0 {
		return usagef("--valid must be above 0")
	}

	if c.ValidFor > 0 {
		newKey.ExpiresAt = expiryAfter(c.ValidFor)
	}

	return c.withAdmin(ctx, env, func(admin client.Admin) error {
		created, err := admin.CreateKey(ctx, c.Account, newKey)
		if err != nil {
			return err
		}

		if c.JSON {
			return env.printJSON(created)
		}

		fmt.Fprintln(env.Out, created.Secret)
		fmt.Fprintf(env.Err, "%s for %s. Store the secret: it is not shown again.\n", created.ID, created.Account)

		return nil
	})
}

// expiryAfter returns the unix time in whole seconds after which a duration from now has
// passed, rounded up.
func expiryAfter(valid time.Duration) int64 { return time.Now().Add(valid + time.Second - 1).Unix() }

type keySetCmd struct {
	operatorFlags
	ID          string `arg:"" help:"The key's id."`
	Name        string `name:"name" help:"Its name."`
	Models      string `name:"models" placeholder:"ID,..." help:"The models and families that it may use; none allows all."`
	ValidFor    string `name:"valid" placeholder:"TIME" help:"How long it is valid from now, such as 720h."`
	BudgetDay   string `name:"budget-day" placeholder:"AMOUNT" help:"The most that its tasks of one day (UTC) may cost, including tasks created before this change."`
	BudgetMonth string `name:"budget-month" placeholder:"AMOUNT" help:"The same for one month (UTC)."`
	RateCreate  string `name:"rate-create" placeholder:"N/TIME" help:"The highest rate at which it may create videos, such as 10/s, 600/m or 100/h; none means the server's default."`
	RateRead    string `name:"rate-read" placeholder:"N/TIME" help:"The same for all other requests."`
}

// Help returns examples.
func (keySetCmd) Help() string {
	return "Flags that are not given leave their value unchanged. The word none removes a limit.\n\nExamples:\n\n  unireel key set key_01K... --budget-day 5 --budget-month none\n\n  unireel key set key_01K... --rate-create 2/s --models none --valid none"
}

// Run changes the key.
func (c *keySetCmd) Run(ctx context.Context, env *Env) error {
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

	if c.ValidFor != "" && c.ValidFor != none {
		valid, err := time.ParseDuration(c.ValidFor)
		if err != nil || valid <= 0 {
			return usagef("--valid must be a time above 0, such as 720h, or none")
		}

		change["expires_at"] = expiryAfter(valid)
	}

	for name, text := range map[string]string{
		"models": c.Models, "expires_at": c.ValidFor, "budget_day": c.BudgetDay, "budget_month": c.BudgetMonth, "rate_create": c.RateCreate, "rate_read": c.RateRead,
	} {
		if text == none {
			change[name] = nil
		}
	}

	if len(change) == 0 {
		return usagef("say what to change; see: unireel key set --help")
	}

	return c.withAdmin(ctx, env, func(admin client.Admin) error {
		changed, err := admin.ChangeKey(ctx, c.ID, change)
		if err != nil {
			return err
		}

		if c.JSON {
			return env.printJSON(changed)
		}

		return printKeys(env, []client.APIKey{changed})
	})
}

// none is the value of a flag that removes a limit.
const none = "none"

type keyListCmd struct {
	operatorFlags
	Account string `arg:"" help:"The account's id or name."`
}

// Help returns examples.
func (keyListCmd) Help() string { return "Examples:\n\n  unireel key list studio" }

// Run lists the keys.
func (c *keyListCmd) Run(ctx context.Context, env *Env) error {
	return c.withAdmin(ctx, env, func(admin client.Admin) error {
		list, err := admin.Keys(ctx, c.Account)
		if err != nil {
			return err
		}

		if c.JSON {
			return env.printJSON(list)
		}

		return printKeys(env, list)
	})
}

func printKeys(env *Env, list []client.APIKey) error {
	table := tabwriter.NewWriter(env.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "KEY\tNAME\tBEGINS\tSCOPES\tMODELS\tDAY\tMONTH\tRATES\tCREATED\tEXPIRES\tREVOKED")

	for _, k := range list {
		fmt.Fprintln(table, strings.Join([]string{
			k.ID, k.Name, k.Hint, strings.Join(k.Scopes, ","), cmp.Or(strings.Join(k.Models, ","), "all"),
			budgetText(k.BudgetDay, k.Spending["day"]), budgetText(k.BudgetMonth, k.Spending["month"]), ratesText(k),
			formatTime(k.CreatedAt), formatTime(k.ExpiresAt), formatTime(k.RevokedAt),
		}, "\t"))
	}

	return table.Flush()
}

// budgetText formats a budget as SPENT+HELD/BUDGET; held credit counts against the budget.
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
	operatorFlags
	ID string `arg:"" help:"The key's id."`
}

// Help returns examples.
func (keyRevokeCmd) Help() string { return "Examples:\n\n  unireel key revoke key_01K..." }

// Run revokes the key.
func (c *keyRevokeCmd) Run(ctx context.Context, env *Env) error {
	return c.withAdmin(ctx, env, func(admin client.Admin) error {
		if err := admin.RevokeKey(ctx, c.ID); err != nil {
			return err
		}

		if c.JSON {
			return env.printJSON(map[string]any{"id": c.ID, "revoked": true})
		}

		_, err := fmt.Fprintf(env.Out, "%s is revoked\n", c.ID)

		return err
	})
}
