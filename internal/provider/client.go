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

// Client is an HTTP client for one supplier that works the way most of them do:
// one origin, a key in a header, bounded responses, and errors with a JSON or XML
// body of the supplier's own. It decides what every provider must decide in the
// same way: whether a submission may have been accepted, and that the key is sent
// to the origin only. Reading the bodies is left to the provider.
type Client struct {
	Origin           string // scheme, host and any path prefix of the API; no trailing slash
	Authorization    string // value of the Authorization header; "" sends none
	Secret           string // removed from every failure text
	HTTPClient       *http.Client
	SubmitHTTPClient *http.Client
	Now              func() time.Time
	IdleTimeout      time.Duration // how long Open waits for the next bytes
	PresignedResults bool          // result links need no key, whatever their host
	// RequestIDHeader names the header with the supplier's request ID. NewClient
	// sets X-Request-Id.
	RequestIDHeader string
	// ParseError reads an error body in the supplier's own format. It returns false
	// for anything else, such as the HTML page of a proxy between us and the
	// supplier.
	ParseError func(body []byte) (ErrorBody, bool)
	// Classify says what an error means. status is 0 for a remote task that failed.
	Classify func(status int, c ErrorBody) Classification
}

// ErrorBody is what a supplier's error body says.
type ErrorBody struct {
	Code, Message string
	Param         string // the field that the error names, under the name that we sent
	RequestID     string // set where the body has the request ID and no header does
}

// Classification says what one of a supplier's errors means to Unireel.
type Classification struct {
	Class         Class
	ModelOnly     bool
	MayBeAccepted bool // as the response to a submission, it leaves open whether the task was accepted
	Fault         fault.Code
	Param         string // the customer's field; "" when the error concerns no field
	Message       string // what the customer reads, where the fault code's own sentence is too general
	OperatorHint  string // added to the supplier's text in the log, for the operator
}

// Response is a response with its whole body.
type Response struct {
	Status     int
	Body       []byte
	RequestID  string // set even when the body was lost
	RetryAfter time.Duration
}

// maxResponse is the largest body that is read into memory, in bytes.
const maxResponse = 4 << 20

// NewClient checks the options that every provider over HTTP needs. The base URL
// may end in /v1, as SDKs write it. driver is the provider's name, example a valid
// base URL. Both appear in error messages.
func NewClient(o Options, driver, example string) (*Client, error) {
	u, err := url.Parse(o.BaseURL)
	if err != nil || u.Host == "" || u.User != nil || (u.Scheme != "https" && u.Scheme != "http") {
		return nil, fmt.Errorf("upstream %s: the base URL must look like %s", o.Upstream, example)
	}

	if strings.ContainsFunc(o.Secret, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, fmt.Errorf("upstream %s: the API key contains white space or characters that no key can have", o.Upstream)
	}

	if o.HTTPClient == nil || o.SubmitHTTPClient == nil || o.Now == nil {
		return nil, fmt.Errorf("%s needs two HTTP clients and a clock", driver)
	}

	c := &Client{
		Origin:           strings.TrimSuffix(strings.TrimSuffix(o.BaseURL, "/"), "/v1"),
		Secret:           o.Secret,
		SubmitHTTPClient: o.SubmitHTTPClient,
		Now:              o.Now,
		IdleTimeout:      60 * time.Second,
		RequestIDHeader:  "X-Request-Id",
	}
	if o.Secret != "" {
		c.Authorization = "Bearer " + o.Secret
	}
	// net/http keeps the Authorization header on redirects to subdomains and other
	// ports of the same host. Here it is removed on every redirect to another
	// origin.
	client := *o.HTTPClient
	client.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if !c.SameOrigin(r.URL) {
			r.Header.Del("Authorization")
		}

		if o.HTTPClient.CheckRedirect != nil {
			return o.HTTPClient.CheckRedirect(r, via)
		}

		if len(via) > 3 {
			return errors.New("more than three redirects")
		}

		return nil
	}
	c.HTTPClient = &client

	return c, nil
}

// SameOrigin reports whether u belongs to the origin. The key is sent nowhere
// else.
func (c *Client) SameOrigin(u *url.URL) bool {
	origin, err := url.Parse(c.Origin)
	return err == nil && u.Scheme == origin.Scheme && strings.EqualFold(u.Host, origin.Host)
}

// NewRequest makes an API request that carries the key.
func (c *Client) NewRequest(ctx context.Context, method, path string, body io.Reader) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.Origin+path, body)
	if err != nil {
		return nil, err
	}

	if c.Authorization != "" {
		r.Header.Set("Authorization", c.Authorization)
	}

	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "unireel")

	return r, nil
}

// Do sends a request that may be repeated. Any status other than 2xx is a failure;
// the response is returned with it.
func (c *Client) Do(r *http.Request) (Response, *Failure) {
	resp, err := c.send(c.HTTPClient, r)
	if err != nil {
		return resp, c.TransientFailure(resp, err)
	}

	if resp.Status/100 != 2 {
		return resp, c.StatusFailure(resp)
	}

	return resp, nil
}

// DoOnce sends the one request that must never be sent twice. Its failure says
// whether the submission may have been accepted.
func (c *Client) DoOnce(r *http.Request) (Response, *Failure) {
	ctx, tracker := TrackWrites(r.Context())
	r = r.WithContext(ctx)
	r.GetBody = nil // the transport must not be able to replay the body

	resp, err := c.send(c.SubmitHTTPClient, r)
	if err != nil {
		// NothingSent also stops a write that is still under way, so its result
		// stays true after this call returns.
		f := c.TransientFailure(resp, err)
		if tracker.NothingSent() {
			f.Acceptance = NotAccepted
		}

		return resp, f
	}

	if resp.Status/100 != 2 {
		return resp, c.StatusFailure(resp)
	}

	return resp, nil
}

// send returns the response's status and headers even when its body was lost.
func (c *Client) send(client *http.Client, r *http.Request) (Response, error) {
	httpResp, err := client.Do(r)
	if err != nil {
		return Response{}, stripURL(err)
	}
	defer httpResp.Body.Close()

	resp := c.responseHead(httpResp)

	resp.Body, err = io.ReadAll(io.LimitReader(httpResp.Body, maxResponse+1))
	if err != nil {
		return resp, fmt.Errorf("read body of status %d: %w", resp.Status, stripURL(err))
	}

	if len(resp.Body) > maxResponse {
		return resp, fmt.Errorf("read body of status %d: over %d bytes", resp.Status, maxResponse)
	}

	return resp, nil
}

func (c *Client) responseHead(httpResp *http.Response) Response {
	return Response{
		Status:     httpResp.StatusCode,
		RequestID:  c.Sanitize(httpResp.Header.Get(c.RequestIDHeader)),
		RetryAfter: c.parseRetryAfter(httpResp.Header.Get("Retry-After")),
	}
}

// TransientFailure is the failure of a request without a readable response.
func (c *Client) TransientFailure(resp Response, err error) *Failure {
	return &Failure{
		Acceptance: AcceptanceUnknown,
		Class:      Transient,
		RequestID:  resp.RequestID,
		RetryAfter: resp.RetryAfter,
		Fault:      fault.New(fault.CodeSupplierFailed, "", customerMessage(fault.CodeSupplierFailed)),
		Err:        errors.New(c.Sanitize(err.Error())),
	}
}

// StatusFailure is the failure for a response with a status other than 2xx. Only
// an error body of the supplier's own proves that a submission was not accepted,
// and not even that does when it reports a timeout.
func (c *Client) StatusFailure(resp Response) *Failure {
	errBody, own := c.ParseError(resp.Body)

	cause := "the response is not in the supplier's error format"
	if own {
		cause = errBody.Message
	}

	v := c.Classify(resp.Status, errBody)
	f := c.NewFailure(v, errBody, fmt.Errorf("status %d: %s", resp.Status, cause))
	f.RequestID = cmp.Or(resp.RequestID, errBody.RequestID)

	f.RetryAfter = resp.RetryAfter

	// A proxy can send any status for a request that the supplier has received, so
	// the status alone proves nothing. After a timeout (408, 504) the supplier may
	// still complete the request, even if the error body is its own.
	if own && !v.MayBeAccepted && resp.Status >= 400 && resp.Status != http.StatusRequestTimeout && resp.Status != http.StatusGatewayTimeout {
		f.Acceptance = NotAccepted
	}

	return f
}

// NewFailure makes a failure from a classification. The supplier's own text goes
// to the log only, never to the customer.
func (c *Client) NewFailure(v Classification, errBody ErrorBody, cause error) *Failure {
	if v.OperatorHint != "" {
		cause = fmt.Errorf("%w (%s)", cause, v.OperatorHint)
	}

	return &Failure{
		Acceptance: AcceptanceUnknown,
		Class:      v.Class,
		ModelOnly:  v.ModelOnly,
		RequestID:  errBody.RequestID,
		Code:       c.Sanitize(errBody.Code),
		Fault:      fault.New(v.Fault, v.Param, cmp.Or(v.Message, customerMessage(v.Fault))),
		Err:        errors.New(c.Sanitize(cause.Error())),
	}
}

// ClassifyStatus classifies an error without a known code by its HTTP status.
func ClassifyStatus(status int) Classification {
	v := Classification{Class: Transient, Fault: fault.CodeSupplierFailed}

	switch {
	case status == http.StatusTooManyRequests:
		v.Class = Throttled
	case status == http.StatusUnauthorized, status == http.StatusPaymentRequired, status == http.StatusForbidden,
		status == http.StatusNotFound, status == http.StatusMethodNotAllowed: // a wrong base URL is answered with 404 or 405
		v.Class = AccountBlocked
	case status == http.StatusRequestTimeout:
	case status >= 400 && status < 500:
		v.Class = InvalidRequest
		v.Fault = fault.CodeSupplierRejected
	}

	return v
}

// NewInvalidRequest rejects a submission before any of it was sent.
func NewInvalidRequest(code fault.Code, param string, cause error) *Failure {
	return &Failure{
		Acceptance: NotAccepted,
		Class:      InvalidRequest,
		Fault:      fault.New(code, param, customerMessage(code)),
		Err:        cause,
	}
}

// customerMessage is the sentence that customers read. The supplier's own text
// goes to the log.
func customerMessage(code fault.Code) string {
	switch code {
	case fault.CodeSupplierRejected:
		return "The supplier rejected the request. Check the prompt, the references and the parameters against the model's page, and create it again."
	case fault.CodeReferenceUnreachable:
		return "This reference could not be passed to the supplier. Upload it with POST /v1/files, or use a public URL that responds quickly."
	case fault.CodeReferenceInvalid:
		return "The supplier does not accept one of the references. Check its format, file size, dimensions and duration against the model's page."
	case fault.CodeContentRejected:
		return "The supplier's content inspection rejected the prompt, a reference or the result. Change the content, and create it again."
	case fault.CodeResultLost:
		return "The video was made, but its file was no longer available when it was downloaded. Nothing was charged; create it again."
	default:
		return "The supplier could not make the video. Nothing was charged; create it again later."
	}
}

// Sanitize prepares a supplier's text for the log: valid UTF-8, one line, at most
// 500 characters, without the key.
func (c *Client) Sanitize(s string) string {
	s = validText(s)
	if c.Secret != "" {
		s = strings.ReplaceAll(s, c.Secret, "[key]")
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

// stripURL removes the URL from an HTTP client's error, since result URLs may be
// signed.
func stripURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return fmt.Errorf("%s: %w", strings.ToLower(u.Op), u.Err)
	}

	return err
}

// parseRetryAfter reads a Retry-After header, seconds or a date. The result is
// between 0 and one hour.
func (c *Client) parseRetryAfter(header string) time.Duration {
	var after time.Duration
	if n, err := strconv.ParseInt(strings.TrimSpace(header), 10, 32); err == nil {
		after = time.Duration(n) * time.Second
	} else if at, err := http.ParseTime(header); err == nil {
		after = at.Sub(c.Now())
	}

	return min(max(after, 0), time.Hour)
}
