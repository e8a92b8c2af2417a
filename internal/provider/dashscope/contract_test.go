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

// clock is the simulated supplier's and the provider's time.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()

	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()

	c.at = c.at.Add(d)
}

// supplier is a simulated one on loopback and a provider that speaks to it.
type supplier struct {
	*dashscopesim.Sim
	*dashscope
	clock   *clock
	address string
}

var mine = dashscopesim.Key{Secret: secret, ID: "42677", Account: "studio"}

func simulate(t *testing.T, change func(*dashscopesim.Options)) supplier {
	t.Helper()

	clock := newClock()

	o := dashscopesim.Options{
		Keys: []dashscopesim.Key{mine}, Now: clock.now,
		Limits: dashscopesim.Limits{Submits: dashscopesim.Unlimited, InProgress: 5, Queries: dashscopesim.Unlimited},
	}
	if change != nil {
		change(&o)
	}

	sim := dashscopesim.New(o)
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)

	return supplier{Sim: sim, dashscope: connect(t, server.URL, secret, clock.now), clock: clock, address: server.URL}
}

// connect makes a provider that reaches loopback only.
func connect(t testing.TB, address, key string, now func() time.Time) *dashscope {
	t.Helper()

	client, submit := provider.NewClients((&net.Dialer{Timeout: 5 * time.Second}).DialContext)
	t.Cleanup(client.CloseIdleConnections)

	p, err := New(provider.Options{Upstream: "test", BaseURL: address, Secret: key, Client: client, Submit: submit, Now: now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}

	return p.(*dashscope)
}

func small() provider.Order {
	return provider.Order{
		Task: "task_1", Attempt: 1, Model: "wan2.6-r2v-flash", Mode: provider.R2V, Prompt: "character1 walks",
		References: []provider.Reference{{Kind: "image", Param: "images[0]", URL: "https://example.com/one.png", Name: "one.png"}},
		Size:       "1280*720", Width: 1280, Height: 720, Seconds: 2, Sound: true, ShotType: "single", Seed: 7,
	}
}

func TestContract(t *testing.T) {
	refused := small()
	refused.Size = "640*360"
	contract(t, small(), refused)
}

// The same of the models that take a list of media.
func TestMediaContract(t *testing.T) {
	order := small()
	order.Model = "wan2.7-r2v"
	refused := order
	refused.Seconds = 16
	contract(t, order, refused)
}

func contract(t *testing.T, order, refused provider.Order) {
	providertest.Run(t, func(t *testing.T) providertest.Harness {
		s := simulate(t, nil)
		forEach := func(fault func(dashscopesim.Call) dashscopesim.Fault) {
			for _, call := range []dashscopesim.Call{dashscopesim.Submit, dashscopesim.Poll, dashscopesim.List, dashscopesim.Cancel, dashscopesim.Policy, dashscopesim.Fetch} {
				f := fault(call)
				f.Times = -1
				s.Inject(f)
			}
		}

		return providertest.Harness{
			At: func(t *testing.T, address string) provider.Provider {
				p := connect(t, address, secret, time.Now)
				p.submitTimeout = 300 * time.Millisecond

				return p
			},
			Provider: s.dashscope, Order: order, Secret: secret, Refused: &refused,
			Unknown: "0385dc79-5ff8-4d82-bcb6-000000000000",
			Next:    func(*testing.T) { s.clock.pass(500 * time.Millisecond) },
			Kill:    func(*testing.T, provider.Result) { s.clock.pass(25 * time.Hour) },
			Break: func(*testing.T) {
				forEach(func(c dashscopesim.Call) dashscopesim.Fault {
					return dashscopesim.Refuse(c, http.StatusInternalServerError, "InternalError", "broken for "+secret)
				})
			},
			Stall: func(t *testing.T) {
				release := make(chan struct{})

				t.Cleanup(func() { close(release) })
				forEach(func(c dashscopesim.Call) dashscopesim.Fault { return dashscopesim.Hang(c, release) })
			},
			Kept: func(t *testing.T, address string) []byte {
				if !strings.HasPrefix(address, "oss://") {
					t.Fatalf("address %q", address)
				}

				b, err := s.Kept(address)
				if err != nil {
					t.Fatal(err)
				}

				return b
			},
		}
	})
}
