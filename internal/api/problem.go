package api

import (
	"errors"
	"net/http"
	"strconv"
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
	h := c.Header()
	if f.Kind == fault.Limited || f.Kind == fault.Unavailable {
		after := f.After
		if after <= 0 {
			after = repeatAfter
		}
		h.Set("Retry-After", strconv.FormatInt(int64((after+time.Second-1)/time.Second), 10))
	}
	if as.status < 500 && f.Kind != fault.Limited && f.Kind != fault.TimedOut {
		h.Set("X-Should-Retry", "false")
	}
	if f.Kind == fault.Unauthenticated {
		h.Set("WWW-Authenticate", "Bearer")
	}
	var body problemBody
	e := &body.Error
	for _, one := range f.All() {
		e.Errors = append(e.Errors, problemPart{Param: orNull(one.Param), Code: string(one.Code), Message: one.Detail})
	}
	e.Message, e.Param, e.Code, e.Type, e.RequestID = f.Detail, orNull(f.Param), string(f.Code), as.family, c.id
	if err := c.json(as.status, body); err != nil {
		a.Log.Error("write problem", "id", c.id, "error", err)
	}
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
