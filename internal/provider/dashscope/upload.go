package dashscope

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
)

// Upload copies a file to the supplier's temporary store ("get temporary file
// URL") and returns its oss:// URL, which works for 48 hours, for this account and
// this model only. size is in bytes.
func (d *dashscope) Upload(ctx context.Context, model, name string, size int64, r io.Reader) (string, error) {
	response, f := d.query(ctx, http.MethodGet, d.uploadsPath+"?"+url.Values{"action": {"getPolicy"}, "model": {model}}.Encode())
	if f != nil {
		return "", f
	}

	p, err := readUploadPolicy(response.Body)
	if err != nil {
		return "", d.transientFailure(response, err)
	}

	if maxBytes := p.MaxMB.Int64() << 20; maxBytes > 0 && size > maxBytes {
		return "", &provider.Failure{
			Acceptance: provider.NotAccepted,
			Class:      provider.InvalidRequest,
			RequestID:  response.RequestID,
			Err:        errors.New("over max_file_size_mb"),
			Fault:      fault.New(fault.CodeReferenceInvalid, "", fmt.Sprintf("The file has %d bytes; the supplier accepts at most %d. Send a smaller one.", size, maxBytes)),
		}
	}

	host, err := d.checkUploadHost(string(p.Host))
	if err != nil {
		return "", d.transientFailure(response, err)
	}

	key := string(p.Dir) + "/" + provider.SafeFileName(name)

	p.Host = text(host)
	if f := d.postFile(ctx, p, key, size, r); f != nil {
		return "", f
	}

	return "oss://" + key, nil
}

// checkUploadHost requires https, unless the supplier itself is reached by http.
func (d *dashscope) checkUploadHost(host string) (string, error) {
	u, err := url.Parse(host)
	if err != nil || u.Host == "" || (u.Scheme != "https" && (u.Scheme != "http" || strings.HasPrefix(d.client.Origin, "https:"))) {
		return "", errors.New("the policy's upload_host is not an https URL")
	}

	return u.String(), nil
}

// postFile sends the form with the file last, as the object store requires,
// without holding the file in memory.
func (d *dashscope) postFile(ctx context.Context, p uploadPolicy, key string, size int64, file io.Reader) *provider.Failure {
	ctx, cancel := context.WithTimeout(ctx, d.uploadTimeout)
	defer cancel()

	form := &provider.Form{}
	for _, field := range [][2]string{
		{"OSSAccessKeyId", string(p.AccessKey)},
		{"Signature", string(p.Signature)},
		{"policy", string(p.Policy)},
		{"x-oss-object-acl", string(p.ACL)},
		{"x-oss-forbid-overwrite", string(p.ForbidOverride)},
		{"key", key},
		{"success_action_status", "200"},
	} {
		form.AddField(field[0], field[1])
	}

	form.AddFile("file", key[strings.LastIndexByte(key, '/')+1:], "", size, io.NopCloser(file)) // the caller closes the file

	body, length, contentType, err := form.Body()
	if err != nil {
		return d.transientFailure(provider.Response{}, err)
	}

	r, err := http.NewRequestWithContext(ctx, http.MethodPost, string(p.Host), body)
	if err != nil {
		return d.transientFailure(provider.Response{}, err)
	}

	r.ContentLength = length
	r.Header.Set("Content-Type", contentType)

	response, f := d.client.Do(r)
	if f == nil || response.Status == 0 {
		return f
	}
	// The object store's codes are not the API's: after an expired policy or with a
	// busy store, a new attempt with a new policy can succeed.
	errBody, _ := readError(response.Body)
	f = d.transientFailure(response, fmt.Errorf("upload: status %d: %s", response.Status, errBody.Message))

	f.Code = d.client.Sanitize(errBody.Code)
	if f.Code == "EntityTooLarge" {
		f.Class = provider.InvalidRequest
		f.Fault = fault.New(fault.CodeReferenceInvalid, "", "The file is larger than the supplier accepts. Send a smaller one.")
	}

	return f
}
