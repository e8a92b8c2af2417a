package dashscope

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
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
	p, err := readPolicy(x.body)
	if err != nil {
		return "", d.broken(x, err)
	}
	if most := p.MaxMB.whole() << 20; most > 0 && size > most {
		return "", &provider.Failure{
			Taken: provider.NotTaken, Class: provider.Refused, RequestID: x.requestID, Err: errors.New("over max_file_size_mb"),
			Fault: fault.New(fault.CodeBadReference, "", fmt.Sprintf("The file has %d bytes; the supplier takes at most %d. Send a smaller one.", size, most)),
		}
	}
	host, err := d.storeHost(string(p.Host))
	if err != nil {
		return "", d.broken(x, err)
	}
	key := string(p.Folder) + "/" + safeName(name)
	p.Host = text(host)
	if f := d.post(ctx, p, key, size, r); f != nil {
		return "", f
	}
	return "oss://" + key, nil
}

// storeHost wants an address as well kept as the supplier's own.
func (d *dashscope) storeHost(host string) (string, error) {
	u, err := url.Parse(host)
	if err != nil || u.Host == "" || (u.Scheme != "https" && (u.Scheme != "http" || strings.HasPrefix(d.origin, "https:"))) {
		return "", errors.New("the policy's upload_host is not an https address")
	}
	return u.String(), nil
}

// post sends the form with the file last, as the object store wants it, without
// ever holding the file.
func (d *dashscope) post(ctx context.Context, p policy, key string, size int64, file io.Reader) *provider.Failure {
	ctx, cancel := context.WithTimeout(ctx, d.uploadTimeout)
	defer cancel()
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	for _, field := range [][2]string{
		{"OSSAccessKeyId", string(p.AccessKey)},
		{"Signature", string(p.Signature)},
		{"policy", string(p.Policy)},
		{"x-oss-object-acl", string(p.ACL)},
		{"x-oss-forbid-overwrite", string(p.ForbidOverride)},
		{"key", key},
		{"success_action_status", "200"},
	} {
		if err := w.WriteField(field[0], field[1]); err != nil {
			return d.broken(exchange{}, err)
		}
	}
	if _, err := w.CreateFormFile("file", key[strings.LastIndexByte(key, '/')+1:]); err != nil {
		return d.broken(exchange{}, err)
	}
	end := "\r\n--" + w.Boundary() + "--\r\n"
	length := int64(form.Len()+len(end)) + size
	body := io.MultiReader(&form, io.LimitReader(file, size), strings.NewReader(end))
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, string(p.Host), io.NopCloser(body))
	if err != nil {
		return d.broken(exchange{}, err)
	}
	r.ContentLength = length
	r.Header.Set("Content-Type", w.FormDataContentType())
	x, err := d.do(d.client, r)
	if err != nil {
		return d.broken(x, err)
	}
	if x.status == http.StatusOK || x.status == http.StatusNoContent {
		return nil
	}
	// The object store's codes are not the API's: a policy that ran out or a busy
	// store is asked again with a new policy.
	f := d.broken(x, fmt.Errorf("upload: status %d", x.status))
	if e, err := readError(x.body); err == nil {
		f.Code = d.clean(e.Code)
		f.Err = errors.New(d.clean(fmt.Sprintf("upload: status %d: %s", x.status, e.Message)))
	}
	if f.Code == "EntityTooLarge" {
		f.Class = provider.Refused
		f.Fault = fault.New(fault.CodeBadReference, "", "The file is larger than the supplier takes. Send a smaller one.")
	}
	return f
}

// safeName keeps what any object key can hold, and the ending, by which the
// supplier knows the kind of a file.
func safeName(name string) string {
	safe := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '-', r == '_':
			return r
		default:
			return '_'
		}
	}, name)
	if len(safe) > 100 {
		safe = safe[len(safe)-100:]
	}
	if strings.Trim(safe, "._") == "" {
		return "file"
	}
	return strings.TrimLeft(safe, ".")
}
