package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/unireel/unireel/internal/task"
)

// Search says which tasks of all accounts to list, deleted ones too; "" is any.
type Search struct {
	Account  string
	State    task.State
	Model    string // as asked or resolved
	Upstream string // of the latest attempt
	After    string // the id after which the page starts
	Limit    int
}

// Search lists tasks of all accounts, newest first; more says whether there are
// others behind the page. It reads back as far as it must: it is for an operator,
// not for the path of a task.
func (r Reader) Search(ctx context.Context, f Search) (list []task.Task, more bool, err error) {
	var (
		where []string
		args  []any
	)

	is := func(text, value string) {
		if value != "" {
			args = append(args, value)
			where = append(where, strings.ReplaceAll(text, "?", fmt.Sprintf("$%d", len(args))))
		}
	}
	is("account = ?", f.Account)
	is("state = ?", string(f.State))
	is("(model = ? OR resolved = ?)", f.Model)
	is("(upstream = ? OR SUBSTR(upstream, 1, LENGTH(?) + 1) = ? || '@')", f.Upstream) // each replica's own renderer has its name and an @
	is("id < ?", f.After)

	text := "SELECT " + taskColumns + " FROM task"
	if len(where) > 0 {
		text += " WHERE " + strings.Join(where, " AND ")
	}

	args = append(args, f.Limit+1)

	list, err = collect(ctx, r.q, scanTask, fmt.Sprintf("%s ORDER BY id DESC LIMIT $%d", text, len(args)), args...)
	if more = len(list) > f.Limit; more {
		list = list[:f.Limit]
	}

	return list, more, err
}
