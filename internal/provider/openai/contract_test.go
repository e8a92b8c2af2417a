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

// fixture is a simulated server on loopback and a provider that speaks to it.
type fixture struct {
	*openai
	*providertest.Server
	sim   *openaisim.Sim
	clock *providertest.Clock
}

func newFixture(t testing.TB, settings map[string]string, keys ...string) fixture {
	t.Helper()

	clock := providertest.NewClock()
	o := openaisim.Options{Keys: keys}
	o.Now = clock.Now
	sim := openaisim.New(o)
	server := providertest.NewServer(t, sim)

	key := ""
	if len(keys) > 0 {
		key = keys[0]
	}

	return fixture{openai: connect(t, server.URL, key, clock, settings), Server: server, sim: sim, clock: clock}
}

func connect(t testing.TB, address, key string, clock *providertest.Clock, settings map[string]string) *openai {
	t.Helper()
	options := providertest.LoopbackOptions(t, address, key, clock.Now)
	options.Settings = settings

	p, err := New(options)
	if err != nil {
		t.Fatal(err)
	}

	return p.(*openai)
}

func smallSubmission() provider.Submission {
	return provider.Submission{
		TaskID:   "task_1",
		Attempt:  1,
		Model:    "Wan-AI/Wan2.2-T2V-A14B-Diffusers",
		Mode:     provider.T2V,
		Prompt:   "a street",
		Size:     "320*192",
		Width:    320,
		Height:   192,
		Seconds:  2,
		Sound:    true,
		ShotType: "single",
		Seed:     7,
	}
}

func TestContract(t *testing.T) {
	for name, c := range map[string]struct {
		set  map[string]string
		keys []string
	}{
		"form, without a key": {nil, nil},
		"JSON, with a key":    {map[string]string{"body": "json"}, []string{secret}},
	} {
		t.Run(name, func(t *testing.T) {
			providertest.Run(t, func(t *testing.T) providertest.Harness {
				s := newFixture(t, c.set, c.keys...)
				refused := smallSubmission()
				refused.Size = "333*192"

				return providertest.Harness{
					ConnectTo: func(t *testing.T, address string) provider.Provider {
						return connect(t, address, s.client.Secret, s.clock, map[string]string{"submit_timeout": "300ms"})
					},
					Provider:          s.openai,
					Submission:        smallSubmission(),
					Secret:            s.client.Secret,
					InvalidSubmission: &refused,
					UnknownID:         "sim-99999999",
					Advance:           func(*testing.T) { s.clock.Advance(500 * time.Millisecond) },
					ExpireResult:      func(*testing.T, provider.Result) { s.clock.Advance(25 * time.Hour) },
					FailAll: func(*testing.T) {
						s.Respond(http.StatusInternalServerError, "application/json", `{"error":{"message":"failed for `+secret+`","type":"server_error"}}`)
					},
					HangAll: s.Hang,
				}
			})
		})
	}
}
