package provider

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzText(f *testing.F) {
	for _, seed := range []string{`"5.04"`, `3.0`, `null`, `true`, `{"a":1}`, `[1]`, `"a\u0000b"`, `1e999`, `"-1"`} {
		f.Add([]byte(seed))
	}

	f.Fuzz(func(t *testing.T, b []byte) {
		var v Text
		if err := json.Unmarshal(b, &v); err != nil {
			return
		}

		if strings.ContainsRune(string(v), 0) || !utf8.ValidString(string(v)) {
			t.Fatalf("%q became %q, which a database cannot store", b, v)
		}

		if ms, ok := v.Millis(); ms < 0 || ms > 86400_000 || !ok && ms != 0 {
			t.Fatalf("%q is %d ms, %v", b, ms, ok)
		}

		_ = v.Int64()
	})
}
