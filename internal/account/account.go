// Package account knows who pays and how they call: accounts, their API keys
// (kept as hashes only) and what a key may do. It is pure; api asks it at the
// door, store keeps it, the operator's commands change it.
package account

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"slices"
	"strings"
)

// Account is one payer. Its tasks, files and keys are invisible to all others.
type Account struct {
	ID        string // "acct_" + ULID
	Name      string
	Weight    int64 // share in the fair order; 1 is normal
	Cap       int64 // tasks running at once in one lane; 0 is no cap
	CreatedAt int64 // unix milliseconds
}

// Scope is something that a key may do.
type Scope string

// The scopes. A key has at least one.
const (
	ScopeRead  Scope = "read"  // look: videos, files, models, balance
	ScopeWrite Scope = "write" // create, cancel, delete, upload
	ScopeAdmin Scope = "admin" // operate: everybody's accounts, keys, credit, tasks, and the upstreams
)

// Scopes lists them all. None implies another.
func Scopes() []Scope { return []Scope{ScopeRead, ScopeWrite, ScopeAdmin} }

// CustomerScopes is what a key has when nothing else was said: admin is only ever
// given by its name.
func CustomerScopes() []Scope { return []Scope{ScopeRead, ScopeWrite} }

// Key is one API key. Its secret is shown once, at its making, and never kept.
type Key struct {
	ID        string // "key_" + ULID
	Account   string
	Name      string
	Hash      string // hex SHA-256 of the secret
	Hint      string // first letters of the secret, to tell keys apart
	Scopes    []Scope
	Models    []string // ids and family names that it may ask for; none is all
	Budget    Budget
	Creates   Rate  // of orders for videos
	Reads     Rate  // of all other requests
	CreatedAt int64 // unix milliseconds
	ExpiresAt int64 // unix milliseconds; 0 is never
	RevokedAt int64 // unix milliseconds; 0 is not revoked
}

// SecretPrefix starts every secret that Unireel makes.
const SecretPrefix = "sk-ur-"

// NewSecret writes 32 bytes of randomness as a key's secret.
func NewSecret(random [32]byte) string { return SecretPrefix + hex.EncodeToString(random[:]) }

// MinSecret is the shortest secret, in bytes, that an operator may choose.
const MinSecret = 16

// Hash is what is kept of a secret.
func Hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// Hint is what may be shown of a secret later.
func Hint(secret string) string {
	hint := secret[:min(len(secret), len(SecretPrefix)+4)]
	if len(secret) < MinSecret {
		hint = secret[:min(len(secret), 2)]
	}

	return hint + strings.Repeat("*", 4)
}

// Opens says whether secret is this key's, in constant time, and the key is
// neither revoked nor expired at now (unix milliseconds).
func (k Key) Opens(secret string, now int64) bool {
	same := subtle.ConstantTimeCompare([]byte(k.Hash), []byte(Hash(secret))) == 1
	return same && k.RevokedAt == 0 && (k.ExpiresAt == 0 || now < k.ExpiresAt)
}

// May says whether the key has the scope.
func (k Key) May(s Scope) bool { return slices.Contains(k.Scopes, s) }

// MayAsk says whether the key may have videos made of a model, called by one of
// names: its id, a family's name.
func (k Key) MayAsk(names ...string) bool { return MayAsk(k.Models, names...) }

// MayAsk is Key.MayAsk by the list alone.
func MayAsk(models []string, names ...string) bool {
	return len(models) == 0 || slices.ContainsFunc(names, func(name string) bool { return slices.Contains(models, name) })
}
