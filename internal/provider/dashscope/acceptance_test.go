package dashscope

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/provider/dashscope/dashscopesim"
	"github.com/unireel/unireel/internal/provider/providertest"
)

// For each way in which a submission can break: what the failure says about its
// acceptance, and whether that is true.
func TestAcceptanceOfBrokenSubmissions(t *testing.T) {
	for name, c := range map[string]struct {
		fault      dashscopesim.Fault
		acceptance provider.Acceptance
		exists     bool // whether the supplier renders it nevertheless
		request    bool // whether the supplier's request ID is known
	}{
		"500 without a body":           {dashscopesim.RespondRaw(dashscopesim.Submit, 500, "", ""), provider.AcceptanceUnknown, false, true},
		"503 from a proxy":             {dashscopesim.RespondRaw(dashscopesim.Submit, 503, "text/html", "<html>no upstream</html>"), provider.AcceptanceUnknown, false, true},
		"413 from a proxy":             {dashscopesim.RespondRaw(dashscopesim.Submit, 413, "text/html", "<html>large</html>"), provider.AcceptanceUnknown, false, true},
		"redirect":                     {dashscopesim.RespondRaw(dashscopesim.Submit, 307, "text/html", ""), provider.AcceptanceUnknown, false, true},
		"429 from the supplier":        {dashscopesim.Reject(dashscopesim.Submit, 429, "Throttling.RateQuota", "slow down"), provider.NotAccepted, false, true},
		"500 from the supplier":        {dashscopesim.Reject(dashscopesim.Submit, 500, "InternalError", "failed"), provider.NotAccepted, false, true},
		"500 timeout":                  {dashscopesim.Reject(dashscopesim.Submit, 500, "InternalError.Timeout", "late"), provider.AcceptanceUnknown, false, true},
		"504 from the supplier":        {dashscopesim.Reject(dashscopesim.Submit, 504, "GatewayTimeout", "late"), provider.AcceptanceUnknown, false, true},
		"dropped before":               {dashscopesim.Drop(dashscopesim.Submit), provider.AcceptanceUnknown, false, false},
		"dropped after":                {dashscopesim.DropAfter(dashscopesim.Submit), provider.AcceptanceUnknown, true, false},
		"truncated body":               {dashscopesim.TruncateAfter(dashscopesim.Submit), provider.AcceptanceUnknown, true, true},
		"200 with an HTML page":        {dashscopesim.ReplaceResponse(dashscopesim.Submit, 200, "text/html", "<html>hello</html>"), provider.AcceptanceUnknown, true, true},
		"200 with an error":            {dashscopesim.ReplaceResponse(dashscopesim.Submit, 200, "application/json", `{"code":"X","message":"y"}`), provider.AcceptanceUnknown, true, true},
		"504 although it was accepted": {dashscopesim.ReplaceResponse(dashscopesim.Submit, 504, "text/html", "timeout"), provider.AcceptanceUnknown, true, true},
		"204 although it was accepted": {dashscopesim.ReplaceResponse(dashscopesim.Submit, 204, "", ""), provider.AcceptanceUnknown, true, true},
		"200 with broken gzip":         {dashscopesim.ReplaceResponse(dashscopesim.Submit, 200, "application/json", "\x1f\x8b\x08"), provider.AcceptanceUnknown, true, true},
		"response after the timeout":   {dashscopesim.HangAfter(dashscopesim.Submit, nil), provider.AcceptanceUnknown, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newFixture(t, nil)
			s.Inject(c.fault)

			if !c.request { // the other cases end by the short timeout
				s.submitTimeout = 300 * time.Millisecond
			}

			_, err := s.Submit(t.Context(), smallSubmission())

			f := providertest.FailureOf(t, err, secret)
			if f.Acceptance != c.acceptance || (f.RequestID != "") != c.request {
				t.Errorf("acceptance %d, request ID %q: %v; want %d, %v", f.Acceptance, f.RequestID, f, c.acceptance, c.request)
			}

			submissions := s.Submissions()
			if exists := slices.ContainsFunc(submissions, func(m dashscopesim.Submission) bool { return m.Accepted }); exists != c.exists || len(submissions) > 1 {
				t.Errorf("the supplier received %+v", submissions)
			}

			if c.exists && c.request {
				list, err := s.Find(t.Context(), smallSubmission().Model, s.clock.now().Add(-5*time.Second))
				if err != nil || len(list) != 1 || list[0].RequestID != f.RequestID {
					t.Errorf("the list contains %+v, %v; want request %s", list, err, f.RequestID)
				}
			}
		})
	}
}

func TestUnusualButValidResponses(t *testing.T) {
	for name, fault := range map[string]dashscopesim.Fault{
		"gzip": dashscopesim.Gzip(dashscopesim.Submit),
		"drip": dashscopesim.SlowResponse(dashscopesim.Submit, 10*time.Microsecond),
	} {
		s := newFixture(t, func(o *dashscopesim.Options) { o.Gzip = true })
		s.Inject(fault)

		remoteID, err := s.Submit(t.Context(), smallSubmission())
		if err != nil || s.Status(string(remoteID)) == "UNKNOWN" {
			t.Errorf("%s: %q, %v", name, remoteID, err)
		}
	}
}

func TestNoConnectionIsNotAccepted(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()

	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") }))
	defer plain.Close()

	for name, address := range map[string]string{"connection refused": closed.URL, "not TLS": "https" + plain.URL[len("http"):]} {
		_, err := connect(t, address, secret, time.Now).Submit(t.Context(), smallSubmission())
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
	if f := providertest.FailureOf(t, err, secret); f.Acceptance != provider.NotAccepted {
		t.Errorf("acceptance %d: %v; want not accepted", f.Acceptance, f)
	}

	if submissions := s.Submissions(); len(submissions) > 0 {
		t.Errorf("the submission arrived: %+v", submissions)
	}

	if _, err := s.Submit(provider.WithSendCheck(t.Context(), func() error { return nil }), smallSubmission()); err != nil {
		t.Errorf("with a check that allows it: %v", err)
	}
}

func TestCancelBeforeFirstByteIsNotAccepted(t *testing.T) {
	s := newFixture(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	dial := func(context.Context, string, string) (net.Conn, error) {
		cancel()
		return nil, errors.New("too late")
	}
	_, s.client.SubmitHTTPClient = provider.NewHTTPClients(dial)

	_, err := s.Submit(ctx, smallSubmission())
	if f := providertest.FailureOf(t, err, secret); f.Acceptance != provider.NotAccepted {
		t.Errorf("acceptance %d: %v", f.Acceptance, f)
	}
}

func TestRetryAfter(t *testing.T) {
	s := newFixture(t, nil)
	for header, want := range map[string]time.Duration{
		"7": 7 * time.Second, "": 0, "-3": 0, "soon": 0, "99999": time.Hour,
		s.clock.now().Add(90 * time.Second).Format(http.TimeFormat): 90 * time.Second,
	} {
		s.Inject(dashscopesim.Throttle(dashscopesim.Poll, header))

		_, err := s.Poll(t.Context(), "t-1")
		if f := providertest.FailureOf(t, err, secret); f.RetryAfter != want || f.Class != provider.Throttled {
			t.Errorf("Retry-After %q: %s, %s; want %s", header, f.RetryAfter, f.Class, want)
		}
	}
}
