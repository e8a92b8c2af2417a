package checkout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/unireel/unireel/internal/account"
	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/credit"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/money"
	"github.com/unireel/unireel/internal/store"
)

// Limits of what an operator may set.
const (
	maxWeight   = 1000
	maxCap      = 1_000_000
	maxGrantRef = 200 // bytes
	maxKeyName  = 100 // bytes of a key's name
)

var accountNamePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@-]{0,62}$`)

// CreateAccount creates an account with a weight in the fair order (1 is normal), a limit
// of tasks that run at once in one queue (0: none), and an opening credit.
func (c *Checkout) CreateAccount(ctx context.Context, name string, weight, limit int64, opening money.Amount) (account.Account, error) {
	faults := validateShare(weight, limit)
	if !accountNamePattern.MatchString(name) || strings.HasPrefix(name, "acct_") {
		faults = append(faults, *invalid("name", "A name has 1 to 63 letters, digits, dots, dashes, @ or underscores and does not begin with acct_."))
	}

	if opening < 0 {
		faults = append(faults, *invalid("credit", "The opening credit must not be negative."))
	}

	if f := fault.Join(faults); f != nil {
		return account.Account{}, f
	}

	a := account.Account{ID: c.NewID("acct"), Name: name, Weight: weight, Cap: limit, CreatedAt: c.millis()}
	grant := credit.Entry{ID: c.NewID("entry"), Account: a.ID, Kind: credit.KindGrant, Amount: opening, Ref: "opening", At: a.CreatedAt}
	line := c.newAuditLine("account.open", a.ID, map[string]any{"name": name, "weight": weight, "cap": limit, "credit": opening.String()})
	err := c.Store.Write(ctx, func(tx *store.Tx) error {
		inserted, err := tx.InsertAccount(ctx, a)
		if err != nil {
			return fmt.Errorf("insert account: %w", err)
		}

		if !inserted {
			return invalid("name", "An account with this name already exists; choose another name.")
		}

		if opening != 0 {
			if _, err := c.grant(ctx, tx, grant); err != nil {
				return err
			}
		}

		return tx.InsertAuditEntry(ctx, line)
	})

	return a, toFault(err)
}

// newAuditLine returns an audit log entry for a change made now.
func (c *Checkout) newAuditLine(action, object string, detail map[string]any) store.AuditEntry {
	return store.AuditEntry{ID: c.NewID("audit"), At: c.millis(), Action: action, Object: object, Detail: detail}
}

// CreateKeyRequest describes a new API key.
type CreateKeyRequest struct {
	Account   string          // id or name
	Name      string          // for people; "": none
	Scopes    []account.Scope // empty: those of a customer
	Models    []string        // ids and family names that the key may use; empty: all
	ExpiresAt int64           // unix milliseconds; 0: never
	Secret    string          // "": generate a random one
	KeyLimits
}

// CreateKey creates an API key and returns it with its secret. The secret is not stored.
func (c *Checkout) CreateKey(ctx context.Context, req CreateKeyRequest) (account.Key, string, error) {
	if f := c.validateKey(req); f != nil {
		return account.Key{}, "", f
	}

	a, err := c.account(ctx, req.Account)
	if err != nil {
		return account.Key{}, "", err
	}

	if req.Secret == "" {
		var random [32]byte
		if _, err := io.ReadFull(c.Random, random[:]); err != nil {
			return account.Key{}, "", fmt.Errorf("make secret: %w", err)
		}

		req.Secret = account.NewSecret(random)
	}

	if len(req.Scopes) == 0 {
		req.Scopes = account.CustomerScopes()
	}

	k := account.Key{
		ID:        c.NewID("key"),
		Account:   a.ID,
		Name:      req.Name,
		Hash:      account.Hash(req.Secret),
		Hint:      account.Hint(req.Secret),
		Scopes:    req.Scopes,
		Models:    req.Models,
		CreatedAt: c.millis(),
		ExpiresAt: req.ExpiresAt,
	}
	req.apply(&k)
	line := c.newAuditLine("key.issue", k.ID, keyDetail(k))
	err = c.Store.Write(ctx, func(tx *store.Tx) error {
		inserted, err := tx.InsertKey(ctx, k)
		if err != nil {
			return fmt.Errorf("insert key: %w", err)
		}

		if !inserted {
			return invalid("secret", "Another key already has this secret; choose another one.")
		}

		return tx.InsertAuditEntry(ctx, line)
	})

	return k, req.Secret, toFault(err)
}

func (c *Checkout) validateKey(req CreateKeyRequest) *fault.Fault {
	var faults []fault.Fault
	if len(req.Name) > maxKeyName || !catalog.IsText(req.Name) || strings.ContainsFunc(req.Name, func(r rune) bool { return r < ' ' }) {
		faults = append(faults, *invalid("name", "A key's name has at most %d bytes and no control characters.", maxKeyName))
	}

	for i, s := range req.Scopes {
		if !slices.Contains(account.Scopes(), s) {
			faults = append(faults, *invalid(fmt.Sprintf("scopes[%d]", i), "A scope is read, write or admin."))
		} else if slices.Index(req.Scopes, s) != i {
			faults = append(faults, *invalid(fmt.Sprintf("scopes[%d]", i), "This scope is listed twice; remove one."))
		}
	}

	for i, name := range req.Models {
		if _, known := c.Catalog.Model(name); !known && !slices.Contains(c.Catalog.Families(), name) {
			faults = append(faults, *invalid(fmt.Sprintf("models[%d]", i), "There is no model or family %q; GET /v1/models lists them.", name))
		} else if slices.Index(req.Models, name) != i {
			faults = append(faults, *invalid(fmt.Sprintf("models[%d]", i), "This model is listed twice; remove one."))
		}
	}

	if req.ExpiresAt != 0 && req.ExpiresAt <= c.millis() {
		faults = append(faults, *invalid("expires_at", "This time is in the past; give a later time in unix seconds, or leave it out."))
	}

	if req.Secret != "" && (len(req.Secret) < account.MinSecretLength || strings.ContainsFunc(req.Secret, func(r rune) bool { return r <= ' ' || r > '~' })) {
		faults = append(faults, *invalid("secret", "A secret has at least %d printable ASCII characters and no spaces.", account.MinSecretLength))
	}

	return fault.Join(faults)
}

// account finds an account by id or name; if there is none, it returns a fault.
func (c *Checkout) account(ctx context.Context, idOrName string) (account.Account, error) {
	a, err := c.Store.Account(ctx, idOrName)
	if errors.Is(err, store.ErrNotFound) {
		return a, fault.New(fault.CodeAccountNotFound, "account", "There is no account with this id or name.")
	}

	return a, toFault(err)
}

// RevokeKey revokes a key permanently. Revoking it again changes nothing.
func (c *Checkout) RevokeKey(ctx context.Context, id string) (account.Key, error) {
	var k account.Key

	line := c.newAuditLine("key.revoke", id, nil)

	err := c.Store.Write(ctx, func(tx *store.Tx) (err error) {
		var revoked bool
		if k, revoked, err = tx.RevokeKey(ctx, id, line.At); err != nil || !revoked {
			return err
		}

		line.Detail = map[string]any{"account": k.Account, "name": k.Name}

		return tx.InsertAuditEntry(ctx, line)
	})
	if errors.Is(err, store.ErrNotFound) {
		return k, keyNotFound()
	}

	return k, toFault(err)
}

// Grant gives an account credit; a negative amount takes free credit back. A reference
// grants only once for each account: a repetition with the same amount changes nothing,
// one with another amount is a fault. If ref is "", every call grants.
func (c *Checkout) Grant(ctx context.Context, idOrName string, amount money.Amount, ref string) (credit.Balance, error) {
	if amount == 0 {
		return credit.Balance{}, invalid("amount", "The amount cannot be zero.")
	}

	if len(ref) > maxGrantRef || !catalog.IsText(ref) {
		return credit.Balance{}, invalid("ref", "A reference has at most %d bytes of UTF-8 and no NUL character.", maxGrantRef)
	}

	a, err := c.account(ctx, idOrName)
	if err != nil {
		return credit.Balance{}, err
	}

	e := credit.Entry{ID: c.NewID("entry"), Account: a.ID, Kind: credit.KindGrant, Amount: amount, Ref: ref, At: c.millis()}
	if e.Ref == "" {
		e.Ref = e.ID
	}

	line := c.newAuditLine("credit.grant", a.ID, map[string]any{"amount": amount.String(), "ref": e.Ref, "entry": e.ID})

	var b credit.Balance

	err = c.Store.Write(ctx, func(tx *store.Tx) error {
		granted, err := c.grant(ctx, tx, e)
		if err == nil && granted {
			err = tx.InsertAuditEntry(ctx, line)
		}

		if err != nil {
			return err
		}

		b, err = tx.Balance(ctx, a.ID)

		return err
	})

	return b, toFault(err)
}

// grant writes a grant. It returns false if the same reference already granted the same
// amount.
func (c *Checkout) grant(ctx context.Context, tx *store.Tx, e credit.Entry) (bool, error) {
	// The lock comes before the look-up: of two concurrent grants with one reference, the
	// second sees the entry of the first.
	b, err := tx.LockBalance(ctx, e.Account)
	if err != nil {
		return false, fmt.Errorf("balance of %s: %w", e.Account, err)
	}

	earlier, err := tx.GrantByRef(ctx, e.Account, e.Ref)
	switch {
	case err == nil && earlier.Amount == e.Amount:
		return false, nil
	case err == nil:
		return false, fault.New(fault.CodeConflictingFields, "ref", fmt.Sprintf("This reference already granted %s; use a new one for another amount.", earlier.Amount))
	case !errors.Is(err, store.ErrNotFound):
		return false, fmt.Errorf("look up grant: %w", err)
	}

	next, err := credit.Grant(b, e.Amount)
	if errors.Is(err, credit.ErrInsufficient) {
		return false, invalid("amount", "Only %s is free and can be taken back.", b.Free())
	}

	if errors.Is(err, money.ErrOverflow) {
		return false, invalid("amount", "The balance would exceed the largest possible amount.")
	}

	if err != nil {
		return false, err
	}

	return true, tx.SaveBalance(ctx, e.Account, next, e)
}
