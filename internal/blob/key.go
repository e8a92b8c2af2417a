package blob

import (
	"fmt"
	"strings"
)

const (
	maxSegments = 3
	maxSegment  = 128 // bytes
)

// IsKey says whether a name is a key.
func IsKey(name string) bool { return CheckKey(name) == nil }

// CheckKey is the law of keys, for every store the same: one to three segments
// of [A-Za-z0-9._-], none of which begins with a dot; else ErrBadKey.
func CheckKey(key string) error {
	segments := strings.Split(key, "/")
	if len(key) > maxSegments*maxSegment || len(segments) > maxSegments {
		return fmt.Errorf("%w: too long", ErrBadKey)
	}

	for _, s := range segments {
		if s == "" || len(s) > maxSegment || s[0] == '.' {
			return fmt.Errorf("%w: %q", ErrBadKey, key)
		}

		for _, c := range []byte(s) {
			letter := 'a' <= c|0x20 && c|0x20 <= 'z'
			if !letter && ('0' > c || c > '9') && c != '.' && c != '_' && c != '-' {
				return fmt.Errorf("%w: %q", ErrBadKey, key)
			}
		}
	}

	return nil
}
