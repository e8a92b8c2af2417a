// Package account describes who pays and what they may do: accounts, their API
// keys (only the hash of a secret is kept), and the scopes, models, budgets and
// rates of a key. It is pure: api checks a key with it, store saves it, and the
// operator's commands change it.
package account

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"slices"
	"strings"
)

// Account is one payer. Its tasks, files and keys are invisible to all other
// accounts.
type Account struct {
	ID        string // "acct_" + ULID
	Name      string
	Weight    int64 // weight in the fair order; 1 is normal
	Cap       int64 // maximum number of tasks running at once in one queue; 0 is no cap
	CreatedAt int64 // unix milliseconds
}

// Scope is something that a key may do.
type Scope string

// The scopes. A key has at least one.
const (
	ScopeRead  Scope = "read"  // read videos, files, models and the balance
	ScopeWrite Scope = "write" // create, cancel, delete and upload
	ScopeAdmin Scope = "admin" // operate: all accounts, keys, credit and tasks, and the upstreams
)

// Scopes lists all scopes. No scope implies another.
func Scopes() []Scope { return []Scope{ScopeRead, ScopeWrite, ScopeAdmin} }

// CustomerScopes returns the scopes of a key that was created without naming
// any: admin must always be named.
func CustomerScopes() []Scope { return []Scope{ScopeRead, ScopeWrite} }

// Key is one API key. Its secret is shown once, when the key is created, and
// never stored.
type Key struct {
	ID         string // "key_" + ULID
	Account    string
	Name       string
	Hash       string // hex SHA-256 of the secret
	Hint       string // first characters of the secret, to tell keys apart
	Scopes     []Scope
	Models     []string // ids and family names of the models that it may use; none is all
	Budget     Budget
	CreateRate Rate  // of requests that create videos
	ReadRate   Rate  // of all other requests
	CreatedAt  int64 // unix milliseconds
	ExpiresAt  int64 // unix milliseconds; 0 is never
	RevokedAt  int64 // unix milliseconds; 0 is not revoked
}

// SecretPrefix starts every secret that Unireel generates.
const SecretPrefix = "sk-ur-"

// NewSecret formats 32 random bytes as a key's secret.
func NewSecret(random [32]byte) string { return SecretPrefix + hex.EncodeToString(random[:]) }

// MinSecretLength is the shortest secret, in bytes, that an operator may choose.
const MinSecretLength = 16

// Hash returns the hash of a secret, which is what Unireel stores.
func Hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// Hint returns the part of a secret that may be shown later.
func Hint(secret string) string {
	hint := secret[:min(len(secret), len(SecretPrefix)+4)]
	if len(secret) < MinSecretLength {
		hint = secret[:min(len(secret), 2)]
	}

	return hint + strings.Repeat("*", 4)
}

// Authenticates reports whether secret is this key's secret, compared in
// constant time, and the key is neither revoked nor expired at now (unix
// milliseconds).
func (k Key) Authenticates(secret string, now int64) bool {
	matches := subtle.ConstantTimeCompare([]byte(k.Hash), []byte(Hash(secret))) == 1
	return matches && k.RevokedAt == 0 && (k.ExpiresAt == 0 || now < k.ExpiresAt)
}

// HasScope reports whether the key has the scope.
func (k Key) HasScope(s Scope) bool { return slices.Contains(k.Scopes, s) }

// AllowsModel reports whether the key may create videos with a model that is
// known by the given names: its id and its family's name.
func (k Key) AllowsModel(names ...string) bool { return AllowsModel(k.Models, names...) }

// AllowsModel is Key.AllowsModel for a list of models instead of a key.
func AllowsModel(models []string, names ...string) bool {
	return len(models) == 0 || slices.ContainsFunc(names, func(name string) bool { return slices.Contains(models, name) })
}
