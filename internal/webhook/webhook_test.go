package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/unireel/unireel/internal/fetch"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/store/storetest"
)

// world is a courier in a bubble of its own time, over a real database, and customers
// who answer as the test says.
type world struct {
	t     *testing.T
	store *store.Store
	reg   *prometheus.Registry
	look  time.Duration
	end   func()

	mu      sync.Mutex
	answers map[string]reply // by host
	heard   []hit
}

// hit is one request that a customer got.
type hit struct {
	url, id, signature string
	at                 time.Time
	body               string
}

// RoundTrip is the network.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}

	w.mu.Lock()
	w.heard = append(w.heard, hit{r.URL.String(), r.Header.Get("webhook-id"), r.Header.Get("webhook-signature"), time.Now(), string(body)})
	answer := w.answers[r.URL.Host]
	w.mu.Unlock()

	if answer.hangs {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}

	if answer.err != nil {
		return nil, answer.err
	}

	resp := &http.Response{StatusCode: max(answer.status, 200), Header: http.Header{}, Body: http.NoBody}
	for name, value := range answer.header {
		resp.Header.Set(name, value)
	}

	return resp, nil
}

// reply is how a customer answers; the zero one takes everything.
type reply struct {
	status int
	header map[string]string
	err    error
	hangs  bool
}

func inWorld(t *testing.T, look time.Duration, test func(w *world)) {
	t.Helper()
	t.Parallel()
	at := storetest.File(t)
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(context.Background(), store.Options{Path: at.Path, Quiet: true, Readers: 2, Now: time.Now, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}

		w := &world{t: t, store: s, reg: prometheus.NewRegistry(), look: look, answers: map[string]reply{}}
		w.start()
		test(w)
		w.end()

		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func (w *world) start() {
	c := New(Options{
		Store: w.store, Client: &http.Client{Transport: w, Timeout: SendTime, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Registry: w.reg, Version: "test", LookEvery: w.look,
		Body: func(_ context.Context, d store.Delivery) ([]byte, error) { return []byte(`{"id":"` + d.ID + `"}`), nil },
	})
	w.reg = prometheus.NewRegistry()
	ctx, stop := context.WithCancel(context.Background())

	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()

	w.end = func() {
		stop()

		if err := <-ended; err != nil {
			w.t.Error(err)
		}
	}
}

func (w *world) write(f func(ctx context.Context, tx *store.Tx) error) {
	w.t.Helper()

	if err := w.store.Write(context.Background(), func(tx *store.Tx) error { return f(context.Background(), tx) }); err != nil {
		w.t.Fatal(err)
	}
}

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func (w *world) endpoint(id, url string) {
	w.write(func(ctx context.Context, tx *store.Tx) error {
		return tx.InsertEndpoint(ctx, store.Endpoint{ID: id, Account: "acct_a", Kind: store.SetEndpoint, URL: url, Secret: secret, CreatedAt: 1})
	})
}

// event is something that an endpoint is to be told of.
func (w *world) event(endpoint, id string) {
	w.write(func(ctx context.Context, tx *store.Tx) error {
		return tx.InsertDelivery(ctx, store.Delivery{Endpoint: endpoint, ID: id, Account: "acct_a", Event: "webhook.test", CreatedAt: time.Now().UnixMilli()})
	})
}

func (w *world) answer(host string, r reply) {
	w.mu.Lock()
	defer w.mu.Unlock()

	w.answers[host] = r
}

func (w *world) hits(host string) (list []hit) {
	w.mu.Lock()
	defer w.mu.Unlock()

	for _, h := range w.heard {
		if strings.Contains(h.url, host) {
			list = append(list, h)
		}
	}

	return list
}

func (w *world) delivery(endpoint, id string) store.Delivery {
	w.t.Helper()

	d, err := w.store.Delivery(context.Background(), "acct_a", endpoint, id)
	if err != nil {
		w.t.Fatal(err)
	}

	return d
}

// after lets time pass, and everything happen that it brings.
func after(d time.Duration) {
	time.Sleep(d) // of the bubble
	synctest.Wait()
}

func TestADeliveryIsSignedAndSentOnce(t *testing.T) {
	inWorld(t, time.Second, func(w *world) {
		w.endpoint("hook_1", "https://a.example/x")
		w.event("hook_1", "evt_1")
		after(5 * time.Minute)

		hits := w.hits("a.example")
		if len(hits) != 1 || hits[0].id != "evt_1" || hits[0].body != `{"id":"evt_1"}` {
			t.Fatalf("%+v", hits)
		}

		want, err := Sign("evt_1", hits[0].at, []byte(hits[0].body), secret)
		if err != nil || hits[0].signature != want {
			t.Errorf("signature %q, want %q, %v", hits[0].signature, want, err)
		}

		if d := w.delivery("hook_1", "evt_1"); d.State != store.Delivered || d.Status != 200 || d.Tries != 1 || d.EndedAt == 0 {
			t.Errorf("%+v", d)
		}
	})
}

// The signature of Standard Webhooks' own example.
func TestSignIsTheStandards(t *testing.T) {
	got, err := Sign("msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`), secret)
	if err != nil || got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Errorf("%s, %v", got, err)
	}

	if _, err := Sign("x", time.Unix(1, 0), nil, "whsec_"); err == nil {
		t.Error("an empty secret signs")
	}
}

func TestTwoSecretsSignWhileOneIsGivenUp(t *testing.T) {
	inWorld(t, time.Second, func(w *world) {
		w.endpoint("hook_1", "https://a.example/")

		old := secret
		fresh := "whsec_b2xkIHNlY3JldCBvbGQgc2VjcmV0"

		w.write(func(ctx context.Context, tx *store.Tx) error {
			e, err := tx.Endpoint(ctx, "acct_a", "hook_1")
			if err != nil {
				return err
			}

			e.Earlier = old
			e.EarlierUntil = time.Now().Add(time.Hour).UnixMilli()
			e.Secret = fresh

			return tx.SaveEndpoint(ctx, e, time.Now().UnixMilli())
		})
		w.event("hook_1", "evt_1")
		after(time.Hour)
		w.event("hook_1", "evt_2")
		after(time.Minute)

		for i, secrets := range [][]string{{fresh, old}, {fresh}} {
			h := w.hits("a.example")[i]
			if want, _ := Sign(h.id, h.at, []byte(h.body), secrets...); h.signature != want {
				t.Errorf("%s: %s, want %s", h.id, h.signature, want)
			}
		}
	})
}

// What fails is tried for a day with growing pauses, then given up; a success between
// ends it.
func TestADeadEndpointIsTriedForADay(t *testing.T) {
	inWorld(t, time.Minute, func(w *world) {
		w.endpoint("hook_1", "https://dead.example/")
		w.answer("dead.example", reply{err: &net.OpError{Op: "dial", Err: errors.New("refused")}})

		begin := time.Now()

		w.event("hook_1", "evt_1")
		after(30 * time.Hour)

		hits := w.hits("dead.example")
		if len(hits) < 9 || len(hits) > 14 {
			t.Errorf("%d tries", len(hits))
		}

		for i, h := range hits[1:] {
			if pause := h.at.Sub(hits[i].at); pause < time.Minute || i > 3 && pause < 20*time.Minute {
				t.Errorf("try %d came %s after the one before", i+2, pause)
			}
		}

		if last := hits[len(hits)-1].at.Sub(begin); last > 24*time.Hour || last < 12*time.Hour {
			t.Errorf("the last try was after %s", last)
		}

		d := w.delivery("hook_1", "evt_1")
		if d.State != store.GivenUp || d.Error != "There is no connection to the endpoint." || d.EndedAt == 0 {
			t.Errorf("%+v", d)
		}
	})
}

func TestWhatAnEndpointAnswersIsHeeded(t *testing.T) {
	for name, c := range map[string]struct {
		answer reply
		why    string
		tries  int // within an hour
		state  store.DeliveryState
	}{
		"200":                {reply{status: 200}, "", 1, store.Delivered},
		"a redirect":         {reply{status: 302, header: map[string]string{"Location": "http://169.254.169.254/"}}, "The endpoint answered 302; redirects are not followed: give the address that it leads to.", 5, store.Pending},
		"400":                {reply{status: 400}, "The endpoint answered 400; any status from 200 to 299 says that the event was taken.", 5, store.Pending},
		"wait half an hour":  {reply{status: 503, header: map[string]string{"Retry-After": "1800"}}, "The endpoint answered 503; any status from 200 to 299 says that the event was taken.", 2, store.Pending},
		"gone":               {reply{status: 410}, "The endpoint answered 410; any status from 200 to 299 says that the event was taken.", 1, store.GivenUp},
		"a private address":  {reply{err: fetch.ErrNotAllowed}, "The address is not on the public internet, or at a port other than 80 and 443.", 5, store.Pending},
		"a name that is not": {reply{err: &net.DNSError{}}, "The host's name leads nowhere.", 5, store.Pending},
		"silence":            {reply{hangs: true}, "The endpoint did not answer within 15 seconds.", 5, store.Pending},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, 10*time.Second, func(w *world) {
				w.endpoint("hook_1", "https://a.example/")
				w.answer("a.example", c.answer)
				w.event("hook_1", "evt_1")
				after(50 * time.Minute)

				d := w.delivery("hook_1", "evt_1")
				if n := len(w.hits("a.example")); n != c.tries && (c.tries < 5 || n != c.tries+1) || d.State != c.state || d.Error != c.why {
					t.Errorf("%d tries, %+v", n, d)
				}

				e, err := w.store.Endpoint(context.Background(), "acct_a", "hook_1")
				if err != nil || (e.DisabledAt > 0) != (name == "gone") {
					t.Errorf("disabled: %+v, %v", e, err)
				}

				if len(w.hits("169.254")) > 0 {
					t.Error("a redirect was followed")
				}
			})
		})
	}
}

// One that hangs, with much to be told, keeps nobody.
func TestADeadEndpointCostsNobodyElse(t *testing.T) {
	inWorld(t, time.Second, func(w *world) {
		for i := range 30 {
			w.endpoint(fmt.Sprintf("hook_%02d", i), fmt.Sprintf("https://dead-%02d.example/", i))
			w.answer(fmt.Sprintf("dead-%02d.example", i), reply{hangs: true})
		}

		w.endpoint("hook_good", "https://good.example/")

		for i := range 30 {
			for n := range 20 {
				w.event(fmt.Sprintf("hook_%02d", i), fmt.Sprintf("evt_%02d", n))
			}
		}

		after(5 * time.Minute)

		for n := range 20 {
			w.event("hook_good", fmt.Sprintf("evt_%02d", n))
		}

		begin := time.Now()

		after(3 * time.Second)

		hits := w.hits("good.example")
		if len(hits) != 20 {
			t.Fatalf("%d of 20 arrived while others hang", len(hits))
		}

		if late := slices.MaxFunc(hits, func(a, b hit) int { return a.at.Compare(b.at) }).at.Sub(begin); late > 2*time.Second {
			t.Errorf("the last came after %s", late)
		}

		if n := len(w.hits("dead-07")); n > 15 {
			t.Errorf("a dead endpoint was tried %d times in five minutes", n)
		}
	})
}

// What was on its way when the courier was stopped is sent again by the next, with
// the same id.
func TestARestartLosesNoDelivery(t *testing.T) {
	inWorld(t, time.Second, func(w *world) {
		w.endpoint("hook_1", "https://a.example/")
		w.answer("a.example", reply{hangs: true})
		w.event("hook_1", "evt_1")
		after(2 * time.Second)

		begin := time.Now()

		w.end()

		if took := time.Since(begin); took > graceTime {
			t.Errorf("stopping took %s", took)
		}

		w.answer("a.example", reply{})
		w.start()
		after(2 * time.Minute)

		if d := w.delivery("hook_1", "evt_1"); d.State != store.Delivered || len(w.hits("a.example")) != 2 {
			t.Errorf("%+v after %d tries", d, len(w.hits("a.example")))
		}
	})
}
