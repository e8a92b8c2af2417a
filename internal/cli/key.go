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
	List   keyListCmd   `cmd:"" help:"List an account's keys."`
	Revoke keyRevokeCmd `cmd:"" help:"End a key at once."`
}

type keyCreateCmd struct {
	operator
	Account string        `arg:"" help:"The account's id or name."`
	Name    string        `name:"name" default:"key" help:"What to call it."`
	Scope   []string      `name:"scope" enum:"read,write,admin" placeholder:"read,write" help:"What it may do: read, write, and admin, which is what operators do, for all accounts. Default: read and write."`
	Models  []string      `name:"models" placeholder:"ID,..." help:"The models and families that it may ask for. Default: all."`
	Valid   time.Duration `name:"valid" placeholder:"TIME" help:"How long it is valid, such as 720h. Default: until it is revoked."`
}

// Help teaches by examples.
func (keyCreateCmd) Help() string {
	return "The secret goes to the standard output, alone, so that a script can take it.\n\nExamples:\n\n  unireel key create studio --name renderfarm\n\n  export UNIREEL_API_KEY=$(unireel key create studio --scope read --valid 24h)\n\n  unireel key create studio --name drafts --models wan2.6-r2v-flash,wan2.6-video-720p\n\n  unireel key create default --name operator --scope admin   # for --url and --key of the operator's commands"
}

// Run makes it.
func (c *keyCreateCmd) Run(ctx context.Context, w *World) error {
	wish := client.NewKey{Name: c.Name, Scopes: c.Scope, Models: c.Models}
	if c.Valid < 0 {
		return usagef("--valid must be above 0")
	}
	if c.Valid > 0 {
		wish.ExpiresAt = time.Now().Add(c.Valid + time.Second - 1).Unix() // whole seconds, none too few
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
		table := tabwriter.NewWriter(w.Out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "KEY\tNAME\tBEGINS\tSCOPES\tMODELS\tCREATED\tEXPIRES\tREVOKED")
		for _, k := range list {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Name, k.Hint, strings.Join(k.Scopes, ","), cmp.Or(strings.Join(k.Models, ","), "all"),
				clock(k.CreatedAt), clock(k.ExpiresAt), clock(k.RevokedAt))
		}
		return table.Flush()
	})
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
