package fal

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/provider/providertest"
)

var (
	throttled    = provider.Classification{Class: provider.Throttled, Fault: fault.CodeSupplierFailed}
	modelBlocked = provider.Classification{Class: provider.AccountBlocked, ModelOnly: true, Fault: fault.CodeSupplierFailed}
)

// For each response to a submission: its classification, and whether the request
// may exist.
func TestCreateErrors(t *testing.T) {
	for _, c := range []struct {
		status     int
		body       string
		want       provider.Classification
		acceptance provider.Acceptance
		param      string
	}{
		{401, `{"detail":"Authentication is required"}`, accountBlocked, provider.NotAccepted, ""},
		{402, `{"detail":"Payment required"}`, accountBlocked, provider.NotAccepted, ""},
		{403, string(providertest.ReadTestdata(t, "error-plain.json")), accountBlocked, provider.NotAccepted, ""},
		{400, string(providertest.ReadTestdata(t, "error-plain.json")), accountBlocked, provider.NotAccepted, ""},
		{404, `{"detail":"Application not found"}`, modelBlocked, provider.NotAccepted, ""},
		{422, string(providertest.ReadTestdata(t, "error-model.json")), unreachable, provider.NotAccepted, "images[0]"},
		{422, string(providertest.ReadTestdata(t, "error-policy.json")), moderated, provider.NotAccepted, ""},
		{422, `{"detail":[{"type":"string_too_long","msg":"at most 800","loc":["body","prompt"]}]}`, invalidRequest, provider.NotAccepted, ""},
		{422, `{"detail":[{"type":"something_new","msg":"no"}]}`, invalidRequest, provider.NotAccepted, ""},
		{429, `{"detail":"Too many requests"}`, throttled, provider.NotAccepted, ""},
		{500, `{"detail":"Internal server error"}`, transientError, provider.NotAccepted, ""},
		{503, string(providertest.ReadTestdata(t, "error-queue.json")), transientError, provider.NotAccepted, ""},
		{504, `{"detail":"Request timed out","error_type":"request_timeout"}`, transientError, provider.AcceptanceUnknown, ""},
		{503, `{"detail":"late","error_type":"startup_timeout"}`, transientError, provider.AcceptanceUnknown, ""},
		{500, ``, transientError, provider.AcceptanceUnknown, ""},
		{502, `<html>bad gateway</html>`, transientError, provider.AcceptanceUnknown, ""},
		{429, `slow down`, throttled, provider.AcceptanceUnknown, ""},
		{400, `{"message":"another's"}`, invalidRequest, provider.AcceptanceUnknown, ""},
		{307, ``, transientError, provider.AcceptanceUnknown, ""},
		{200, `{"detail":"an error with status 200"}`, transientError, provider.AcceptanceUnknown, ""},
		{200, `{"request_id":"r-1"}`, transientError, provider.AcceptanceUnknown, ""},
		{204, ``, transientError, provider.AcceptanceUnknown, ""},
	} {
		address := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Fal-Request-Id", "x-1")
			w.Header().Set("Retry-After", "3")
			w.WriteHeader(c.status)
			w.Write([]byte(c.body))
		})
		_, err := connect(t, address, time.Now, nil).Submit(t.Context(), smallSubmission())

		f := providertest.FailureOf(t, err, secret)
		if f.Class != c.want.Class || f.ModelOnly != c.want.ModelOnly || f.Fault.Code != c.want.Fault || f.Fault.Param != c.param || f.Acceptance != c.acceptance || f.RequestID != "x-1" || f.RetryAfter != 3*time.Second {
			t.Errorf("%d %s: %v, acceptance %d, fault %+v; want %+v, acceptance %d", c.status, c.body, f, f.Acceptance, f.Fault, c.want, c.acceptance)
		}
	}
}

// For each response for the result of a completed request: the failure of the
// request itself, or an error that says nothing about it.
func TestOutcomeErrors(t *testing.T) {
	for response, want := range map[string]provider.Classification{
		"422 error-model.json":  unreachable,
		"422 error-policy.json": moderated,
		"503 error-queue.json":  transientError,
		`500 {"detail":[{"type":"internal_server_error","msg":"oops","loc":["body"]}]}`:  transientError,
		`504 {"detail":[{"type":"generation_timeout","msg":"late","loc":["body"]}]}`:     transientError,
		`422 {"detail":[{"type":"literal_error","msg":"no","loc":["body","duration"]}]}`: invalidRequest,
		`422 {"detail":[{"type":"image_too_small","msg":"no","loc":["body","a",0]}]}`:    badReference,
		`400 {"detail":"Something about the request"}`:                                   invalidRequest,
		`500 {"detail":"A failure with a type","error_type":"something_new"}`:            transientError,
		`403 {"detail":[{"type":"content_policy_violation","msg":"no","loc":["body"]}]}`: moderated,
	} {
		report, err := connectToResponses(t, "200 completed.json", response).Poll(t.Context(), testRemoteID)
		if err != nil || report.Phase != provider.Failed || report.Failure == nil || report.Failure.Class != want.Class || report.Failure.Fault.Code != want.Fault {
			t.Errorf("%s: %+v, %v; want %+v", response, report, err, want)
		}
	}

	for response, want := range map[string]provider.Class{
		`401 {"detail":"no key"}`: provider.AccountBlocked, `403 {"detail":"forbidden","error_type":"something_new"}`: provider.AccountBlocked,
		`429 {"detail":"slow down"}`: provider.Throttled, `500 {"detail":"oops"}`: provider.Transient, `502 <html>`: provider.Transient,
	} {
		report, err := connectToResponses(t, "200 completed.json", response).Poll(t.Context(), testRemoteID)
		if err == nil || providertest.FailureOf(t, err, secret).Class != want {
			t.Errorf("%s: %+v, %v; want %s", response, report, err, want)
		}
	}

	for status, want := range map[string]provider.Class{`401 {"detail":"no key"}`: provider.AccountBlocked, `429 {"detail":"slow down"}`: provider.Throttled, `500 {"detail":"oops"}`: provider.Transient} {
		if _, err := connectToResponses(t, status, "").Poll(t.Context(), testRemoteID); providertest.FailureOf(t, err, secret).Class != want {
			t.Errorf("%s: %v", status, err)
		}
	}
}

func TestClassifications(t *testing.T) {
	for kind, v := range classifications {
		v.MayBeAccepted = strings.HasSuffix(kind, "_timeout")
		if got := classify(0, provider.ErrorBody{Code: kind}); got != v || v.Fault == "" || v.Class == provider.AccountBlocked {
			t.Errorf("%s: %+v", kind, got)
		}
	}
}
