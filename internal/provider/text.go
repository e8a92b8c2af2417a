package provider

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Text reads a JSON string, number, boolean or null as text, since suppliers write
// numbers as strings and strings as null. An object or array reads as "".
type Text string

// UnmarshalJSON never fails on valid JSON. It drops NUL characters, which the
// databases do not accept.
func (t *Text) UnmarshalJSON(b []byte) error {
	b = bytes.TrimSpace(b)
	switch {
	case len(b) == 0 || b[0] == '{' || b[0] == '[' || string(b) == "null":
		*t = ""
	case b[0] == '"':
		var s string
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}

		*t = Text(validText(s))
	default:
		*t = Text(b)
	}

	return nil
}

// validText makes a supplier's text fit for storage: valid UTF-8 without NUL.
func validText(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "")
}

// Millis reads seconds as milliseconds. It returns false when the text is not a
// number between 0 and one day.
func (t Text) Millis() (int64, bool) {
	v, err := strconv.ParseFloat(strings.TrimSpace(string(t)), 64)
	if err != nil || !(v >= 0 && v <= 86400) {
		return 0, false
	}

	return int64(math.Round(v * 1000)), true
}

// Int64 reads an integer, which may be written as 3.0. It returns 0 when the text
// is not a number.
func (t Text) Int64() int64 {
	v, err := strconv.ParseFloat(strings.TrimSpace(string(t)), 64)
	if err != nil || !(v >= -1e15 && v <= 1e15) {
		return 0
	}

	return int64(v)
}

// EncodeJSON encodes v without HTML escapes and without a trailing newline.
func EncodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer

	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)

	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}

	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
