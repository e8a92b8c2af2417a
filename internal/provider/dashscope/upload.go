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

// Upload brings a file to the supplier's temporary store ("get temporary file
// URL") and returns its oss:// address: good for 48 hours, for this account and
// this model alone. size is in bytes.
func (d *dashscope) Upload(ctx context.Context, model, name string, size int64, r io.Reader) (string, error) {
	x, f := d.ask(ctx, http.MethodGet, d.uploadsPath+"?"+url.Values{"action": {"getPolicy"}, "model": {model}}.Encode())
	if f != nil {
		return "", f
	}

	p, err := readPolicy(x.Body)
	if err != nil {
		return "", d.broken(x, err)
	}

	if most := p.MaxMB.Whole() << 20; most > 0 && size > most {
		return "", &provider.Failure{
			Taken: provider.NotTaken, Class: provider.Refused, RequestID: x.RequestID, Err: errors.New("over max_file_size_mb"),
			Fault: fault.New(fault.CodeBadReference, "", fmt.Sprintf("The file has %d bytes; the supplier takes at most %d. Send a smaller one.", size, most)),
		}
	}

	host, err := d.storeHost(string(p.Host))
	if err != nil {
		return "", d.broken(x, err)
	}

	key := string(p.Folder) + "/" + provider.SafeName(name)

	p.Host = text(host)
	if f := d.post(ctx, p, key, size, r); f != nil {
		return "", f
	}

	return "oss://" + key, nil
}

// storeHost wants an address as well kept as the supplier's own.
func (d *dashscope) storeHost(host string) (string, error) {
	u, err := url.Parse(host)
	if err != nil || u.Host == "" || (u.Scheme != "https" && (u.Scheme != "http" || strings.HasPrefix(d.talk.Origin, "https:"))) {
		return "", errors.New("the policy's upload_host is not an https address")
	}

	return u.String(), nil
}

// post sends the form with the file last, as the object store wants it, without
// ever holding the file.
func (d *dashscope) post(ctx context.Context, p policy, key string, size int64, file io.Reader) *provider.Failure {
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
		form.Field(field[0], field[1])
	}

	form.File("file", key[strings.LastIndexByte(key, '/')+1:], "", size, io.NopCloser(file)) // whose Close is the caller's

	body, length, kind, err := form.Body()
	if err != nil {
		return d.broken(provider.Answer{}, err)
	}

	r, err := http.NewRequestWithContext(ctx, http.MethodPost, string(p.Host), body)
	if err != nil {
		return d.broken(provider.Answer{}, err)
	}

	r.ContentLength = length
	r.Header.Set("Content-Type", kind)

	x, f := d.talk.Ask(r)
	if f == nil || x.Status == 0 {
		return f
	}
	// The object store's codes are not the API's: a policy that ran out or a busy
	// store is asked again with a new policy.
	c, _ := readError(x.Body)
	f = d.broken(x, fmt.Errorf("upload: status %d: %s", x.Status, c.Message))

	f.Code = d.talk.Clean(c.Code)
	if f.Code == "EntityTooLarge" {
		f.Class = provider.Refused
		f.Fault = fault.New(fault.CodeBadReference, "", "The file is larger than the supplier takes. Send a smaller one.")
	}

	return f
}
