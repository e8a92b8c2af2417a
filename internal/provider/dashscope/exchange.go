package dashscope

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
)

// maxAnswer bounds every body that is read as JSON, in bytes.
const maxAnswer = 4 << 20

// exchange is an answer read whole.
type exchange struct {
	status    int
	body      []byte
	requestID string // x-request-id: known even when the body was lost
	after     time.Duration
}

// request makes an API request with the key, and the workspace when set.
func (d *dashscope) request(ctx context.Context, method, path string, body []byte) (*http.Request, error) {
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	r, err := http.NewRequestWithContext(ctx, method, d.origin+path, reader)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+d.secret)
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "unireel")
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if d.workspace != "" {
		r.Header.Set("X-DashScope-WorkSpace", d.workspace)
	}
	return r, nil
}

// do sends a request and reads its answer. The error is of the exchange, not of
// what was answered.
func (d *dashscope) do(client *http.Client, r *http.Request) (exchange, error) {
	answer, err := client.Do(r)
	if err != nil {
		return exchange{}, bare(err)
	}
	defer answer.Body.Close()
	x := exchange{status: answer.StatusCode, requestID: fit(answer.Header.Get("X-Request-Id")), after: d.retryAfter(answer.Header.Get("Retry-After"))}
	x.body, err = io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	if err != nil {
		return x, fmt.Errorf("read body of status %d: %w", x.status, bare(err))
	}
	if len(x.body) > maxAnswer {
		return x, fmt.Errorf("read body of status %d: over %d bytes", x.status, maxAnswer)
	}
	return x, nil
}

// ask is one query of the supplier: a request that may be repeated.
func (d *dashscope) ask(ctx context.Context, method, path string) (exchange, *provider.Failure) {
	ctx, cancel := context.WithTimeout(ctx, d.queryTimeout)
	defer cancel()
	r, err := d.request(ctx, method, path, nil)
	if err != nil {
		return exchange{}, d.broken(exchange{}, err)
	}
	x, err := d.do(d.client, r)
	if err != nil {
		return x, d.broken(x, err)
	}
	if x.status != http.StatusOK {
		return x, d.refusal(x)
	}
	return x, nil
}

// broken is the failure of an exchange without a readable answer.
func (d *dashscope) broken(x exchange, err error) *provider.Failure {
	return &provider.Failure{
		Taken: provider.Unsure, Class: provider.Passing, RequestID: x.requestID, After: x.after,
		Fault: fault.New(fault.CodeSupplier, "", sentenceSupplier), Err: errors.New(d.clean(err.Error())),
	}
}

// refusal is the failure that a status other than 200 stands for.
func (d *dashscope) refusal(x exchange) *provider.Failure {
	e, err := readError(x.body)
	if err != nil {
		v := byStatus(x.status)
		f := d.failure(v, x.after, errorBody{RequestID: x.requestID}, fmt.Errorf("status %d: %w", x.status, err))
		f.Taken = provider.Unsure
		return f
	}
	if x.requestID != "" {
		e.RequestID = x.requestID
	}
	v := judge(x.status, e.Code, e.Message)
	cause := fmt.Errorf("status %d: %s", x.status, e.Message)
	if hint := hints[e.Code]; hint != "" {
		cause = fmt.Errorf("%w (%s)", cause, hint)
	}
	f := d.failure(v, x.after, e, cause)
	f.Taken = provider.NotTaken
	if v.mark == unsure || x.status < 400 || x.status == http.StatusRequestTimeout || x.status == http.StatusGatewayTimeout {
		f.Taken = provider.Unsure
	}
	return f
}

// failure makes a Failure of a verdict.
func (d *dashscope) failure(v verdict, after time.Duration, e errorBody, cause error) *provider.Failure {
	return &provider.Failure{
		Taken: provider.Unsure, Class: v.class, ModelOnly: v.mark == modelOnly, After: after, RequestID: e.RequestID, Code: d.clean(e.Code),
		Fault: fault.New(v.fault, "", v.sentence), Err: errors.New(d.clean(cause.Error())),
	}
}

// clean makes a supplier's text fit for the log: short, one line, no key.
func (d *dashscope) clean(s string) string {
	s = strings.ReplaceAll(s, d.secret, "[key]")
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	if r := []rune(s); len(r) > 500 {
		s = string(r[:500]) + "..."
	}
	return s
}

// bare takes the URL out of a client's error: results' URLs are signed.
func bare(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return fmt.Errorf("%s: %w", strings.ToLower(u.Op), u.Err)
	}
	return err
}

// retryAfter reads seconds or a date; at most an hour.
func (d *dashscope) retryAfter(header string) time.Duration {
	var after time.Duration
	if n, err := strconv.ParseInt(strings.TrimSpace(header), 10, 32); err == nil {
		after = time.Duration(n) * time.Second
	} else if at, err := http.ParseTime(header); err == nil {
		after = at.Sub(d.now())
	}
	return min(max(after, 0), time.Hour)
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
