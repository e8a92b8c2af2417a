package provider

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/unireel/unireel/internal/fault"
)

// Talk is HTTP with one supplier the way most of them speak it: one origin, a
// key in a header, bounded answers, and errors with a body of the supplier's own.
// It decides what every provider must decide alike: whether an order may have
// been taken, and that the key goes to the origin alone. What a body says is the
// provider's to read.
type Talk struct {
	Origin  string // scheme, host and what stands before the API's paths; no trailing slash
	Auth    string // the Authorization header; "" sends none
	Secret  string // what stands in no failure
	Client  *http.Client
	Submit  *http.Client
	Now     func() time.Time
	Silence time.Duration // how long Open waits for the next bytes
	Signed  bool          // results' links open without the key, wherever they are
	// IDHeader has the supplier's id of an exchange; NewTalk says X-Request-Id.
	IDHeader string
	// Complain reads an error body of the supplier's own; false for anything else,
	// such as a page of something between us.
	Complain func(body []byte) (Complaint, bool)
	// Judge says what an error means. status is 0 for a ticket that failed.
	Judge func(status int, c Complaint) Verdict
}

// Complaint is what a supplier's error says.
type Complaint struct {
	Code, Message string
	Param         string // the field that it names, as we sent it
	RequestID     string // where the body tells it and no header does
}

// Verdict is what one of a supplier's errors means to us.
type Verdict struct {
	Class     Class
	ModelOnly bool
	Unsure    bool // answered to an order, it leaves open whether that was taken
	Fault     fault.Code
	Param     string // the customer's field, "" when it is about none
	Says      string // what the customer is told, where the code's own sentence is too wide
	Hint      string // what the operator is told beside the supplier's text, in the log
}

// Answer is an answer read whole.
type Answer struct {
	Status    int
	Body      []byte
	RequestID string // known even when the body was lost
	After     time.Duration
}

// maxAnswer bounds every body that is read whole, in bytes.
const maxAnswer = 4 << 20

// NewTalk checks what every provider over HTTP needs of its options. The base URL
// may end in /v1, as SDKs write it. kind is the provider's name, example a base URL.
func NewTalk(o Options, kind, example string) (*Talk, error) {
	u, err := url.Parse(o.BaseURL)
	if err != nil || u.Host == "" || u.User != nil || (u.Scheme != "https" && u.Scheme != "http") {
		return nil, fmt.Errorf("upstream %s: the base URL wants to be like %s", o.Upstream, example)
	}

	if strings.ContainsFunc(o.Secret, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, fmt.Errorf("upstream %s: the API key holds white space or characters that no key has", o.Upstream)
	}

	if o.Client == nil || o.Submit == nil || o.Now == nil {
		return nil, fmt.Errorf("%s wants its clients and its clock", kind)
	}

	t := &Talk{
		Origin: strings.TrimSuffix(strings.TrimSuffix(o.BaseURL, "/"), "/v1"), Secret: o.Secret,
		Submit: o.Submit, Now: o.Now, Silence: 60 * time.Second, IDHeader: "X-Request-Id",
	}
	if o.Secret != "" {
		t.Auth = "Bearer " + o.Secret
	}
	// Go takes other ports and subdomains of a host for the same one.
	client := *o.Client
	client.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if !t.Ours(r.URL) {
			r.Header.Del("Authorization")
		}

		if o.Client.CheckRedirect != nil {
			return o.Client.CheckRedirect(r, via)
		}

		if len(via) > 3 {
			return errors.New("more than three redirects")
		}

		return nil
	}
	t.Client = &client

	return t, nil
}

// Ours says whether an address is of the origin, which alone is given the key.
func (t *Talk) Ours(u *url.URL) bool {
	origin, err := url.Parse(t.Origin)
	return err == nil && u.Scheme == origin.Scheme && strings.EqualFold(u.Host, origin.Host)
}

// Request makes an API request with the key.
func (t *Talk) Request(ctx context.Context, method, path string, body io.Reader) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, method, t.Origin+path, body)
	if err != nil {
		return nil, err
	}

	if t.Auth != "" {
		r.Header.Set("Authorization", t.Auth)
	}

	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "unireel")

	return r, nil
}

// Ask sends a request that may be repeated. Any status but 2xx is a failure; the
// answer is given with it.
func (t *Talk) Ask(r *http.Request) (Answer, *Failure) {
	a, err := t.send(t.Client, r)
	if err != nil {
		return a, t.Broken(a, err)
	}

	if a.Status/100 != 2 {
		return a, t.Refusal(a)
	}

	return a, nil
}

// Order sends the one request that must never go out twice. Its failure says
// whether the order may have been taken.
func (t *Talk) Order(r *http.Request) (Answer, *Failure) {
	ctx, wire := Watch(r.Context())
	r = r.WithContext(ctx)
	r.GetBody = nil // the transport must not be able to send it twice

	a, err := t.send(t.Submit, r)
	if err != nil {
		f := t.Broken(a, err)
		if wire.Untouched() {
			f.Taken = NotTaken
		}

		return a, f
	}

	if a.Status/100 != 2 {
		return a, t.Refusal(a)
	}

	return a, nil
}

// send gives the answer's head even when its body was lost.
func (t *Talk) send(client *http.Client, r *http.Request) (Answer, error) {
	answer, err := client.Do(r)
	if err != nil {
		return Answer{}, bare(err)
	}
	defer answer.Body.Close()

	a := t.head(answer)

	a.Body, err = io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	if err != nil {
		return a, fmt.Errorf("read body of status %d: %w", a.Status, bare(err))
	}

	if len(a.Body) > maxAnswer {
		return a, fmt.Errorf("read body of status %d: over %d bytes", a.Status, maxAnswer)
	}

	return a, nil
}

func (t *Talk) head(answer *http.Response) Answer {
	return Answer{Status: answer.StatusCode, RequestID: t.Clean(answer.Header.Get(t.IDHeader)), After: t.retryAfter(answer.Header.Get("Retry-After"))}
}

// Broken is the failure of an exchange without a readable answer.
func (t *Talk) Broken(a Answer, err error) *Failure {
	return &Failure{
		Taken: Unsure, Class: Passing, RequestID: a.RequestID, After: a.After,
		Fault: fault.New(fault.CodeSupplier, "", sentence(fault.CodeSupplier)), Err: errors.New(t.Clean(err.Error())),
	}
}

// Refusal is the failure that a status other than 2xx stands for. Only the
// supplier's own words prove that an order was not taken, and not even they do
// when they speak of time that ran out.
func (t *Talk) Refusal(a Answer) *Failure {
	c, own := t.Complain(a.Body)

	cause := "an answer that is not the supplier's own"
	if own {
		cause = c.Message
	}

	v := t.Judge(a.Status, c)
	f := t.Failure(v, c, fmt.Errorf("status %d: %s", a.Status, cause))
	f.RequestID = cmp.Or(a.RequestID, c.RequestID)

	f.After = a.After
	if own && !v.Unsure && a.Status >= 400 && a.Status != http.StatusRequestTimeout && a.Status != http.StatusGatewayTimeout {
		f.Taken = NotTaken
	}

	return f
}

// Failure is a verdict as a failure. Nothing of the supplier's text reaches the
// customer.
func (t *Talk) Failure(v Verdict, c Complaint, cause error) *Failure {
	if v.Hint != "" {
		cause = fmt.Errorf("%w (%s)", cause, v.Hint)
	}

	return &Failure{
		Taken: Unsure, Class: v.Class, ModelOnly: v.ModelOnly, RequestID: c.RequestID, Code: t.Clean(c.Code),
		Fault: fault.New(v.Fault, v.Param, cmp.Or(v.Says, sentence(v.Fault))), Err: errors.New(t.Clean(cause.Error())),
	}
}

// ByStatus judges what carries no code that is known.
func ByStatus(status int) Verdict {
	v := Verdict{Class: Passing, Fault: fault.CodeSupplier}

	switch {
	case status == http.StatusTooManyRequests:
		v.Class = Throttled
	case status == http.StatusUnauthorized, status == http.StatusPaymentRequired, status == http.StatusForbidden,
		status == http.StatusNotFound, status == http.StatusMethodNotAllowed: // a wrong base URL answers so
		v.Class = Locked
	case status == http.StatusRequestTimeout:
	case status >= 400 && status < 500:
		v.Class = Refused
		v.Fault = fault.CodeRefused
	}

	return v
}

// Unsent refuses an order before anything of it went out.
func Unsent(code fault.Code, param string, cause error) *Failure {
	return &Failure{Taken: NotTaken, Class: Refused, Fault: fault.New(code, param, sentence(code)), Err: cause}
}

// sentence is what customers are told. The supplier's own text goes to the log.
func sentence(code fault.Code) string {
	switch code {
	case fault.CodeRefused:
		return "The supplier refused the request as it stands. Check the prompt, the references and the parameters against the model's page, and create it again."
	case fault.CodeUnreachable:
		return "This reference could not be handed to the supplier. Upload it by POST /v1/files, or give a public address that answers quickly."
	case fault.CodeBadReference:
		return "The supplier does not take a reference as it is: check its format, bytes, pixels and seconds against the model's page."
	case fault.CodeModerated:
		return "The supplier's content inspection refused the prompt, a reference or the result. Change what it may object to, and create it again."
	case fault.CodeResultLost:
		return "The video was made, but its file was gone before it could be fetched. Nothing was charged; create it again."
	default:
		return "The supplier could not make the video. Nothing was charged; create it again later."
	}
}

// Clean makes a supplier's text fit for the log: short, one line, no key.
func (t *Talk) Clean(s string) string {
	s = fit(s)
	if t.Secret != "" {
		s = strings.ReplaceAll(s, t.Secret, "[key]")
	}

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

// bare takes the URL out of a client's error: results' URLs may be signed.
func bare(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return fmt.Errorf("%s: %w", strings.ToLower(u.Op), u.Err)
	}

	return err
}

// retryAfter reads seconds or a date; at most an hour.
func (t *Talk) retryAfter(header string) time.Duration {
	var after time.Duration
	if n, err := strconv.ParseInt(strings.TrimSpace(header), 10, 32); err == nil {
		after = time.Duration(n) * time.Second
	} else if at, err := http.ParseTime(header); err == nil {
		after = at.Sub(t.Now())
	}

	return min(max(after, 0), time.Hour)
}
