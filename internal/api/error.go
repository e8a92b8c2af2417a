package api

import (
	"cmp"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/store"
)

// statuses is the only table that maps a kind of fault to an HTTP status, and to the error
// type that SDKs expect.
var statuses = map[fault.Kind]struct {
	status int
	family string
}{
	fault.Invalid:              {http.StatusBadRequest, "invalid_request_error"},
	fault.Unauthenticated:      {http.StatusUnauthorized, "authentication_error"},
	fault.PaymentRequired:      {http.StatusPaymentRequired, "billing_error"},
	fault.Forbidden:            {http.StatusForbidden, "permission_error"},
	fault.NotFound:             {http.StatusNotFound, "not_found_error"},
	fault.MethodNotAllowed:     {http.StatusMethodNotAllowed, "invalid_request_error"},
	fault.TimedOut:             {http.StatusRequestTimeout, "invalid_request_error"},
	fault.Gone:                 {http.StatusGone, "not_found_error"},
	fault.TooLarge:             {http.StatusRequestEntityTooLarge, "invalid_request_error"},
	fault.UnsupportedMediaType: {http.StatusUnsupportedMediaType, "invalid_request_error"},
	fault.RateLimited:          {http.StatusTooManyRequests, "rate_limit_error"},
	fault.Internal:             {http.StatusInternalServerError, "server_error"},
	fault.Unavailable:          {http.StatusServiceUnavailable, "server_error"},
}

// statusClientClosed is logged for a caller who disconnected before the response.
const statusClientClosed = 499

// defaultRetryAfter is the Retry-After of Unavailable and RateLimited faults that name no
// time.
const defaultRetryAfter = 5 * time.Second

// errorBody is the error envelope of the UniAll and OpenAI dialects. The top level repeats
// the first entry of errors.
type errorBody struct {
	Error struct {
		Message   string        `json:"message"`
		Type      string        `json:"type"`
		Param     *string       `json:"param"`
		Code      string        `json:"code"`
		Errors    []errorDetail `json:"errors"`
		RequestID string        `json:"request_id"`
	} `json:"error"`
}

type errorDetail struct {
	Param   *string `json:"param"`
	Code    string  `json:"code"`
	Message string  `json:"message"`
}

// writeError writes an error response, unless a response has already begun.
func (a *API) writeError(c *requestContext, err error) {
	if c.status != 0 {
		return
	}

	if clientGone(c, err) {
		c.status = statusClientClosed
		return
	}

	f := faultOf(err)
	mapping := statuses[f.Kind]

	var body any = newErrorBody(f, mapping.family, c.id)
	if c.isDashScope() {
		var code string

		code, mapping.status = dashScopeError(f)
		body = dashScopeErrorBody{Code: code, Message: dashScopeMessage(f), RequestID: c.id}
	}

	h := c.Header()

	if f.Kind == fault.RateLimited || f.Kind == fault.Unavailable {
		delay := f.RetryAfter
		if delay <= 0 {
			delay = defaultRetryAfter
		}

		h.Set("Retry-After", strconv.FormatInt(wholeSeconds(delay), 10))
	}

	if mapping.status < 500 && f.Kind != fault.RateLimited && f.Kind != fault.TimedOut {
		h.Set("X-Should-Retry", "false")
	}

	if f.Kind == fault.Unauthenticated {
		h.Set("WWW-Authenticate", "Bearer")
	}

	if err := c.json(mapping.status, body); err != nil {
		a.Log.Error("write problem", "id", c.id, "error", err)
	}
}

func newErrorBody(f *fault.Fault, errorType, request string) (body errorBody) {
	e := &body.Error
	for _, detail := range f.All() {
		e.Errors = append(e.Errors, errorDetail{Param: orNull(detail.Param), Code: string(detail.Code), Message: detail.Detail})
	}

	e.Message = f.Detail
	e.Param = orNull(f.Param)
	e.Code = string(f.Code)
	e.Type = errorType
	e.RequestID = request

	return body
}

// dashScopeErrorBody is an error in DashScope's dialect.
type dashScopeErrorBody struct {
	Code      string `json:"code"`
	Message   string `json:"message"`
	RequestID string `json:"request_id"`
}

// dashScopeCodes maps a fault, of a request or of a failed task, to DashScope's error
// code, and to DashScope's status where it differs from the status of the fault's kind.
var dashScopeCodes = map[fault.Code]struct {
	code   string
	status int
}{
	fault.CodeMalformedBody:          {"BadRequest.IllegalInput", 0},
	fault.CodeUnsupportedContentType: {"BadRequest.IllegalInput", http.StatusBadRequest},
	fault.CodeBodyTooLarge:           {"BadRequest.TooLarge", http.StatusBadRequest},
	fault.CodeUnsupportedFileType:    {"InvalidFile.Format", http.StatusBadRequest},
	fault.CodeUnknownModel:           {"ModelNotFound", http.StatusNotFound},
	fault.CodeModelNotAllowed:        {"Model.AccessDenied", 0},
	fault.CodeInsufficientCredit:     {"Arrearage", http.StatusBadRequest},
	fault.CodeBudgetExceeded:         {"Arrearage", http.StatusBadRequest},
	fault.CodeNotPending:             {"UnsupportedOperation", 0},
	fault.CodeRequestTimeout:         {"RequestTimeOut", 0},
	fault.CodeReferenceUnreachable:   {"InvalidParameter.DataInspection", 0},
	fault.CodeReferenceInvalid:       {"InvalidFile.Format", 0},
	fault.CodeContentRejected:        {"DataInspectionFailed", 0},
	fault.CodeExpired:                {"RequestTimeOut", 0},
	fault.CodeTaskTimedOut:           {"InternalError.Timeout", 0},
	fault.CodeSupplierFailed:         {"InternalError", 0},
	fault.CodeUpstreamLost:           {"InternalError", 0},
	fault.CodeResultLost:             {"InternalError", 0},
	fault.CodeUpstreamUnknown:        {"InternalError", 0},
}

// dashScopeKinds maps the kind of every other fault to DashScope's error code.
var dashScopeKinds = map[fault.Kind]string{
	fault.Invalid: "InvalidParameter", fault.Unauthenticated: "InvalidApiKey", fault.Forbidden: "AccessDenied", fault.NotFound: "NotFound", fault.Gone: "NotFound",
	fault.MethodNotAllowed: "UnsupportedOperation", fault.RateLimited: "Throttling.RateQuota", fault.Unavailable: "ServiceUnavailable",
}

// dashScopeError returns a fault's code and status in DashScope's dialect.
func dashScopeError(f *fault.Fault) (code string, status int) {
	code = dashScopeCode(f.Code)

	status = statuses[f.Kind].status
	if override := dashScopeCodes[f.Code].status; override != 0 {
		status = override
	}

	if f.Code == fault.CodeMissingField && f.Param == "model" {
		code = "BadRequest.EmptyModel"
	}

	if f.Code == fault.CodeMissingField && f.Param == dashScopeInput {
		code = "BadRequest.EmptyInput"
	}

	return code, status
}

// dashScopeCode returns a fault's code in DashScope's dialect.
func dashScopeCode(code fault.Code) string {
	return cmp.Or(dashScopeCodes[code].code, dashScopeKinds[code.Kind()], "InternalError")
}

// dashScopeMessage joins all errors into one text: the dialect has no other place for the
// names of the fields.
func dashScopeMessage(f *fault.Fault) string {
	var details []string
	for _, detail := range f.All() {
		details = append(details, detail.Error())
	}

	return strings.Join(details, " ")
}

// faultOf returns the fault in an error. An unavailable database is a temporary fault, not
// an internal error.
func faultOf(err error) *fault.Fault {
	if errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrClosed) {
		return fault.New(fault.CodeUnavailable, "", "The server cannot handle this request at the moment. Nothing was changed; repeat it later.").WithCause(err)
	}

	return fault.From(err)
}

// orNull returns nil for "", which JSON writes as null.
func orNull(s string) *string {
	if s == "" {
		return nil
	}

	return &s
}
