package dashscope

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/provider/dashscope/dashscopesim"
	"github.com/unireel/unireel/internal/provider/providertest"
)

func TestFindReadsAllPages(t *testing.T) {
	s := newFixture(t, nil)

	const many = 2*pageSize + 7

	want := map[provider.RemoteID]bool{}
	for n := range many {
		want[provider.RemoteID(s.AddForeignTask(dashscopesim.ForeignTask{Key: ownKey, Model: "wan2.6-r2v", Prompt: fmt.Sprint(n)}))] = true
		s.clock.advance(time.Second)
	}

	list, err := s.Find(t.Context(), "wan2.6-r2v", s.clock.now().Add(-time.Hour))
	if err != nil || len(list) != many {
		t.Fatalf("found %d, %v; want %d", len(list), err, many)
	}

	for _, one := range list {
		delete(want, one.RemoteID)
	}

	if len(want) > 0 {
		t.Errorf("%d not found", len(want))
	}

	second := dashscopesim.Reject(dashscopesim.List, 500, "InternalError", "broken")
	second.When = func(r *http.Request) bool { return r.URL.Query().Get("page_no") == "2" }
	s.Inject(second)

	if list, err := s.Find(t.Context(), "wan2.6-r2v", time.Time{}); err == nil {
		t.Errorf("an incomplete list was returned: %d", len(list))
	}
}

func TestFindReportsKeyOfForeignTasks(t *testing.T) {
	other := dashscopesim.Key{Secret: "sk-other", ID: "999", Account: "acct-1"}
	otherAccount := dashscopesim.Key{Secret: "sk-stranger", ID: "5", Account: "acct-2"}
	s := newFixture(t, func(o *dashscopesim.Options) { o.ListLag = 20 * time.Second })
	o := smallSubmission()

	remoteID, err := s.Submit(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}

	foreign := s.AddForeignTask(dashscopesim.ForeignTask{Key: other, Model: o.Model, Prompt: o.Prompt})
	s.AddForeignTask(dashscopesim.ForeignTask{Key: otherAccount, Model: o.Model, Prompt: o.Prompt})
	s.AddForeignTask(dashscopesim.ForeignTask{Key: ownKey, Model: "wan2.6-r2v", Prompt: o.Prompt})

	since := s.clock.now().Add(-5 * time.Second)
	if list, err := s.Find(t.Context(), o.Model, since); err != nil || len(list) != 0 {
		t.Errorf("within the lag: %+v, %v; want none", list, err)
	}

	s.clock.advance(20 * time.Second)

	list, err := s.Find(t.Context(), o.Model, since)
	if err != nil || len(list) != 2 {
		t.Fatalf("after the lag: %+v, %v; want our own and the foreign one", list, err)
	}

	keys := map[provider.RemoteID]string{}
	for _, one := range list {
		keys[one.RemoteID] = one.KeyID
	}

	if keys[remoteID] != ownKey.ID || keys[provider.RemoteID(foreign)] != other.ID {
		t.Errorf("keys %v", keys)
	}
}

// The window is written in UTC+8 with a precision of one second and is at most 24
// hours long. Tasks in its first second are not lost.
func TestFindQueriesCorrectTimeWindow(t *testing.T) {
	s := newFixture(t, nil)
	s.clock.advance(700 * time.Millisecond)
	at := s.clock.now()

	id := s.AddForeignTask(dashscopesim.ForeignTask{Key: ownKey, Model: "wan2.6-r2v"})
	for name, since := range map[string]time.Time{"to the millisecond": at, "zero time": {}, "a day": at.Add(-24 * time.Hour)} {
		if list, err := s.Find(t.Context(), "wan2.6-r2v", since); err != nil || len(list) != 1 || list[0].RemoteID != provider.RemoteID(id) || !list[0].CreatedAt.Equal(at) {
			t.Errorf("%s: %+v, %v", name, list, err)
		}
	}
}

func TestUploadIsValidForItsModelOnly(t *testing.T) {
	s := newFixture(t, func(o *dashscopesim.Options) { o.MaxUploadMB = 1 })
	o := smallSubmission()

	address, err := s.Upload(t.Context(), o.Model, "../../me and you.png", 3, strings.NewReader("abc"))
	if err != nil || !strings.HasSuffix(address, "/_.._me_and_you.png") {
		t.Fatalf("Upload = %q, %v", address, err)
	}

	o.References[0].URL = address
	if _, err := s.Submit(t.Context(), o); err != nil {
		t.Errorf("the model of the upload: %v", err)
	}

	o.Model = "wan2.6-r2v"

	_, err = s.Submit(t.Context(), o)
	if f := providertest.FailureOf(t, err, secret); f.Fault.Code != fault.CodeReferenceUnreachable || f.Fault.Param != "images[0]" || f.Acceptance != provider.NotAccepted {
		t.Errorf("another model: %v, fault %+v", f, f.Fault)
	}

	big := int64(1<<20 + 1)

	_, err = s.Upload(t.Context(), o.Model, "big.mp4", big, io.LimitReader(bytes.NewReader(make([]byte, big)), big))
	if f := providertest.FailureOf(t, err, secret); f.Class != provider.InvalidRequest || f.Fault.Code != fault.CodeReferenceInvalid {
		t.Errorf("over the size limit: %v", f)
	}

	s.Inject(dashscopesim.RespondRaw(dashscopesim.Upload, 403, "application/xml", "<Error><Code>AccessDenied</Code><Message>Invalid according to Policy: Policy expired.</Message></Error>"))

	_, err = s.Upload(t.Context(), o.Model, "a.png", 3, strings.NewReader("abc"))
	if f := providertest.FailureOf(t, err, secret); f.Class != provider.Transient || f.Code != "AccessDenied" {
		t.Errorf("an expired policy: %v", f)
	}
}

func TestOpenClassifiesMissingResults(t *testing.T) {
	s := newFixture(t, func(o *dashscopesim.Options) {
		o.Video = func(dashscopesim.Spec) ([]byte, error) { return make([]byte, 1<<20), nil }
	})
	s.Inject(dashscopesim.ExpiredLink())
	result := s.renderedResult(t)

	_, err := s.Open(t.Context(), result)
	if f := providertest.FailureOf(t, err, secret); f.Class != provider.NotFound || f.Fault.Code != fault.CodeResultLost || f.Code != "AccessDenied" || strings.Contains(f.Error(), "Signature=") {
		t.Errorf("an expired link: %v", f)
	}

	result = s.renderedResult(t)
	if want := s.clock.now().Add(24 * time.Hour); time.UnixMilli(result.ExpiresAt).After(want) || time.UnixMilli(result.ExpiresAt).Before(want.Add(-time.Minute)) {
		t.Errorf("expires at %s, want about %s", time.UnixMilli(result.ExpiresAt), want)
	}

	s.Inject(dashscopesim.RespondRaw(dashscopesim.Download, 503, "", ""))

	if _, err := s.Open(t.Context(), result); providertest.FailureOf(t, err, secret).Class != provider.Transient {
		t.Errorf("a busy store: %v", err)
	}

	if _, err := s.Open(t.Context(), provider.Result{URL: "file:///etc/passwd"}); providertest.FailureOf(t, err, secret).Class != provider.NotFound {
		t.Errorf("a file: %v", err)
	}
}

func TestOpenStopsAfterIdleTimeout(t *testing.T) {
	s := newFixture(t, func(o *dashscopesim.Options) {
		o.Video = func(dashscopesim.Spec) ([]byte, error) { return make([]byte, 1<<20), nil }
	})
	result := s.renderedResult(t)
	s.client.IdleTimeout = time.Hour

	release := make(chan struct{})
	defer close(release)

	s.Inject(dashscopesim.StallHalfway(dashscopesim.Download, release))

	ctx, done := context.WithTimeout(t.Context(), time.Minute)
	defer done()

	body, err := s.Open(ctx, result)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()

	s.client.IdleTimeout = 50 * time.Millisecond // measured from the response's first bytes

	_, err = io.Copy(io.Discard, body)
	if f := providertest.FailureOf(t, err, secret); f.Class != provider.Transient || !strings.Contains(f.Error(), "no bytes arrived for too long") {
		t.Errorf("a stalled store: %v", f)
	}
}

// renderedResult submits a task and returns its result.
func (s fixture) renderedResult(t *testing.T) provider.Result {
	t.Helper()

	remoteID, err := s.Submit(t.Context(), smallSubmission())
	if err != nil {
		t.Fatal(err)
	}

	s.clock.advance(10 * time.Second)

	report, err := s.Poll(t.Context(), remoteID)
	if err != nil || report.Result == nil {
		t.Fatalf("Poll = %+v, %v", report, err)
	}

	return *report.Result
}
