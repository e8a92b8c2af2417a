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

// What a link leads to: the last part of its path.
const (
	contentPart   = "content"
	thumbnailPart = "thumbnail"
)

const linkLife = 24 * time.Hour // at least; at most an hour more

// link is an absolute address that needs no key, and the same one within an hour.
func (a *API) link(root, id, part string, now time.Time) string {
	expires := strconv.FormatInt(now.Truncate(time.Hour).Add(time.Hour+linkLife).Unix(), 10)
	return root + "/v1/videos/" + id + "/" + part + "?expires=" + expires + "&signature=" + a.sign(id, part, expires)
}

func (a *API) sign(id, part, expires string) string {
	mac := hmac.New(sha256.New, a.LinkSecret)
	mac.Write([]byte("unireel link 1\n" + id + "\n" + part + "\n" + expires))

	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// signed says whether the query signs this link, and what is wrong with it if it
// tries to.
func (a *API) signed(query url.Values, id, part string) (bool, error) {
	signature := query.Get("signature")

	expires := query.Get("expires")
	if signature == "" && expires == "" {
		return false, nil
	}

	if subtle.ConstantTimeCompare([]byte(signature), []byte(a.sign(id, part, expires))) != 1 {
		return false, fault.New(fault.CodeBadSignature, "signature", "The link was changed or cut. Get the video again for a fresh one.")
	}

	at, err := strconv.ParseInt(expires, 10, 64)
	if err != nil || a.Now().Unix() >= at {
		return false, fault.New(fault.CodeLinkExpired, "expires", "The link's time is over. Get the video again for a fresh one.")
	}

	return true, nil
}

// root is how the caller reaches us: the operator's word, else the request's.
func (a *API) root(r *http.Request) string {
	if a.PublicURL != "" {
		return strings.TrimSuffix(a.PublicURL, "/")
	}

	scheme := "http"
	if r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https" {
		scheme = "https"
	}

	return scheme + "://" + r.Host
}
