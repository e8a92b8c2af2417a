package fetch

import (
	"encoding/base64"
	"fmt"
	"mime"
	"net/url"
	"strings"

	"github.com/unireel/unireel/internal/fault"
)

// IsDataURI says whether a reference is one, well formed or not.
func IsDataURI(s string) bool {
	return len(s) >= 5 && strings.EqualFold(s[:5], "data:")
}

// ParseDataURI decodes "data:image/png;base64,..." (or percent-encoded, without
// ";base64") of at most maxBytes bytes. mediaType is what the URI says, in lower
// case without parameters, "text/plain" when it says none (RFC 2397); Sniff the
// data to know. Errors are a *fault.Fault of code invalid_value without Param.
func ParseDataURI(s string, maxBytes int64) (mediaType string, data []byte, err error) {
	if !IsDataURI(s) {
		return "", nil, refuse("This is not a data URI. Give one like data:image/png;base64,...")
	}

	head, body, ok := strings.Cut(s[5:], ",")
	if !ok || len(head) > 256 {
		return "", nil, refuse("The data URI has no comma before its data. Give one like data:image/png;base64,...")
	}

	coded := false

	if n := len(head) - len(";base64"); n >= 0 && strings.EqualFold(head[n:], ";base64") {
		head = head[:n]
		coded = true
	}

	mediaType = "text/plain"
	if head != "" && head[0] != ';' {
		if mediaType, _, err = mime.ParseMediaType(head); err != nil || strings.Count(mediaType, "/") != 1 {
			return "", nil, refuse("The data URI's media type is not one. Give one like data:image/png;base64,...")
		}
	}
	// The longest spelling of three bytes is base64 whose four characters are
	// percent-encoded each: more than that is not looked at.
	if int64(len(body))/12*3 > maxBytes+3 {
		return "", nil, dataTooLarge(maxBytes)
	}

	if strings.Contains(body, "%") {
		if body, err = url.PathUnescape(body); err != nil {
			return "", nil, refuse("The data URI has a % that is not followed by two hexadecimal digits.")
		}
	}

	data = []byte(body)
	if coded {
		if data, err = decode64(body, maxBytes); err != nil {
			return "", nil, err
		}
	}

	if int64(len(data)) > maxBytes {
		return "", nil, dataTooLarge(maxBytes)
	}

	if len(data) == 0 {
		return "", nil, refuse("The data URI has no data.")
	}

	return mediaType, data, nil
}

// decode64 takes both alphabets, with or without padding: senders differ.
func decode64(body string, maxBytes int64) ([]byte, error) {
	body = strings.TrimRight(body, "=")
	if int64(base64.RawStdEncoding.DecodedLen(len(body))) > maxBytes {
		return nil, dataTooLarge(maxBytes)
	}

	alphabet := base64.RawStdEncoding
	if strings.ContainsAny(body, "-_") {
		alphabet = base64.RawURLEncoding
	}

	data, err := alphabet.DecodeString(body)
	if err != nil {
		return nil, refuse("The data URI's base64 is not valid.").Because(err)
	}

	return data, nil
}

func dataTooLarge(most int64) *fault.Fault {
	return refuse(fmt.Sprintf("The data URI holds more than the %s that are taken. Upload the file by POST /v1/files.", size(most)))
}
