package wavespeed

import (
	"net/http"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/provider/providertest"
)

var busy = provider.Verdict{Class: provider.Throttled, Fault: fault.CodeSupplier}

// What each answer to an order means, and whether the order can exist.
func TestErrorsOfAnOrder(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		want   provider.Verdict
		taken  provider.Taken
	}{
		{400, `{"code":400,"message":"property \"size\": value is not one of the allowed values"}`, rejected, provider.NotTaken},
		{400, `{"code":400,"message":"product not found"}`, modelShut, provider.NotTaken},
		{400, `{"code":1401,"message":"Invalid parameter"}`, rejected, provider.NotTaken},
		{400, `{"code":400,"message":"The prompt contains sensitive words"}`, moderated, provider.NotTaken},
		{400, `{"code":400,"message":"Insufficient credits. Please top up."}`, shut, provider.NotTaken},
		{401, `{"code":401,"message":"invalid authentication"}`, shut, provider.NotTaken},
		{402, `{"code":402,"message":"Payment required"}`, shut, provider.NotTaken},
		{403, `{"code":403,"message":"forbidden"}`, shut, provider.NotTaken},
		{404, `{"code":404,"message":"not found"}`, modelShut, provider.NotTaken},
		{429, `{"code":429,"message":"too many requests"}`, busy, provider.NotTaken},
		{429, `{"code":1999,"message":"too many requests"}`, busy, provider.NotTaken},
		{500, `{"code":500,"message":"internal error"}`, failed, provider.NotTaken},
		{503, `{"code":5003,"message":"unavailable"}`, failed, provider.NotTaken},
		{500, `{"code":5004,"message":"timed out"}`, failed, provider.Unsure},
		{504, `{"code":500,"message":"late"}`, failed, provider.Unsure},
		{200, `{"code":429,"message":"too many requests"}`, busy, provider.NotTaken},
		{200, `{"code":5000,"message":"oops"}`, failed, provider.Unsure},
		{429, `slow down`, busy, provider.Unsure},
		{500, ``, failed, provider.Unsure},
		{502, `<html>bad gateway</html>`, failed, provider.Unsure},
		{413, `<html>large</html>`, rejected, provider.Unsure},
		{401, `{"message":"no code"}`, shut, provider.Unsure},
		{307, ``, failed, provider.Unsure},
		{204, ``, failed, provider.Unsure},
	} {
		address := recorded(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Request-Id", "x-1")
			w.Header().Set("Retry-After", "3")
			w.WriteHeader(c.status)
			w.Write([]byte(c.body))
		})
		_, err := connect(t, address, time.Now, nil).Submit(t.Context(), small())

		f := providertest.FailureOf(t, err, secret)
		if f.Class != c.want.Class || f.ModelOnly != c.want.ModelOnly || f.Fault.Code != c.want.Fault || f.Taken != c.taken || f.RequestID != "x-1" || f.After != 3*time.Second {
			t.Errorf("%d %s: %v, taken %d, fault %s; want %+v, taken %d", c.status, c.body, f, f.Taken, f.Fault.Code, c.want, c.taken)
		}
	}
}

func TestErrorsOfAPrediction(t *testing.T) {
	for _, c := range []struct {
		code, message string
		want          provider.Verdict
	}{
		{"1200", "", moderated},
		{"1400", "", rejected},
		{"1401", "", rejected},
		{"1402", "", unreachable},
		{"1403", "no luck", failed},
		{"1405", "NSFW content detected", moderated},
		{"1405", "", failed},
		{"5000", "", failed},
		{"5003", "", failed},
		{"5004", "", timedOut},
		{"", "", failed},
		{"", "Failed to download image", unreachable},
		{"9999", "", failed},
		{"400", "", failed},
		{"x", "", failed},
	} {
		if got := judge(0, provider.Complaint{Code: c.code, Message: c.message}); got != c.want {
			t.Errorf("%s %q: %+v, want %+v", c.code, c.message, got, c.want)
		}
	}
}

func TestWhatAPollIsRefusedFor(t *testing.T) {
	for body, want := range map[string]provider.Class{
		`{"code":401,"message":"invalid authentication"}`: provider.Locked, `{"code":429,"message":"slow"}`: provider.Throttled, `{"code":500,"message":"x"}`: provider.Passing,
	} {
		address := recorded(t, func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(body)) })
		if _, err := connect(t, address, time.Now, nil).Poll(t.Context(), "p-1"); providertest.FailureOf(t, err, secret).Class != want {
			t.Errorf("%s: %v", body, err)
		}
	}
	// Only its own words say that it knows nothing: a page between us does not.
	address := recorded(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	if report, err := connect(t, address, time.Now, nil).Poll(t.Context(), "p-1"); err == nil {
		t.Errorf("a bare 404: %+v", report)
	}
}
