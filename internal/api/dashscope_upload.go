package api

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/checkout"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/store"
)

// uploadGrant permits a client to upload files for a limited time (DashScope's "get
// temporary file URL").
type uploadGrant struct {
	Policy     string `json:"policy"`
	Signature  string `json:"signature"`
	Folder     string `json:"upload_dir"`
	Host       string `json:"upload_host"`
	Expires    int    `json:"expire_in_seconds"`
	MaxMB      int64  `json:"max_file_size_mb"`
	CapacityMB int64  `json:"capacity_limit_mb"`
	Account    string `json:"oss_access_key_id"`
	ACL        string `json:"x_oss_object_acl"`
	Forbid     string `json:"x_oss_forbid_overwrite"`
}

// uploadPolicy is the content of a grant's policy, in the form of the object store that
// DashScope's clients upload to.
type uploadPolicy struct {
	Expiration time.Time `json:"expiration"`
	Conditions []any     `json:"conditions"`
}

const (
	policyLifetime = 5 * time.Minute
	uploadFolder   = "unireel-instant/"
	maxUploadKey   = 512 // bytes
)

// uploadPolicy is GET /api/v1/uploads?action=getPolicy.
func (a *API) uploadPolicy(c *requestContext) error {
	if c.req.URL.Query().Get("action") != "getPolicy" {
		return fault.New(fault.CodeInvalidValue, "action", "The only action here is getPolicy.")
	}

	g := uploadGrant{
		Folder:     uploadFolder + strings.TrimPrefix(a.NewID("upload"), "upload_"),
		Host:       a.baseURL(c.req) + "/api/v1/uploads",
		Account:    c.key.Account,
		Expires:    int(policyLifetime.Seconds()),
		MaxMB:      a.MaxUpload >> 20,
		CapacityMB: 999_999_999,
		ACL:        "private",
		Forbid:     "true",
	}

	policy, err := json.Marshal(uploadPolicy{Expiration: a.Now().Add(policyLifetime).UTC(), Conditions: []any{
		[]any{"content-length-range", 0, a.MaxUpload}, []any{"starts-with", "$key", g.Folder},
	}})
	if err != nil {
		return fmt.Errorf("write policy: %w", err)
	}

	g.Policy = base64.StdEncoding.EncodeToString(policy)
	g.Signature = a.signUpload(g.Account, g.Policy)

	return c.json(http.StatusOK, struct {
		RequestID string      `json:"request_id"`
		Data      uploadGrant `json:"data"`
	}{c.id, g})
}

func (a *API) signUpload(account, policy string) string {
	mac := hmac.New(sha256.New, a.LinkSecret)
	mac.Write([]byte("unireel upload 1\n" + account + "\n" + policy))

	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// uploadDashScope is POST /api/v1/uploads: a form with the policy's fields and the key,
// then the file. The signed policy authorizes the request; no API key is needed.
func (a *API) uploadDashScope(c *requestContext) error {
	if !c.isForm() {
		return fault.New(fault.CodeUnsupportedContentType, "Content-Type", "This path accepts multipart/form-data with the policy's fields, the key and the file.")
	}

	in := c.limitedBody(a.MaxUpload+maxFormOverhead, fmt.Sprintf("The upload is larger than the limit of %d MiB.", a.MaxUpload>>20))
	defer in.clearDeadline()

	form, err := in.form()
	if err != nil {
		return err
	}

	fields := map[string]string{}
	textLeft := int64(maxFormOverhead)

	for {
		p, err := form.next()
		if errors.Is(err, io.EOF) {
			return fault.New(fault.CodeMissingField, "file", "The form has no field `file`; it must be the last one.")
		}

		if err != nil {
			return err
		}

		if p.FormName() == "file" {
			if err := a.saveGranted(c, fields, formPart{p}); err != nil {
				return err
			}

			break
		}

		text, err := io.ReadAll(io.LimitReader(formPart{p}, textLeft+1))
		if err != nil {
			return err
		}

		if textLeft -= int64(len(text)); textLeft < 0 {
			return fault.New(fault.CodeBodyTooLarge, truncateName(p.FormName()), "The form's fields are too large; send the file itself in `file`.")
		}

		fields[p.FormName()] = string(text)
	}

	if fields["success_action_status"] == "200" {
		c.WriteHeader(http.StatusOK)
	} else {
		c.WriteHeader(http.StatusNoContent)
	}

	return nil
}

// saveGranted saves a file for the account to which the policy was issued.
func (a *API) saveGranted(c *requestContext, fields map[string]string, file io.Reader) error {
	account := fields["OSSAccessKeyId"]

	key := fields["key"]
	if err := a.verifyGrant(account, key, fields); err != nil {
		return err
	}

	id := ossFileID(account, key)
	if id == "" {
		return fault.New(fault.CodeInvalidValue, "key", fmt.Sprintf("The key must be upload_dir, a slash and a file name, at most %d bytes.", maxUploadKey))
	}

	_, err := a.Checkout.SaveFileAs(c.ctx(), checkout.Caller{Account: account}, store.File{ID: id, Name: path.Base(key)}, file, a.MaxUpload)

	return err
}

// verifyGrant checks that this server signed the policy for this account, that it covers
// the key and that it has not expired.
func (a *API) verifyGrant(account, key string, fields map[string]string) error {
	if !hmac.Equal([]byte(fields["Signature"]), []byte(a.signUpload(account, fields["policy"]))) {
		return fault.New(fault.CodeInvalidSignature, "Signature", "Invalid according to Policy: it is not signed here for this OSSAccessKeyId. Send every field exactly as getPolicy returned it, before the file.")
	}

	var policy uploadPolicy

	text, err := base64.StdEncoding.DecodeString(fields["policy"])
	if err == nil {
		err = json.Unmarshal(text, &policy)
	}

	if err != nil {
		return fmt.Errorf("read a policy that was signed here: %w", err)
	}

	if a.Now().After(policy.Expiration) {
		return fault.New(fault.CodeLinkExpired, "policy", "Invalid according to Policy: Policy expired. Get a new one.")
	}

	folder := ""

	for _, condition := range policy.Conditions {
		if list, ok := condition.([]any); ok && len(list) == 3 && list[1] == "$key" {
			folder, _ = list[2].(string)
		}
	}

	if folder == "" || path.Dir(key) != folder {
		return fault.New(fault.CodeInvalidValue, "key", "Invalid according to Policy: Policy Condition failed. The key must be upload_dir, a slash and the file name.")
	}

	return nil
}

// crockford encodes the characters of the second part of an id.
var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// ossFileID returns the id of the file that an account uploads under a key, "" for a key
// that no policy permits.
//
// The id is computed from account and key, so no table of keys is needed; the same key of
// another account yields another id, which belongs to no file. It begins with the time of
// the policy, as every id begins with its time of creation.
func ossFileID(account, key string) string {
	name, ok := strings.CutPrefix(key, uploadFolder)

	folder, name, cut := strings.Cut(name, "/")
	if !ok || !cut || len(key) > maxUploadKey || len(folder) != 26 || name == "" || strings.Contains(name, "/") || !catalog.IsText(name) {
		return ""
	}

	if _, err := crockford.DecodeString(folder[:24]); err != nil {
		return ""
	}

	sum := sha256.Sum256([]byte(account + "\n" + key))

	return "file_" + folder[:10] + crockford.EncodeToString(sum[:10])
}
