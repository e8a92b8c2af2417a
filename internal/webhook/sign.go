package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"
)

var errInvalidSecret = errors.New("invalid signing secret")

// Sign returns the value of the webhook-signature header: one signature for each secret,
// so that a receiver can verify with the old secret until it has the new one.
func Sign(id string, at time.Time, body []byte, secrets ...string) (string, error) {
	var signatures []string

	for _, secret := range secrets {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		if err != nil || len(key) == 0 {
			return "", errInvalidSecret
		}

		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
		mac.Write(body)
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}

	return strings.Join(signatures, " "), nil
}
