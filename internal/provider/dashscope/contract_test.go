package dashscope

import (
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/provider/dashscope/dashscopesim"
	"github.com/unireel/unireel/internal/provider/providertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "sk-simulated-0123456789"

// clock is the time of the simulated supplier and of the provider.
type clock struct {
	mu      sync.Mutex
	current time.Time
}

func newClock() *clock { return &clock{current: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()

	return c.current
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()

	c.current = c.current.Add(d)
}

// fixture is a simulated supplier on loopback and a provider that speaks to it.
type fixture struct {
	*dashscopesim.Sim
	*dashscope
	clock   *clock
	address string
}

var ownKey = dashscopesim.Key{Secret: secret, ID: "42677", Account: "acct-1"}

func newFixture(t *testing.T, configure func(*dashscopesim.Options)) fixture {
	t.Helper()

	clock := newClock()

	o := dashscopesim.Options{
		Keys: []dashscopesim.Key{ownKey}, Now: clock.now,
		Limits: dashscopesim.Limits{Submits: dashscopesim.Unlimited, InProgress: 5, Queries: dashscopesim.Unlimited},
	}
	if configure != nil {
		configure(&o)
	}

	sim := dashscopesim.New(o)
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)

	return fixture{Sim: sim, dashscope: connect(t, server.URL, secret, clock.now), clock: clock, address: server.URL}
}

// connect makes a provider that reaches loopback only.
func connect(t testing.TB, address, key string, now func() time.Time) *dashscope {
	t.Helper()

	client, submit := provider.NewHTTPClients((&net.Dialer{Timeout: 5 * time.Second}).DialContext)
	t.Cleanup(client.CloseIdleConnections)

	p, err := New(provider.Options{
		Upstream:         "test",
		BaseURL:          address,
		Secret:           key,
		HTTPClient:       client,
		SubmitHTTPClient: submit,
		Now:              now,
		Log:              slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}

	return p.(*dashscope)
}

func smallSubmission() provider.Submission {
	return provider.Submission{
		TaskID:     "task_1",
		Attempt:    1,
		Model:      "wan2.6-r2v-flash",
		Mode:       provider.R2V,
		Prompt:     "character1 walks",
		References: []provider.Reference{{Kind: "image", Param: "images[0]", URL: "https://example.com/one.png", Name: "one.png"}},
		Size:       "1280*720",
		Width:      1280,
		Height:     720,
		Seconds:    2,
		Sound:      true,
		ShotType:   "single",
		Seed:       7,
	}
}

func TestContract(t *testing.T) {
	invalid := smallSubmission()
	invalid.Size = "640*360"
	runContract(t, smallSubmission(), invalid)
}

// The contract, with the models that take a list of media.
func TestMediaContract(t *testing.T) {
	submission := smallSubmission()
	submission.Model = "wan2.7-r2v"
	invalid := submission
	invalid.Seconds = 16
	runContract(t, submission, invalid)
}

func runContract(t *testing.T, submission, invalid provider.Submission) {
	providertest.Run(t, func(t *testing.T) providertest.Harness {
		s := newFixture(t, nil)
		forEach := func(fault func(dashscopesim.Operation) dashscopesim.Fault) {
			for _, call := range []dashscopesim.Operation{dashscopesim.Submit, dashscopesim.Poll, dashscopesim.List, dashscopesim.Cancel, dashscopesim.Policy, dashscopesim.Download} {
				f := fault(call)
				f.Times = -1
				s.Inject(f)
			}
		}

		return providertest.Harness{
			ConnectTo: func(t *testing.T, address string) provider.Provider {
				p := connect(t, address, secret, time.Now)
				p.submitTimeout = 300 * time.Millisecond

				return p
			},
			Provider:          s.dashscope,
			Submission:        submission,
			Secret:            secret,
			InvalidSubmission: &invalid,
			UnknownID:         "0385dc79-5ff8-4d82-bcb6-000000000000",
			Advance:           func(*testing.T) { s.clock.advance(500 * time.Millisecond) },
			ExpireResult:      func(*testing.T, provider.Result) { s.clock.advance(25 * time.Hour) },
			FailAll: func(*testing.T) {
				forEach(func(c dashscopesim.Operation) dashscopesim.Fault {
					return dashscopesim.Reject(c, http.StatusInternalServerError, "InternalError", "failed for "+secret)
				})
			},
			HangAll: func(t *testing.T) {
				release := make(chan struct{})

				t.Cleanup(func() { close(release) })
				forEach(func(c dashscopesim.Operation) dashscopesim.Fault { return dashscopesim.Hang(c, release) })
			},
			UploadedBytes: func(t *testing.T, address string) []byte {
				if !strings.HasPrefix(address, "oss://") {
					t.Fatalf("address %q", address)
				}

				b, err := s.UploadedBytes(address)
				if err != nil {
					t.Fatal(err)
				}

				return b
			},
		}
	})
}
