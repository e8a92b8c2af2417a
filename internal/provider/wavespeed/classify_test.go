package wavespeed

import (
	"net/http"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/provider/providertest"
)

var throttled = provider.Classification{Class: provider.Throttled, Fault: fault.CodeSupplierFailed}

// For each response to a submission: its classification, and whether the
// prediction may exist.
func TestCreateErrors(t *testing.T) {
	for _, c := range []struct {
		status     int
		body       string
		want       provider.Classification
		acceptance provider.Acceptance
	}{
		{400, `{"code":400,"message":"property \"size\": value is not one of the allowed values"}`, invalidRequest, provider.NotAccepted},
		{400, `{"code":400,"message":"product not found"}`, modelBlocked, provider.NotAccepted},
		{400, `{"code":1401,"message":"Invalid parameter"}`, invalidRequest, provider.NotAccepted},
		{400, `{"code":400,"message":"The prompt contains sensitive words"}`, moderated, provider.NotAccepted},
		{400, `{"code":400,"message":"Insufficient credits. Please top up."}`, accountBlocked, provider.NotAccepted},
		{401, `{"code":401,"message":"invalid authentication"}`, accountBlocked, provider.NotAccepted},
		{402, `{"code":402,"message":"Payment required"}`, accountBlocked, provider.NotAccepted},
		{403, `{"code":403,"message":"forbidden"}`, accountBlocked, provider.NotAccepted},
		{404, `{"code":404,"message":"not found"}`, modelBlocked, provider.NotAccepted},
		{429, `{"code":429,"message":"too many requests"}`, throttled, provider.NotAccepted},
		{429, `{"code":1999,"message":"too many requests"}`, throttled, provider.NotAccepted},
		{500, `{"code":500,"message":"internal error"}`, transientError, provider.NotAccepted},
		{503, `{"code":5003,"message":"unavailable"}`, transientError, provider.NotAccepted},
		{500, `{"code":5004,"message":"timed out"}`, transientError, provider.AcceptanceUnknown},
		{504, `{"code":500,"message":"late"}`, transientError, provider.AcceptanceUnknown},
		{200, `{"code":429,"message":"too many requests"}`, throttled, provider.NotAccepted},
		{200, `{"code":5000,"message":"oops"}`, transientError, provider.AcceptanceUnknown},
		{429, `slow down`, throttled, provider.AcceptanceUnknown},
		{500, ``, transientError, provider.AcceptanceUnknown},
		{502, `<html>bad gateway</html>`, transientError, provider.AcceptanceUnknown},
		{413, `<html>large</html>`, invalidRequest, provider.AcceptanceUnknown},
		{401, `{"message":"no code"}`, accountBlocked, provider.AcceptanceUnknown},
		{307, ``, transientError, provider.AcceptanceUnknown},
		{204, ``, transientError, provider.AcceptanceUnknown},
	} {
		address := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Request-Id", "x-1")
			w.Header().Set("Retry-After", "3")
			w.WriteHeader(c.status)
			w.Write([]byte(c.body))
		})
		_, err := connect(t, address, time.Now, nil).Submit(t.Context(), smallSubmission())

		f := providertest.FailureOf(t, err, secret)
		if f.Class != c.want.Class || f.ModelOnly != c.want.ModelOnly || f.Fault.Code != c.want.Fault || f.Acceptance != c.acceptance || f.RequestID != "x-1" || f.RetryAfter != 3*time.Second {
			t.Errorf("%d %s: %v, acceptance %d, fault %s; want %+v, acceptance %d", c.status, c.body, f, f.Acceptance, f.Fault.Code, c.want, c.acceptance)
		}
	}
}

func TestPredictionErrors(t *testing.T) {
	for _, c := range []struct {
		code, message string
		want          provider.Classification
	}{
		{"1200", "", moderated},
		{"1400", "", invalidRequest},
		{"1401", "", invalidRequest},
		{"1402", "", unreachable},
		{"1403", "no luck", transientError},
		{"1405", "NSFW content detected", moderated},
		{"1405", "", transientError},
		{"5000", "", transientError},
		{"5003", "", transientError},
		{"5004", "", timedOut},
		{"", "", transientError},
		{"", "Failed to download image", unreachable},
		{"9999", "", transientError},
		{"400", "", transientError},
		{"x", "", transientError},
	} {
		if got := classify(0, provider.ErrorBody{Code: c.code, Message: c.message}); got != c.want {
			t.Errorf("%s %q: %+v, want %+v", c.code, c.message, got, c.want)
		}
	}
}

func TestPollErrors(t *testing.T) {
	for body, want := range map[string]provider.Class{
		`{"code":401,"message":"invalid authentication"}`: provider.AccountBlocked, `{"code":429,"message":"slow"}`: provider.Throttled, `{"code":500,"message":"x"}`: provider.Transient,
	} {
		address := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(body)) })
		if _, err := connect(t, address, time.Now, nil).Poll(t.Context(), "p-1"); providertest.FailureOf(t, err, secret).Class != want {
			t.Errorf("%s: %v", body, err)
		}
	}
	// Only the supplier's own error says that a prediction is unknown; the page of
	// a proxy does not.
	address := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	if report, err := connect(t, address, time.Now, nil).Poll(t.Context(), "p-1"); err == nil {
		t.Errorf("404 from a proxy: %+v", report)
	}
}
