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
	busy      = provider.Verdict{Class: provider.Throttled, Fault: fault.CodeSupplier}
	modelShut = provider.Verdict{Class: provider.Locked, ModelOnly: true, Fault: fault.CodeSupplier}
)

// What each answer to an order means, and whether the order can exist.
func TestErrorsOfAnOrder(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		want   provider.Verdict
		taken  provider.Taken
		param  string
	}{
		{401, `{"detail":"Authentication is required"}`, shut, provider.NotTaken, ""},
		{402, `{"detail":"Payment required"}`, shut, provider.NotTaken, ""},
		{403, string(providertest.Recorded(t, "error-plain.json")), shut, provider.NotTaken, ""},
		{400, string(providertest.Recorded(t, "error-plain.json")), shut, provider.NotTaken, ""},
		{404, `{"detail":"Application not found"}`, modelShut, provider.NotTaken, ""},
		{422, string(providertest.Recorded(t, "error-model.json")), unreachable, provider.NotTaken, "images[0]"},
		{422, string(providertest.Recorded(t, "error-policy.json")), moderated, provider.NotTaken, ""},
		{422, `{"detail":[{"type":"string_too_long","msg":"at most 800","loc":["body","prompt"]}]}`, rejected, provider.NotTaken, ""},
		{422, `{"detail":[{"type":"something_new","msg":"no"}]}`, rejected, provider.NotTaken, ""},
		{429, `{"detail":"Too many requests"}`, busy, provider.NotTaken, ""},
		{500, `{"detail":"Internal server error"}`, failed, provider.NotTaken, ""},
		{503, string(providertest.Recorded(t, "error-queue.json")), failed, provider.NotTaken, ""},
		{504, `{"detail":"Request timed out","error_type":"request_timeout"}`, failed, provider.Unsure, ""},
		{503, `{"detail":"late","error_type":"startup_timeout"}`, failed, provider.Unsure, ""},
		{500, ``, failed, provider.Unsure, ""},
		{502, `<html>bad gateway</html>`, failed, provider.Unsure, ""},
		{429, `slow down`, busy, provider.Unsure, ""},
		{400, `{"message":"another's"}`, rejected, provider.Unsure, ""},
		{307, ``, failed, provider.Unsure, ""},
		{200, `{"detail":"a broken 200"}`, failed, provider.Unsure, ""},
		{200, `{"request_id":"r-1"}`, failed, provider.Unsure, ""},
		{204, ``, failed, provider.Unsure, ""},
	} {
		address := recorded(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Fal-Request-Id", "x-1")
			w.Header().Set("Retry-After", "3")
			w.WriteHeader(c.status)
			w.Write([]byte(c.body))
		})
		_, err := connect(t, address, time.Now, nil).Submit(t.Context(), small())

		f := providertest.FailureOf(t, err, secret)
		if f.Class != c.want.Class || f.ModelOnly != c.want.ModelOnly || f.Fault.Code != c.want.Fault || f.Fault.Param != c.param || f.Taken != c.taken || f.RequestID != "x-1" || f.After != 3*time.Second {
			t.Errorf("%d %s: %v, taken %d, fault %+v; want %+v, taken %d", c.status, c.body, f, f.Taken, f.Fault, c.want, c.taken)
		}
	}
}

// What came of a completed order: its own failure, or no answer about it.
func TestErrorsOfAnOutcome(t *testing.T) {
	for response, want := range map[string]provider.Verdict{
		"422 error-model.json":  unreachable,
		"422 error-policy.json": moderated,
		"503 error-queue.json":  failed,
		`500 {"detail":[{"type":"internal_server_error","msg":"oops","loc":["body"]}]}`:  failed,
		`504 {"detail":[{"type":"generation_timeout","msg":"late","loc":["body"]}]}`:     failed,
		`422 {"detail":[{"type":"literal_error","msg":"no","loc":["body","duration"]}]}`: rejected,
		`422 {"detail":[{"type":"image_too_small","msg":"no","loc":["body","a",0]}]}`:    badReference,
		`400 {"detail":"Something about the order"}`:                                     rejected,
		`500 {"detail":"A breakdown with a name","error_type":"something_new"}`:          failed,
		`403 {"detail":[{"type":"content_policy_violation","msg":"no","loc":["body"]}]}`: moderated,
	} {
		report, err := answers(t, "200 completed.json", response).Poll(t.Context(), asked)
		if err != nil || report.Phase != provider.Broken || report.Failure == nil || report.Failure.Class != want.Class || report.Failure.Fault.Code != want.Fault {
			t.Errorf("%s: %+v, %v; want %+v", response, report, err, want)
		}
	}

	for response, want := range map[string]provider.Class{
		`401 {"detail":"no key"}`: provider.Locked, `403 {"detail":"forbidden","error_type":"something_new"}`: provider.Locked,
		`429 {"detail":"slow down"}`: provider.Throttled, `500 {"detail":"oops"}`: provider.Passing, `502 <html>`: provider.Passing,
	} {
		report, err := answers(t, "200 completed.json", response).Poll(t.Context(), asked)
		if err == nil || providertest.FailureOf(t, err, secret).Class != want {
			t.Errorf("%s: %+v, %v; want %s", response, report, err, want)
		}
	}

	for status, want := range map[string]provider.Class{`401 {"detail":"no key"}`: provider.Locked, `429 {"detail":"slow down"}`: provider.Throttled, `500 {"detail":"oops"}`: provider.Passing} {
		if _, err := answers(t, status, "").Poll(t.Context(), asked); providertest.FailureOf(t, err, secret).Class != want {
			t.Errorf("%s: %v", status, err)
		}
	}
}

func TestTheSuppliersWords(t *testing.T) {
	for kind, v := range verdicts {
		v.Unsure = strings.HasSuffix(kind, "_timeout")
		if got := judge(0, provider.Complaint{Code: kind}); got != v || v.Fault == "" || v.Class == provider.Locked {
			t.Errorf("%s: %+v", kind, got)
		}
	}
}
