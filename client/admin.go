package client

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/url"
	"strconv"
)

// Admin is the operator's part of the API. It needs a key with the scope admin, or a
// connection through the data folder's socket (see WithUnixSocket), which needs no
// key. Every change is recorded in the audit log.
type Admin struct{ c *Client }

// Admin returns the operator's part of the API.
func (c *Client) Admin() Admin { return Admin{c} }

// Account is a customer that pays for tasks. CreatedAt is in unix seconds.
type Account struct {
	ID        string  `json:"id"`
	Name      string  `json:"name"`
	Weight    int64   `json:"weight"` // share of the capacity relative to other accounts; 1 is normal
	Cap       int64   `json:"cap"`    // most tasks that run at once; 0 means no cap
	CreatedAt int64   `json:"created_at"`
	Balance   Balance `json:"balance"`
}

// NewAccount describes an account to create.
type NewAccount struct {
	Name   string `json:"name"`
	Weight int64  `json:"weight,omitempty"`
	Cap    int64  `json:"cap,omitempty"`
	Credit string `json:"credit,omitempty"` // a decimal; "" means none
}

// CreateAccount creates an account.
func (a Admin) CreateAccount(ctx context.Context, n NewAccount) (Account, error) {
	var created Account
	return created, a.post(ctx, "/admin/v1/accounts", n, &created)
}

// ChangeAccount changes an account's weight and cap; nil leaves a value unchanged.
// The change applies at once, also to tasks that are already queued.
func (a Admin) ChangeAccount(ctx context.Context, account string, weight, limit *int64) (Account, error) {
	var changed Account

	body := struct {
		Weight *int64 `json:"weight,omitempty"`
		Cap    *int64 `json:"cap,omitempty"`
	}{weight, limit}

	return changed, a.patch(ctx, "/admin/v1/accounts/"+url.PathEscape(account), body, &changed)
}

// Accounts lists all accounts with their balances.
func (a Admin) Accounts(ctx context.Context) ([]Account, error) {
	var list struct {
		Data []Account `json:"data"`
	}

	err := a.c.getJSON(ctx, "/admin/v1/accounts", nil, &list)

	return list.Data, err
}

// APIKey is an API key. Times are unix seconds; 0 means never.
type APIKey struct {
	ID        string   `json:"id"`
	Account   string   `json:"account"`
	Name      string   `json:"name"`
	Hint      string   `json:"hint"` // the first characters of the secret
	Scopes    []string `json:"scopes"`
	Models    []string `json:"models"` // models that the key may use; empty means all
	CreatedAt int64    `json:"created_at"`
	ExpiresAt int64    `json:"expires_at"`
	RevokedAt int64    `json:"revoked_at"`
	Secret    string   `json:"secret,omitempty"` // set only in the response to CreateKey

	BudgetDay   string              `json:"budget_day"` // a decimal, the most that the key may spend per day (UTC); "" means no limit
	BudgetMonth string              `json:"budget_month"`
	RateCreate  string              `json:"rate_create"` // the highest rate of creates, such as "10/s"; "" means the server's default
	RateRead    string              `json:"rate_read"`   // the same for all other requests
	Spending    map[string]Spending `json:"spending"`    // by budget: "day" and "month"
}

// Spending is how much of a budget a key has used. Amounts are decimals.
type Spending struct {
	Spent    string `json:"spent"`
	Held     string `json:"held"` // for tasks that are not final yet
	Left     string `json:"left"`
	Currency string `json:"currency"`
	RenewsAt int64  `json:"renews_at"` // unix seconds
}

// NewKey describes a key to create.
type NewKey struct {
	Name      string   `json:"name"`
	Scopes    []string `json:"scopes,omitempty"`     // "read", "write", "admin"; empty means the first two
	Models    []string `json:"models,omitempty"`     // ids and family names of models that the key may use; empty means all
	ExpiresAt int64    `json:"expires_at,omitempty"` // unix seconds; 0 means never

	BudgetDay   string `json:"budget_day,omitempty"` // a decimal, the most that the key may spend per day (UTC); "" means no limit
	BudgetMonth string `json:"budget_month,omitempty"`
	RateCreate  string `json:"rate_create,omitempty"` // the highest rate of creates, such as "10/s"; "" means the server's default
	RateRead    string `json:"rate_read,omitempty"`   // the same for all other requests
}

// CreateKey creates a key for an account, which is given by its id or name. Only this
// response contains the key's secret.
func (a Admin) CreateKey(ctx context.Context, account string, n NewKey) (APIKey, error) {
	var created APIKey
	return created, a.post(ctx, accountPath(account, "keys"), n, &created)
}

// KeyChange maps the JSON names of the fields to change to their new values: "name",
// "models", "expires_at", "budget_day", "budget_month", "rate_create", "rate_read". nil
// removes a limit.
type KeyChange map[string]any

// ChangeKey changes a key.
func (a Admin) ChangeKey(ctx context.Context, id string, change KeyChange) (APIKey, error) {
	var k APIKey
	return k, a.patch(ctx, "/admin/v1/keys/"+url.PathEscape(id), change, &k)
}

// Keys lists an account's keys.
func (a Admin) Keys(ctx context.Context, account string) ([]APIKey, error) {
	var list struct {
		Data []APIKey `json:"data"`
	}

	err := a.c.getJSON(ctx, accountPath(account, "keys"), nil, &list)

	return list.Data, err
}

// RevokeKey revokes a key; it takes effect at once.
func (a Admin) RevokeKey(ctx context.Context, id string) error {
	_, _, err := a.c.doJSON(ctx, apiRequest{method: http.MethodDelete, path: "/admin/v1/keys/" + url.PathEscape(id), idempotent: true}, nil)
	return err
}

// Grant adds credit, a decimal, to an account. ref makes the grant idempotent: a second
// grant with the same ref changes nothing, so the client repeats a grant whose response
// was lost. If ref is "", a random one is used.
func (a Admin) Grant(ctx context.Context, account, amount, ref string) (Balance, error) {
	if ref == "" {
		ref = "random-" + rand.Text()
	}

	req, err := newJSONRequest(http.MethodPost, accountPath(account, "credit"), map[string]string{"amount": amount, "ref": ref})
	if err != nil {
		return Balance{}, err
	}

	req.idempotent = true

	var b Balance

	_, _, err = a.c.doJSON(ctx, req, &b)

	return b, err
}

// Entry is one entry of an account's ledger.
type Entry struct {
	ID     string `json:"id"`
	Task   string `json:"task"`
	Kind   string `json:"kind"` // grant, hold, capture, release
	Amount string `json:"amount"`
	Ref    string `json:"ref"`
	At     int64  `json:"at"` // unix seconds
}

// Entries lists an account's newest ledger entries.
func (a Admin) Entries(ctx context.Context, account string, limit int) ([]Entry, error) {
	var list struct {
		Data []Entry `json:"data"`
	}

	query := url.Values{"limit": {strconv.Itoa(limit)}}
	err := a.c.getJSON(ctx, accountPath(account, "entries"), query, &list)

	return list.Data, err
}

// Upstream is an account at a supplier, and its current state.
type Upstream struct {
	Name           string         `json:"name"`
	Provider       string         `json:"provider"`
	Models         []string       `json:"models"`
	InProgress     int64          `json:"in_progress"`
	Waiting        int64          `json:"waiting"`
	Limits         UpstreamLimits `json:"limits"`
	Order          int            `json:"order"`
	Weight         int            `json:"weight"`
	DesiredState   string         `json:"desired_state"`   // "", "paused", "draining", "removed"
	Added          bool           `json:"added"`           // through the API while a server ran; it is in no configuration file
	SuspendedUntil int64          `json:"suspended_until"` // unix seconds; 0 means not suspended
	Submissions    string         `json:"submissions"`     // "open", or the reason why nothing is submitted
	LastError      string         `json:"last_error"`
}

// UpstreamLimits are the limits of a supplier account for one model.
type UpstreamLimits struct {
	SubmitsPerSecond float64 `json:"submits_per_second"`
	InProgress       int     `json:"in_progress"`
	QueriesPerSecond float64 `json:"queries_per_second"`
}

// Upstreams lists all upstreams.
func (a Admin) Upstreams(ctx context.Context) ([]Upstream, error) {
	var list struct {
		Data []Upstream `json:"data"`
	}

	err := a.c.getJSON(ctx, "/admin/v1/upstreams", nil, &list)

	return list.Data, err
}

// NewUpstream describes an upstream to add while the server runs. One of APIKey,
// APIKeyEnv and APIKeyFile gives the supplier's key; each server reads the last two on
// its own host.
type NewUpstream struct {
	Name       string            `json:"name"`
	Provider   string            `json:"provider"`
	BaseURL    string            `json:"base_url,omitempty"`
	APIKey     string            `json:"api_key,omitempty"`
	APIKeyEnv  string            `json:"api_key_env,omitempty"`
	APIKeyFile string            `json:"api_key_file,omitempty"`
	Region     string            `json:"region,omitempty"`
	Workspace  string            `json:"workspace,omitempty"`
	Settings   map[string]string `json:"settings,omitempty"`
	Models     []string          `json:"models,omitempty"`
	Order      int               `json:"order,omitempty"`
	Weight     int               `json:"weight,omitempty"`
	Limits     *NewLimits        `json:"limits,omitempty"`
	Routes     []NewRoute        `json:"routes,omitempty"`
}

// NewLimits are the limits of a new upstream; 0 means the server's default.
type NewLimits struct {
	SubmitsPerSecond float64 `json:"submits_per_second,omitempty"`
	InProgress       int     `json:"in_progress,omitempty"`
	QueriesPerSecond float64 `json:"queries_per_second,omitempty"`
}

// NewRoute says which of Unireel's models a new upstream serves (docs/config.md).
type NewRoute struct {
	Models        []string `json:"models,omitempty"`
	SupplierModel string   `json:"supplier_model,omitempty"`
	Unsupported   []string `json:"unsupported,omitempty"`
}

// AddUpstream adds an upstream to the running servers.
func (a Admin) AddUpstream(ctx context.Context, n NewUpstream) (Upstream, error) {
	var created Upstream
	return created, a.post(ctx, "/admin/v1/upstreams", n, &created)
}

// PauseUpstream stops submissions to an upstream. Tasks that wait for it keep waiting.
func (a Admin) PauseUpstream(ctx context.Context, name string) (Upstream, error) {
	return a.setDesiredState(ctx, http.MethodPost, name, "/pause")
}

// ResumeUpstream starts submissions again to an upstream that was paused, drained or
// suspended.
func (a Admin) ResumeUpstream(ctx context.Context, name string) (Upstream, error) {
	return a.setDesiredState(ctx, http.MethodPost, name, "/resume")
}

// DrainUpstream stops submissions to an upstream and lets the tasks in progress there
// finish. Tasks that wait for it use another route if there is one.
func (a Admin) DrainUpstream(ctx context.Context, name string) (Upstream, error) {
	return a.setDesiredState(ctx, http.MethodPost, name, "/drain")
}

// RemoveUpstream drains an upstream that was added through the API, and removes it once
// none of its tasks is in progress.
func (a Admin) RemoveUpstream(ctx context.Context, name string) (Upstream, error) {
	return a.setDesiredState(ctx, http.MethodDelete, name, "")
}

func (a Admin) setDesiredState(ctx context.Context, method, name, action string) (Upstream, error) {
	var u Upstream

	_, _, err := a.c.doJSON(ctx, apiRequest{method: method, path: "/admin/v1/upstreams/" + url.PathEscape(name) + action, idempotent: true}, &u)

	return u, err
}

// Check is the result of one check.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
	Fix    string `json:"fix"` // what to do if OK is false
}

// TestUpstream checks that a supplier answers and accepts the key. It submits no task.
func (a Admin) TestUpstream(ctx context.Context, name string) (Check, error) {
	var check Check
	return check, a.post(ctx, "/admin/v1/upstreams/"+url.PathEscape(name)+"/test", nil, &check)
}

// Health is the result of all checks.
type Health struct {
	OK     bool    `json:"ok"`
	Checks []Check `json:"checks"`
}

// Doctor checks the installation: ledger, tasks, blobs and upstreams.
func (a Admin) Doctor(ctx context.Context) (Health, error) {
	var h Health

	err := a.c.getJSON(ctx, "/admin/v1/doctor", nil, &h)

	return h, err
}

func accountPath(account, part string) string {
	return "/admin/v1/accounts/" + url.PathEscape(account) + "/" + part
}

// patch sends a change. Changes are idempotent, so they may be retried.
func (a Admin) patch(ctx context.Context, path string, body, v any) error {
	req, err := newJSONRequest(http.MethodPatch, path, body)
	if err != nil {
		return err
	}

	_, _, err = a.c.doJSON(ctx, req, v)

	return err
}

// post sends a request that is not safe to repeat.
func (a Admin) post(ctx context.Context, path string, body, v any) error {
	req, err := newJSONRequest(http.MethodPost, path, body)
	if err != nil {
		return err
	}

	_, _, err = a.c.doJSON(ctx, req, v)

	return err
}
