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

// What a broken exchange says about the order, and what is true of it.
func TestWhetherAnOrderWasTaken(t *testing.T) {
	for name, c := range map[string]struct {
		fault   dashscopesim.Fault
		taken   provider.Taken
		exists  bool // whether the supplier renders it all the same
		request bool // whether the supplier's id of the exchange survives
	}{
		"500 without a body":                {dashscopesim.Raw(dashscopesim.Submit, 500, "", ""), provider.Unsure, false, true},
		"503 from something between":        {dashscopesim.Raw(dashscopesim.Submit, 503, "text/html", "<html>no upstream</html>"), provider.Unsure, false, true},
		"413 from something between":        {dashscopesim.Raw(dashscopesim.Submit, 413, "text/html", "<html>large</html>"), provider.Unsure, false, true},
		"redirect":                          {dashscopesim.Raw(dashscopesim.Submit, 307, "text/html", ""), provider.Unsure, false, true},
		"429 of its own":                    {dashscopesim.Refuse(dashscopesim.Submit, 429, "Throttling.RateQuota", "slow down"), provider.NotTaken, false, true},
		"500 of its own":                    {dashscopesim.Refuse(dashscopesim.Submit, 500, "InternalError", "broken"), provider.NotTaken, false, true},
		"500 timeout":                       {dashscopesim.Refuse(dashscopesim.Submit, 500, "InternalError.Timeout", "late"), provider.Unsure, false, true},
		"504 of its own":                    {dashscopesim.Refuse(dashscopesim.Submit, 504, "GatewayTimeout", "late"), provider.Unsure, false, true},
		"dropped before":                    {dashscopesim.Drop(dashscopesim.Submit), provider.Unsure, false, false},
		"dropped after":                     {dashscopesim.DropAfter(dashscopesim.Submit), provider.Unsure, true, false},
		"cut in the body":                   {dashscopesim.CutAfter(dashscopesim.Submit), provider.Unsure, true, true},
		"200 and a page":                    {dashscopesim.Garble(dashscopesim.Submit, 200, "text/html", "<html>hello</html>"), provider.Unsure, true, true},
		"200 and an error":                  {dashscopesim.Garble(dashscopesim.Submit, 200, "application/json", `{"code":"X","message":"y"}`), provider.Unsure, true, true},
		"504 although it was taken":         {dashscopesim.Garble(dashscopesim.Submit, 504, "text/html", "timeout"), provider.Unsure, true, true},
		"204 although it was taken":         {dashscopesim.Garble(dashscopesim.Submit, 204, "", ""), provider.Unsure, true, true},
		"200 in gzip that is none":          {dashscopesim.Garble(dashscopesim.Submit, 200, "application/json", "\x1f\x8b\x08"), provider.Unsure, true, true},
		"answered when nobody waits longer": {dashscopesim.HangAfter(dashscopesim.Submit, nil), provider.Unsure, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := simulate(t, nil)
			s.Inject(c.fault)

			if !c.request { // no answer may come: where one must, it is waited for
				s.submitTimeout = 300 * time.Millisecond
			}

			_, err := s.Submit(t.Context(), small())

			f := providertest.FailureOf(t, err, secret)
			if f.Taken != c.taken || (f.RequestID != "") != c.request {
				t.Errorf("taken %d, request id %q: %v; want %d, %v", f.Taken, f.RequestID, f, c.taken, c.request)
			}

			made := s.Submissions()
			if exists := slices.ContainsFunc(made, func(m dashscopesim.Submission) bool { return m.Accepted }); exists != c.exists || len(made) > 1 {
				t.Errorf("the supplier saw %+v", made)
			}

			if c.exists && c.request {
				list, err := s.Find(t.Context(), small().Model, s.clock.now().Add(-5*time.Second))
				if err != nil || len(list) != 1 || list[0].RequestID != f.RequestID {
					t.Errorf("the list shows %+v, %v; want request %s", list, err, f.RequestID)
				}
			}
		})
	}
}

func TestAnswersThatOnlyLookBroken(t *testing.T) {
	for name, fault := range map[string]dashscopesim.Fault{
		"gzip": dashscopesim.Zip(dashscopesim.Submit),
		"drip": dashscopesim.Drip(dashscopesim.Submit, 10*time.Microsecond),
	} {
		s := simulate(t, func(o *dashscopesim.Options) { o.Zip = true })
		s.Inject(fault)

		ticket, err := s.Submit(t.Context(), small())
		if err != nil || s.Status(string(ticket)) == "UNKNOWN" {
			t.Errorf("%s: %q, %v", name, ticket, err)
		}
	}
}

func TestNoConnectionIsNotTaken(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()

	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") }))
	defer plain.Close()

	for name, address := range map[string]string{"refused": closed.URL, "not TLS": "https" + plain.URL[len("http"):]} {
		_, err := connect(t, address, secret, time.Now).Submit(t.Context(), small())
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
	if f := providertest.FailureOf(t, err, secret); f.Taken != provider.NotTaken {
		t.Errorf("taken %d: %v; want not taken", f.Taken, f)
	}

	if made := s.Submissions(); len(made) > 0 {
		t.Errorf("it arrived: %+v", made)
	}

	if _, err := s.Submit(provider.WithGuard(t.Context(), func() error { return nil }), small()); err != nil {
		t.Errorf("a guard that agrees: %v", err)
	}
}

func TestAnEndBeforeTheFirstByteIsNotTaken(t *testing.T) {
	s := simulate(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	dial := func(context.Context, string, string) (net.Conn, error) {
		cancel()
		return nil, errors.New("too late")
	}
	_, s.talk.Submit = provider.NewClients(dial)

	_, err := s.Submit(ctx, small())
	if f := providertest.FailureOf(t, err, secret); f.Taken != provider.NotTaken {
		t.Errorf("taken %d: %v", f.Taken, f)
	}
}

func TestRetryAfter(t *testing.T) {
	s := simulate(t, nil)
	for header, want := range map[string]time.Duration{
		"7": 7 * time.Second, "": 0, "-3": 0, "soon": 0, "99999": time.Hour,
		s.clock.now().Add(90 * time.Second).Format(http.TimeFormat): 90 * time.Second,
	} {
		s.Inject(dashscopesim.Slower(dashscopesim.Poll, header))

		_, err := s.Poll(t.Context(), "t-1")
		if f := providertest.FailureOf(t, err, secret); f.After != want || f.Class != provider.Throttled {
			t.Errorf("Retry-After %q: %s, %s; want %s", header, f.After, f.Class, want)
		}
	}
}
