package app

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/unireel/unireel/internal/account"
	"github.com/unireel/unireel/internal/credit"
	"github.com/unireel/unireel/internal/money"
	"github.com/unireel/unireel/internal/store"
)

// The settings that the first start of an installation fixes.
const (
	metaCurrency   = "currency"
	metaLinkSecret = "link_secret"
)

// initInstallation reads the settings that the first start fixed; at the first start it
// stores them. It refuses a currency other than the first one, because the ledger's
// amounts are in that currency.
func initInstallation(ctx context.Context, s *store.Store, currency string) (linkSecret []byte, err error) {
	var random [32]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, fmt.Errorf("create the link secret: %w", err)
	}

	var storedCurrency, secret string

	err = s.Write(ctx, func(tx *store.Tx) (err error) {
		if storedCurrency, err = tx.EnsureMeta(ctx, metaCurrency, currency); err != nil {
			return err
		}

		secret, err = tx.EnsureMeta(ctx, metaLinkSecret, hex.EncodeToString(random[:]))

		return err
	})
	if err != nil {
		return nil, fmt.Errorf("initialize the installation: %w", err)
	}

	if storedCurrency != currency {
		return nil, fmt.Errorf("this installation has used the currency %s since its first start and cannot change to %s: set currency back (UNIREEL_CURRENCY=%s)", storedCurrency, currency, storedCurrency)
	}

	return hex.DecodeString(secret)
}

// errAccountExists reports that another server, started at the same time, created the
// first account.
var errAccountExists = errors.New("another server created the first account")

// bootstrapAccount creates the account "default" with credit and one key if there is no
// account yet. It returns the key's secret, which is not stored and cannot be shown again,
// or "" if there already was an account.
func (a *app) bootstrapAccount(ctx context.Context) (string, error) {
	s := a.store
	newID := a.ids.New
	secret := a.cfg.BootstrapKey.Reveal()
	amount := a.cfg.BootstrapCredit

	accounts, err := s.Accounts(ctx)
	if err != nil || len(accounts) > 0 {
		return "", err
	}

	grant, err := money.Parse(amount)
	if err != nil || grant < 0 {
		return "", fmt.Errorf("bootstrap_credit: want a decimal such as 100.00, not %q", amount)
	}

	if secret == "" {
		var random [32]byte
		if _, err := rand.Read(random[:]); err != nil {
			return "", fmt.Errorf("create the first key: %w", err)
		}

		secret = account.NewSecret(random)
	}

	at := time.Now().UnixMilli()
	defaultAccount := account.Account{ID: newID("acct"), Name: "default", Weight: 1, CreatedAt: at}
	key := account.Key{
		ID:        newID("key"),
		Account:   defaultAccount.ID,
		Name:      "first",
		Hash:      account.Hash(secret),
		Hint:      account.Hint(secret),
		Scopes:    account.CustomerScopes(),
		CreatedAt: at,
	}
	entry := credit.Entry{
		ID:      newID("entry"),
		Account: defaultAccount.ID,
		Kind:    credit.KindGrant,
		Amount:  grant,
		Ref:     "first start",
		At:      at,
	}

	// InsertAccount reports whether it inserted the row: of several servers that start on a
	// new database at the same time, one inserts the account and shows its key.
	err = s.Write(ctx, func(tx *store.Tx) error {
		ok, err := tx.InsertAccount(ctx, defaultAccount)
		if err != nil {
			return fmt.Errorf("insert the first account: %w", err)
		}

		if !ok {
			return errAccountExists
		}

		if ok, err := tx.InsertKey(ctx, key); err != nil || !ok {
			return errors.Join(errors.New("insert the first key"), err)
		}

		if grant == 0 {
			return nil
		}

		b, err := tx.LockBalance(ctx, defaultAccount.ID)
		if err != nil {
			return err
		}

		if b, err = credit.Grant(b, grant); err != nil {
			return err
		}

		return tx.SaveBalance(ctx, defaultAccount.ID, b, entry)
	})
	switch {
	case errors.Is(err, errAccountExists):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("create the first account: %w", err)
	}

	return secret, nil
}
