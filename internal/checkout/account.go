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

// Bounds of what an operator may set.
const (
	maxWeight = 1000
	maxCap    = 1_000_000
	maxRef    = 200 // bytes
	maxTitle  = 100 // bytes of a key's name
)

var accountForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@-]{0,62}$`)

// OpenAccount makes an account with a share in the fair order (weight, 1 is
// normal), a bound of tasks that run at once in one lane (0 is none), and an
// opening credit.
func (c *Checkout) OpenAccount(ctx context.Context, name string, weight, limit int64, opening money.Amount) (account.Account, error) {
	faults := checkShare(weight, limit)
	if !accountForm.MatchString(name) || strings.HasPrefix(name, "acct_") {
		faults = append(faults, *wrong("name", "A name has 1 to 63 letters, digits, dots, dashes, @ or underscores and does not begin with acct_."))
	}

	if opening < 0 {
		faults = append(faults, *wrong("credit", "The opening credit cannot be below zero."))
	}

	if f := fault.Join(faults); f != nil {
		return account.Account{}, f
	}

	a := account.Account{ID: c.NewID("acct"), Name: name, Weight: weight, Cap: limit, CreatedAt: c.millis()}
	grant := credit.Entry{ID: c.NewID("entry"), Account: a.ID, Kind: credit.KindGrant, Amount: opening, Ref: "opening", At: a.CreatedAt}
	line := c.audited("account.open", a.ID, map[string]any{"name": name, "weight": weight, "cap": limit, "credit": opening.String()})
	err := c.Store.Write(ctx, func(tx *store.Tx) error {
		fresh, err := tx.InsertAccount(ctx, a)
		if err != nil {
			return fmt.Errorf("insert account: %w", err)
		}

		if !fresh {
			return wrong("name", "There is an account of this name already.")
		}

		if opening != 0 {
			if _, err := c.grant(ctx, tx, grant); err != nil {
				return err
			}
		}

		return tx.NoteAudit(ctx, line)
	})

	return a, explain(err)
}

// audited is the line of the audit log about a change that is made now.
func (c *Checkout) audited(action, object string, detail map[string]any) store.AuditLine {
	return store.AuditLine{ID: c.NewID("audit"), At: c.millis(), Action: action, Object: object, Detail: detail}
}

// KeyOrder is what a new API key shall be.
type KeyOrder struct {
	Account   string          // id or name
	Name      string          // for people; "" is none
	Scopes    []account.Scope // none: a customer's
	Models    []string        // ids and family names that it may ask for; none: all
	ExpiresAt int64           // unix milliseconds; 0 is never
	Secret    string          // "": a random one
	KeyLimits
}

// IssueKey makes an API key and returns it with its secret, which is kept
// nowhere.
func (c *Checkout) IssueKey(ctx context.Context, o KeyOrder) (account.Key, string, error) {
	if f := c.checkKey(o); f != nil {
		return account.Key{}, "", f
	}

	a, err := c.account(ctx, o.Account)
	if err != nil {
		return account.Key{}, "", err
	}

	if o.Secret == "" {
		var random [32]byte
		if _, err := io.ReadFull(c.Random, random[:]); err != nil {
			return account.Key{}, "", fmt.Errorf("make secret: %w", err)
		}

		o.Secret = account.NewSecret(random)
	}

	if len(o.Scopes) == 0 {
		o.Scopes = account.CustomerScopes()
	}

	k := account.Key{
		ID: c.NewID("key"), Account: a.ID, Name: o.Name, Hash: account.Hash(o.Secret), Hint: account.Hint(o.Secret),
		Scopes: o.Scopes, Models: o.Models, CreatedAt: c.millis(), ExpiresAt: o.ExpiresAt,
	}
	o.give(&k)
	line := c.audited("key.issue", k.ID, keyDetail(k))
	err = c.Store.Write(ctx, func(tx *store.Tx) error {
		fresh, err := tx.InsertKey(ctx, k)
		if err != nil {
			return fmt.Errorf("insert key: %w", err)
		}

		if !fresh {
			return wrong("secret", "Another key has this secret already; choose another.")
		}

		return tx.NoteAudit(ctx, line)
	})

	return k, o.Secret, explain(err)
}

func (c *Checkout) checkKey(o KeyOrder) *fault.Fault {
	var faults []fault.Fault
	if len(o.Name) > maxTitle || !catalog.IsText(o.Name) || strings.ContainsFunc(o.Name, func(r rune) bool { return r < ' ' }) {
		faults = append(faults, *wrong("name", "A key's name has at most %d bytes and no control characters.", maxTitle))
	}

	for i, s := range o.Scopes {
		if !slices.Contains(account.Scopes(), s) {
			faults = append(faults, *wrong(fmt.Sprintf("scopes[%d]", i), "A scope is read, write or admin."))
		} else if slices.Index(o.Scopes, s) != i {
			faults = append(faults, *wrong(fmt.Sprintf("scopes[%d]", i), "This scope stands twice."))
		}
	}

	for i, name := range o.Models {
		if _, known := c.Catalog.Model(name); !known && !slices.Contains(c.Catalog.Families(), name) {
			faults = append(faults, *wrong(fmt.Sprintf("models[%d]", i), "There is no model or family %q; GET /v1/models lists them.", name))
		} else if slices.Index(o.Models, name) != i {
			faults = append(faults, *wrong(fmt.Sprintf("models[%d]", i), "This model stands twice."))
		}
	}

	if o.ExpiresAt != 0 && o.ExpiresAt <= c.millis() {
		faults = append(faults, *wrong("expires_at", "This time is past; give unix seconds that lie ahead, or leave it out."))
	}

	if o.Secret != "" && (len(o.Secret) < account.MinSecret || strings.ContainsFunc(o.Secret, func(r rune) bool { return r <= ' ' || r > '~' })) {
		faults = append(faults, *wrong("secret", "A secret has at least %d characters of ASCII and no spaces.", account.MinSecret))
	}

	return fault.Join(faults)
}

// account finds an account by id or name, or says that there is none.
func (c *Checkout) account(ctx context.Context, idOrName string) (account.Account, error) {
	a, err := c.Store.Account(ctx, idOrName)
	if errors.Is(err, store.ErrNotFound) {
		return a, fault.New(fault.CodeNoAccount, "account", "There is no account of this id or name.")
	}

	return a, explain(err)
}

// RevokeKey ends a key for good. Doing it again changes nothing.
func (c *Checkout) RevokeKey(ctx context.Context, id string) (account.Key, error) {
	var k account.Key

	line := c.audited("key.revoke", id, nil)

	err := c.Store.Write(ctx, func(tx *store.Tx) (err error) {
		var ended bool
		if k, ended, err = tx.RevokeKey(ctx, id, line.At); err != nil || !ended {
			return err
		}

		line.Detail = map[string]any{"account": k.Account, "name": k.Name}

		return tx.NoteAudit(ctx, line)
	})
	if errors.Is(err, store.ErrNotFound) {
		return k, noKey()
	}

	return k, explain(err)
}

// Grant gives an account credit, or takes free credit back when amount is below
// zero. A reference grants once for each account: again with the same amount it
// changes nothing. ref may be "": then every call grants.
func (c *Checkout) Grant(ctx context.Context, idOrName string, amount money.Amount, ref string) (credit.Balance, error) {
	if amount == 0 {
		return credit.Balance{}, wrong("amount", "The amount cannot be zero.")
	}

	if len(ref) > maxRef || !catalog.IsText(ref) {
		return credit.Balance{}, wrong("ref", "A reference has at most %d bytes, of UTF-8 and none of them NUL.", maxRef)
	}

	a, err := c.account(ctx, idOrName)
	if err != nil {
		return credit.Balance{}, err
	}

	e := credit.Entry{ID: c.NewID("entry"), Account: a.ID, Kind: credit.KindGrant, Amount: amount, Ref: ref, At: c.millis()}
	if e.Ref == "" {
		e.Ref = e.ID
	}

	line := c.audited("credit.grant", a.ID, map[string]any{"amount": amount.String(), "ref": e.Ref, "entry": e.ID})

	var b credit.Balance

	err = c.Store.Write(ctx, func(tx *store.Tx) error {
		fresh, err := c.grant(ctx, tx, e)
		if err == nil && fresh {
			err = tx.NoteAudit(ctx, line)
		}

		if err != nil {
			return err
		}

		b, err = tx.Balance(ctx, a.ID)

		return err
	})

	return b, explain(err)
}

// grant writes a grant; false says that its reference granted the same before.
func (c *Checkout) grant(ctx context.Context, tx *store.Tx, e credit.Entry) (bool, error) {
	b, err := tx.LockBalance(ctx, e.Account)
	if err != nil {
		return false, fmt.Errorf("balance of %s: %w", e.Account, err)
	}

	before, err := tx.GrantByRef(ctx, e.Account, e.Ref)
	switch {
	case err == nil && before.Amount == e.Amount:
		return false, nil
	case err == nil:
		return false, fault.New(fault.CodeConflict, "ref", fmt.Sprintf("This reference granted %s already; use a new one for another amount.", before.Amount))
	case !errors.Is(err, store.ErrNotFound):
		return false, fmt.Errorf("look up grant: %w", err)
	}

	next, err := credit.Grant(b, e.Amount)
	if errors.Is(err, credit.ErrInsufficient) {
		return false, wrong("amount", "Only %s is free and can be taken back.", b.Free())
	}

	if errors.Is(err, money.ErrOverflow) {
		return false, wrong("amount", "The balance would be larger than can be counted.")
	}

	if err != nil {
		return false, err
	}

	return true, tx.SaveBalance(ctx, e.Account, next, e)
}
