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
	keyCacheTTL  = 10 * time.Second // how long a key that another instance revoked may stay valid here
	keyCacheSize = 16384
)

// keyCache caches recently used keys, so that a poll needs no database read to
// authenticate its caller.
type keyCache struct {
	store      *store.Store
	now        func() time.Time
	mu         sync.RWMutex
	entries    map[[sha256.Size]byte]cachedKey
	generation uint64 // incremented by invalidate: a key read before it is not cached after it
}

type cachedKey struct {
	key   account.Key
	until time.Time
}

func newKeyCache(s *store.Store, now func() time.Time) *keyCache {
	return &keyCache{store: s, now: now, entries: map[[sha256.Size]byte]cachedKey{}}
}

// lookup returns the key that a secret authenticates now, or store.ErrNotFound.
func (k *keyCache) lookup(ctx context.Context, secret string) (account.Key, error) {
	sum := sha256.Sum256([]byte(secret))
	now := k.now()
	k.mu.RLock()
	entry, cached := k.entries[sum]
	generation := k.generation
	k.mu.RUnlock()

	if !cached || !now.Before(entry.until) {
		key, err := k.store.KeyByHash(ctx, hex.EncodeToString(sum[:]))
		if err != nil && !errors.Is(err, store.ErrNotFound) && cached && ctx.Err() == nil {
			key = entry.key
			err = nil // the database is unavailable: the last known key stays valid
		}

		if err != nil {
			return account.Key{}, err
		}

		entry = cachedKey{key: key, until: now.Add(keyCacheTTL)}
		k.put(sum, entry, generation)
	}

	if !entry.key.Authenticates(secret, now.UnixMilli()) {
		return account.Key{}, store.ErrNotFound
	}

	return entry.key, nil
}

func (k *keyCache) put(sum [sha256.Size]byte, entry cachedKey, generation uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()

	if generation != k.generation {
		return
	}

	if len(k.entries) >= keyCacheSize {
		clear(k.entries)
	}

	k.entries[sum] = entry
}

// invalidate empties the cache: after it, no revoked key is accepted.
func (k *keyCache) invalidate() {
	k.mu.Lock()
	defer k.mu.Unlock()

	k.generation++
	clear(k.entries)
}

// authorize authenticates the caller's key and checks that it has the scope.
func (a *API) authorize(c *requestContext, scope account.Scope) error {
	header := c.req.Header.Get("Authorization")
	if header == "" {
		return fault.New(fault.CodeMissingAPIKey, "Authorization", "Send your API key: Authorization: Bearer sk-...")
	}

	scheme, secret, _ := strings.Cut(header, " ")
	if secret = strings.TrimSpace(secret); !strings.EqualFold(scheme, "Bearer") || secret == "" {
		return fault.New(fault.CodeMissingAPIKey, "Authorization", "The Authorization header must be the word Bearer, a space and your API key.")
	}

	key, err := a.keys.lookup(c.ctx(), secret)
	if errors.Is(err, store.ErrNotFound) {
		return fault.New(fault.CodeInvalidAPIKey, "Authorization", "This API key is unknown, revoked or expired. Ask the operator for one.")
	}

	if err != nil {
		return fmt.Errorf("find key: %w", err)
	}

	c.key = key
	if !key.HasScope(scope) {
		return fault.New(fault.CodeInsufficientScope, "Authorization", fmt.Sprintf("This API key may not do this: it lacks the scope %s. Ask the operator for one that has it.", scope))
	}

	return nil
}
