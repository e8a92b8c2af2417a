package openai

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/provider/providertest"
)

// The errors with which servers of this API respond to a submission, and their
// classification.
func TestCreateErrors(t *testing.T) {
	picture := submissions["i2v"]

	for name, c := range map[string]struct {
		status     int
		body       string
		class      provider.Class
		fault      fault.Code
		param      string
		acceptance provider.Acceptance
		model      bool
	}{
		"OpenAI, wrong size":          {400, `{"error":{"message":"Invalid size","type":"invalid_request_error","param":"size","code":"invalid_value"}}`, provider.InvalidRequest, fault.CodeSupplierRejected, "size", provider.NotAccepted, false},
		"OpenAI, wrong seconds":       {400, `{"error":{"message":"Invalid value","type":"invalid_request_error","param":"seconds","code":null}}`, provider.InvalidRequest, fault.CodeSupplierRejected, "duration", provider.NotAccepted, false},
		"OpenAI, unknown field":       {400, `{"error":{"message":"Unknown parameter","type":"invalid_request_error","param":"user_agent","code":"unknown_parameter"}}`, provider.InvalidRequest, fault.CodeSupplierRejected, "", provider.NotAccepted, false},
		"OpenAI, moderation":          {400, `{"error":{"message":"Blocked","type":"invalid_request_error","param":null,"code":"moderation_blocked"}}`, provider.InvalidRequest, fault.CodeContentRejected, "", provider.NotAccepted, false},
		"OpenAI, wrong key":           {401, `{"error":{"message":"Incorrect API key","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}`, provider.AccountBlocked, fault.CodeSupplierFailed, "", provider.NotAccepted, false},
		"OpenAI, quota used up":       {429, `{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}`, provider.AccountBlocked, fault.CodeSupplierFailed, "", provider.NotAccepted, false},
		"OpenAI, rate limit":          {429, `{"error":{"message":"Rate limit reached","type":"requests","param":null,"code":"rate_limit_exceeded"}}`, provider.Throttled, fault.CodeSupplierFailed, "", provider.NotAccepted, false},
		"OpenAI, server error":        {500, `{"error":{"message":"The server had an error","type":"server_error","param":null,"code":null}}`, provider.Transient, fault.CodeSupplierFailed, "", provider.NotAccepted, false},
		"a gateway, no credit":        {402, `{"error":{"message":"Top up","code":"insufficient_credit"}}`, provider.AccountBlocked, fault.CodeSupplierFailed, "", provider.NotAccepted, false},
		"a gateway, forbidden":        {403, `{"error":{"message":"No","code":"forbidden"}}`, provider.AccountBlocked, fault.CodeSupplierFailed, "", provider.NotAccepted, false},
		"a gateway, its 504":          {504, `{"error":{"message":"late","code":"timeout"}}`, provider.Transient, fault.CodeSupplierFailed, "", provider.AcceptanceUnknown, false},
		"a gateway, its 408":          {408, `{"error":{"message":"late","code":"timeout"}}`, provider.Transient, fault.CodeSupplierFailed, "", provider.AcceptanceUnknown, false},
		"vLLM, no such model":         {404, `{"error":{"message":"The model x does not exist.","type":"NotFoundError","param":"model","code":404}}`, provider.AccountBlocked, fault.CodeSupplierFailed, "", provider.NotAccepted, true},
		"vLLM, the flat form":         {400, `{"object":"error","message":"bad","type":"BadRequestError","param":null,"code":400}`, provider.InvalidRequest, fault.CodeSupplierRejected, "", provider.NotAccepted, false},
		"SGLang, invalid picture":     {400, `{"detail":"Failed to process image source: cannot identify image file"}`, provider.InvalidRequest, fault.CodeReferenceInvalid, "", provider.NotAccepted, false},
		"SGLang, form without a file": {400, `{"detail":"input_reference file or reference_url is required"}`, provider.InvalidRequest, fault.CodeSupplierRejected, "", provider.NotAccepted, false},
		"FastAPI, a field":            {422, `{"detail":[{"type":"int_parsing","loc":["body","seconds"],"msg":"Input should be a valid integer","input":"x"}]}`, provider.InvalidRequest, fault.CodeSupplierRejected, "duration", provider.NotAccepted, false},
		"FastAPI, the file":           {422, `{"detail":[{"type":"missing","loc":["body","input_reference"],"msg":"Field required"}]}`, provider.InvalidRequest, fault.CodeSupplierRejected, "image", provider.NotAccepted, false},
		"FastAPI, another path":       {404, `{"detail":"Not Found"}`, provider.AccountBlocked, fault.CodeSupplierFailed, "", provider.NotAccepted, false},
		"FastAPI, another method":     {405, `{"detail":"Method Not Allowed"}`, provider.AccountBlocked, fault.CodeSupplierFailed, "", provider.NotAccepted, false},
		"FastAPI, queue full":         {503, `{"detail":"Queue is full"}`, provider.Throttled, fault.CodeSupplierFailed, "", provider.NotAccepted, false},
		"Starlette's bare 500":        {500, `Internal Server Error`, provider.Transient, fault.CodeSupplierFailed, "", provider.AcceptanceUnknown, false},
		"a proxy's 502":               {502, `<html>bad gateway</html>`, provider.Transient, fault.CodeSupplierFailed, "", provider.AcceptanceUnknown, false},
		"a proxy's 413":               {413, `<html>too large</html>`, provider.InvalidRequest, fault.CodeSupplierRejected, "", provider.AcceptanceUnknown, false},
		"a proxy's JSON":              {503, `{"message":"no upstream"}`, provider.Transient, fault.CodeSupplierFailed, "", provider.AcceptanceUnknown, false},
		"a redirect":                  {307, ``, provider.Transient, fault.CodeSupplierFailed, "", provider.AcceptanceUnknown, false},
		"200 with an HTML page":       {200, `<html>hello</html>`, provider.Transient, fault.CodeSupplierFailed, "", provider.AcceptanceUnknown, false},
		"200 with an error":           {200, `{"error":{"message":"x","code":"y"}}`, provider.Transient, fault.CodeSupplierFailed, "", provider.AcceptanceUnknown, false},
		"204":                         {204, ``, provider.Transient, fault.CodeSupplierFailed, "", provider.AcceptanceUnknown, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newFixture(t, nil)
			s.Respond(c.status, "application/json", c.body)
			_, err := s.Submit(t.Context(), picture)

			f := providertest.FailureOf(t, err, secret)
			if f.Class != c.class || f.Fault.Code != c.fault || f.Fault.Param != c.param || f.Acceptance != c.acceptance || f.ModelOnly != c.model {
				t.Errorf("class %s, fault %s %q, acceptance %d, model only %v: %v", f.Class, f.Fault.Code, f.Fault.Param, f.Acceptance, f.ModelOnly, f)
			}
		})
	}
}

func TestVideoErrors(t *testing.T) {
	for body, c := range map[string]struct {
		class provider.Class
		fault fault.Code
	}{
		`{"code":"moderation_blocked","message":"blocked"}`:                    {provider.InvalidRequest, fault.CodeContentRejected},
		`{"code":"reference_invalid","message":"x","param":"input_reference"}`: {provider.InvalidRequest, fault.CodeReferenceInvalid},
		`{"message":"CUDA out of memory"}`:                                     {provider.Transient, fault.CodeSupplierFailed},
		`"it broke"`:                                                           {provider.Transient, fault.CodeSupplierFailed},
		`null`:                                                                 {provider.Transient, fault.CodeSupplierFailed},
		`[]`:                                                                   {provider.Transient, fault.CodeSupplierFailed},
	} {
		s := newFixture(t, nil)
		s.Respond(200, "application/json", `{"id":"v","status":"failed","error":`+body+`}`)

		report, err := s.Poll(t.Context(), "v")
		if err != nil || report.Phase != provider.Failed || report.Failure == nil || report.Failure.Class != c.class || report.Failure.Fault.Code != c.fault {
			t.Errorf("%s: %+v, %v", body, report, err)
		}
	}
}

func TestMalformedPollResponses(t *testing.T) {
	for body, status := range map[string]int{
		`{"id":"other","status":"queued"}`: 200, `{"id":"v","status":"asleep"}`: 200, `{"status":"queued"}`: 200, `{"id":"..","status":"queued"}`: 200,
		`<html>no such host</html>`: 404, `{"detail":"bad"}`: 500,
	} {
		s := newFixture(t, nil)
		s.Respond(status, "application/json", body)

		if report, err := s.Poll(t.Context(), "v"); err == nil {
			t.Errorf("%d %s: %+v", status, body, report)
		}
	}
}

func TestCancels(t *testing.T) {
	for name, c := range map[string]struct {
		get, del  string // a status and a body
		cancelled bool
		err       bool
	}{
		"SGLang":                    {`200 {"id":"v","status":"queued"}`, `200 {"id":"v","status":"deleted"}`, true, false},
		"vLLM":                      {`200 {"id":"v","status":"in_progress"}`, `200 {"id":"v","deleted":true,"object":"video.deleted"}`, true, false},
		"finished in the meantime":  {`200 {"id":"v","status":"in_progress"}`, `200 {"id":"v","status":"completed"}`, false, false},
		"not deleted":               {`200 {"id":"v","status":"in_progress"}`, `200 {"id":"v","deleted":false}`, false, false},
		"empty response":            {`200 {"id":"v","status":"in_progress"}`, `204 `, true, false},
		"finished":                  {`200 {"id":"v","status":"completed"}`, `500 never asked`, false, false},
		"failed":                    {`200 {"id":"v","status":"failed"}`, `500 never asked`, false, false},
		"deleted by another client": {`200 {"id":"v","status":"deleted"}`, `500 never asked`, true, false},
		"OpenAI, still rendering":   {`200 {"id":"v","status":"in_progress"}`, `400 {"error":{"message":"not yet","code":"x"}}`, false, false},
		"server without delete":     {`200 {"id":"v","status":"in_progress"}`, `405 {"detail":"Method Not Allowed"}`, false, false},
		"unknown":                   {`404 {"detail":"Video not found"}`, `404 {"detail":"Video not found"}`, false, false},
		"proxy error on delete":     {`200 {"id":"v","status":"in_progress"}`, `502 <html>`, false, true},
		"proxy error on query":      {`502 <html>`, `200 {"id":"v","deleted":true}`, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newFixture(t, nil)
			s.Override(func(w http.ResponseWriter, r *http.Request) {
				say := c.get
				if r.Method == http.MethodDelete {
					say = c.del
				}

				status, body, _ := strings.Cut(say, " ")
				w.WriteHeader(map[string]int{
					"200": 200,
					"204": 204,
					"400": 400,
					"404": 404,
					"405": 405,
					"500": 500,
					"502": 502,
				}[status])
				w.Write([]byte(body))
			})

			cancelled, err := s.Cancel(t.Context(), "v")
			if cancelled != c.cancelled || (err != nil) != c.err {
				t.Errorf("Cancel = %v, %v", cancelled, err)
			}
		})
	}
}

// closeAfterRead reads the whole request, calls after and closes the connection.
func closeAfterRead(after func(net.Conn)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)

		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}

		after(conn)
		_ = conn.Close()
	}
}

func TestBrokenConnectionLeavesAcceptanceUnknown(t *testing.T) {
	for name, after := range map[string]func(net.Conn){
		"dropped": func(net.Conn) {},
		"cut": func(c net.Conn) {
			_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nX-Request-Id: r-1\r\nContent-Length: 99\r\n\r\n{"))
		},
		"truncated header": func(c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 20")) },
	} {
		s := newFixture(t, nil)
		s.Override(closeAfterRead(after))

		_, err := s.Submit(t.Context(), submissions["i2v"])
		if f := providertest.FailureOf(t, err, secret); f.Acceptance != provider.AcceptanceUnknown || f.Class != provider.Transient {
			t.Errorf("%s: acceptance %d, %v", name, f.Acceptance, f)
		}
	}
}

// A file that ends before its announced size must stop the request. The server
// never received it in full, but the client cannot know that.
func TestShortReference(t *testing.T) {
	s := newFixture(t, nil)
	o := submissions["i2v"]
	o.References = []provider.Reference{storedReference("image", "image", "a.png", "image/png", "short")}
	o.References[0].SizeBytes = 500

	_, err := s.Submit(t.Context(), o)
	if f := providertest.FailureOf(t, err, secret); f.Acceptance != provider.AcceptanceUnknown || s.sim.Accepted("") != 0 {
		t.Errorf("acceptance %d, %d accepted: %v", f.Acceptance, s.sim.Accepted(""), f)
	}
}

// A reference of unknown size is sent in chunks.
func TestReferenceOfUnknownSize(t *testing.T) {
	s := newFixture(t, nil)
	o := submissions["i2v"]
	o.References = []provider.Reference{storedReference("image", "image", "a.png", "image/png", "whole")}

	o.References[0].SizeBytes = 0
	if _, err := s.Submit(t.Context(), o); err != nil {
		t.Error(err)
	}
}

func TestNoConnectionIsNotAccepted(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()

	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") }))
	defer plain.Close()

	for name, address := range map[string]string{"connection refused": closed.URL, "not TLS": "https" + plain.URL[len("http"):]} {
		_, err := connect(t, address, "", providertest.NewClock(), nil).Submit(t.Context(), smallSubmission())
		if f := providertest.FailureOf(t, err, secret); f.Acceptance != provider.NotAccepted || f.Class != provider.Transient {
			t.Errorf("%s: acceptance %d, %v; want not accepted", name, f.Acceptance, f)
		}
	}
}

// A lease that expired stops a submission even when the connection is already
// open.
func TestSendCheckStopsSubmission(t *testing.T) {
	s := newFixture(t, nil)
	lost := errors.New("the lease is lost")

	_, err := s.Submit(provider.WithSendCheck(t.Context(), func() error { return lost }), smallSubmission())
	if f := providertest.FailureOf(t, err, secret); f.Acceptance != provider.NotAccepted || s.sim.Accepted("") != 0 {
		t.Errorf("acceptance %d: %v; want not accepted", f.Acceptance, f)
	}

	if _, err := s.Submit(provider.WithSendCheck(t.Context(), func() error { return nil }), smallSubmission()); err != nil {
		t.Errorf("with a check that allows it: %v", err)
	}
}

func TestGzipAndRetryAfter(t *testing.T) {
	s := newFixture(t, nil)
	s.Override(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = z.Write(providertest.ReadTestdata(t, "queued.json"))
		_ = z.Close()
	})

	if remoteID, err := s.Submit(context.Background(), smallSubmission()); err != nil || remoteID != "video_123" {
		t.Errorf("gzip: %q, %v", remoteID, err)
	}

	for header, want := range map[string]time.Duration{
		"7": 7 * time.Second, "": 0, "-3": 0, "soon": 0, "99999": time.Hour,
		s.clock.Now().Add(90 * time.Second).Format(http.TimeFormat): 90 * time.Second,
	} {
		s.Override(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", header)
			w.WriteHeader(http.StatusTooManyRequests)
		})

		_, err := s.Poll(t.Context(), "t-1")
		if f := providertest.FailureOf(t, err, secret); f.RetryAfter != want || f.Class != provider.Throttled {
			t.Errorf("Retry-After %q: %s, %s; want %s", header, f.RetryAfter, f.Class, want)
		}
	}
}
