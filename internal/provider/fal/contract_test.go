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

// fixture is a simulated supplier on loopback and a provider that speaks to it.
type fixture struct {
	*fal
	*providertest.Server
	sim   *falsim.Sim
	clock *providertest.Clock
}

func newFixture(t *testing.T) fixture {
	t.Helper()

	clock := providertest.NewClock()
	o := falsim.Options{Keys: []string{secret}}
	o.Now = clock.Now
	sim := falsim.New(o)
	server := providertest.NewServer(t, sim)

	return fixture{fal: connect(t, server.URL, clock.Now, nil), Server: server, sim: sim, clock: clock}
}

// connect makes a provider that reaches loopback only.
func connect(t testing.TB, address string, now func() time.Time, settings map[string]string) *fal {
	t.Helper()
	o := providertest.LoopbackOptions(t, address, secret, now)
	o.Settings = settings

	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}

	return p.(*fal)
}

func smallSubmission() provider.Submission {
	return provider.Submission{
		TaskID:     "task_1",
		Attempt:    1,
		Model:      "wan/v2.6/reference-to-video/flash",
		Mode:       provider.R2V,
		Prompt:     "character1 walks",
		References: []provider.Reference{{Kind: "image", Param: "images[0]", URL: "https://example.com/one.png", Name: "one.png"}},
		Size:       "1280*720",
		Width:      1280,
		Height:     720,
		Seconds:    5,
		Sound:      true,
		ShotType:   "single",
		Seed:       7,
	}
}

func TestContract(t *testing.T) {
	providertest.Run(t, func(t *testing.T) providertest.Harness {
		s := newFixture(t)
		invalid := smallSubmission()
		invalid.Prompt = strings.Repeat("long ", 200)

		return providertest.Harness{
			ConnectTo: func(t *testing.T, address string) provider.Provider {
				return connect(t, address, time.Now, map[string]string{"submit_timeout": "300ms"})
			},
			Provider:          s.fal,
			Submission:        smallSubmission(),
			Secret:            secret,
			InvalidSubmission: &invalid,
			UnknownID:         "0385dc79-5ff8-4d82-bcb6-000000000000 /wan/v2.6/requests/0385dc79/status /wan/v2.6/requests/0385dc79 /wan/v2.6/requests/0385dc79/cancel",
			Advance:           func(*testing.T) { s.clock.Advance(500 * time.Millisecond) },
			ExpireResult:      func(*testing.T, provider.Result) { s.clock.Advance(25 * time.Hour) },
			FailAll: func(*testing.T) {
				s.Respond(http.StatusInternalServerError, "application/json", `{"detail":"failed for `+secret+`","error_type":"internal_error"}`)
			},
			HangAll: s.Hang,
			UploadedBytes: func(t *testing.T, address string) []byte {
				b, ok := s.sim.UploadedBytes(address)
				if !ok {
					t.Fatalf("nothing was uploaded to %q", address)
				}

				return b
			},
		}
	})
}
