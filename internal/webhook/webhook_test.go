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

// testEnv is a dispatcher in a synctest bubble, with a real database and customers whose
// responses the test sets.
type testEnv struct {
	t            *testing.T
	store        *store.Store
	reg          *prometheus.Registry
	pollInterval time.Duration
	stop         func()

	mu        sync.Mutex
	responses map[string]response // by host
	requests  []receivedRequest
}

// receivedRequest is one request that a customer's endpoint received.
type receivedRequest struct {
	url, id, signature string
	at                 time.Time
	body               string
}

// RoundTrip stands in for the network.
func (env *testEnv) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}

	env.mu.Lock()
	env.requests = append(env.requests, receivedRequest{r.URL.String(), r.Header.Get("webhook-id"), r.Header.Get("webhook-signature"), time.Now(), string(body)})
	reply := env.responses[r.URL.Host]
	env.mu.Unlock()

	if reply.hangs {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}

	if reply.err != nil {
		return nil, reply.err
	}

	resp := &http.Response{StatusCode: max(reply.status, 200), Header: http.Header{}, Body: http.NoBody}
	for name, value := range reply.header {
		resp.Header.Set(name, value)
	}

	return resp, nil
}

// response is what a customer's endpoint answers; the zero value accepts everything.
type response struct {
	status int
	header map[string]string
	err    error
	hangs  bool
}

func runEnv(t *testing.T, pollInterval time.Duration, test func(env *testEnv)) {
	t.Helper()
	t.Parallel()
	at := storetest.SQLiteFile(t)
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(context.Background(), store.Options{
			Path:      at.Path,
			TestClock: true,
			Readers:   2,
			Now:       time.Now,
			Log:       slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}

		env := &testEnv{
			t:            t,
			store:        s,
			reg:          prometheus.NewRegistry(),
			pollInterval: pollInterval,
			responses:    map[string]response{},
		}
		env.start()
		test(env)
		env.stop()

		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func (env *testEnv) start() {
	client := &http.Client{
		Transport:     env,
		Timeout:       SendTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	dispatcher := New(Options{
		Store:        env.store,
		Client:       client,
		Now:          time.Now,
		Log:          slog.New(slog.DiscardHandler),
		Registry:     env.reg,
		Version:      "test",
		PollInterval: env.pollInterval,
		Body:         func(_ context.Context, d store.Delivery) ([]byte, error) { return []byte(`{"id":"` + d.ID + `"}`), nil },
	})
	env.reg = prometheus.NewRegistry()
	ctx, stop := context.WithCancel(context.Background())

	ended := make(chan error, 1)
	go func() { ended <- dispatcher.Run(ctx) }()

	env.stop = func() {
		stop()

		if err := <-ended; err != nil {
			env.t.Error(err)
		}
	}
}

func (env *testEnv) write(f func(ctx context.Context, tx *store.Tx) error) {
	env.t.Helper()

	if err := env.store.Write(context.Background(), func(tx *store.Tx) error { return f(context.Background(), tx) }); err != nil {
		env.t.Fatal(err)
	}
}

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func (env *testEnv) insertEndpoint(id, url string) {
	env.write(func(ctx context.Context, tx *store.Tx) error {
		return tx.InsertEndpoint(ctx, store.Endpoint{ID: id, Account: "acct_a", Kind: store.AccountEndpoint, URL: url, Secret: secret, CreatedAt: 1})
	})
}

// insertDelivery inserts an event that is due to an endpoint.
func (env *testEnv) insertDelivery(endpoint, id string) {
	env.write(func(ctx context.Context, tx *store.Tx) error {
		return tx.InsertDelivery(ctx, store.Delivery{Endpoint: endpoint, ID: id, Account: "acct_a", Event: "webhook.test", CreatedAt: time.Now().UnixMilli()})
	})
}

func (env *testEnv) setResponse(host string, r response) {
	env.mu.Lock()
	defer env.mu.Unlock()

	env.responses[host] = r
}

func (env *testEnv) requestsTo(host string) (list []receivedRequest) {
	env.mu.Lock()
	defer env.mu.Unlock()

	for _, h := range env.requests {
		if strings.Contains(h.url, host) {
			list = append(list, h)
		}
	}

	return list
}

func (env *testEnv) delivery(endpoint, id string) store.Delivery {
	env.t.Helper()

	d, err := env.store.Delivery(context.Background(), "acct_a", endpoint, id)
	if err != nil {
		env.t.Fatal(err)
	}

	return d
}

// advance lets d pass in the bubble and waits until everything due has happened.
func advance(d time.Duration) {
	time.Sleep(d) // in the bubble
	synctest.Wait()
}

func TestDeliveryIsSignedAndSentOnce(t *testing.T) {
	runEnv(t, time.Second, func(env *testEnv) {
		env.insertEndpoint("hook_1", "https://a.example/x")
		env.insertDelivery("hook_1", "evt_1")
		advance(5 * time.Minute)

		hits := env.requestsTo("a.example")
		if len(hits) != 1 || hits[0].id != "evt_1" || hits[0].body != `{"id":"evt_1"}` {
			t.Fatalf("%+v", hits)
		}

		want, err := Sign("evt_1", hits[0].at, []byte(hits[0].body), secret)
		if err != nil || hits[0].signature != want {
			t.Errorf("signature %q, want %q, %v", hits[0].signature, want, err)
		}

		if d := env.delivery("hook_1", "evt_1"); d.State != store.DeliveryDelivered || d.ResponseStatus != 200 || d.Tries != 1 || d.EndedAt == 0 {
			t.Errorf("%+v", d)
		}
	})
}

// The signature is the one in the Standard Webhooks specification's own example.
func TestSignMatchesStandardExample(t *testing.T) {
	got, err := Sign("msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`), secret)
	if err != nil || got != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Errorf("%s, %v", got, err)
	}

	if _, err := Sign("x", time.Unix(1, 0), nil, "whsec_"); err == nil {
		t.Error("an empty secret signs without an error")
	}
}

func TestBothSecretsSignDuringRotation(t *testing.T) {
	runEnv(t, time.Second, func(env *testEnv) {
		env.insertEndpoint("hook_1", "https://a.example/")

		old := secret
		fresh := "whsec_b2xkIHNlY3JldCBvbGQgc2VjcmV0"

		env.write(func(ctx context.Context, tx *store.Tx) error {
			e, err := tx.Endpoint(ctx, "acct_a", "hook_1")
			if err != nil {
				return err
			}

			e.PreviousSecret = old
			e.PreviousSecretUntil = time.Now().Add(time.Hour).UnixMilli()
			e.Secret = fresh

			return tx.SaveEndpoint(ctx, e, time.Now().UnixMilli())
		})
		env.insertDelivery("hook_1", "evt_1")
		advance(time.Hour)
		env.insertDelivery("hook_1", "evt_2")
		advance(time.Minute)

		for i, secrets := range [][]string{{fresh, old}, {fresh}} {
			h := env.requestsTo("a.example")[i]
			if want, _ := Sign(h.id, h.at, []byte(h.body), secrets...); h.signature != want {
				t.Errorf("%s: %s, want %s", h.id, h.signature, want)
			}
		}
	})
}

// A failing delivery is retried for a day with growing delays, then given up.
func TestFailingEndpointIsRetriedForADay(t *testing.T) {
	runEnv(t, time.Minute, func(env *testEnv) {
		env.insertEndpoint("hook_1", "https://dead.example/")
		env.setResponse("dead.example", response{err: &net.OpError{Op: "dial", Err: errors.New("refused")}})

		begin := time.Now()

		env.insertDelivery("hook_1", "evt_1")
		advance(30 * time.Hour)

		hits := env.requestsTo("dead.example")
		if len(hits) < 9 || len(hits) > 14 {
			t.Errorf("%d tries", len(hits))
		}

		for i, h := range hits[1:] {
			if pause := h.at.Sub(hits[i].at); pause < time.Minute || i > 3 && pause < 20*time.Minute {
				t.Errorf("try %d came %s after the previous one", i+2, pause)
			}
		}

		if last := hits[len(hits)-1].at.Sub(begin); last > 24*time.Hour || last < 12*time.Hour {
			t.Errorf("the last try came after %s", last)
		}

		d := env.delivery("hook_1", "evt_1")
		if d.State != store.DeliveryFailed || d.Error != "Cannot connect to the endpoint." || d.EndedAt == 0 {
			t.Errorf("%+v", d)
		}
	})
}

func TestEndpointResponses(t *testing.T) {
	for name, c := range map[string]struct {
		response  response
		wantError string
		tries     int // within an hour
		state     store.DeliveryState
	}{
		"200":               {response{status: 200}, "", 1, store.DeliveryDelivered},
		"a redirect":        {response{status: 302, header: map[string]string{"Location": "http://169.254.169.254/"}}, "The endpoint answered 302; redirects are not followed: set the endpoint to the address that it redirects to.", 5, store.DeliveryPending},
		"400":               {response{status: 400}, "The endpoint answered 400; any status from 200 to 299 acknowledges the event.", 5, store.DeliveryPending},
		"wait half an hour": {response{status: 503, header: map[string]string{"Retry-After": "1800"}}, "The endpoint answered 503; any status from 200 to 299 acknowledges the event.", 2, store.DeliveryPending},
		"gone":              {response{status: 410}, "The endpoint answered 410; any status from 200 to 299 acknowledges the event.", 1, store.DeliveryFailed},
		"a private address": {response{err: fetch.ErrNotAllowed}, "The address is not on the public internet, or its port is not 80 or 443.", 5, store.DeliveryPending},
		"an unknown host":   {response{err: &net.DNSError{}}, "The host name does not resolve.", 5, store.DeliveryPending},
		"no response":       {response{hangs: true}, "The endpoint did not answer within 15 seconds.", 5, store.DeliveryPending},
	} {
		t.Run(name, func(t *testing.T) {
			runEnv(t, 10*time.Second, func(env *testEnv) {
				env.insertEndpoint("hook_1", "https://a.example/")
				env.setResponse("a.example", c.response)
				env.insertDelivery("hook_1", "evt_1")
				advance(50 * time.Minute)

				d := env.delivery("hook_1", "evt_1")
				if n := len(env.requestsTo("a.example")); n != c.tries && (c.tries < 5 || n != c.tries+1) || d.State != c.state || d.Error != c.wantError {
					t.Errorf("%d tries, %+v", n, d)
				}

				e, err := env.store.Endpoint(context.Background(), "acct_a", "hook_1")
				if err != nil || (e.DisabledAt > 0) != (name == "gone") {
					t.Errorf("disabled: %+v, %v", e, err)
				}

				if len(env.requestsTo("169.254")) > 0 {
					t.Error("a redirect was followed")
				}
			})
		})
	}
}

// Endpoints that hang, with many deliveries due, do not delay other endpoints.
func TestHangingEndpointDelaysNobodyElse(t *testing.T) {
	runEnv(t, time.Second, func(env *testEnv) {
		for i := range 30 {
			env.insertEndpoint(fmt.Sprintf("hook_%02d", i), fmt.Sprintf("https://dead-%02d.example/", i))
			env.setResponse(fmt.Sprintf("dead-%02d.example", i), response{hangs: true})
		}

		env.insertEndpoint("hook_good", "https://good.example/")

		for i := range 30 {
			for n := range 20 {
				env.insertDelivery(fmt.Sprintf("hook_%02d", i), fmt.Sprintf("evt_%02d", n))
			}
		}

		advance(5 * time.Minute)

		for n := range 20 {
			env.insertDelivery("hook_good", fmt.Sprintf("evt_%02d", n))
		}

		begin := time.Now()

		advance(3 * time.Second)

		hits := env.requestsTo("good.example")
		if len(hits) != 20 {
			t.Fatalf("%d of 20 arrived while other endpoints hang", len(hits))
		}

		if delay := slices.MaxFunc(hits, func(a, b receivedRequest) int { return a.at.Compare(b.at) }).at.Sub(begin); delay > 2*time.Second {
			t.Errorf("the last delivery took %s", delay)
		}

		if n := len(env.requestsTo("dead-07")); n > 15 {
			t.Errorf("a dead endpoint was tried %d times in five minutes", n)
		}
	})
}

// A delivery that was in flight when the dispatcher stopped is sent again by the next
// dispatcher, with the same id.
func TestRestartLosesNoDelivery(t *testing.T) {
	runEnv(t, time.Second, func(env *testEnv) {
		env.insertEndpoint("hook_1", "https://a.example/")
		env.setResponse("a.example", response{hangs: true})
		env.insertDelivery("hook_1", "evt_1")
		advance(2 * time.Second)

		begin := time.Now()

		env.stop()

		if took := time.Since(begin); took > shutdownGrace {
			t.Errorf("stopping took %s", took)
		}

		env.setResponse("a.example", response{})
		env.start()
		advance(2 * time.Minute)

		if d := env.delivery("hook_1", "evt_1"); d.State != store.DeliveryDelivered || len(env.requestsTo("a.example")) != 2 {
			t.Errorf("%+v after %d tries", d, len(env.requestsTo("a.example")))
		}
	})
}
