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
	operatorFlags
	Actor  string        `name:"actor" placeholder:"WHO" help:"Only changes made with this key (its id), or by \"operator (local)\": anyone who may open the data folder."`
	Action string        `name:"action" placeholder:"WHAT" help:"Only this kind of change: account.open, key.issue, key.revoke, credit.grant, upstream.add, upstream.pause, task.cancel, ..."`
	Object string        `name:"object" placeholder:"ID" help:"Only changes of this account, key, task or upstream."`
	Since  time.Duration `name:"since" placeholder:"TIME" help:"Only changes that are not older than this, such as 24h."`
	After  string        `name:"after" placeholder:"ID" help:"Start after the entry with this id."`
	Limit  int           `name:"limit" default:"20" placeholder:"N" help:"The number of entries, at most 100."`
}

// Help returns a description and examples.
func (auditCmd) Help() string {
	return "Every change that an operator makes is recorded permanently: who, what and when. The newest is first.\n\nExamples:\n\n  unireel audit --since 24h\n\n  unireel audit --action credit.grant --json"
}

// Run prints the audit log.
func (c *auditCmd) Run(ctx context.Context, env *Env) error {
	f := client.AuditFilter{
		Actor:  c.Actor,
		Action: c.Action,
		Object: c.Object,
		After:  c.After,
		Limit:  c.Limit,
	}
	if c.Since > 0 {
		f.Since = time.Now().Add(-c.Since).Unix()
	}

	return c.withAdmin(ctx, env, func(admin client.Admin) error {
		page, err := admin.Audit(ctx, f)
		if err != nil {
			return err
		}

		if c.JSON {
			return env.printJSON(page)
		}

		table := tabwriter.NewWriter(env.Out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "AT\tACTOR\tACTION\tOBJECT\tDETAIL")

		for _, l := range page.Data {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", formatTime(l.At), l.Actor, l.Action, l.Object, formatDetail(l.Detail))
		}

		if err := table.Flush(); err != nil || !page.HasMore {
			return err
		}

		_, err = fmt.Fprintf(env.Err, "  There is more: --after %s\n", page.Data[len(page.Data)-1].ID)

		return err
	})
}

// formatDetail formats an entry's details on one line, sorted by name.
func formatDetail(detail map[string]any) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(detail)) {
		list = append(list, fmt.Sprintf("%s=%v", name, detail[name]))
	}

	return strings.Join(list, " ")
}
