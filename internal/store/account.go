package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/unireel/unireel/internal/account"
)

// Meta reads a value of the installation ("currency", "link_secret", ...), or
// ErrNotFound.
func (r Reader) Meta(ctx context.Context, key string) (string, error) {
	return queryOne(ctx, r.q, func(s scanner) (v string, err error) { return v, s.Scan(&v) },
		"SELECT value FROM meta WHERE key = $1", key)
}

// EnsureMeta writes a value if there is none yet, and returns the stored one.
func (tx *Tx) EnsureMeta(ctx context.Context, key, value string) (string, error) {
	if _, err := tx.exec(ctx, "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING", key, value); err != nil {
		return "", fmt.Errorf("save meta %s: %w", key, err)
	}

	return tx.Meta(ctx, key)
}

const accountColumns = "id, name, weight, cap, created_at"

func scanAccount(s scanner) (a account.Account, err error) {
	return a, s.Scan(&a.ID, &a.Name, &a.Weight, &a.Cap, &a.CreatedAt)
}

// Account reads one account by its id or name, or ErrNotFound.
func (r Reader) Account(ctx context.Context, idOrName string) (account.Account, error) {
	return queryOne(ctx, r.q, scanAccount, "SELECT "+accountColumns+" FROM account WHERE id = $1 OR name = $1 ORDER BY id = $1 DESC LIMIT 1", idOrName)
}

// Accounts lists all accounts, oldest first.
func (r Reader) Accounts(ctx context.Context) ([]account.Account, error) {
	return queryAll(ctx, r.q, scanAccount, "SELECT "+accountColumns+" FROM account ORDER BY id")
}

// InsertAccount adds an account with an empty balance. It returns false if the
// name is taken.
func (tx *Tx) InsertAccount(ctx context.Context, a account.Account) (bool, error) {
	n, err := tx.exec(ctx, "INSERT INTO account ("+accountColumns+") VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
		a.ID, a.Name, a.Weight, a.Cap, a.CreatedAt)
	if err != nil || n == 0 {
		return false, err
	}

	_, err = tx.exec(ctx, "INSERT INTO balance (account, granted, spent, held) VALUES ($1, 0, 0, 0)", a.ID)

	return err == nil, err
}

const keyColumns = "id, account, name, hash, hint, scopes, created_at, expires_at, revoked_at, models, budget_day, budget_month, rate_create, rate_read"

func scanKey(s scanner) (k account.Key, err error) {
	var scopes, models, createRate, readRate string

	err = s.Scan(&k.ID, &k.Account, &k.Name, &k.Hash, &k.Hint, &scopes, &k.CreatedAt, &k.ExpiresAt, &k.RevokedAt, &models, &k.Budget.Day, &k.Budget.Month, &createRate, &readRate)
	if err != nil {
		return k, err
	}

	k.Models = strings.Fields(models)
	for scope := range strings.SplitSeq(scopes, " ") {
		k.Scopes = append(k.Scopes, account.Scope(scope))
	}

	var err2 error

	k.CreateRate, err = account.ParseRate(createRate)
	k.ReadRate, err2 = account.ParseRate(readRate)

	return k, errors.Join(err, err2)
}

// KeyByHash finds a key by the hash of its secret, or ErrNotFound. Whether the
// key is valid is for account.Key.Authenticates to decide.
func (r Reader) KeyByHash(ctx context.Context, hash string) (account.Key, error) {
	return queryOne(ctx, r.q, scanKey, "SELECT "+keyColumns+" FROM api_key WHERE hash = $1", hash)
}

// Keys lists an account's keys, oldest first, including revoked ones.
func (r Reader) Keys(ctx context.Context, account string) ([]account.Key, error) {
	return queryAll(ctx, r.q, scanKey, "SELECT "+keyColumns+" FROM api_key WHERE account = $1 ORDER BY id", account)
}

// InsertKey adds a key. It returns false if another key has the same secret.
func (tx *Tx) InsertKey(ctx context.Context, k account.Key) (bool, error) {
	scopes := make([]string, len(k.Scopes))
	for i, s := range k.Scopes {
		scopes[i] = string(s)
	}

	n, err := tx.exec(ctx, "INSERT INTO api_key ("+keyColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT DO NOTHING",
		k.ID, k.Account, k.Name, k.Hash, k.Hint, strings.Join(scopes, " "), k.CreatedAt, k.ExpiresAt, k.RevokedAt, strings.Join(k.Models, " "),
		int64(k.Budget.Day), int64(k.Budget.Month), k.CreateRate.String(), k.ReadRate.String())
	if err != nil || n == 0 || k.Budget == (account.Budget{}) {
		return n == 1, err
	}

	return true, tx.refreshHasBudget(ctx, k.Account)
}

// RevokeKey revokes a key for good and returns the changed key, or ErrNotFound.
// If the key was revoked before, the first time stays and the result is false.
func (tx *Tx) RevokeKey(ctx context.Context, id string, at int64) (account.Key, bool, error) {
	n, err := tx.exec(ctx, "UPDATE api_key SET revoked_at = $2 WHERE id = $1 AND revoked_at = 0", id, at)
	if err != nil {
		return account.Key{}, false, err
	}

	k, err := queryOne(ctx, tx.q, scanKey, "SELECT "+keyColumns+" FROM api_key WHERE id = $1", id)

	return k, n == 1, err
}
