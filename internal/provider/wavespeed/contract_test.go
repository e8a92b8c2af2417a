package wavespeed

import (
	"net/http"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/provider/providertest"
	"github.com/unireel/unireel/internal/provider/wavespeed/wavespeedsim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ providertest.Sim = (*wavespeedsim.Sim)(nil)

const secret = "ws-simulated-0123456789"

// supplier is a simulated one on loopback and a provider that speaks to it.
type supplier struct {
	*wavespeed
	*providertest.Front
	sim   *wavespeedsim.Sim
	clock *providertest.Clock
}

func simulate(t *testing.T) supplier {
	t.Helper()

	clock := providertest.NewClock()
	o := wavespeedsim.Options{Keys: []string{secret}}
	o.Now = clock.Now
	sim := wavespeedsim.New(o)
	front := providertest.Serve(t, sim)

	return supplier{wavespeed: connect(t, front.URL, clock.Now, nil), Front: front, sim: sim, clock: clock}
}

// connect makes a provider that reaches loopback only.
func connect(t testing.TB, address string, now func() time.Time, settings map[string]string) *wavespeed {
	t.Helper()
	o := providertest.Options(t, address, secret, now)
	o.Settings = settings

	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}

	return p.(*wavespeed)
}

func small() provider.Order {
	return provider.Order{
		Task: "task_1", Attempt: 1, Model: "alibaba/wan-2.6/reference-to-video-flash", Mode: provider.R2V, Prompt: "character1 walks",
		References: []provider.Reference{{Kind: "image", Param: "images[0]", URL: "https://example.com/one.png", Name: "one.png"}},
		Size:       "1280*720", Width: 1280, Height: 720, Seconds: 5, Sound: true, ShotType: "single", Seed: 7,
	}
}

func TestContract(t *testing.T) {
	providertest.Run(t, func(t *testing.T) providertest.Harness {
		s := simulate(t)
		refused := small()
		refused.Size = "640*360"

		return providertest.Harness{
			At: func(t *testing.T, address string) provider.Provider {
				return connect(t, address, time.Now, map[string]string{"submit_timeout": "300ms"})
			},
			Provider: s.wavespeed, Order: small(), Secret: secret, Refused: &refused,
			Unknown: "0385dc79-5ff8-4d82-bcb6-000000000000",
			Next:    func(*testing.T) { s.clock.Pass(500 * time.Millisecond) },
			Kill:    func(*testing.T, provider.Result) { s.clock.Pass(25 * time.Hour) },
			Break: func(*testing.T) {
				s.Say(http.StatusInternalServerError, "application/json", `{"code":500,"message":"broken for `+secret+`"}`)
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
