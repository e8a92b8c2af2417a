package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/unireel/unireel/internal/account"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/store"
)

const (
	keyringLife = 10 * time.Second // how late another instance's revocation may be heard
	keyringMost = 16384
)

// keyring remembers the keys that were used lately, so that a poll needs no look
// into the database to know its caller.
type keyring struct {
	store *store.Store
	now   func() time.Time
	mu    sync.RWMutex
	known map[[sha256.Size]byte]knownKey
	era   uint64 // +1 with every forget: what was read before one is not kept after it
}

type knownKey struct {
	key   account.Key
	until time.Time
}

func newKeyring(s *store.Store, now func() time.Time) *keyring {
	return &keyring{store: s, now: now, known: map[[sha256.Size]byte]knownKey{}}
}

// find is the key that a secret opens at this moment, or store.ErrNotFound.
func (k *keyring) find(ctx context.Context, secret string) (account.Key, error) {
	sum := sha256.Sum256([]byte(secret))
	now := k.now()
	k.mu.RLock()
	known, hit := k.known[sum]
	era := k.era
	k.mu.RUnlock()

	if !hit || !now.Before(known.until) {
		key, err := k.store.KeyByHash(ctx, hex.EncodeToString(sum[:]))
		if err != nil && !errors.Is(err, store.ErrNotFound) && hit && ctx.Err() == nil {
			key = known.key
			err = nil // the database does not answer; what it said last still holds
		}

		if err != nil {
			return account.Key{}, err
		}

		known = knownKey{key: key, until: now.Add(keyringLife)}
		k.keep(sum, known, era)
	}

	if !known.key.Opens(secret, now.UnixMilli()) {
		return account.Key{}, store.ErrNotFound
	}

	return known.key, nil
}

func (k *keyring) keep(sum [sha256.Size]byte, known knownKey, era uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()

	if era != k.era {
		return
	}

	if len(k.known) >= keyringMost {
		clear(k.known)
	}

	k.known[sum] = known
}

// forget empties the ring: after it no revoked key opens.
func (k *keyring) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()

	k.era++
	clear(k.known)
}

// authorize finds the caller's key and whether it may do this.
func (a *API) authorize(c *call, scope account.Scope) error {
	header := c.r.Header.Get("Authorization")
	if header == "" {
		return fault.New(fault.CodeNoKey, "Authorization", "Send your API key: Authorization: Bearer sk-...")
	}

	scheme, secret, _ := strings.Cut(header, " ")
	if secret = strings.TrimSpace(secret); !strings.EqualFold(scheme, "Bearer") || secret == "" {
		return fault.New(fault.CodeNoKey, "Authorization", "The Authorization header must be the word Bearer, a space and your API key.")
	}

	key, err := a.keys.find(c.ctx(), secret)
	if errors.Is(err, store.ErrNotFound) {
		return fault.New(fault.CodeBadKey, "Authorization", "This API key is unknown, revoked or expired. Ask the operator for one.")
	}

	if err != nil {
		return fmt.Errorf("find key: %w", err)
	}

	c.key = key
	if !key.May(scope) {
		return fault.New(fault.CodeScope, "Authorization", fmt.Sprintf("This API key may not do this: it lacks the scope %s. Ask the operator for one that has it.", scope))
	}

	return nil
}
