package account

import (
	"strings"
	"testing"
)

func TestKeyAuthenticates(t *testing.T) {
	secret := NewSecret([32]byte{1, 2, 3})
	k := Key{Hash: Hash(secret), Scopes: []Scope{ScopeRead}}
	revoked := k
	expired := k
	revoked.RevokedAt = 1

	expired.ExpiresAt = 100
	for name, c := range map[string]struct {
		key    Key
		secret string
		now    int64
		want   bool
	}{
		"right":          {k, secret, 100, true},
		"wrong":          {k, secret + "x", 100, false},
		"empty":          {k, "", 100, false},
		"revoked":        {revoked, secret, 100, false},
		"expired":        {expired, secret, 100, false},
		"not yet at end": {expired, secret, 99, true},
	} {
		if got := c.key.Authenticates(c.secret, c.now); got != c.want {
			t.Errorf("%s: authenticates = %v, want %v", name, got, c.want)
		}
	}

	if k.HasScope(ScopeWrite) || !k.HasScope(ScopeRead) {
		t.Error("HasScope does not match the key's scopes")
	}
}

func TestHintHidesSecret(t *testing.T) {
	for _, secret := range []string{"", "a", "abc", "a-secret-of-20-bytes", NewSecret([32]byte{9})} {
		shown := strings.TrimRight(Hint(secret), "*")
		if len(shown) > len(SecretPrefix)+4 || (len(secret) > 2 && len(shown) >= len(secret)) {
			t.Errorf("hint of %q shows %q", secret, shown)
		}
	}
}
