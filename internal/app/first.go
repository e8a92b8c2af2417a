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

// What an installation fixes at its first start.
const (
	metaCurrency   = "currency"
	metaLinkSecret = "link_secret"
)

// settle reads what the first start fixed, or fixes it now. Another currency
// than the first one is refused: the ledger's amounts are in that one.
func settle(ctx context.Context, s *store.Store, currency string) (linkSecret []byte, err error) {
	var random [32]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, fmt.Errorf("make the link secret: %w", err)
	}

	var was, secret string

	err = s.Write(ctx, func(tx *store.Tx) (err error) {
		if was, err = tx.KeepMeta(ctx, metaCurrency, currency); err != nil {
			return err
		}

		secret, err = tx.KeepMeta(ctx, metaLinkSecret, hex.EncodeToString(random[:]))

		return err
	})
	if err != nil {
		return nil, fmt.Errorf("settle the installation: %w", err)
	}

	if was != currency {
		return nil, fmt.Errorf("this installation counts in %s since its first start and cannot change to %s: set currency back (UNIREEL_CURRENCY=%s)", was, currency, was)
	}

	return hex.DecodeString(secret)
}

// errOtherFirst says that another server, started at the same time, made the
// first account.
var errOtherFirst = errors.New("the first account was made by another server")

// firstAccount makes the account "default" with credit and one key when there is
// no account yet. It returns the key's secret, shown this once, or "" when there
// was one already.
func (h *house) firstAccount(ctx context.Context) (string, error) {
	s := h.store
	newID := h.ids.New
	secret := h.cfg.BootstrapKey.Reveal()
	amount := h.cfg.BootstrapCredit

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
			return "", fmt.Errorf("make the first key: %w", err)
		}

		secret = account.NewSecret(random)
	}

	at := time.Now().UnixMilli()
	first := account.Account{ID: newID("acct"), Name: "default", Weight: 1, CreatedAt: at}
	key := account.Key{ID: newID("key"), Account: first.ID, Name: "first", Hash: account.Hash(secret), Hint: account.Hint(secret), Scopes: account.CustomerScopes(), CreatedAt: at}
	entry := credit.Entry{ID: newID("entry"), Account: first.ID, Kind: credit.KindGrant, Amount: grant, Ref: "first start", At: at}

	err = s.Write(ctx, func(tx *store.Tx) error {
		ok, err := tx.InsertAccount(ctx, first)
		if err != nil {
			return fmt.Errorf("insert the first account: %w", err)
		}

		if !ok {
			return errOtherFirst
		}

		if ok, err := tx.InsertKey(ctx, key); err != nil || !ok {
			return errors.Join(errors.New("insert the first key"), err)
		}

		if grant == 0 {
			return nil
		}

		b, err := tx.LockBalance(ctx, first.ID)
		if err != nil {
			return err
		}

		if b, err = credit.Grant(b, grant); err != nil {
			return err
		}

		return tx.SaveBalance(ctx, first.ID, b, entry)
	})
	switch {
	case errors.Is(err, errOtherFirst):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("make the first account: %w", err)
	}

	return secret, nil
}
