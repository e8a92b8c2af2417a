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

// What gateways answer to an order, and what each must mean to us.
func TestEveryErrorOfACreate(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		class  provider.Class
		fault  fault.Code
		param  string
		taken  provider.Taken
		model  bool
	}{
		"a wrong size":          {400, `{"error":{"message":"m","type":"invalid_request_error","param":"size","code":"invalid_value","errors":[]}}`, provider.Refused, fault.CodeRefused, "size", provider.NotTaken, false},
		"a picture of many":     {400, `{"error":{"message":"m","param":"images[1]","code":"invalid_value"}}`, provider.Refused, fault.CodeRefused, "references[2]", provider.NotTaken, false},
		"a video":               {400, `{"error":{"message":"m","param":"videos[0]","code":"reference_invalid"}}`, provider.Refused, fault.CodeBadReference, "references[1]", provider.NotTaken, false},
		"a video beyond":        {400, `{"error":{"message":"m","param":"videos[7]","code":"invalid_value"}}`, provider.Refused, fault.CodeRefused, "", provider.NotTaken, false},
		"a seed inside":         {400, `{"error":{"message":"m","param":"extra_body.seed","code":"invalid_value"}}`, provider.Refused, fault.CodeRefused, "seed", provider.NotTaken, false},
		"a field of its own":    {400, `{"error":{"message":"m","param":"colour","code":"unknown_field"}}`, provider.Refused, fault.CodeRefused, "", provider.NotTaken, false},
		"an upload that went":   {400, `{"error":{"message":"m","param":"images[0]","code":"file_not_found"}}`, provider.Refused, fault.CodeUnreachable, "references[0]", provider.NotTaken, false},
		"an unknown model":      {400, `{"error":{"message":"m","param":"model","code":"unknown_model"}}`, provider.Locked, fault.CodeSupplier, "", provider.NotTaken, true},
		"a model without route": {400, `{"error":{"message":"m","param":"model","code":"no_route"}}`, provider.Locked, fault.CodeSupplier, "", provider.NotTaken, true},
		"a field without route": {400, `{"error":{"message":"m","param":"seed","code":"no_route"}}`, provider.Refused, fault.CodeRefused, "seed", provider.NotTaken, false},
		"a wrong key":           {401, `{"error":{"message":"m","param":null,"code":"invalid_api_key"}}`, provider.Locked, fault.CodeSupplier, "", provider.NotTaken, false},
		"no credit":             {402, `{"error":{"message":"m","param":null,"code":"insufficient_credit"}}`, provider.Locked, fault.CodeSupplier, "", provider.NotTaken, false},
		"no scope":              {403, `{"error":{"message":"m","code":"insufficient_scope"}}`, provider.Locked, fault.CodeSupplier, "", provider.NotTaken, false},
		"another path":          {404, `{"error":{"message":"m","code":"unknown_path"}}`, provider.Locked, fault.CodeSupplier, "", provider.NotTaken, false},
		"too many":              {429, `{"error":{"message":"m","code":"rate_limit_exceeded"}}`, provider.Throttled, fault.CodeSupplier, "", provider.NotTaken, false},
		"its own 500":           {500, `{"error":{"message":"m","code":"internal_error"}}`, provider.Passing, fault.CodeSupplier, "", provider.NotTaken, false},
		"its own 503":           {503, `{"error":{"message":"m","code":"unavailable"}}`, provider.Passing, fault.CodeSupplier, "", provider.NotTaken, false},
		"its own 408":           {408, `{"error":{"message":"m","code":"request_timeout"}}`, provider.Passing, fault.CodeSupplier, "", provider.Unsure, false},
		"its own 504":           {504, `{"error":{"message":"m","code":"late"}}`, provider.Passing, fault.CodeSupplier, "", provider.Unsure, false},
		"flat, of its supplier": {400, `{"code":"fail_to_fetch_task","message":"Input data may contain inappropriate content.","data":null}`, provider.Refused, fault.CodeModerated, "", provider.NotTaken, false},
		"flat, of a proxy":      {503, `{"message":"no upstream"}`, provider.Passing, fault.CodeSupplier, "", provider.Unsure, false},
		"a proxy's 502":         {502, `<html>bad gateway</html>`, provider.Passing, fault.CodeSupplier, "", provider.Unsure, false},
		"a proxy's 403":         {403, `<html>forbidden</html>`, provider.Locked, fault.CodeSupplier, "", provider.Unsure, false},
		"a redirect":            {307, ``, provider.Passing, fault.CodeSupplier, "", provider.Unsure, false},
		"200 and a page":        {200, `<html>hello</html>`, provider.Passing, fault.CodeSupplier, "", provider.Unsure, false},
		"200 and an error":      {200, `{"error":{"message":"x","code":"y"}}`, provider.Passing, fault.CodeSupplier, "", provider.Unsure, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := simulate(t, false)
			s.Say(c.status, "application/json", c.body)
			_, err := s.Submit(t.Context(), orders["mixed"])

			f := providertest.FailureOf(t, err, secret)
			if f.Class != c.class || f.Fault.Code != c.fault || f.Fault.Param != c.param || f.Taken != c.taken || f.ModelOnly != c.model {
				t.Errorf("class %s, fault %s %q, taken %d, model only %v: %v", f.Class, f.Fault.Code, f.Fault.Param, f.Taken, f.ModelOnly, f)
			}
		})
	}
}

func TestEveryErrorOfATask(t *testing.T) {
	for body, c := range map[string]struct {
		class provider.Class
		fault fault.Code
	}{
		`{"code":"content_rejected","message":"m"}`:                                   {provider.Refused, fault.CodeModerated},
		`{"code":"reference_unreachable","message":"m","param":"videos[0]"}`:          {provider.Refused, fault.CodeUnreachable},
		`{"code":"reference_invalid","message":"m"}`:                                  {provider.Refused, fault.CodeBadReference},
		`{"code":"supplier_rejected","message":"m"}`:                                  {provider.Refused, fault.CodeRefused},
		`{"code":"supplier_failed","message":"m"}`:                                    {provider.Passing, fault.CodeSupplier},
		`{"code":"upstream_unknown","message":"m"}`:                                   {provider.Passing, fault.CodeSupplier},
		`"Output data may contain inappropriate content."`:                            {provider.Refused, fault.CodeModerated},
		`{"message":"Input data is suspected of being involved in IP infringement."}`: {provider.Refused, fault.CodeModerated},
		`null`: {provider.Passing, fault.CodeSupplier},
	} {
		s := simulate(t, false)
		s.Say(200, "application/json", `{"id":"t","task_id":"t","status":"failed","error":`+body+`}`)

		report, err := s.Poll(t.Context(), "t")
		if err != nil || report.Phase != provider.Broken || report.Failure == nil || report.Failure.Class != c.class || report.Failure.Fault.Code != c.fault {
			t.Errorf("%s: %+v, %v", body, report, err)
		}
	}
}

func TestPollsWithoutATask(t *testing.T) {
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
		s := simulate(t, false)
		s.Say(c.status, "application/json", body)

		report, err := s.Poll(t.Context(), "t")
		if c.unknown != (err == nil && report.Phase == provider.Unknown) {
			t.Errorf("%d %s: %+v, %v", c.status, body, report, err)
		}
	}
}

func TestUploadsThatFail(t *testing.T) {
	for body, c := range map[string]struct {
		status int
		class  provider.Class
		fault  fault.Code
	}{
		`{"error":{"code":"body_too_large","message":"m"}}`:              {413, provider.Refused, fault.CodeBadReference},
		`{"error":{"code":"unsupported_file_type","message":"m"}}`:       {415, provider.Refused, fault.CodeBadReference},
		`<html>not here</html>`:                                          {404, provider.Refused, fault.CodeUnreachable},
		`{"error":{"code":"storage_full","message":"m"}}`:                {503, provider.Passing, fault.CodeSupplier},
		`{"error":{"code":"rate_limit_exceeded","message":"slow down"}}`: {429, provider.Throttled, fault.CodeSupplier},
		`{"object":"file"}`:                                              {200, provider.Passing, fault.CodeSupplier},
	} {
		s := simulate(t, false)
		s.Instead(func(w http.ResponseWriter, r *http.Request) {
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

func TestABrokenExchangeIsUnsure(t *testing.T) {
	for name, say := range map[string]string{
		"dropped": "", "cut": "HTTP/1.1 200 OK\r\nX-Request-Id: r-1\r\nContent-Length: 99\r\n\r\n{", "cut in the head": "HTTP/1.1 20",
	} {
		s := simulate(t, false)
		s.Instead(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)

			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}

			_, _ = conn.Write([]byte(say))
			_ = conn.Close()
		})

		_, err := s.Submit(t.Context(), small())
		if f := providertest.FailureOf(t, err, secret); f.Taken != provider.Unsure || f.Class != provider.Passing || name == "cut" && f.RequestID != "r-1" {
			t.Errorf("%s: taken %d, %v", name, f.Taken, f)
		}
	}
}

// An order goes out once, whatever becomes of its connection.
func TestAnOrderGoesOutOnce(t *testing.T) {
	s := simulate(t, false)
	arrived := make(chan struct{}, 8)

	s.Instead(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)

		arrived <- struct{}{}

		if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
			_ = conn.Close()
		}
	})

	for range 3 {
		_, err := s.Submit(t.Context(), small())
		_ = providertest.FailureOf(t, err, secret)
	}

	if n := len(arrived); n != 3 {
		t.Errorf("3 orders arrived %d times", n)
	}
}

func TestNoConnectionIsNotTaken(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()

	_, err := connect(t, closed.URL).Submit(t.Context(), small())
	if f := providertest.FailureOf(t, err, secret); f.Taken != provider.NotTaken || f.Class != provider.Passing {
		t.Errorf("taken %d, %v; want not taken", f.Taken, f)
	}

	s := simulate(t, false)
	lost := errors.Join(net.ErrClosed, errors.New("the lease is lost"))

	_, err = s.Submit(provider.WithGuard(t.Context(), func() error { return lost }), small())
	if f := providertest.FailureOf(t, err, secret); f.Taken != provider.NotTaken || s.sim.Accepted("") != 0 {
		t.Errorf("a guard: taken %d, %v", f.Taken, f)
	}
}
