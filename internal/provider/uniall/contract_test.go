package uniall

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/provider/providertest"
	"github.com/unireel/unireel/internal/provider/uniall/uniallsim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "sk-simulated-0123456789"

var _ providertest.Sim = (*uniallsim.Sim)(nil)

// gateway is a simulated one on loopback and a provider that speaks to it.
type gateway struct {
	*uniall
	*providertest.Front
	sim   *uniallsim.Sim
	clock *providertest.Clock
}

func simulate(t testing.TB, bare bool) gateway {
	t.Helper()

	clock := providertest.NewClock()
	o := uniallsim.Options{Keys: []string{secret}, Bare: bare}
	o.Now = clock.Now
	sim := uniallsim.New(o)
	front := providertest.Serve(t, sim)

	return gateway{uniall: connect(t, front.URL), Front: front, sim: sim, clock: clock}
}

func connect(t testing.TB, address string) *uniall {
	t.Helper()

	p, err := New(providertest.Options(t, address, secret, providertest.NewClock().Now))
	if err != nil {
		t.Fatal(err)
	}

	return p.(*uniall)
}

func small() provider.Order {
	return provider.Order{
		Task: "task_1", Attempt: 1, Model: "wan2.6-r2v-flash-720p-audio", Mode: provider.R2V, Prompt: "character1 walks",
		References: []provider.Reference{{Kind: "image", Param: "images[0]", URL: "https://example.com/one.png", Name: "one.png"}},
		Size:       "1280*720", Width: 1280, Height: 720, Seconds: 2, Sound: true, ShotType: "single", Seed: 7,
	}
}

func TestContract(t *testing.T) {
	providertest.Run(t, func(t *testing.T) providertest.Harness {
		s := simulate(t, false)
		refused := small()
		refused.Size = "640*360"

		return providertest.Harness{
			At: func(t *testing.T, address string) provider.Provider {
				p := connect(t, address)
				p.submitTimeout = 300 * time.Millisecond

				return p
			},
			Provider: s.uniall, Order: small(), Secret: secret, Refused: &refused, Unknown: "task_01JXUNKNOWN",
			Next: func(*testing.T) { s.clock.Pass(500 * time.Millisecond) },
			Kill: func(*testing.T, provider.Result) { s.clock.Pass(25 * time.Hour) },
			Break: func(*testing.T) {
				s.Say(http.StatusInternalServerError, "application/json", `{"error":{"message":"broken for `+secret+`","code":"internal_error"}}`)
			},
			Stall: s.Stall,
			Kept: func(t *testing.T, address string) []byte {
				b, ok := s.sim.Kept(address)
				if !ok || !strings.HasPrefix(address, "file_") {
					t.Fatalf("address %q", address)
				}

				return b
			},
		}
	})
}

// UniAll itself has no cancels and no uploads.
func TestAGatewayThatIsNoUnireel(t *testing.T) {
	s := simulate(t, true)

	ticket, err := s.Submit(t.Context(), small())
	if err != nil {
		t.Fatal(err)
	}

	if agreed, err := s.Cancel(t.Context(), ticket); agreed || err != nil {
		t.Errorf("Cancel = %v, %v; want that it cannot", agreed, err)
	}

	_, err = s.Upload(t.Context(), "m", "a.png", 3, strings.NewReader("abc"))
	if f := providertest.FailureOf(t, err, secret); f.Class != provider.Refused || f.Fault.Code != "reference_unreachable" {
		t.Errorf("Upload: %v, %+v", f, f.Fault)
	}

	s.clock.Pass(time.Minute)

	report, err := s.Poll(t.Context(), ticket)
	if err != nil || report.Phase != provider.Rendered || report.Result.Usage != nil {
		t.Errorf("%+v, %v; want a result without usage", report, err)
	}
}

func TestWhatRendersAlreadyRunsOn(t *testing.T) {
	s := simulate(t, false)

	ticket, err := s.Submit(t.Context(), small())
	if err != nil {
		t.Fatal(err)
	}

	s.clock.Pass(time.Second)

	if agreed, err := s.Cancel(t.Context(), ticket); agreed || err != nil {
		t.Errorf("Cancel = %v, %v", agreed, err)
	}
}
