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
	s := simulate(t, nil)

	const many = 2*pageSize + 7

	want := map[provider.Ticket]bool{}
	for n := range many {
		want[provider.Ticket(s.Plant(dashscopesim.Planted{Key: mine, Model: "wan2.6-r2v", Prompt: fmt.Sprint(n)}))] = true
		s.clock.pass(time.Second)
	}

	list, err := s.Find(t.Context(), "wan2.6-r2v", s.clock.now().Add(-time.Hour))
	if err != nil || len(list) != many {
		t.Fatalf("found %d, %v; want %d", len(list), err, many)
	}

	for _, one := range list {
		delete(want, one.Ticket)
	}

	if len(want) > 0 {
		t.Errorf("%d not found", len(want))
	}

	second := dashscopesim.Refuse(dashscopesim.List, 500, "InternalError", "broken")
	second.When = func(r *http.Request) bool { return r.URL.Query().Get("page_no") == "2" }
	s.Inject(second)

	if list, err := s.Find(t.Context(), "wan2.6-r2v", time.Time{}); err == nil {
		t.Errorf("half a list passed for one: %d", len(list))
	}
}

func TestFindTellsForeignTasksApart(t *testing.T) {
	other := dashscopesim.Key{Secret: "sk-other", ID: "999", Account: "studio"}
	stranger := dashscopesim.Key{Secret: "sk-stranger", ID: "5", Account: "elsewhere"}
	s := simulate(t, func(o *dashscopesim.Options) { o.ListLag = 20 * time.Second })
	o := small()

	ticket, err := s.Submit(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}

	foreign := s.Plant(dashscopesim.Planted{Key: other, Model: o.Model, Prompt: o.Prompt})
	s.Plant(dashscopesim.Planted{Key: stranger, Model: o.Model, Prompt: o.Prompt})
	s.Plant(dashscopesim.Planted{Key: mine, Model: "wan2.6-r2v", Prompt: o.Prompt})

	since := s.clock.now().Add(-5 * time.Second)
	if list, err := s.Find(t.Context(), o.Model, since); err != nil || len(list) != 0 {
		t.Errorf("within the lag: %+v, %v; want none", list, err)
	}

	s.clock.pass(20 * time.Second)

	list, err := s.Find(t.Context(), o.Model, since)
	if err != nil || len(list) != 2 {
		t.Fatalf("after the lag: %+v, %v; want mine and the foreign one", list, err)
	}

	keys := map[provider.Ticket]string{}
	for _, one := range list {
		keys[one.Ticket] = one.KeyID
	}

	if keys[ticket] != mine.ID || keys[provider.Ticket(foreign)] != other.ID {
		t.Errorf("keys %v", keys)
	}
}

// The window is written in UTC+8 to the second, at most 24 hours long, and
// nothing of its first second is lost.
func TestFindAsksForTheRightWindow(t *testing.T) {
	s := simulate(t, nil)
	s.clock.pass(700 * time.Millisecond)
	at := s.clock.now()

	id := s.Plant(dashscopesim.Planted{Key: mine, Model: "wan2.6-r2v"})
	for name, since := range map[string]time.Time{"to the millisecond": at, "for ever": {}, "a day": at.Add(-24 * time.Hour)} {
		if list, err := s.Find(t.Context(), "wan2.6-r2v", since); err != nil || len(list) != 1 || list[0].Ticket != provider.Ticket(id) || !list[0].MadeAt.Equal(at) {
			t.Errorf("%s: %+v, %v", name, list, err)
		}
	}
}

func TestUploadIsBoundToItsModel(t *testing.T) {
	s := simulate(t, func(o *dashscopesim.Options) { o.MaxUploadMB = 1 })
	o := small()

	address, err := s.Upload(t.Context(), o.Model, "../../me and you.png", 3, strings.NewReader("abc"))
	if err != nil || !strings.HasSuffix(address, "/_.._me_and_you.png") {
		t.Fatalf("Upload = %q, %v", address, err)
	}

	o.References[0].URL = address
	if _, err := s.Submit(t.Context(), o); err != nil {
		t.Errorf("its own model: %v", err)
	}

	o.Model = "wan2.6-r2v"

	_, err = s.Submit(t.Context(), o)
	if f := providertest.FailureOf(t, err, secret); f.Fault.Code != fault.CodeUnreachable || f.Fault.Param != "images[0]" || f.Taken != provider.NotTaken {
		t.Errorf("another model: %v, fault %+v", f, f.Fault)
	}

	big := int64(1<<20 + 1)

	_, err = s.Upload(t.Context(), o.Model, "big.mp4", big, io.LimitReader(bytes.NewReader(make([]byte, big)), big))
	if f := providertest.FailureOf(t, err, secret); f.Class != provider.Refused || f.Fault.Code != fault.CodeBadReference {
		t.Errorf("over the bound: %v", f)
	}

	s.Inject(dashscopesim.Raw(dashscopesim.Upload, 403, "application/xml", "<Error><Code>AccessDenied</Code><Message>Invalid according to Policy: Policy expired.</Message></Error>"))

	_, err = s.Upload(t.Context(), o.Model, "a.png", 3, strings.NewReader("abc"))
	if f := providertest.FailureOf(t, err, secret); f.Class != provider.Passing || f.Code != "AccessDenied" {
		t.Errorf("an expired policy: %v", f)
	}
}

func TestOpenTellsWhatIsGone(t *testing.T) {
	s := simulate(t, func(o *dashscopesim.Options) {
		o.Video = func(dashscopesim.Spec) ([]byte, error) { return make([]byte, 1<<20), nil }
	})
	s.Inject(dashscopesim.ExpiredLink())
	result := s.rendered(t)

	_, err := s.Open(t.Context(), result)
	if f := providertest.FailureOf(t, err, secret); f.Class != provider.Gone || f.Fault.Code != fault.CodeResultLost || f.Code != "AccessDenied" || strings.Contains(f.Error(), "Signature=") {
		t.Errorf("an expired link: %v", f)
	}

	result = s.rendered(t)
	if want := s.clock.now().Add(24 * time.Hour); time.UnixMilli(result.ExpiresAt).After(want) || time.UnixMilli(result.ExpiresAt).Before(want.Add(-time.Minute)) {
		t.Errorf("expires at %s, want about %s", time.UnixMilli(result.ExpiresAt), want)
	}

	s.Inject(dashscopesim.Raw(dashscopesim.Fetch, 503, "", ""))

	if _, err := s.Open(t.Context(), result); providertest.FailureOf(t, err, secret).Class != provider.Passing {
		t.Errorf("a busy store: %v", err)
	}

	if _, err := s.Open(t.Context(), provider.Result{URL: "file:///etc/passwd"}); providertest.FailureOf(t, err, secret).Class != provider.Gone {
		t.Errorf("a file: %v", err)
	}
}

func TestOpenDoesNotWaitForSilence(t *testing.T) {
	s := simulate(t, func(o *dashscopesim.Options) {
		o.Video = func(dashscopesim.Spec) ([]byte, error) { return make([]byte, 1<<20), nil }
	})
	result := s.rendered(t)
	s.talk.Silence = time.Hour

	release := make(chan struct{})
	defer close(release)

	s.Inject(dashscopesim.Stall(dashscopesim.Fetch, release))

	ctx, done := context.WithTimeout(t.Context(), time.Minute)
	defer done()

	body, err := s.Open(ctx, result)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()

	s.talk.Silence = 50 * time.Millisecond // from the first bytes on

	_, err = io.Copy(io.Discard, body)
	if f := providertest.FailureOf(t, err, secret); f.Class != provider.Passing || !strings.Contains(f.Error(), "no bytes for too long") {
		t.Errorf("a silent store: %v", f)
	}
}

// rendered is the result of a whole render.
func (s supplier) rendered(t *testing.T) provider.Result {
	t.Helper()

	ticket, err := s.Submit(t.Context(), small())
	if err != nil {
		t.Fatal(err)
	}

	s.clock.pass(10 * time.Second)

	report, err := s.Poll(t.Context(), ticket)
	if err != nil || report.Result == nil {
		t.Fatalf("Poll = %+v, %v", report, err)
	}

	return *report.Result
}
