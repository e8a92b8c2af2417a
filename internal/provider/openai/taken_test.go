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

// What servers of this API answer to an order, and what each must mean to us.
func TestEveryErrorOfACreate(t *testing.T) {
	picture := orders["i2v"]

	for name, c := range map[string]struct {
		status int
		body   string
		class  provider.Class
		fault  fault.Code
		param  string
		taken  provider.Taken
		model  bool
	}{
		"OpenAI, a wrong size":            {400, `{"error":{"message":"Invalid size","type":"invalid_request_error","param":"size","code":"invalid_value"}}`, provider.Refused, fault.CodeRefused, "size", provider.NotTaken, false},
		"OpenAI, wrong seconds":           {400, `{"error":{"message":"Invalid value","type":"invalid_request_error","param":"seconds","code":null}}`, provider.Refused, fault.CodeRefused, "duration", provider.NotTaken, false},
		"OpenAI, a field it has not":      {400, `{"error":{"message":"Unknown parameter","type":"invalid_request_error","param":"user_agent","code":"unknown_parameter"}}`, provider.Refused, fault.CodeRefused, "", provider.NotTaken, false},
		"OpenAI, moderation":              {400, `{"error":{"message":"Blocked","type":"invalid_request_error","param":null,"code":"moderation_blocked"}}`, provider.Refused, fault.CodeModerated, "", provider.NotTaken, false},
		"OpenAI, a wrong key":             {401, `{"error":{"message":"Incorrect API key","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}`, provider.Locked, fault.CodeSupplier, "", provider.NotTaken, false},
		"OpenAI, no money":                {429, `{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}`, provider.Locked, fault.CodeSupplier, "", provider.NotTaken, false},
		"OpenAI, a rate":                  {429, `{"error":{"message":"Rate limit reached","type":"requests","param":null,"code":"rate_limit_exceeded"}}`, provider.Throttled, fault.CodeSupplier, "", provider.NotTaken, false},
		"OpenAI, its own 500":             {500, `{"error":{"message":"The server had an error","type":"server_error","param":null,"code":null}}`, provider.Passing, fault.CodeSupplier, "", provider.NotTaken, false},
		"a gateway, paid too little":      {402, `{"error":{"message":"Top up","code":"insufficient_credit"}}`, provider.Locked, fault.CodeSupplier, "", provider.NotTaken, false},
		"a gateway, forbidden":            {403, `{"error":{"message":"No","code":"forbidden"}}`, provider.Locked, fault.CodeSupplier, "", provider.NotTaken, false},
		"a gateway, its 504":              {504, `{"error":{"message":"late","code":"timeout"}}`, provider.Passing, fault.CodeSupplier, "", provider.Unsure, false},
		"a gateway, its 408":              {408, `{"error":{"message":"late","code":"timeout"}}`, provider.Passing, fault.CodeSupplier, "", provider.Unsure, false},
		"vLLM, no such model":             {404, `{"error":{"message":"The model x does not exist.","type":"NotFoundError","param":"model","code":404}}`, provider.Locked, fault.CodeSupplier, "", provider.NotTaken, true},
		"vLLM, the flat form":             {400, `{"object":"error","message":"bad","type":"BadRequestError","param":null,"code":400}`, provider.Refused, fault.CodeRefused, "", provider.NotTaken, false},
		"SGLang, a picture it cannot use": {400, `{"detail":"Failed to process image source: cannot identify image file"}`, provider.Refused, fault.CodeBadReference, "", provider.NotTaken, false},
		"SGLang, a form without a file":   {400, `{"detail":"input_reference file or reference_url is required"}`, provider.Refused, fault.CodeRefused, "", provider.NotTaken, false},
		"FastAPI, a field":                {422, `{"detail":[{"type":"int_parsing","loc":["body","seconds"],"msg":"Input should be a valid integer","input":"x"}]}`, provider.Refused, fault.CodeRefused, "duration", provider.NotTaken, false},
		"FastAPI, the file":               {422, `{"detail":[{"type":"missing","loc":["body","input_reference"],"msg":"Field required"}]}`, provider.Refused, fault.CodeRefused, "image", provider.NotTaken, false},
		"FastAPI, another path":           {404, `{"detail":"Not Found"}`, provider.Locked, fault.CodeSupplier, "", provider.NotTaken, false},
		"FastAPI, another method":         {405, `{"detail":"Method Not Allowed"}`, provider.Locked, fault.CodeSupplier, "", provider.NotTaken, false},
		"FastAPI, a full queue":           {503, `{"detail":"Queue is full"}`, provider.Throttled, fault.CodeSupplier, "", provider.NotTaken, false},
		"Starlette's bare 500":            {500, `Internal Server Error`, provider.Passing, fault.CodeSupplier, "", provider.Unsure, false},
		"a proxy's 502":                   {502, `<html>bad gateway</html>`, provider.Passing, fault.CodeSupplier, "", provider.Unsure, false},
		"a proxy's 413":                   {413, `<html>too large</html>`, provider.Refused, fault.CodeRefused, "", provider.Unsure, false},
		"a proxy's JSON":                  {503, `{"message":"no upstream"}`, provider.Passing, fault.CodeSupplier, "", provider.Unsure, false},
		"a redirect":                      {307, ``, provider.Passing, fault.CodeSupplier, "", provider.Unsure, false},
		"200 and a page":                  {200, `<html>hello</html>`, provider.Passing, fault.CodeSupplier, "", provider.Unsure, false},
		"200 and an error":                {200, `{"error":{"message":"x","code":"y"}}`, provider.Passing, fault.CodeSupplier, "", provider.Unsure, false},
		"204":                             {204, ``, provider.Passing, fault.CodeSupplier, "", provider.Unsure, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := simulate(t, nil)
			s.Say(c.status, "application/json", c.body)
			_, err := s.Submit(t.Context(), picture)

			f := providertest.FailureOf(t, err, secret)
			if f.Class != c.class || f.Fault.Code != c.fault || f.Fault.Param != c.param || f.Taken != c.taken || f.ModelOnly != c.model {
				t.Errorf("class %s, fault %s %q, taken %d, model only %v: %v", f.Class, f.Fault.Code, f.Fault.Param, f.Taken, f.ModelOnly, f)
			}
		})
	}
}

func TestEveryErrorOfAVideo(t *testing.T) {
	for body, c := range map[string]struct {
		class provider.Class
		fault fault.Code
	}{
		`{"code":"moderation_blocked","message":"blocked"}`:                    {provider.Refused, fault.CodeModerated},
		`{"code":"reference_invalid","message":"x","param":"input_reference"}`: {provider.Refused, fault.CodeBadReference},
		`{"message":"CUDA out of memory"}`:                                     {provider.Passing, fault.CodeSupplier},
		`"it broke"`:                                                           {provider.Passing, fault.CodeSupplier},
		`null`:                                                                 {provider.Passing, fault.CodeSupplier},
		`[]`:                                                                   {provider.Passing, fault.CodeSupplier},
	} {
		s := simulate(t, nil)
		s.Say(200, "application/json", `{"id":"v","status":"failed","error":`+body+`}`)

		report, err := s.Poll(t.Context(), "v")
		if err != nil || report.Phase != provider.Broken || report.Failure == nil || report.Failure.Class != c.class || report.Failure.Fault.Code != c.fault {
			t.Errorf("%s: %+v, %v", body, report, err)
		}
	}
}

func TestPollsThatAreNotAnswered(t *testing.T) {
	for body, status := range map[string]int{
		`{"id":"other","status":"queued"}`: 200, `{"id":"v","status":"asleep"}`: 200, `{"status":"queued"}`: 200, `{"id":"..","status":"queued"}`: 200,
		`<html>no such host</html>`: 404, `{"detail":"bad"}`: 500,
	} {
		s := simulate(t, nil)
		s.Say(status, "application/json", body)

		if report, err := s.Poll(t.Context(), "v"); err == nil {
			t.Errorf("%d %s: %+v", status, body, report)
		}
	}
}

func TestCancels(t *testing.T) {
	for name, c := range map[string]struct {
		get, del string // a status and a body
		agreed   bool
		err      bool
	}{
		"SGLang":                   {`200 {"id":"v","status":"queued"}`, `200 {"id":"v","status":"deleted"}`, true, false},
		"vLLM":                     {`200 {"id":"v","status":"in_progress"}`, `200 {"id":"v","deleted":true,"object":"video.deleted"}`, true, false},
		"finished meanwhile":       {`200 {"id":"v","status":"in_progress"}`, `200 {"id":"v","status":"completed"}`, false, false},
		"not deleted":              {`200 {"id":"v","status":"in_progress"}`, `200 {"id":"v","deleted":false}`, false, false},
		"an empty yes":             {`200 {"id":"v","status":"in_progress"}`, `204 `, true, false},
		"finished":                 {`200 {"id":"v","status":"completed"}`, `500 never asked`, false, false},
		"failed":                   {`200 {"id":"v","status":"failed"}`, `500 never asked`, false, false},
		"deleted by another":       {`200 {"id":"v","status":"deleted"}`, `500 never asked`, true, false},
		"OpenAI, still rendering":  {`200 {"id":"v","status":"in_progress"}`, `400 {"error":{"message":"not yet","code":"x"}}`, false, false},
		"a server without deletes": {`200 {"id":"v","status":"in_progress"}`, `405 {"detail":"Method Not Allowed"}`, false, false},
		"unknown":                  {`404 {"detail":"Video not found"}`, `404 {"detail":"Video not found"}`, false, false},
		"no answer":                {`200 {"id":"v","status":"in_progress"}`, `502 <html>`, false, true},
		"no answer at first":       {`502 <html>`, `200 {"id":"v","deleted":true}`, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := simulate(t, nil)
			s.Instead(func(w http.ResponseWriter, r *http.Request) {
				say := c.get
				if r.Method == http.MethodDelete {
					say = c.del
				}

				status, body, _ := strings.Cut(say, " ")
				w.WriteHeader(map[string]int{"200": 200, "204": 204, "400": 400, "404": 404, "405": 405, "500": 500, "502": 502}[status])
				w.Write([]byte(body))
			})

			agreed, err := s.Cancel(t.Context(), "v")
			if agreed != c.agreed || (err != nil) != c.err {
				t.Errorf("Cancel = %v, %v", agreed, err)
			}
		})
	}
}

// hijacked breaks the connection when the order was read whole.
func hijacked(after func(net.Conn)) http.HandlerFunc {
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

func TestABrokenExchangeIsUnsure(t *testing.T) {
	for name, after := range map[string]func(net.Conn){
		"dropped": func(net.Conn) {},
		"cut": func(c net.Conn) {
			_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nX-Request-Id: r-1\r\nContent-Length: 99\r\n\r\n{"))
		},
		"cut in the head": func(c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 20")) },
	} {
		s := simulate(t, nil)
		s.Instead(hijacked(after))

		_, err := s.Submit(t.Context(), orders["i2v"])
		if f := providertest.FailureOf(t, err, secret); f.Taken != provider.Unsure || f.Class != provider.Passing {
			t.Errorf("%s: taken %d, %v", name, f.Taken, f)
		}
	}
}

// Bytes that end before they should break the order off; the server never had it
// whole, but that is not ours to know.
func TestAReferenceThatEndsEarly(t *testing.T) {
	s := simulate(t, nil)
	o := orders["i2v"]
	o.References = []provider.Reference{kept("image", "image", "a.png", "image/png", "short")}
	o.References[0].Bytes = 500

	_, err := s.Submit(t.Context(), o)
	if f := providertest.FailureOf(t, err, secret); f.Taken != provider.Unsure || s.sim.Accepted("") != 0 {
		t.Errorf("taken %d, %d accepted: %v", f.Taken, s.sim.Accepted(""), f)
	}
}

// A reference whose size nobody measured goes out in chunks.
func TestAReferenceOfUnknownSize(t *testing.T) {
	s := simulate(t, nil)
	o := orders["i2v"]
	o.References = []provider.Reference{kept("image", "image", "a.png", "image/png", "whole")}

	o.References[0].Bytes = 0
	if _, err := s.Submit(t.Context(), o); err != nil {
		t.Error(err)
	}
}

func TestNoConnectionIsNotTaken(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()

	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") }))
	defer plain.Close()

	for name, address := range map[string]string{"refused": closed.URL, "not TLS": "https" + plain.URL[len("http"):]} {
		_, err := connect(t, address, "", providertest.NewClock(), nil).Submit(t.Context(), small())
		if f := providertest.FailureOf(t, err, secret); f.Taken != provider.NotTaken || f.Class != provider.Passing {
			t.Errorf("%s: taken %d, %v; want not taken", name, f.Taken, f)
		}
	}
}

// A lease that ran out keeps an order back on the very connection.
func TestAGuardKeepsTheOrderBack(t *testing.T) {
	s := simulate(t, nil)
	lost := errors.New("the lease is lost")

	_, err := s.Submit(provider.WithGuard(t.Context(), func() error { return lost }), small())
	if f := providertest.FailureOf(t, err, secret); f.Taken != provider.NotTaken || s.sim.Accepted("") != 0 {
		t.Errorf("taken %d: %v; want not taken", f.Taken, f)
	}

	if _, err := s.Submit(provider.WithGuard(t.Context(), func() error { return nil }), small()); err != nil {
		t.Errorf("a guard that agrees: %v", err)
	}
}

func TestGzipAndRetryAfter(t *testing.T) {
	s := simulate(t, nil)
	s.Instead(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = z.Write(providertest.Recorded(t, "queued.json"))
		_ = z.Close()
	})

	if ticket, err := s.Submit(context.Background(), small()); err != nil || ticket != "video_123" {
		t.Errorf("gzip: %q, %v", ticket, err)
	}

	for header, want := range map[string]time.Duration{
		"7": 7 * time.Second, "": 0, "-3": 0, "soon": 0, "99999": time.Hour,
		s.clock.Now().Add(90 * time.Second).Format(http.TimeFormat): 90 * time.Second,
	} {
		s.Instead(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", header)
			w.WriteHeader(http.StatusTooManyRequests)
		})

		_, err := s.Poll(t.Context(), "t-1")
		if f := providertest.FailureOf(t, err, secret); f.After != want || f.Class != provider.Throttled {
			t.Errorf("Retry-After %q: %s, %s; want %s", header, f.After, f.Class, want)
		}
	}
}
