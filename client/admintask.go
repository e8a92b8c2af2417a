package client

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"strconv"
)

// AuditLine is one entry of the audit log: a change that an operator made.
type AuditLine struct {
	ID     string         `json:"id"`
	At     int64          `json:"at"`     // unix seconds
	Actor  string         `json:"actor"`  // the id of the key, or "operator (local)"
	Action string         `json:"action"` // such as "credit.grant"
	Object string         `json:"object"` // the id, or for an upstream the name, of what was changed
	Detail map[string]any `json:"detail"`
}

// AuditFilter selects entries of the audit log. Fields with the zero value do not filter.
type AuditFilter struct {
	Actor  string
	Action string
	Object string
	Since  int64  // unix seconds
	After  string // the page starts after the entry with this id
	Limit  int    // 1 to 100; 0 means 20
}

// AuditPage is one page of the audit log, newest first.
type AuditPage struct {
	Data    []AuditLine `json:"data"`
	HasMore bool        `json:"has_more"`
}

// Audit lists the changes that operators made.
func (a Admin) Audit(ctx context.Context, f AuditFilter) (AuditPage, error) {
	query := pageQuery(f.After, f.Limit, "actor", f.Actor, "action", f.Action, "object", f.Object)
	if f.Since > 0 {
		query.Set("since", strconv.FormatInt(f.Since, 10))
	}

	var page AuditPage

	return page, a.c.getJSON(ctx, "/admin/v1/audit", query, &page)
}

// pageQuery returns the query for one page. filters are pairs of a name and a value;
// pairs with an empty value are left out.
func pageQuery(after string, limit int, filters ...string) url.Values {
	query := url.Values{"limit": {strconv.Itoa(cmp.Or(limit, 20))}}

	for filters = append(filters, "after", after); len(filters) > 1; filters = filters[2:] {
		if filters[1] != "" {
			query.Set(filters[0], filters[1])
		}
	}

	return query
}

// OperatorTask is a task of any account as an operator sees it. Times are unix seconds,
// 0 means not yet; amounts are decimals in Currency.
type OperatorTask struct {
	ID                string       `json:"id"`
	Account           string       `json:"account"`
	Key               string       `json:"key"`
	State             string       `json:"state"` // "preparing", "queued", "submitting", "running", "collecting", "completed", "failed", "cancelled"
	Model             string       `json:"model"`
	ResolvedModel     string       `json:"resolved_model"`
	Size              string       `json:"size"`
	Seconds           int64        `json:"seconds"`
	Preview           bool         `json:"preview"`
	Queue             string       `json:"queue"`     // names the routes that may serve the task
	Upstream          string       `json:"upstream"`  // of the latest attempt
	RemoteID          string       `json:"remote_id"` // the upstream's id for the task
	Attempt           int64        `json:"attempt"`   // number of submissions so far
	Retries           int64        `json:"retries"`
	Progress          int64        `json:"progress"` // 0-100
	Hold              string       `json:"hold"`
	Cost              string       `json:"cost"`
	Currency          string       `json:"currency"`
	CreatedAt         int64        `json:"created_at"`
	SubmittedAt       int64        `json:"submitted_at"`
	StartedAt         int64        `json:"started_at"`
	RenderedAt        int64        `json:"rendered_at"`
	CompletedAt       int64        `json:"completed_at"`
	CancelRequestedAt int64        `json:"cancel_requested_at"`
	DeletedAt         int64        `json:"deleted_at"` // by its customer
	Error             *ErrorDetail `json:"error"`
}

// OperatorTaskFilter selects tasks. Empty fields do not filter.
type OperatorTaskFilter struct {
	Account  string // id or name
	State    string
	Model    string // as requested or as billed
	Upstream string // of the latest attempt
	After    string // the page starts after the entry with this id
	Limit    int    // 1 to 100; 0 means 20
}

// OperatorTaskPage is one page of tasks, newest first.
type OperatorTaskPage struct {
	Data    []OperatorTask `json:"data"`
	HasMore bool           `json:"has_more"`
}

// Tasks lists the tasks of all accounts, including deleted ones.
func (a Admin) Tasks(ctx context.Context, f OperatorTaskFilter) (OperatorTaskPage, error) {
	query := pageQuery(f.After, f.Limit, "account", f.Account, "state", f.State, "model", f.Model, "upstream", f.Upstream)

	var page OperatorTaskPage

	return page, a.c.getJSON(ctx, "/admin/v1/tasks", query, &page)
}

// TaskDetail is a task with its submissions, events and ledger entries.
type TaskDetail struct {
	OperatorTask
	Prompt   string        `json:"prompt"`
	Attempts []TaskAttempt `json:"attempts"`
	Events   []TaskEvent   `json:"events"`
	Entries  []Entry       `json:"entries"`
}

// TaskAttempt is one submission of a task. Times are unix seconds; 0 means never.
type TaskAttempt struct {
	N           int64  `json:"n"`
	Upstream    string `json:"upstream"`
	Model       string `json:"model"` // the supplier's name of the model
	SentAt      int64  `json:"sent_at"`
	UncertainAt int64  `json:"uncertain_at"` // when the response was lost
	RequestID   string `json:"request_id"`   // the supplier's
	RemoteID    string `json:"remote_id"`
	Outcome     string `json:"outcome"` // "accepted", "not_accepted", "uncertain", "recovered", "unknown"; "" while it is open
}

// TaskEvent is one change of a task's state. Note has details that customers never see.
type TaskEvent struct {
	Seq   int64  `json:"seq"`
	State string `json:"state"`
	Note  string `json:"note"`
	At    int64  `json:"at"` // unix seconds
}

// Task returns a task of any account with everything that is stored about it except the
// video.
func (a Admin) Task(ctx context.Context, id string) (TaskDetail, error) {
	var detail TaskDetail
	return detail, a.c.getJSON(ctx, "/admin/v1/tasks/"+url.PathEscape(id), nil, &detail)
}

// CancelTask requests the cancellation of a task of any account, as its customer could.
func (a Admin) CancelTask(ctx context.Context, id string) (OperatorTask, error) {
	var t OperatorTask

	_, _, err := a.c.doJSON(ctx, apiRequest{method: http.MethodPost, path: "/admin/v1/tasks/" + url.PathEscape(id) + "/cancel", idempotent: true}, &t)

	return t, err
}

// ModelRoutes lists the routes of a model in one mode, in the order in which they are
// tried.
type ModelRoutes struct {
	Model  string  `json:"model"`
	Mode   string  `json:"mode"` // "r2v", "i2v", "t2v"
	Routes []Route `json:"routes"`
}

// Route is one route of a model, with the state of its upstream.
type Route struct {
	Upstream      string   `json:"upstream"`
	Provider      string   `json:"provider"`
	SupplierModel string   `json:"supplier_model"` // the supplier's name of the model of the model
	Order         int      `json:"order"`          // routes with a lower order are tried first
	Weight        int      `json:"weight"`         // its share among the routes of the same order
	Unsupported   []string `json:"unsupported"`    // features that it cannot serve
	DesiredState  string   `json:"desired_state"`  // "", "paused", "draining", "removed"
	Submissions   string   `json:"submissions"`    // "open", or why nothing is submitted
}

// Routes lists every model's routes.
func (a Admin) Routes(ctx context.Context) ([]ModelRoutes, error) {
	var list struct {
		Data []ModelRoutes `json:"data"`
	}

	err := a.c.getJSON(ctx, "/admin/v1/routes", nil, &list)

	return list.Data, err
}

// ModelPrice is the price of a model, and how it was computed.
type ModelPrice struct {
	Model     string `json:"model"`
	PerSecond string `json:"per_second"` // what customers pay
	Currency  string `json:"currency"`
	Billing   string `json:"billing"`
	ListPrice string `json:"list_price"` // "" if the model's file has none in this currency
	Markup    string `json:"markup"`     // the list price was multiplied by it; "" for a price from the operator's price table
	Custom    bool   `json:"custom"`     // whether the price is from the operator's price table
}

// Prices lists every model's price.
func (a Admin) Prices(ctx context.Context) ([]ModelPrice, error) {
	var list struct {
		Data []ModelPrice `json:"data"`
	}

	err := a.c.getJSON(ctx, "/admin/v1/prices", nil, &list)

	return list.Data, err
}
