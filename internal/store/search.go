package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/unireel/unireel/internal/task"
)

// SearchFilter says which tasks of all accounts to list, including deleted ones;
// "" matches any.
type SearchFilter struct {
	Account  string
	State    task.State
	Model    string // as requested or as resolved
	Upstream string // of the latest attempt
	After    string // the id after which the page starts
	Limit    int
}

// SearchTasks lists tasks of all accounts, newest first. more reports whether
// others follow the page. It may read many rows: it is for an operator and not
// for the path of a task.
func (r Reader) SearchTasks(ctx context.Context, f SearchFilter) (list []task.Task, more bool, err error) {
	var (
		where []string
		args  []any
	)

	addCondition := func(text, value string) {
		if value != "" {
			args = append(args, value)
			where = append(where, strings.ReplaceAll(text, "?", fmt.Sprintf("$%d", len(args))))
		}
	}
	addCondition("account = ?", f.Account)
	addCondition("state = ?", string(f.State))
	addCondition("(model = ? OR resolved_model = ?)", f.Model)
	addCondition("(upstream = ? OR SUBSTR(upstream, 1, LENGTH(?) + 1) = ? || '@')", f.Upstream) // the renderer of a replica is name@owner
	addCondition("id < ?", f.After)

	text := "SELECT " + taskColumns + " FROM task"
	if len(where) > 0 {
		text += " WHERE " + strings.Join(where, " AND ")
	}

	args = append(args, f.Limit+1)

	list, err = queryAll(ctx, r.q, scanTask, fmt.Sprintf("%s ORDER BY id DESC LIMIT $%d", text, len(args)), args...)
	if more = len(list) > f.Limit; more {
		list = list[:f.Limit]
	}

	return list, more, err
}
