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

// statuses is the only table of what a kind of fault is in HTTP, with the type
// that SDKs know it by.
var statuses = map[fault.Kind]struct {
	status int
	family string
}{
	fault.Invalid:         {http.StatusBadRequest, "invalid_request_error"},
	fault.Unauthenticated: {http.StatusUnauthorized, "authentication_error"},
	fault.Unpaid:          {http.StatusPaymentRequired, "billing_error"},
	fault.Forbidden:       {http.StatusForbidden, "permission_error"},
	fault.NotFound:        {http.StatusNotFound, "not_found_error"},
	fault.NotAllowed:      {http.StatusMethodNotAllowed, "invalid_request_error"},
	fault.TimedOut:        {http.StatusRequestTimeout, "invalid_request_error"},
	fault.Gone:            {http.StatusGone, "not_found_error"},
	fault.TooLarge:        {http.StatusRequestEntityTooLarge, "invalid_request_error"},
	fault.WrongType:       {http.StatusUnsupportedMediaType, "invalid_request_error"},
	fault.Limited:         {http.StatusTooManyRequests, "rate_limit_error"},
	fault.Internal:        {http.StatusInternalServerError, "server_error"},
	fault.Unavailable:     {http.StatusServiceUnavailable, "server_error"},
}

// statusGone is logged for a caller who went away: nobody hears it.
const statusGone = 499

// repeatAfter is what Unavailable and Limited say when nobody knew better.
const repeatAfter = 5 * time.Second

// problemBody is the error envelope of the UniAll and OpenAI dialects. The top
// level repeats the first of errors.
type problemBody struct {
	Error struct {
		Message   string        `json:"message"`
		Type      string        `json:"type"`
		Param     *string       `json:"param"`
		Code      string        `json:"code"`
		Errors    []problemPart `json:"errors"`
		RequestID string        `json:"request_id"`
	} `json:"error"`
}

type problemPart struct {
	Param   *string `json:"param"`
	Code    string  `json:"code"`
	Message string  `json:"message"`
}

// problem writes an error. What has been answered already cannot be mended.
func (a *API) problem(c *call, err error) {
	if c.status != 0 {
		return
	}

	if gone(c, err) {
		c.status = statusGone
		return
	}

	f := faultOf(err)
	as := statuses[f.Kind]

	var told any = enveloped(f, as.family, c.id)
	if c.dashScope() {
		var code string

		code, as.status = flatCode(f)
		told = flatProblem{Code: code, Message: flatMessage(f), RequestID: c.id}
	}

	h := c.Header()

	if f.Kind == fault.Limited || f.Kind == fault.Unavailable {
		after := f.After
		if after <= 0 {
			after = repeatAfter
		}

		h.Set("Retry-After", strconv.FormatInt(wholeSeconds(after), 10))
	}

	if as.status < 500 && f.Kind != fault.Limited && f.Kind != fault.TimedOut {
		h.Set("X-Should-Retry", "false")
	}

	if f.Kind == fault.Unauthenticated {
		h.Set("WWW-Authenticate", "Bearer")
	}

	if err := c.json(as.status, told); err != nil {
		a.Log.Error("write problem", "id", c.id, "error", err)
	}
}

func enveloped(f *fault.Fault, family, request string) (body problemBody) {
	e := &body.Error
	for _, one := range f.All() {
		e.Errors = append(e.Errors, problemPart{Param: orNull(one.Param), Code: string(one.Code), Message: one.Detail})
	}

	e.Message = f.Detail
	e.Param = orNull(f.Param)
	e.Code = string(f.Code)
	e.Type = family
	e.RequestID = request

	return body
}

// flatProblem is the error of DashScope's dialect.
type flatProblem struct {
	Code      string `json:"code"`
	Message   string `json:"message"`
	RequestID string `json:"request_id"`
}

// flatCodes: what DashScope calls a fault ("error codes"), of a request and of a failed
// task, and the status it has there where that is not its kind's.
var flatCodes = map[fault.Code]struct {
	code   string
	status int
}{
	fault.CodeMalformedBody:   {"BadRequest.IllegalInput", 0},
	fault.CodeContentType:     {"BadRequest.IllegalInput", http.StatusBadRequest},
	fault.CodeTooLarge:        {"BadRequest.TooLarge", http.StatusBadRequest},
	fault.CodeFileType:        {"InvalidFile.Format", http.StatusBadRequest},
	fault.CodeUnknownModel:    {"ModelNotFound", http.StatusNotFound},
	fault.CodeModelForbidden:  {"Model.AccessDenied", 0},
	fault.CodeCredit:          {"Arrearage", http.StatusBadRequest},
	fault.CodeBudget:          {"Arrearage", http.StatusBadRequest},
	fault.CodeNotWaiting:      {"UnsupportedOperation", 0},
	fault.CodeSlowBody:        {"RequestTimeOut", 0},
	fault.CodeUnreachable:     {"InvalidParameter.DataInspection", 0},
	fault.CodeBadReference:    {"InvalidFile.Format", 0},
	fault.CodeModerated:       {"DataInspectionFailed", 0},
	fault.CodeExpired:         {"RequestTimeOut", 0},
	fault.CodeTimedOut:        {"InternalError.Timeout", 0},
	fault.CodeSupplier:        {"InternalError", 0},
	fault.CodeUpstreamLost:    {"InternalError", 0},
	fault.CodeResultLost:      {"InternalError", 0},
	fault.CodeUpstreamUnknown: {"InternalError", 0},
}

// flatKinds: what DashScope calls everything else of a kind.
var flatKinds = map[fault.Kind]string{
	fault.Invalid: "InvalidParameter", fault.Unauthenticated: "InvalidApiKey", fault.Forbidden: "AccessDenied", fault.NotFound: "NotFound", fault.Gone: "NotFound",
	fault.NotAllowed: "UnsupportedOperation", fault.Limited: "Throttling.RateQuota", fault.Unavailable: "ServiceUnavailable",
}

// flatCode is a fault's code and status in DashScope's dialect.
func flatCode(f *fault.Fault) (code string, status int) {
	code = flatName(f.Code)

	status = statuses[f.Kind].status
	if own := flatCodes[f.Code].status; own != 0 {
		status = own
	}

	if f.Code == fault.CodeMissingField && f.Param == "model" {
		code = "BadRequest.EmptyModel"
	}

	if f.Code == fault.CodeMissingField && f.Param == dashScopeInput {
		code = "BadRequest.EmptyInput"
	}

	return code, status
}

func flatName(code fault.Code) string {
	return cmp.Or(flatCodes[code].code, flatKinds[code.Kind()], "InternalError")
}

// flatMessage is all that is wrong in one text: there is no other place for the
// fields' names.
func flatMessage(f *fault.Fault) string {
	var said []string
	for _, one := range f.All() {
		said = append(said, one.Error())
	}

	return strings.Join(said, " ")
}

// faultOf is the fault in an error. A database that does not answer is not our
// fault's end of the world: it passes.
func faultOf(err error) *fault.Fault {
	if errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrClosed) {
		return fault.New(fault.CodeUnavailable, "", "The server cannot answer this at the moment. Nothing was changed; repeat it later.").Because(err)
	}

	return fault.From(err)
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}

	return &s
}
