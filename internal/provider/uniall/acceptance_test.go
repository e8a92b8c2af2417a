package uniall

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/provider/providertest"
)

// The errors with which gateways respond to a submission, and their
// classification.
func TestCreateErrors(t *testing.T) {
	for name, c := range map[string]struct {
		status     int
		body       string
		class      provider.Class
		fault      fault.Code
		param      string
		acceptance provider.Acceptance
		model      bool
	}{
		"wrong size":              {400, `{"error":{"message":"m","type":"invalid_request_error","param":"size","code":"invalid_value","errors":[]}}`, provider.InvalidRequest, fault.CodeSupplierRejected, "size", provider.NotAccepted, false},
		"one of many pictures":    {400, `{"error":{"message":"m","param":"images[1]","code":"invalid_value"}}`, provider.InvalidRequest, fault.CodeSupplierRejected, "references[2]", provider.NotAccepted, false},
		"one of the videos":       {400, `{"error":{"message":"m","param":"videos[0]","code":"reference_invalid"}}`, provider.InvalidRequest, fault.CodeReferenceInvalid, "references[1]", provider.NotAccepted, false},
		"video out of range":      {400, `{"error":{"message":"m","param":"videos[7]","code":"invalid_value"}}`, provider.InvalidRequest, fault.CodeSupplierRejected, "", provider.NotAccepted, false},
		"nested seed":             {400, `{"error":{"message":"m","param":"extra_body.seed","code":"invalid_value"}}`, provider.InvalidRequest, fault.CodeSupplierRejected, "seed", provider.NotAccepted, false},
		"unknown field":           {400, `{"error":{"message":"m","param":"colour","code":"unknown_field"}}`, provider.InvalidRequest, fault.CodeSupplierRejected, "", provider.NotAccepted, false},
		"deleted upload":          {400, `{"error":{"message":"m","param":"images[0]","code":"file_not_found"}}`, provider.InvalidRequest, fault.CodeReferenceUnreachable, "references[0]", provider.NotAccepted, false},
		"unknown model":           {400, `{"error":{"message":"m","param":"model","code":"unknown_model"}}`, provider.AccountBlocked, fault.CodeSupplierFailed, "", provider.NotAccepted, true},
		"model without a route":   {400, `{"error":{"message":"m","param":"model","code":"no_route"}}`, provider.AccountBlocked, fault.CodeSupplierFailed, "", provider.NotAccepted, true},
		"field without a route":   {400, `{"error":{"message":"m","param":"seed","code":"no_route"}}`, provider.InvalidRequest, fault.CodeSupplierRejected, "seed", provider.NotAccepted, false},
		"wrong key":               {401, `{"error":{"message":"m","param":null,"code":"invalid_api_key"}}`, provider.AccountBlocked, fault.CodeSupplierFailed, "", provider.NotAccepted, false},
		"no credit":               {402, `{"error":{"message":"m","param":null,"code":"insufficient_credit"}}`, provider.AccountBlocked, fault.CodeSupplierFailed, "", provider.NotAccepted, false},
		"no scope":                {403, `{"error":{"message":"m","code":"insufficient_scope"}}`, provider.AccountBlocked, fault.CodeSupplierFailed, "", provider.NotAccepted, false},
		"another path":            {404, `{"error":{"message":"m","code":"unknown_path"}}`, provider.AccountBlocked, fault.CodeSupplierFailed, "", provider.NotAccepted, false},
		"too many requests":       {429, `{"error":{"message":"m","code":"rate_limit_exceeded"}}`, provider.Throttled, fault.CodeSupplierFailed, "", provider.NotAccepted, false},
		"500 from the gateway":    {500, `{"error":{"message":"m","code":"internal_error"}}`, provider.Transient, fault.CodeSupplierFailed, "", provider.NotAccepted, false},
		"503 from the gateway":    {503, `{"error":{"message":"m","code":"unavailable"}}`, provider.Transient, fault.CodeSupplierFailed, "", provider.NotAccepted, false},
		"408 from the gateway":    {408, `{"error":{"message":"m","code":"request_timeout"}}`, provider.Transient, fault.CodeSupplierFailed, "", provider.AcceptanceUnknown, false},
		"504 from the gateway":    {504, `{"error":{"message":"m","code":"late"}}`, provider.Transient, fault.CodeSupplierFailed, "", provider.AcceptanceUnknown, false},
		"flat, from its supplier": {400, `{"code":"fail_to_fetch_task","message":"Input data may contain inappropriate content.","data":null}`, provider.InvalidRequest, fault.CodeContentRejected, "", provider.NotAccepted, false},
		"flat, from a proxy":      {503, `{"message":"no upstream"}`, provider.Transient, fault.CodeSupplierFailed, "", provider.AcceptanceUnknown, false},
		"a proxy's 502":           {502, `<html>bad gateway</html>`, provider.Transient, fault.CodeSupplierFailed, "", provider.AcceptanceUnknown, false},
		"a proxy's 403":           {403, `<html>forbidden</html>`, provider.AccountBlocked, fault.CodeSupplierFailed, "", provider.AcceptanceUnknown, false},
		"a redirect":              {307, ``, provider.Transient, fault.CodeSupplierFailed, "", provider.AcceptanceUnknown, false},
		"200 with an HTML page":   {200, `<html>hello</html>`, provider.Transient, fault.CodeSupplierFailed, "", provider.AcceptanceUnknown, false},
		"200 with an error":       {200, `{"error":{"message":"x","code":"y"}}`, provider.Transient, fault.CodeSupplierFailed, "", provider.AcceptanceUnknown, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newFixture(t, false)
			s.Respond(c.status, "application/json", c.body)
			_, err := s.Submit(t.Context(), submissions["mixed"])

			f := providertest.FailureOf(t, err, secret)
			if f.Class != c.class || f.Fault.Code != c.fault || f.Fault.Param != c.param || f.Acceptance != c.acceptance || f.ModelOnly != c.model {
				t.Errorf("class %s, fault %s %q, acceptance %d, model only %v: %v", f.Class, f.Fault.Code, f.Fault.Param, f.Acceptance, f.ModelOnly, f)
			}
		})
	}
}

func TestTaskErrors(t *testing.T) {
	for body, c := range map[string]struct {
		class provider.Class
		fault fault.Code
	}{
		`{"code":"content_rejected","message":"m"}`:                                   {provider.InvalidRequest, fault.CodeContentRejected},
		`{"code":"reference_unreachable","message":"m","param":"videos[0]"}`:          {provider.InvalidRequest, fault.CodeReferenceUnreachable},
		`{"code":"reference_invalid","message":"m"}`:                                  {provider.InvalidRequest, fault.CodeReferenceInvalid},
		`{"code":"supplier_rejected","message":"m"}`:                                  {provider.InvalidRequest, fault.CodeSupplierRejected},
		`{"code":"supplier_failed","message":"m"}`:                                    {provider.Transient, fault.CodeSupplierFailed},
		`{"code":"upstream_unknown","message":"m"}`:                                   {provider.Transient, fault.CodeSupplierFailed},
		`"Output data may contain inappropriate content."`:                            {provider.InvalidRequest, fault.CodeContentRejected},
		`{"message":"Input data is suspected of being involved in IP infringement."}`: {provider.InvalidRequest, fault.CodeContentRejected},
		`null`: {provider.Transient, fault.CodeSupplierFailed},
	} {
		s := newFixture(t, false)
		s.Respond(200, "application/json", `{"id":"t","task_id":"t","status":"failed","error":`+body+`}`)

		report, err := s.Poll(t.Context(), "t")
		if err != nil || report.Phase != provider.Failed || report.Failure == nil || report.Failure.Class != c.class || report.Failure.Fault.Code != c.fault {
			t.Errorf("%s: %+v, %v", body, report, err)
		}
	}
}

func TestPollOfUnknownTask(t *testing.T) {
	for body, c := range map[string]struct {
		status  int
		unknown bool
	}{
		`{"error":{"code":"video_not_found","message":"m"}}`:          {404, true},
		`{"code":"task_not_exist","message":"task_not_exist"}`:        {400, true},
		`{"error":{"code":"unknown_path","message":"m"}}`:             {404, false},
		`<html>no such host</html>`:                                   {404, false},
		`{"id":"other","task_id":"other","status":"queued"}`:          {200, false},
		`{"id":"t","status":"asleep"}`:                                {200, false},
		`{"id":"t","status":"completed"}`:                             {200, false},
		`{"status":"queued"}`:                                         {200, false},
		`{"error":{"code":"internal_error","message":"our mistake"}}`: {500, false},
	} {
		s := newFixture(t, false)
		s.Respond(c.status, "application/json", body)

		report, err := s.Poll(t.Context(), "t")
		if c.unknown != (err == nil && report.Phase == provider.Unknown) {
			t.Errorf("%d %s: %+v, %v", c.status, body, report, err)
		}
	}
}

func TestUploadErrors(t *testing.T) {
	for body, c := range map[string]struct {
		status int
		class  provider.Class
		fault  fault.Code
	}{
		`{"error":{"code":"body_too_large","message":"m"}}`:              {413, provider.InvalidRequest, fault.CodeReferenceInvalid},
		`{"error":{"code":"unsupported_file_type","message":"m"}}`:       {415, provider.InvalidRequest, fault.CodeReferenceInvalid},
		`<html>not here</html>`:                                          {404, provider.InvalidRequest, fault.CodeReferenceUnreachable},
		`{"error":{"code":"storage_full","message":"m"}}`:                {503, provider.Transient, fault.CodeSupplierFailed},
		`{"error":{"code":"rate_limit_exceeded","message":"slow down"}}`: {429, provider.Throttled, fault.CodeSupplierFailed},
		`{"object":"file"}`:                                              {200, provider.Transient, fault.CodeSupplierFailed},
	} {
		s := newFixture(t, false)
		s.Override(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)

			w.WriteHeader(c.status)
			w.Write([]byte(body))
		})

		_, err := s.Upload(t.Context(), "m", "a.png", 3, strings.NewReader("abc"))
		if f := providertest.FailureOf(t, err, secret); f.Class != c.class || f.Fault.Code != c.fault {
			t.Errorf("%d %s: %v, %+v", c.status, body, f, f.Fault)
		}
	}
}

func TestBrokenConnectionLeavesAcceptanceUnknown(t *testing.T) {
	for name, say := range map[string]string{
		"dropped": "", "cut": "HTTP/1.1 200 OK\r\nX-Request-Id: r-1\r\nContent-Length: 99\r\n\r\n{", "truncated header": "HTTP/1.1 20",
	} {
		s := newFixture(t, false)
		s.Override(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)

			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}

			_, _ = conn.Write([]byte(say))
			_ = conn.Close()
		})

		_, err := s.Submit(t.Context(), smallSubmission())
		if f := providertest.FailureOf(t, err, secret); f.Acceptance != provider.AcceptanceUnknown || f.Class != provider.Transient || name == "cut" && f.RequestID != "r-1" {
			t.Errorf("%s: acceptance %d, %v", name, f.Acceptance, f)
		}
	}
}

// A submission is sent once, whatever happens to its connection.
func TestSubmissionIsSentOnce(t *testing.T) {
	s := newFixture(t, false)
	arrived := make(chan struct{}, 8)

	s.Override(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)

		arrived <- struct{}{}

		if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
			_ = conn.Close()
		}
	})

	for range 3 {
		_, err := s.Submit(t.Context(), smallSubmission())
		_ = providertest.FailureOf(t, err, secret)
	}

	if n := len(arrived); n != 3 {
		t.Errorf("3 submissions arrived %d times", n)
	}
}

func TestNoConnectionIsNotAccepted(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()

	_, err := connect(t, closed.URL).Submit(t.Context(), smallSubmission())
	if f := providertest.FailureOf(t, err, secret); f.Acceptance != provider.NotAccepted || f.Class != provider.Transient {
		t.Errorf("acceptance %d, %v; want not accepted", f.Acceptance, f)
	}

	s := newFixture(t, false)
	lost := errors.Join(net.ErrClosed, errors.New("the lease is lost"))

	_, err = s.Submit(provider.WithSendCheck(t.Context(), func() error { return lost }), smallSubmission())
	if f := providertest.FailureOf(t, err, secret); f.Acceptance != provider.NotAccepted || s.sim.Accepted("") != 0 {
		t.Errorf("stopped by the send check: acceptance %d, %v", f.Acceptance, f)
	}
}
