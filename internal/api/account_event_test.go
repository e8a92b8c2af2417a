package api

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/unireel/unireel/internal/account"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/store"
)

func TestAccountStreamIsolation(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		env.createTask(env.alice) // before anybody subscribes: not sent
		alice := env.subscribe(env.alice, "/v1/events")
		bob := env.subscribe(env.bob, "/v1/events")
		second := env.subscribe(env.alice, "/v1/events")
		// A stream has started when its response header arrives; its start position was read before that.
		one := env.createTask(env.alice)
		his := env.createTask(env.bob)
		env.request(env.bob, "POST", "/v1/videos/"+his+"/cancel", "")
		env.request(env.alice, "POST", "/v1/videos/"+one+"/cancel", "")
		want := fmt.Sprintf("[video.queued %s video.cancelled %s]", one, one)

		got := []receivedEvent{alice.next(), alice.next()}
		if fmt.Sprint(got) != want {
			t.Errorf("alice receives %v", got)
		}

		if h := []receivedEvent{second.next(), second.next()}; fmt.Sprint(h) != want || h[1].id != got[1].id {
			t.Errorf("her second stream receives %v", h)
		}

		if h := []receivedEvent{bob.next(), bob.next()}; fmt.Sprint(h) != fmt.Sprintf("[video.queued %s video.cancelled %s]", his, his) {
			t.Errorf("bob receives %v", h)
		}

		for _, path := range []string{"/v1/events", "/v1/events?after=" + got[0].id} {
			resumed := env.subscribe(env.alice, path, "Last-Event-ID", got[0].id)
			if h := resumed.next(); h.name != "video.cancelled" || h.id != got[1].id {
				t.Errorf("%s: %v", path, h)
			}
		}

		all := env.subscribe(env.alice, "/v1/events?after=a0.0")
		env.api.Drain()

		if h := all.untilEnd(); len(h) > 3 {
			t.Errorf("from the beginning: %v", h)
		}

		for _, e := range []*eventSubscriber{alice, bob, second} {
			if rest := e.untilEnd(); len(rest) > 0 {
				t.Errorf("at the server's shutdown: %v", rest)
			}
		}
	})
}

func TestAccountStreamInvalidEventID(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		for _, bad := range []string{"v1", "a", "a1", "a1.", "a-1.1", "a01.1", "a1.1.1", "a1.99999999999999999999"} {
			a := env.request(env.alice, "GET", "/v1/events", "", "Last-Event-ID", bad)
			if code, param := a.errorCode(t); a.status != 400 || code != "invalid_value" || param != "Last-Event-ID" {
				t.Errorf("%q: %d %s", bad, a.status, a.body)
			}
		}

		if a := env.request("", "GET", "/v1/events", ""); a.status != 401 {
			t.Errorf("without a key: %d", a.status)
		}

		future := env.subscribe(env.alice, "/v1/events?after=a9223372036854775807.1") // an ID from before the database was restored

		id := env.createTask(env.alice)
		if h := future.next(); h.data.Data.ID != id {
			t.Errorf("%v", h)
		}
	})
}

// TestSlowSubscriberIsDropped checks that a subscriber that does not read is dropped,
// and that the others receive all events.
func TestSlowSubscriberIsDropped(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		if _, err := env.checkout.Grant(t.Context(), "alice", 100_000_000, "more"); err != nil {
			t.Fatal(err)
		}

		slow, leaveSlow := env.api.tail.subscribe(env.account, store.EventPosition{})
		defer leaveSlow()

		quick := env.subscribe(env.alice, "/v1/events")

		other := env.subscribe(env.bob, "/v1/events")
		for range subscriberBuffer + 1 {
			id := env.createTask(env.alice)
			if h := quick.next(); h.data.Data.ID != id {
				t.Fatalf("received %v, want %s", h, id)
			}
		}

		if id := env.createTask(env.bob); other.next().data.Data.ID != id {
			t.Error("the other account's subscriber is blocked")
		}

		n := 0
		for range slow { // ends only if the channel was closed
			n++
		}

		if n != subscriberBuffer {
			t.Errorf("%d events, want %d", n, subscriberBuffer)
		}
	})
}

// TestIdleStreamSendsHeartbeats checks that a stream without events sends a heartbeat
// every 15 seconds, until its key is no longer valid.
func TestIdleStreamSendsHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &API{Options: Options{Now: time.Now}, draining: make(chan struct{}), keys: newKeyCache(nil, time.Now)}
		key := account.Key{Account: "acct_a", Hash: account.Hash(aliceKey), Scopes: []account.Scope{account.ScopeRead}, ExpiresAt: time.Now().Add(4*heartbeatInterval + time.Second).UnixMilli()}
		a.keys.put(sha256.Sum256([]byte(aliceKey)), cachedKey{key: key, until: time.Now().Add(time.Hour)}, 0)

		answer := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/events", nil)
		r.Header.Set("Authorization", "Bearer "+aliceKey)
		h := &accountStream{a: a, s: &stream{c: &requestContext{responseRecorder: responseRecorder{ResponseWriter: answer}, req: r}, control: http.NewResponseController(answer)}}

		done := make(chan error, 1)
		go func() { done <- h.forward(nil) }()

		begin := time.Now()
		if err := <-done; fault.From(err).Code != fault.CodeInvalidAPIKey || time.Since(begin) != 5*heartbeatInterval {
			t.Errorf("%v after %v", err, time.Since(begin))
		}

		if n := strings.Count(answer.Body.String(), ": ping\n\n"); n != 4 || !answer.Flushed {
			t.Errorf("%d heartbeats in a minute: %q", n, answer.Body)
		}
	})
}

func FuzzAccountEventID(f *testing.F) {
	for _, text := range []string{"a0.0", "a1.2", "a", "a.", "a01.2", "a1.-2", "a9223372036854775808.1", "1.2", "a1.2.3"} {
		f.Add(text)
	}

	f.Fuzz(func(t *testing.T, text string) {
		p, ok := parseAccountEventID(text)
		if ok && (p.Xid < 0 || p.N < 0 || accountEventID(p) != text) {
			t.Errorf("%q is parsed as %v", text, p)
		}
	})
}
