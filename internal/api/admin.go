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

// listBody is a complete list, for the operator.
type listBody[T any] struct {
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

func (a *API) accountBody(c *requestContext, acct account.Account) (accountBody, error) {
	b, err := a.Store.Balance(c.ctx(), acct.ID)
	if err != nil {
		return accountBody{}, fmt.Errorf("read balance of %s: %w", acct.ID, err)
	}

	return accountBody{
		ID:        acct.ID,
		Name:      acct.Name,
		Weight:    acct.Weight,
		Cap:       acct.Cap,
		CreatedAt: acct.CreatedAt / 1000,
		Balance:   a.balance(b),
	}, nil
}

// createAccount is POST /admin/v1/accounts.
func (a *API) createAccount(c *requestContext) error {
	req := struct {
		Name   string `json:"name"`
		Weight int64  `json:"weight"`
		Cap    int64  `json:"cap"`
		Credit string `json:"credit"`
	}{Weight: 1, Credit: "0"}
	if err := c.decode(&req); err != nil {
		return err
	}

	opening, err := amount("credit", req.Credit)
	if err != nil {
		return err
	}

	acct, err := a.Checkout.CreateAccount(c.ctx(), req.Name, req.Weight, req.Cap, opening)
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
func (a *API) listAccounts(c *requestContext) error {
	all, err := a.Store.Accounts(c.ctx())
	if err != nil {
		return fmt.Errorf("list accounts: %w", err)
	}

	response := listBody[accountBody]{Data: []accountBody{}}

	for _, acct := range all {
		body, err := a.accountBody(c, acct)
		if err != nil {
			return err
		}

		response.Data = append(response.Data, body)
	}

	return c.json(http.StatusOK, response)
}

// keyBody is an API key as the operator sees it. Secret is set only in the response that
// creates the key. Times are unix seconds.
type keyBody struct {
	ID        string          `json:"id"`
	Account   string          `json:"account"`
	Name      string          `json:"name"`
	Hint      string          `json:"hint"`
	Scopes    []account.Scope `json:"scopes"`
	Models    []string        `json:"models"` // empty means all
	CreatedAt int64           `json:"created_at"`
	ExpiresAt *int64          `json:"expires_at"`
	RevokedAt *int64          `json:"revoked_at"`
	Secret    string          `json:"secret,omitempty"`
	keyLimitsBody
}

func keyBodyOf(k account.Key) keyBody {
	return keyBody{
		ID:            k.ID,
		Account:       k.Account,
		Name:          k.Name,
		Hint:          k.Hint,
		Scopes:        k.Scopes,
		Models:        append([]string{}, k.Models...),
		CreatedAt:     k.CreatedAt / 1000,
		ExpiresAt:     unixSeconds(k.ExpiresAt),
		RevokedAt:     unixSeconds(k.RevokedAt),
		keyLimitsBody: keyLimitsBodyOf(k),
	}
}

// maxTime bounds a time in unix seconds, so that its milliseconds fit an int64.
const maxTime = 1 << 40

// createKey is POST /admin/v1/accounts/{id}/keys.
func (a *API) createKey(c *requestContext) error {
	var req struct {
		Name      string          `json:"name"`
		Scopes    []account.Scope `json:"scopes"`
		Models    []string        `json:"models"`
		ExpiresAt int64           `json:"expires_at"`
		Secret    string          `json:"secret"`

		BudgetDay   optional[string] `json:"budget_day"`
		BudgetMonth optional[string] `json:"budget_month"`
		RateCreate  optional[string] `json:"rate_create"`
		RateRead    optional[string] `json:"rate_read"`
	}
	if err := c.decode(&req); err != nil {
		return err
	}

	limits, err := keyLimitsRequest{req.BudgetDay, req.BudgetMonth, req.RateCreate, req.RateRead}.parse()
	if err != nil {
		return err
	}

	if f := checkTime(req.ExpiresAt); f != nil {
		return f
	}

	k, secret, err := a.Checkout.CreateKey(c.ctx(), checkout.CreateKeyRequest{
		Account:   c.req.PathValue("id"),
		Name:      req.Name,
		Scopes:    req.Scopes,
		Models:    req.Models,
		ExpiresAt: req.ExpiresAt * 1000,
		Secret:    req.Secret,
		KeyLimits: limits,
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
		return fault.New(fault.CodeInvalidValue, "expires_at", "This must be a time in unix seconds; 0 or no value means never.")
	}

	return nil
}

// account finds an account by id or name.
func (a *API) account(c *requestContext, name string) (account.Account, error) {
	acct, err := a.Store.Account(c.ctx(), name)
	if errors.Is(err, store.ErrNotFound) {
		return acct, fault.New(fault.CodeAccountNotFound, "account", "There is no account with this id or name.")
	}

	if err != nil {
		return acct, fmt.Errorf("read account: %w", err)
	}

	return acct, nil
}

// listKeys is GET /admin/v1/accounts/{id}/keys. The list includes revoked keys.
func (a *API) listKeys(c *requestContext) error {
	acct, err := a.account(c, c.req.PathValue("id"))
	if err != nil {
		return err
	}

	keys, err := a.Store.Keys(c.ctx(), acct.ID)
	if err != nil {
		return fmt.Errorf("list keys: %w", err)
	}

	response := listBody[keyBody]{Data: []keyBody{}}

	for _, k := range keys {
		body, err := a.keyBody(c, k)
		if err != nil {
			return err
		}

		response.Data = append(response.Data, body)
	}

	return c.json(http.StatusOK, response)
}

// revokeKey is DELETE /admin/v1/keys/{id}. Once it has responded, this instance does not
// accept the key any more.
func (a *API) revokeKey(c *requestContext) error {
	k, err := a.Checkout.RevokeKey(c.ctx(), c.req.PathValue("id"))
	if err != nil {
		return err
	}

	a.keys.invalidate()

	return c.json(http.StatusOK, keyBodyOf(k))
}

// grantCredit is POST /admin/v1/accounts/{id}/credit.
func (a *API) grantCredit(c *requestContext) error {
	var req struct {
		Amount string `json:"amount"`
		Ref    string `json:"ref"`
	}
	if err := c.decode(&req); err != nil {
		return err
	}

	sum, err := amount("amount", req.Amount)
	if err != nil {
		return err
	}

	if req.Ref == "" {
		return fault.New(fault.CodeMissingField, "ref", "Say what the credit is for, such as an invoice number: the same ref grants credit only once, however often it is sent.")
	}

	b, err := a.Checkout.Grant(c.ctx(), c.req.PathValue("id"), sum, req.Ref)
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
func (a *API) listEntries(c *requestContext) error {
	query := c.req.URL.Query()

	limit, limitFault := limitOf(query)
	if limitFault != nil {
		return limitFault
	}

	acct, err := a.account(c, c.req.PathValue("id"))
	if err != nil {
		return err
	}

	entries, err := a.Store.Entries(c.ctx(), acct.ID, query.Get("after"), limit)
	if err != nil {
		return fmt.Errorf("list entries: %w", err)
	}

	return c.json(http.StatusOK, listBody[entryBody]{Data: entryBodies(entries)})
}

func entryBodies(entries []credit.Entry) []entryBody {
	bodies := make([]entryBody, 0, len(entries))
	for _, e := range entries {
		bodies = append(bodies, entryBody{ID: e.ID, Task: e.Task, Kind: e.Kind, Amount: e.Amount.String(), Ref: e.Ref, At: e.At / 1000})
	}

	return bodies
}

// amount parses a decimal string; its error names the field.
func amount(param, text string) (money.Amount, error) {
	a, err := money.Parse(text)
	if err != nil {
		return 0, fault.New(fault.CodeInvalidValue, param, "An amount is a decimal in a string, like \"10.00\", with at most six digits after the point.").WithCause(err)
	}

	return a, nil
}

// decode parses the operator's JSON body into v and refuses unknown fields. An empty body
// leaves v unchanged.
func (c *requestContext) decode(v any) error {
	body, err := c.body()
	if err != nil {
		return err
	}

	root, err := parseJSON(orEmptyObject(body))
	if err != nil {
		return err
	}

	if root.kind != jsonObject {
		return fault.New(fault.CodeWrongType, "", "The body must be a JSON object; it is "+root.kind.String()+".")
	}

	d := json.NewDecoder(strings.NewReader(string(orEmptyObject(body))))
	d.DisallowUnknownFields()
	err = d.Decode(v)

	var mistyped *json.UnmarshalTypeError
	switch {
	case err == nil, errors.Is(err, io.EOF):
		return nil
	case errors.As(err, &mistyped):
		return fault.New(fault.CodeWrongType, mistyped.Field, fmt.Sprintf("This should be %s.", mistyped.Type)).WithCause(err)
	}

	if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		name := strings.Trim(field, `"`)
		return fault.New(fault.CodeUnknownField, truncateName(name), fmt.Sprintf("There is no field `%s` here.", truncateName(name)))
	}

	return fault.New(fault.CodeMalformedBody, "", "The body cannot be read.").WithCause(err)
}

func orEmptyObject(body []byte) []byte {
	if len(strings.TrimSpace(string(body))) == 0 {
		return []byte("{}")
	}

	return body
}
