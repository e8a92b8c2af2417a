package openai

import (
	"net/http"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/provider/openai/openaisim"
	"github.com/unireel/unireel/internal/provider/providertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "sk-simulated-0123456789"

var _ providertest.Sim = (*openaisim.Sim)(nil)

// server is a simulated one on loopback and a provider that speaks to it.
type server struct {
	*openai
	*providertest.Front
	sim   *openaisim.Sim
	clock *providertest.Clock
}

func simulate(t testing.TB, set map[string]string, keys ...string) server {
	t.Helper()

	clock := providertest.NewClock()
	o := openaisim.Options{Keys: keys}
	o.Now = clock.Now
	sim := openaisim.New(o)
	front := providertest.Serve(t, sim)

	key := ""
	if len(keys) > 0 {
		key = keys[0]
	}

	return server{openai: connect(t, front.URL, key, clock, set), Front: front, sim: sim, clock: clock}
}

func connect(t testing.TB, address, key string, clock *providertest.Clock, set map[string]string) *openai {
	t.Helper()
	options := providertest.Options(t, address, key, clock.Now)
	options.Settings = set

	p, err := New(options)
	if err != nil {
		t.Fatal(err)
	}

	return p.(*openai)
}

func small() provider.Order {
	return provider.Order{
		Task: "task_1", Attempt: 1, Model: "Wan-AI/Wan2.2-T2V-A14B-Diffusers", Mode: provider.T2V, Prompt: "a street",
		Size: "320*192", Width: 320, Height: 192, Seconds: 2, Sound: true, ShotType: "single", Seed: 7,
	}
}

func TestContract(t *testing.T) {
	for name, c := range map[string]struct {
		set  map[string]string
		keys []string
	}{
		"a form, without a key": {nil, nil},
		"JSON, with a key":      {map[string]string{"body": "json"}, []string{secret}},
	} {
		t.Run(name, func(t *testing.T) {
			providertest.Run(t, func(t *testing.T) providertest.Harness {
				s := simulate(t, c.set, c.keys...)
				refused := small()
				refused.Size = "333*192"

				return providertest.Harness{
					At: func(t *testing.T, address string) provider.Provider {
						return connect(t, address, s.talk.Secret, s.clock, map[string]string{"submit_timeout": "300ms"})
					},
					Provider: s.openai, Order: small(), Secret: s.talk.Secret, Refused: &refused, Unknown: "sim-99999999",
					Next: func(*testing.T) { s.clock.Pass(500 * time.Millisecond) },
					Kill: func(*testing.T, provider.Result) { s.clock.Pass(25 * time.Hour) },
					Break: func(*testing.T) {
						s.Say(http.StatusInternalServerError, "application/json", `{"error":{"message":"broken for `+secret+`","type":"server_error"}}`)
					},
					Stall: s.Stall,
				}
			})
		})
	}
}
