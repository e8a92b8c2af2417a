package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/unireel/unireel/internal/fault"
)

// The last part of a signed link's path.
const (
	linkTargetContent   = "content"
	linkTargetThumbnail = "thumbnail"
)

const linkLifetime = 24 * time.Hour // minimum; a link lives up to an hour longer

// link returns an absolute URL that needs no key. It is the same one within an hour, so
// that browsers can cache it.
func (a *API) link(baseURL, id, target string, now time.Time) string {
	expires := strconv.FormatInt(now.Truncate(time.Hour).Add(time.Hour+linkLifetime).Unix(), 10)
	return baseURL + "/v1/videos/" + id + "/" + target + "?expires=" + expires + "&signature=" + a.sign(id, target, expires)
}

func (a *API) sign(id, target, expires string) string {
	mac := hmac.New(sha256.New, a.LinkSecret)
	mac.Write([]byte("unireel link 1\n" + id + "\n" + target + "\n" + expires))

	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// verifyLink reports whether the query carries a valid signature for this link. A query
// without any signature is no error.
func (a *API) verifyLink(query url.Values, id, target string) (bool, error) {
	signature := query.Get("signature")

	expires := query.Get("expires")
	if signature == "" && expires == "" {
		return false, nil
	}

	if subtle.ConstantTimeCompare([]byte(signature), []byte(a.sign(id, target, expires))) != 1 {
		return false, fault.New(fault.CodeInvalidSignature, "signature", "The link was changed or truncated. Get the video again for a new link.")
	}

	at, err := strconv.ParseInt(expires, 10, 64)
	if err != nil || a.Now().Unix() >= at {
		return false, fault.New(fault.CodeLinkExpired, "expires", "The link has expired. Get the video again for a new link.")
	}

	return true, nil
}

// baseURL is the address at which the caller reaches the server: PublicURL if the operator
// set it, otherwise taken from the request.
func (a *API) baseURL(r *http.Request) string {
	if a.PublicURL != "" {
		return strings.TrimSuffix(a.PublicURL, "/")
	}

	scheme := "http"
	if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
		scheme = "https"
	}

	return scheme + "://" + r.Host
}
