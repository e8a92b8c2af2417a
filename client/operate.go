package client

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"strconv"
)

// AuditLine is one change that an operator made.
type AuditLine struct {
	ID     string         `json:"id"`
	At     int64          `json:"at"`     // unix seconds
	Actor  string         `json:"actor"`  // a key's id, or "operator (local)"
	Action string         `json:"action"` // "credit.grant"
	Object string         `json:"object"` // the id, or an upstream's name, of what was changed
	Detail map[string]any `json:"detail"`
}

// AuditFilter says which lines to list; what is zero does not matter.
type AuditFilter struct {
	Actor  string
	Action string
	Object string
	Since  int64  // unix seconds
	After  string // the id after which the page starts
	Limit  int    // 1 to 100; 0 is 20
}

// AuditPage is one page of the audit log, newest first.
type AuditPage struct {
	Data    []AuditLine `json:"data"`
	HasMore bool        `json:"has_more"`
}

// Audit lists what operators changed.
func (a Admin) Audit(ctx context.Context, f AuditFilter) (AuditPage, error) {
	query := pageQuery(f.After, f.Limit, "actor", f.Actor, "action", f.Action, "object", f.Object)
	if f.Since > 0 {
		query.Set("since", strconv.FormatInt(f.Since, 10))
	}

	var page AuditPage

	return page, a.c.get(ctx, "/admin/v1/audit", query, &page)
}

// pageQuery asks for a page; pairs of a name and a value follow, of which empty
// values are left out.
func pageQuery(after string, limit int, pairs ...string) url.Values {
	query := url.Values{"limit": {strconv.Itoa(cmp.Or(limit, 20))}}

	for pairs = append(pairs, "after", after); len(pairs) > 1; pairs = pairs[2:] {
		if pairs[1] != "" {
			query.Set(pairs[0], pairs[1])
		}
	}

	return query
}

// OperatorTask is a task as an operator sees it, whoever's it is. Times are unix
// seconds, 0 for not yet; amounts are decimals in Currency.
type OperatorTask struct {
	ID                string `json:"id"`
	Account           string `json:"account"`
	Key               string `json:"key"`
	State             string `json:"state"` // "preparing", "queued", "submitting", "running", "collecting", "completed", "failed", "cancelled"
	Model             string `json:"model"`
	ResolvedModel     string `json:"resolved_model"`
	Size              string `json:"size"`
	Seconds           int64  `json:"seconds"`
	Preview           bool   `json:"preview"`
	Lane              string `json:"lane"`     // the routes that it may take
	Upstream          string `json:"upstream"` // of the latest attempt
	Ticket            string `json:"ticket"`   // the upstream's id for it
	Attempt           int64  `json:"attempt"`  // submissions so far
	Retries           int64  `json:"retries"`
	Progress          int64  `json:"progress"` // 0-100
	Hold              string `json:"hold"`
	Cost              string `json:"cost"`
	Currency          string `json:"currency"`
	CreatedAt         int64  `json:"created_at"`
	SubmittedAt       int64  `json:"submitted_at"`
	StartedAt         int64  `json:"started_at"`
	RenderedAt        int64  `json:"rendered_at"`
	CompletedAt       int64  `json:"completed_at"`
	CancelRequestedAt int64  `json:"cancel_requested_at"`
	DeletedAt         int64  `json:"deleted_at"` // by its customer
	Error             *Flaw  `json:"error"`
}

// OperatorTaskFilter says which tasks to list; what is empty does not matter.
type OperatorTaskFilter struct {
	Account  string // id or name
	State    string
	Model    string // as asked or as billed
	Upstream string // of the latest attempt
	After    string // the id after which the page starts
	Limit    int    // 1 to 100; 0 is 20
}

// OperatorTaskPage is one page of tasks, newest first.
type OperatorTaskPage struct {
	Data    []OperatorTask `json:"data"`
	HasMore bool           `json:"has_more"`
}

// Tasks lists tasks of all accounts, deleted ones too.
func (a Admin) Tasks(ctx context.Context, f OperatorTaskFilter) (OperatorTaskPage, error) {
	query := pageQuery(f.After, f.Limit, "account", f.Account, "state", f.State, "model", f.Model, "upstream", f.Upstream)

	var page OperatorTaskPage

	return page, a.c.get(ctx, "/admin/v1/tasks", query, &page)
}

// TaskStory is a task with its submissions, what happened to it, and its ledger lines.
type TaskStory struct {
	OperatorTask
	Prompt   string        `json:"prompt"`
	Attempts []TaskAttempt `json:"attempts"`
	Events   []TaskNote    `json:"events"`
	Entries  []Entry       `json:"entries"`
}

// TaskAttempt is one submission. Times are unix seconds, 0 for never.
type TaskAttempt struct {
	N         int64  `json:"n"`
	Upstream  string `json:"upstream"`
	Model     string `json:"model"` // the supplier's name
	SentAt    int64  `json:"sent_at"`
	LostAt    int64  `json:"lost_at"`    // when its answer was given up
	RequestID string `json:"request_id"` // the supplier's
	Ticket    string `json:"ticket"`
	Outcome   string `json:"outcome"` // "taken", "not taken", "unsure", "adopted", "unknown"; "" is open
}

// TaskNote is one thing that happened to a task; Note has the inside of it, which
// customers never see.
type TaskNote struct {
	Seq   int64  `json:"seq"`
	State string `json:"state"`
	Note  string `json:"note"`
	At    int64  `json:"at"` // unix seconds
}

// Task reads any task with all that is kept of it but its bytes.
func (a Admin) Task(ctx context.Context, id string) (TaskStory, error) {
	var story TaskStory
	return story, a.c.get(ctx, "/admin/v1/tasks/"+url.PathEscape(id), nil, &story)
}

// CancelTask wishes any task's end, as its customer could.
func (a Admin) CancelTask(ctx context.Context, id string) (OperatorTask, error) {
	var t OperatorTask

	_, _, err := a.c.ask(ctx, call{method: http.MethodPost, path: "/admin/v1/tasks/" + url.PathEscape(id) + "/cancel", safe: true}, &t)

	return t, err
}

// ModelRoutes is a model's ways to upstreams in one mode, the first first.
type ModelRoutes struct {
	Model  string  `json:"model"`
	Mode   string  `json:"mode"` // "r2v", "i2v", "t2v"
	Routes []Route `json:"routes"`
}

// Route is one of them, and how its upstream stands.
type Route struct {
	Upstream string   `json:"upstream"`
	Provider string   `json:"provider"`
	As       string   `json:"as"`     // the supplier's name of the model
	Order    int      `json:"order"`  // the lowest comes first
	Weight   int      `json:"weight"` // its share among those of the same order
	Lacks    []string `json:"lacks"`  // what it cannot do
	Wish     string   `json:"wish"`   // "", "paused", "draining", "removed"
	Gate     string   `json:"gate"`   // "open", or why nothing is submitted
}

// Routes lists every model's routes.
func (a Admin) Routes(ctx context.Context) ([]ModelRoutes, error) {
	var list struct {
		Data []ModelRoutes `json:"data"`
	}

	err := a.c.get(ctx, "/admin/v1/routes", nil, &list)

	return list.Data, err
}

// PriceOfModel is what a model costs, per second in Currency, and why.
type PriceOfModel struct {
	Model     string `json:"model"`
	PerSecond string `json:"per_second"` // what customers pay
	Currency  string `json:"currency"`
	Billing   string `json:"billing"`
	ListPrice string `json:"list_price"` // "" where the model's file has none in this currency
	Markup    string `json:"markup"`     // that the list price was multiplied by; "" for a price of the operator's own
	Own       bool   `json:"own"`        // from the operator's price table
}

// Prices lists every model's price.
func (a Admin) Prices(ctx context.Context) ([]PriceOfModel, error) {
	var list struct {
		Data []PriceOfModel `json:"data"`
	}

	err := a.c.get(ctx, "/admin/v1/prices", nil, &list)

	return list.Data, err
}
