package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/unireel/unireel/client"
)

type auditCmd struct {
	operator
	Actor  string        `name:"actor" placeholder:"WHO" help:"Only what this key (by its id) did, or \"operator (local)\": whoever may open the data folder."`
	Action string        `name:"action" placeholder:"WHAT" help:"Only such changes: account.open, key.issue, key.revoke, credit.grant, upstream.add, upstream.pause, task.cancel, ..."`
	Object string        `name:"object" placeholder:"ID" help:"Only changes of this account, key, task or upstream."`
	Since  time.Duration `name:"since" placeholder:"TIME" help:"Only what is not older than this, such as 24h."`
	After  string        `name:"after" placeholder:"ID" help:"The page behind this line."`
	Limit  int           `name:"limit" default:"20" placeholder:"N" help:"How many lines, at most 100."`
}

// Help teaches by examples.
func (auditCmd) Help() string {
	return "Every change that an operator makes leaves a line, kept for good: who, what, when. Newest first.\n\nExamples:\n\n  unireel audit --since 24h\n\n  unireel audit --action credit.grant --json"
}

// Run shows it.
func (c *auditCmd) Run(ctx context.Context, w *World) error {
	f := client.AuditFilter{Actor: c.Actor, Action: c.Action, Object: c.Object, After: c.After, Limit: c.Limit}
	if c.Since > 0 {
		f.Since = time.Now().Add(-c.Since).Unix()
	}

	return c.with(ctx, w, func(admin client.Admin) error {
		page, err := admin.Audit(ctx, f)
		if err != nil {
			return err
		}

		if c.JSON {
			return w.printJSON(page)
		}

		table := tabwriter.NewWriter(w.Out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "AT\tACTOR\tACTION\tOBJECT\tDETAIL")

		for _, l := range page.Data {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", clock(l.At), l.Actor, l.Action, l.Object, pairs(l.Detail))
		}

		if err := table.Flush(); err != nil || !page.HasMore {
			return err
		}

		_, err = fmt.Fprintf(w.Err, "  There is more: --after %s\n", page.Data[len(page.Data)-1].ID)

		return err
	})
}

// pairs writes a line's detail in one line, by name.
func pairs(detail map[string]any) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(detail)) {
		list = append(list, fmt.Sprintf("%s=%v", name, detail[name]))
	}

	return strings.Join(list, " ")
}
