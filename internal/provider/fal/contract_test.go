package fal

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/provider/fal/falsim"
	"github.com/unireel/unireel/internal/provider/providertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ providertest.Sim = (*falsim.Sim)(nil)

const secret = "7f0c6a52-0000:simulated0123456789"

// supplier is a simulated one on loopback and a provider that speaks to it.
type supplier struct {
	*fal
	*providertest.Front
	sim   *falsim.Sim
	clock *providertest.Clock
}

func simulate(t *testing.T) supplier {
	t.Helper()

	clock := providertest.NewClock()
	o := falsim.Options{Keys: []string{secret}}
	o.Now = clock.Now
	sim := falsim.New(o)
	front := providertest.Serve(t, sim)

	return supplier{fal: connect(t, front.URL, clock.Now, nil), Front: front, sim: sim, clock: clock}
}

// connect makes a provider that reaches loopback only.
func connect(t testing.TB, address string, now func() time.Time, settings map[string]string) *fal {
	t.Helper()
	o := providertest.Options(t, address, secret, now)
	o.Settings = settings

	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}

	return p.(*fal)
}

func small() provider.Order {
	return provider.Order{
		Task: "task_1", Attempt: 1, Model: "wan/v2.6/reference-to-video/flash", Mode: provider.R2V, Prompt: "character1 walks",
		References: []provider.Reference{{Kind: "image", Param: "images[0]", URL: "https://example.com/one.png", Name: "one.png"}},
		Size:       "1280*720", Width: 1280, Height: 720, Seconds: 5, Sound: true, ShotType: "single", Seed: 7,
	}
}

func TestContract(t *testing.T) {
	providertest.Run(t, func(t *testing.T) providertest.Harness {
		s := simulate(t)
		refused := small()
		refused.Prompt = strings.Repeat("long ", 200)

		return providertest.Harness{
			At: func(t *testing.T, address string) provider.Provider {
				return connect(t, address, time.Now, map[string]string{"submit_timeout": "300ms"})
			},
			Provider: s.fal, Order: small(), Secret: secret, Refused: &refused,
			Unknown: "0385dc79-5ff8-4d82-bcb6-000000000000 /wan/v2.6/requests/0385dc79/status /wan/v2.6/requests/0385dc79 /wan/v2.6/requests/0385dc79/cancel",
			Next:    func(*testing.T) { s.clock.Pass(500 * time.Millisecond) },
			Kill:    func(*testing.T, provider.Result) { s.clock.Pass(25 * time.Hour) },
			Break: func(*testing.T) {
				s.Say(http.StatusInternalServerError, "application/json", `{"detail":"broken for `+secret+`","error_type":"internal_error"}`)
			},
			Stall: s.Stall,
			Kept: func(t *testing.T, address string) []byte {
				b, ok := s.sim.Kept(address)
				if !ok {
					t.Fatalf("nothing was uploaded to %q", address)
				}

				return b
			},
		}
	})
}
