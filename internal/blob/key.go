package blob

import (
	"fmt"
	"strings"
)

const (
	separator   = "/"
	maxSegments = 3
	maxSegment  = 128 // bytes
)

// Key is what a key consists of. Keys travel as text, which String and ParseKey convert.
type Key struct {
	Owner string // the id of the task or file that the blob belongs to
	Name  string // unique for the owner
}

// String returns the key as a store takes it.
func (k Key) String() string { return k.Owner + separator + k.Name }

// ParseKey returns the parts of a key.
func ParseKey(key string) Key {
	owner, name, _ := strings.Cut(key, separator)
	return Key{Owner: owner, Name: name}
}

// IsKey reports whether name is a valid key.
func IsKey(name string) bool { return CheckKey(name) == nil }

// CheckKey checks the syntax of keys, which is the same for every store: one to three
// segments of [A-Za-z0-9._-], none of which begins with a dot. Any other key is ErrBadKey.
func CheckKey(key string) error {
	segments := strings.Split(key, separator)
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
