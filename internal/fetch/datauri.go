package fetch

import (
	"encoding/base64"
	"fmt"
	"mime"
	"net/url"
	"strings"

	"github.com/unireel/unireel/internal/fault"
)

// IsDataURI reports whether a reference is a data URI, well formed or not.
func IsDataURI(s string) bool {
	return len(s) >= 5 && strings.EqualFold(s[:5], "data:")
}

// ParseDataURI decodes "data:image/png;base64,..." (or percent-encoded, without
// ";base64") of at most maxBytes bytes. mediaType is the type that the URI declares, in
// lower case without parameters, or "text/plain" if it declares none (RFC 2397); use
// Sniff to find the real type. Errors are a *fault.Fault of code invalid_value without a
// Param.
func ParseDataURI(s string, maxBytes int64) (mediaType string, data []byte, err error) {
	if !IsDataURI(s) {
		return "", nil, invalidValue("This is not a data URI. Give one like data:image/png;base64,...")
	}

	header, body, ok := strings.Cut(s[5:], ",")
	if !ok || len(header) > 256 {
		return "", nil, invalidValue("The data URI has no comma before its data. Give one like data:image/png;base64,...")
	}

	isBase64 := false

	if n := len(header) - len(";base64"); n >= 0 && strings.EqualFold(header[n:], ";base64") {
		header = header[:n]
		isBase64 = true
	}

	mediaType = "text/plain"
	if header != "" && header[0] != ';' {
		if mediaType, _, err = mime.ParseMediaType(header); err != nil || strings.Count(mediaType, "/") != 1 {
			return "", nil, invalidValue("The data URI's media type is not valid. Give one like data:image/png;base64,...")
		}
	}
	// The longest encoding of three bytes is base64 with each of its four characters
	// percent-encoded, which is 12 bytes: anything longer is rejected before decoding.
	if int64(len(body))/12*3 > maxBytes+3 {
		return "", nil, dataTooLarge(maxBytes)
	}

	if strings.Contains(body, "%") {
		if body, err = url.PathUnescape(body); err != nil {
			return "", nil, invalidValue("The data URI has a % that is not followed by two hexadecimal digits.")
		}
	}

	data = []byte(body)
	if isBase64 {
		if data, err = decodeBase64(body, maxBytes); err != nil {
			return "", nil, err
		}
	}

	if int64(len(data)) > maxBytes {
		return "", nil, dataTooLarge(maxBytes)
	}

	if len(data) == 0 {
		return "", nil, invalidValue("The data URI has no data.")
	}

	return mediaType, data, nil
}

// decodeBase64 accepts both alphabets, with or without padding, because clients differ.
func decodeBase64(body string, maxBytes int64) ([]byte, error) {
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
		return nil, invalidValue("The data URI's base64 is not valid.").WithCause(err)
	}

	return data, nil
}

func dataTooLarge(limit int64) *fault.Fault {
	return invalidValue(fmt.Sprintf("The data URI is larger than the limit of %s. Upload the file by POST /v1/files.", formatBytes(limit)))
}
