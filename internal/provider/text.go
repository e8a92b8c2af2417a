package provider

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Text reads a JSON string, number, boolean or null as text, since suppliers
// write numbers as strings and strings as null; anything deeper reads as "".
type Text string

// UnmarshalJSON never errs on valid JSON. It drops NULs: what a supplier says is
// kept in databases that take none.
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

		*t = Text(fit(s))
	default:
		*t = Text(b)
	}

	return nil
}

// fit makes a supplier's words fit to be kept: UTF-8 without NUL.
func fit(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "")
}

// Millis reads seconds as milliseconds; false when it is no number between 0 and
// a day.
func (t Text) Millis() (int64, bool) {
	v, err := strconv.ParseFloat(strings.TrimSpace(string(t)), 64)
	if err != nil || !(v >= 0 && v <= 86400) {
		return 0, false
	}

	return int64(math.Round(v * 1000)), true
}

// Whole reads an integer that may be written 3.0; 0 when it is none.
func (t Text) Whole() int64 {
	v, err := strconv.ParseFloat(strings.TrimSpace(string(t)), 64)
	if err != nil || !(v >= -1e15 && v <= 1e15) {
		return 0
	}

	return int64(v)
}

// EncodeJSON is JSON without HTML's escapes and without a line's end.
func EncodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer

	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)

	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}

	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
