package fetch

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/unireel/unireel/internal/fault"
)

func TestParseDataURI(t *testing.T) {
	for raw, want := range map[string]struct{ kind, data string }{
		"data:image/png;base64,aGk/": {"image/png", "hi?"}, "DATA:Image/PNG;BASE64,aGk/": {"image/png", "hi?"}, "data:image/png;base64,aGk_": {"image/png", "hi?"},
		"data:image/png;base64,aGk": {"image/png", "hi"}, "data:image/png;base64,aGk=": {"image/png", "hi"}, "data:image/png;base64,aGk%3D": {"image/png", "hi"}, "data:image/png;base64,aG\nk=": {"image/png", "hi"},
		"data:,a%20b": {"text/plain", "a b"}, "data:;charset=utf-8,x": {"text/plain", "x"}, "data:text/plain;charset=utf-8;base64,eA==": {"text/plain", "x"}, "data:a/b,c,d": {"a/b", "c,d"},
	} {
		kind, data, err := ParseDataURI(raw, 100)
		if err != nil || kind != want.kind || string(data) != want.data {
			t.Errorf("%q: %q %q %v", raw, kind, data, err)
		}
	}

	for _, raw := range []string{"", "x", "data:", "data:image/png", "data:image/png;base64,", "data:,", "data:image/png;base64,a", "data:image/png;base64,a*b=", "data:image/png;base64,ab-/", "data:,%zz", "data:,%", "data:nonsense;base64,eA==", "data:a/b/c,x", "data:" + strings.Repeat("a", 300) + ",x", "https://example.com/"} {
		if _, _, err := ParseDataURI(raw, 100); !fault.Is(err, fault.CodeInvalidValue) {
			t.Errorf("%.40q: %v", raw, err)
		}
	}
}

func TestParseDataURIMaxBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SliceOfN(rapid.Byte(), 1, 200).Draw(t, "data")
		maxBytes := rapid.Int64Range(1, 200).Draw(t, "most")

		percent := ""
		for _, b := range data {
			percent += "%" + string("0123456789abcdef"[b>>4]) + string("0123456789ABCDEF"[b&15])
		}

		encoded64 := base64.StdEncoding.EncodeToString(data)

		escaped := ""
		for _, c := range []byte(encoded64) {
			escaped += "%" + string("0123456789abcdef"[c>>4]) + string("0123456789ABCDEF"[c&15])
		}

		for _, raw := range []string{"data:a/b;base64," + encoded64, "data:a/b;base64," + escaped, "data:a/b," + percent} {
			_, got, err := ParseDataURI(raw, maxBytes)
			if fits := int64(len(data)) <= maxBytes; fits != (err == nil) || fits && !bytes.Equal(got, data) {
				t.Fatalf("%d of %d bytes: %d, %v", len(data), maxBytes, len(got), err)
			}
		}
	})
}

func FuzzParseDataURI(f *testing.F) {
	f.Add("data:image/png;base64,aGk=")
	f.Add("data:,a%20b")
	f.Add("data:text/plain;charset=x;base64,%3D")
	f.Fuzz(func(t *testing.T, s string) {
		kind, data, err := ParseDataURI(s, 64)
		if err == nil && (kind == "" || len(data) == 0 || len(data) > 64 || !IsDataURI(s)) {
			t.Fatalf("%q gave %q, %d bytes", s, kind, len(data))
		}

		if err != nil && !fault.Is(err, fault.CodeInvalidValue) {
			t.Fatal(err)
		}
	})
}
