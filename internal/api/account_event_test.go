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

func TestAnAccountsStreamTellsOfItsTasksOnly(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		w.create(w.alice) // before anybody listens: not told
		alice := w.listen(w.alice, "/v1/events")
		bob := w.listen(w.bob, "/v1/events")
		second := w.listen(w.alice, "/v1/events")
		// Streams begin when their head is there; their place was read before that.
		one := w.create(w.alice)
		his := w.create(w.bob)
		w.ask(w.bob, "POST", "/v1/videos/"+his+"/cancel", "")
		w.ask(w.alice, "POST", "/v1/videos/"+one+"/cancel", "")
		want := fmt.Sprintf("[video.queued %s video.cancelled %s]", one, one)

		got := []heard{alice.next(), alice.next()}
		if fmt.Sprint(got) != want {
			t.Errorf("alice hears %v", got)
		}

		if h := []heard{second.next(), second.next()}; fmt.Sprint(h) != want || h[1].id != got[1].id {
			t.Errorf("her second ear hears %v", h)
		}

		if h := []heard{bob.next(), bob.next()}; fmt.Sprint(h) != fmt.Sprintf("[video.queued %s video.cancelled %s]", his, his) {
			t.Errorf("bob hears %v", h)
		}

		for _, path := range []string{"/v1/events", "/v1/events?after=" + got[0].id} {
			resumed := w.listen(w.alice, path, "Last-Event-ID", got[0].id)
			if h := resumed.next(); h.name != "video.cancelled" || h.id != got[1].id {
				t.Errorf("%s: %v", path, h)
			}
		}

		all := w.listen(w.alice, "/v1/events?after=a0.0")
		w.api.Drain()

		if h := all.rest(); len(h) > 3 {
			t.Errorf("from the beginning: %v", h)
		}

		for _, e := range []*ear{alice, bob, second} {
			if rest := e.rest(); len(rest) > 0 {
				t.Errorf("at the server's end: %v", rest)
			}
		}
	})
}

func TestAnAccountsStreamRefusesWhatIsNoID(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		for _, bad := range []string{"v1", "a", "a1", "a1.", "a-1.1", "a01.1", "a1.1.1", "a1.99999999999999999999"} {
			a := w.ask(w.alice, "GET", "/v1/events", "", "Last-Event-ID", bad)
			if code, param := a.code(t); a.status != 400 || code != "invalid_value" || param != "Last-Event-ID" {
				t.Errorf("%q: %d %s", bad, a.status, a.body)
			}
		}

		if a := w.ask("", "GET", "/v1/events", ""); a.status != 401 {
			t.Errorf("without a key: %d", a.status)
		}

		future := w.listen(w.alice, "/v1/events?after=a9223372036854775807.1") // of a database that was set back

		id := w.create(w.alice)
		if h := future.next(); h.data.Data.ID != id {
			t.Errorf("%v", h)
		}
	})
}

// Who does not read is dropped; the others hear all.
func TestASlowListenerIsDropped(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		if _, err := w.checkout.Grant(t.Context(), "alice", 100_000_000, "more"); err != nil {
			t.Fatal(err)
		}

		slow, leaveSlow := w.api.tail.join(w.account, store.Place{})
		defer leaveSlow()

		quick := w.listen(w.alice, "/v1/events")

		other := w.listen(w.bob, "/v1/events")
		for range listenerMost + 1 {
			id := w.create(w.alice)
			if h := quick.next(); h.data.Data.ID != id {
				t.Fatalf("%v in place of %s", h, id)
			}
		}

		if id := w.create(w.bob); other.next().data.Data.ID != id {
			t.Error("the other account waits")
		}

		n := 0
		for range slow { // it was closed, or this does not end
			n++
		}

		if n != listenerMost {
			t.Errorf("%d events in place of %d", n, listenerMost)
		}
	})
}

// A stream that hears nothing beats each 15 seconds, until its key opens no more.
func TestASilentStreamBeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &API{Options: Options{Now: time.Now}, draining: make(chan struct{}), keys: newKeyring(nil, time.Now)}
		key := account.Key{Account: "acct_a", Hash: account.Hash(aliceKey), Scopes: []account.Scope{account.ScopeRead}, ExpiresAt: time.Now().Add(4*beatEvery + time.Second).UnixMilli()}
		a.keys.keep(sha256.Sum256([]byte(aliceKey)), knownKey{key: key, until: time.Now().Add(time.Hour)}, 0)

		answer := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/events", nil)
		r.Header.Set("Authorization", "Bearer "+aliceKey)
		h := &hearing{a: a, s: &stream{c: &call{answered: answered{ResponseWriter: answer}, r: r}, control: http.NewResponseController(answer)}}

		done := make(chan error, 1)
		go func() { done <- h.hear(nil) }()

		begin := time.Now()
		if err := <-done; fault.From(err).Code != fault.CodeBadKey || time.Since(begin) != 5*beatEvery {
			t.Errorf("%v after %v", err, time.Since(begin))
		}

		if n := strings.Count(answer.Body.String(), ": ping\n\n"); n != 4 || !answer.Flushed {
			t.Errorf("%d beats in a minute: %q", n, answer.Body)
		}
	})
}

func FuzzAccountEventID(f *testing.F) {
	for _, text := range []string{"a0.0", "a1.2", "a", "a.", "a01.2", "a1.-2", "a9223372036854775808.1", "1.2", "a1.2.3"} {
		f.Add(text)
	}

	f.Fuzz(func(t *testing.T, text string) {
		p, ok := readAccountEventID(text)
		if ok && (p.Xid < 0 || p.N < 0 || accountEventID(p) != text) {
			t.Errorf("%q is read as %v", text, p)
		}
	})
}
