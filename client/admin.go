package client

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/url"
	"strconv"
)

// Admin is the operator's side of the API. It is reached with a key of the scope
// admin, or through the data folder's socket (see WithUnixSocket) without one. Every
// change leaves a line in the audit log.
type Admin struct{ c *Client }

// Admin gives the operator's calls.
func (c *Client) Admin() Admin { return Admin{c} }

// Account is one payer. CreatedAt is in unix seconds.
type Account struct {
	ID        string  `json:"id"`
	Name      string  `json:"name"`
	Weight    int64   `json:"weight"` // share in the fair order; 1 is normal
	Cap       int64   `json:"cap"`    // tasks running at once; 0 is no cap
	CreatedAt int64   `json:"created_at"`
	Balance   Balance `json:"balance"`
}

// NewAccount is what an account is made from.
type NewAccount struct {
	Name   string `json:"name"`
	Weight int64  `json:"weight,omitempty"`
	Cap    int64  `json:"cap,omitempty"`
	Credit string `json:"credit,omitempty"` // a decimal; "" is none
}

// CreateAccount makes an account.
func (a Admin) CreateAccount(ctx context.Context, n NewAccount) (Account, error) {
	var made Account
	return made, a.post(ctx, "/admin/v1/accounts", n, &made)
}

// ChangeAccount changes an account's share in the fair order and its cap; nil leaves
// it. What waits follows at once.
func (a Admin) ChangeAccount(ctx context.Context, account string, weight, limit *int64) (Account, error) {
	var changed Account

	body := struct {
		Weight *int64 `json:"weight,omitempty"`
		Cap    *int64 `json:"cap,omitempty"`
	}{weight, limit}

	return changed, a.patch(ctx, "/admin/v1/accounts/"+url.PathEscape(account), body, &changed)
}

// Accounts lists the accounts with their balances.
func (a Admin) Accounts(ctx context.Context) ([]Account, error) {
	var list struct {
		Data []Account `json:"data"`
	}

	err := a.c.get(ctx, "/admin/v1/accounts", nil, &list)

	return list.Data, err
}

// APIKey is one API key. Times are unix seconds, 0 for never.
type APIKey struct {
	ID        string   `json:"id"`
	Account   string   `json:"account"`
	Name      string   `json:"name"`
	Hint      string   `json:"hint"` // the first letters of the secret
	Scopes    []string `json:"scopes"`
	Models    []string `json:"models"` // that it may ask for; none is all
	CreatedAt int64    `json:"created_at"`
	ExpiresAt int64    `json:"expires_at"`
	RevokedAt int64    `json:"revoked_at"`
	Secret    string   `json:"secret,omitempty"` // only in the answer to CreateKey

	BudgetDay   string              `json:"budget_day"` // a decimal, the most that it may spend a day (UTC); "" is no bound
	BudgetMonth string              `json:"budget_month"`
	RateCreate  string              `json:"rate_create"` // the most orders, such as "10/s"; "" is the server's
	RateRead    string              `json:"rate_read"`   // of all other requests
	Spending    map[string]Spending `json:"spending"`    // of each budget, "day" and "month"
}

// Spending is what a key spent of a budget. Amounts are decimals.
type Spending struct {
	Spent    string `json:"spent"`
	Held     string `json:"held"` // of tasks that are not final yet
	Left     string `json:"left"`
	Currency string `json:"currency"`
	RenewsAt int64  `json:"renews_at"` // unix seconds
}

// NewKey is what a key is made from.
type NewKey struct {
	Name      string   `json:"name"`
	Scopes    []string `json:"scopes,omitempty"`     // "read", "write", "admin"; none is the first two
	Models    []string `json:"models,omitempty"`     // ids and family names that it may ask for; none is all
	ExpiresAt int64    `json:"expires_at,omitempty"` // unix seconds; 0 is never

	BudgetDay   string `json:"budget_day,omitempty"` // a decimal, the most that it may spend a day (UTC); "" is no bound
	BudgetMonth string `json:"budget_month,omitempty"`
	RateCreate  string `json:"rate_create,omitempty"` // the most orders, such as "10/s"; "" is the server's
	RateRead    string `json:"rate_read,omitempty"`   // of all other requests
}

// CreateKey makes a key for an account, named by id or name. Its secret is shown
// this once.
func (a Admin) CreateKey(ctx context.Context, account string, n NewKey) (APIKey, error) {
	var made APIKey
	return made, a.post(ctx, accountPath(account, "keys"), n, &made)
}

// KeyChange is what shall be different of a key, by the names of its JSON: "name",
// "models", "expires_at", "budget_day", "budget_month", "rate_create", "rate_read". nil
// takes a bound away.
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

	err := a.c.get(ctx, accountPath(account, "keys"), nil, &list)

	return list.Data, err
}

// RevokeKey ends a key at once.
func (a Admin) RevokeKey(ctx context.Context, id string) error {
	_, _, err := a.c.ask(ctx, call{method: http.MethodDelete, path: "/admin/v1/keys/" + url.PathEscape(id), safe: true}, nil)
	return err
}

// Grant gives an account credit, a decimal. ref makes it happen once: the same
// ref again changes nothing, so a grant whose answer was lost is sent again. "" is a
// random one.
func (a Admin) Grant(ctx context.Context, account, amount, ref string) (Balance, error) {
	if ref == "" {
		ref = "random-" + rand.Text()
	}

	call, err := jsonCall(http.MethodPost, accountPath(account, "credit"), map[string]string{"amount": amount, "ref": ref})
	if err != nil {
		return Balance{}, err
	}

	call.safe = true

	var b Balance

	_, _, err = a.c.ask(ctx, call, &b)

	return b, err
}

// Entry is one line of an account's ledger.
type Entry struct {
	ID     string `json:"id"`
	Task   string `json:"task"`
	Kind   string `json:"kind"` // grant, hold, capture, release
	Amount string `json:"amount"`
	Ref    string `json:"ref"`
	At     int64  `json:"at"` // unix seconds
}

// Entries lists an account's newest ledger lines.
func (a Admin) Entries(ctx context.Context, account string, limit int) ([]Entry, error) {
	var list struct {
		Data []Entry `json:"data"`
	}

	query := url.Values{"limit": {strconv.Itoa(limit)}}
	err := a.c.get(ctx, accountPath(account, "entries"), query, &list)

	return list.Data, err
}

// Upstream is how an account at a supplier stands.
type Upstream struct {
	Name        string         `json:"name"`
	Provider    string         `json:"provider"`
	Models      []string       `json:"models"`
	InProgress  int64          `json:"in_progress"`
	Waiting     int64          `json:"waiting"`
	Limits      UpstreamLimits `json:"limits"`
	Order       int            `json:"order"`
	Weight      int            `json:"weight"`
	Wish        string         `json:"wish"`         // "", "paused", "draining", "removed"
	Added       bool           `json:"added"`        // while a server ran: it is in no file
	ParkedUntil int64          `json:"parked_until"` // unix seconds; 0 is not parked
	Gate        string         `json:"gate"`         // "open", or why nothing is submitted
	LastError   string         `json:"last_error"`
}

// UpstreamLimits are what a supplier account takes for one model.
type UpstreamLimits struct {
	SubmitsPerSecond float64 `json:"submits_per_second"`
	InProgress       int     `json:"in_progress"`
	QueriesPerSecond float64 `json:"queries_per_second"`
}

// Upstreams lists them.
func (a Admin) Upstreams(ctx context.Context) ([]Upstream, error) {
	var list struct {
		Data []Upstream `json:"data"`
	}

	err := a.c.get(ctx, "/admin/v1/upstreams", nil, &list)

	return list.Data, err
}

// NewUpstream is what an upstream is made from while the server runs. The key is
// given by one of APIKey, APIKeyEnv and APIKeyFile; the last two are looked up on
// each server's own host.
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

// NewLimits are the limits of a new upstream; 0 leaves the server's.
type NewLimits struct {
	SubmitsPerSecond float64 `json:"submits_per_second,omitempty"`
	InProgress       int     `json:"in_progress,omitempty"`
	QueriesPerSecond float64 `json:"queries_per_second,omitempty"`
}

// NewRoute says what a new upstream serves of our models (docs/config.md).
type NewRoute struct {
	Models []string `json:"models,omitempty"`
	As     string   `json:"as,omitempty"`
	Lacks  []string `json:"lacks,omitempty"`
}

// AddUpstream adds an upstream to the running servers.
func (a Admin) AddUpstream(ctx context.Context, n NewUpstream) (Upstream, error) {
	var made Upstream
	return made, a.post(ctx, "/admin/v1/upstreams", n, &made)
}

// PauseUpstream stops submissions to an upstream; what waits for it goes on waiting.
func (a Admin) PauseUpstream(ctx context.Context, name string) (Upstream, error) {
	return a.wishUpstream(ctx, http.MethodPost, name, "/pause")
}

// ResumeUpstream takes up again what was paused, drained or parked.
func (a Admin) ResumeUpstream(ctx context.Context, name string) (Upstream, error) {
	return a.wishUpstream(ctx, http.MethodPost, name, "/resume")
}

// DrainUpstream lets what is in progress end and takes nothing new; what waits goes
// another way where there is one.
func (a Admin) DrainUpstream(ctx context.Context, name string) (Upstream, error) {
	return a.wishUpstream(ctx, http.MethodPost, name, "/drain")
}

// RemoveUpstream drains an upstream that was added, and forgets it when nothing of
// it is in progress.
func (a Admin) RemoveUpstream(ctx context.Context, name string) (Upstream, error) {
	return a.wishUpstream(ctx, http.MethodDelete, name, "")
}

func (a Admin) wishUpstream(ctx context.Context, method, name, part string) (Upstream, error) {
	var u Upstream

	_, _, err := a.c.ask(ctx, call{method: method, path: "/admin/v1/upstreams/" + url.PathEscape(name) + part, safe: true}, &u)

	return u, err
}

// Check is one thing that was looked at.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
	Fix    string `json:"fix"` // what to do when it is not ok
}

// TestUpstream asks a supplier whether it would serve us; nothing is ordered.
func (a Admin) TestUpstream(ctx context.Context, name string) (Check, error) {
	var check Check
	return check, a.post(ctx, "/admin/v1/upstreams/"+url.PathEscape(name)+"/test", nil, &check)
}

// Health is what doctor found.
type Health struct {
	OK     bool    `json:"ok"`
	Checks []Check `json:"checks"`
}

// Doctor looks the installation over: ledger, tasks, blobs, upstreams.
func (a Admin) Doctor(ctx context.Context) (Health, error) {
	var h Health

	err := a.c.get(ctx, "/admin/v1/doctor", nil, &h)

	return h, err
}

func accountPath(account, part string) string {
	return "/admin/v1/accounts/" + url.PathEscape(account) + "/" + part
}

// patch sends a change; sent twice it does what it does once.
func (a Admin) patch(ctx context.Context, path string, body, v any) error {
	call, err := jsonCall(http.MethodPatch, path, body)
	if err != nil {
		return err
	}

	_, _, err = a.c.ask(ctx, call, v)

	return err
}

// post sends a body that is not safe to send twice.
func (a Admin) post(ctx context.Context, path string, body, v any) error {
	call, err := jsonCall(http.MethodPost, path, body)
	if err != nil {
		return err
	}

	_, _, err = a.c.ask(ctx, call, v)

	return err
}
