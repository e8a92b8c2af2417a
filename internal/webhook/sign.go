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

var errSecret = errors.New("a signing secret that is none")

// Sign is the value of the webhook-signature header: one signature for each secret,
// so that a receiver knows us by the old one until it has the new one.
func Sign(id string, at time.Time, body []byte, secrets ...string) (string, error) {
	var all []string

	for _, secret := range secrets {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
		if err != nil || len(key) == 0 {
			return "", errSecret
		}

		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
		mac.Write(body)
		all = append(all, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}

	return strings.Join(all, " "), nil
}
