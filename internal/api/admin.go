package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/unireel/unireel/internal/account"
	"github.com/unireel/unireel/internal/checkout"
	"github.com/unireel/unireel/internal/credit"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/money"
	"github.com/unireel/unireel/internal/store"
)

// list is a whole list, for the operator.
type list[T any] struct {
	Data []T `json:"data"`
}

// accountBody is an account as the operator sees it.
type accountBody struct {
	ID        string  `json:"id"`
	Name      string  `json:"name"`
	Weight    int64   `json:"weight"`
	Cap       int64   `json:"cap"`
	CreatedAt int64   `json:"created_at"` // unix seconds
	Balance   balance `json:"balance"`
}

func (a *API) accountBody(c *call, acct account.Account) (accountBody, error) {
	b, err := a.Store.Balance(c.ctx(), acct.ID)
	if err != nil {
		return accountBody{}, fmt.Errorf("read balance of %s: %w", acct.ID, err)
	}

	return accountBody{ID: acct.ID, Name: acct.Name, Weight: acct.Weight, Cap: acct.Cap, CreatedAt: acct.CreatedAt / 1000, Balance: a.balance(b)}, nil
}

// openAccount is POST /admin/v1/accounts.
func (a *API) openAccount(c *call) error {
	asked := struct {
		Name   string `json:"name"`
		Weight int64  `json:"weight"`
		Cap    int64  `json:"cap"`
		Credit string `json:"credit"`
	}{Weight: 1, Credit: "0"}
	if err := c.decode(&asked); err != nil {
		return err
	}

	opening, err := amount("credit", asked.Credit)
	if err != nil {
		return err
	}

	acct, err := a.Checkout.OpenAccount(c.ctx(), asked.Name, asked.Weight, asked.Cap, opening)
	if err != nil {
		return err
	}

	body, err := a.accountBody(c, acct)
	if err != nil {
		return err
	}

	return c.json(http.StatusOK, body)
}

// listAccounts is GET /admin/v1/accounts.
func (a *API) listAccounts(c *call) error {
	all, err := a.Store.Accounts(c.ctx())
	if err != nil {
		return fmt.Errorf("list accounts: %w", err)
	}

	answer := list[accountBody]{Data: []accountBody{}}

	for _, acct := range all {
		body, err := a.accountBody(c, acct)
		if err != nil {
			return err
		}

		answer.Data = append(answer.Data, body)
	}

	return c.json(http.StatusOK, answer)
}

// keyBody is an API key as the operator sees it; Secret only at its making.
// Times are unix seconds.
type keyBody struct {
	ID        string          `json:"id"`
	Account   string          `json:"account"`
	Name      string          `json:"name"`
	Hint      string          `json:"hint"`
	Scopes    []account.Scope `json:"scopes"`
	Models    []string        `json:"models"` // empty: all
	CreatedAt int64           `json:"created_at"`
	ExpiresAt *int64          `json:"expires_at"`
	RevokedAt *int64          `json:"revoked_at"`
	Secret    string          `json:"secret,omitempty"`
	keyLimitsBody
}

func keyBodyOf(k account.Key) keyBody {
	return keyBody{ID: k.ID, Account: k.Account, Name: k.Name, Hint: k.Hint, Scopes: k.Scopes, Models: append([]string{}, k.Models...), CreatedAt: k.CreatedAt / 1000, ExpiresAt: stamp(k.ExpiresAt), RevokedAt: stamp(k.RevokedAt), keyLimitsBody: keyLimitsBodyOf(k)}
}

// maxTime bounds a time in unix seconds, so that its milliseconds fit.
const maxTime = 1 << 40

// issueKey is POST /admin/v1/accounts/{id}/keys.
func (a *API) issueKey(c *call) error {
	var asked struct {
		Name      string          `json:"name"`
		Scopes    []account.Scope `json:"scopes"`
		Models    []string        `json:"models"`
		ExpiresAt int64           `json:"expires_at"`
		Secret    string          `json:"secret"`

		BudgetDay   maybe[string] `json:"budget_day"`
		BudgetMonth maybe[string] `json:"budget_month"`
		RateCreate  maybe[string] `json:"rate_create"`
		RateRead    maybe[string] `json:"rate_read"`
	}
	if err := c.decode(&asked); err != nil {
		return err
	}

	limits, err := keyLimitsAsked{asked.BudgetDay, asked.BudgetMonth, asked.RateCreate, asked.RateRead}.read()
	if err != nil {
		return err
	}

	if f := checkTime(asked.ExpiresAt); f != nil {
		return f
	}

	k, secret, err := a.Checkout.IssueKey(c.ctx(), checkout.KeyOrder{
		Account: c.r.PathValue("id"), Name: asked.Name, Scopes: asked.Scopes, Models: asked.Models, ExpiresAt: asked.ExpiresAt * 1000, Secret: asked.Secret, KeyLimits: limits,
	})
	if err != nil {
		return err
	}

	body := keyBodyOf(k)
	body.Secret = secret

	return c.json(http.StatusOK, body)
}

func checkTime(expires int64) *fault.Fault {
	if expires < 0 || expires > maxTime {
		return fault.New(fault.CodeInvalidValue, "expires_at", "This is a time in unix seconds; 0 or nothing is never.")
	}

	return nil
}

// account finds an account by id or name.
func (a *API) account(c *call, name string) (account.Account, error) {
	acct, err := a.Store.Account(c.ctx(), name)
	if errors.Is(err, store.ErrNotFound) {
		return acct, fault.New(fault.CodeNoAccount, "account", "There is no account of this id or name.")
	}

	if err != nil {
		return acct, fmt.Errorf("read account: %w", err)
	}

	return acct, nil
}

// listKeys is GET /admin/v1/accounts/{id}/keys, revoked ones too.
func (a *API) listKeys(c *call) error {
	acct, err := a.account(c, c.r.PathValue("id"))
	if err != nil {
		return err
	}

	keys, err := a.Store.Keys(c.ctx(), acct.ID)
	if err != nil {
		return fmt.Errorf("list keys: %w", err)
	}

	answer := list[keyBody]{Data: []keyBody{}}

	for _, k := range keys {
		body, err := a.keyBody(c, k)
		if err != nil {
			return err
		}

		answer.Data = append(answer.Data, body)
	}

	return c.json(http.StatusOK, answer)
}

// revokeKey is DELETE /admin/v1/keys/{id}. Once it answers, the key opens
// nothing on this instance.
func (a *API) revokeKey(c *call) error {
	k, err := a.Checkout.RevokeKey(c.ctx(), c.r.PathValue("id"))
	if err != nil {
		return err
	}

	a.keys.forget()

	return c.json(http.StatusOK, keyBodyOf(k))
}

// grantCredit is POST /admin/v1/accounts/{id}/credit.
func (a *API) grantCredit(c *call) error {
	var asked struct {
		Amount string `json:"amount"`
		Ref    string `json:"ref"`
	}
	if err := c.decode(&asked); err != nil {
		return err
	}

	sum, err := amount("amount", asked.Amount)
	if err != nil {
		return err
	}

	if asked.Ref == "" {
		return fault.New(fault.CodeMissingField, "ref", "Say what the credit is for, such as an invoice: the same ref grants once, however often it is sent.")
	}

	b, err := a.Checkout.Grant(c.ctx(), c.r.PathValue("id"), sum, asked.Ref)
	if err != nil {
		return err
	}

	return c.json(http.StatusOK, a.balance(b))
}

// entryBody is one line of the ledger.
type entryBody struct {
	ID     string      `json:"id"`
	Task   string      `json:"task"`
	Kind   credit.Kind `json:"kind"`
	Amount string      `json:"amount"`
	Ref    string      `json:"ref"`
	At     int64       `json:"at"` // unix seconds
}

// listEntries is GET /admin/v1/accounts/{id}/entries, newest first.
func (a *API) listEntries(c *call) error {
	query := c.r.URL.Query()

	limit, wrong := limitOf(query)
	if wrong != nil {
		return wrong
	}

	acct, err := a.account(c, c.r.PathValue("id"))
	if err != nil {
		return err
	}

	entries, err := a.Store.Entries(c.ctx(), acct.ID, query.Get("after"), limit)
	if err != nil {
		return fmt.Errorf("list entries: %w", err)
	}

	return c.json(http.StatusOK, list[entryBody]{Data: entryBodies(entries)})
}

func entryBodies(entries []credit.Entry) []entryBody {
	bodies := make([]entryBody, 0, len(entries))
	for _, e := range entries {
		bodies = append(bodies, entryBody{ID: e.ID, Task: e.Task, Kind: e.Kind, Amount: e.Amount.String(), Ref: e.Ref, At: e.At / 1000})
	}

	return bodies
}

// amount reads a decimal string, or names the field it stood in.
func amount(param, text string) (money.Amount, error) {
	a, err := money.Parse(text)
	if err != nil {
		return 0, fault.New(fault.CodeInvalidValue, param, "An amount is a decimal in a string, like \"10.00\", with at most six places.").Because(err)
	}

	return a, nil
}

// decode reads the operator's JSON strictly into v. An empty body leaves v as it
// is.
func (c *call) decode(v any) error {
	body, err := c.body()
	if err != nil {
		return err
	}

	root, err := parseJSON(orEmptyObject(body))
	if err != nil {
		return err
	}

	if root.kind != jsonObject {
		return fault.New(fault.CodeWrongJSONType, "", "The body must be a JSON object; it is "+root.kind.String()+".")
	}

	d := json.NewDecoder(strings.NewReader(string(orEmptyObject(body))))
	d.DisallowUnknownFields()
	err = d.Decode(v)

	var mistyped *json.UnmarshalTypeError
	switch {
	case err == nil, errors.Is(err, io.EOF):
		return nil
	case errors.As(err, &mistyped):
		return fault.New(fault.CodeWrongJSONType, mistyped.Field, fmt.Sprintf("This should be %s.", mistyped.Type)).Because(err)
	}

	if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		name := strings.Trim(field, `"`)
		return fault.New(fault.CodeUnknownField, brief(name), fmt.Sprintf("There is no field `%s` here.", brief(name)))
	}

	return fault.New(fault.CodeMalformedBody, "", "The body cannot be read.").Because(err)
}

func orEmptyObject(body []byte) []byte {
	if len(strings.TrimSpace(string(body))) == 0 {
		return []byte("{}")
	}

	return body
}
