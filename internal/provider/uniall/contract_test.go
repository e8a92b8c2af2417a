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

// fixture is a simulated gateway on loopback and a provider that speaks to it.
type fixture struct {
	*uniall
	*providertest.Server
	sim   *uniallsim.Sim
	clock *providertest.Clock
}

func newFixture(t testing.TB, bare bool) fixture {
	t.Helper()

	clock := providertest.NewClock()
	o := uniallsim.Options{Keys: []string{secret}, WithoutExtensions: bare}
	o.Now = clock.Now
	sim := uniallsim.New(o)
	server := providertest.NewServer(t, sim)

	return fixture{uniall: connect(t, server.URL), Server: server, sim: sim, clock: clock}
}

func connect(t testing.TB, address string) *uniall {
	t.Helper()

	p, err := New(providertest.LoopbackOptions(t, address, secret, providertest.NewClock().Now))
	if err != nil {
		t.Fatal(err)
	}

	return p.(*uniall)
}

func smallSubmission() provider.Submission {
	return provider.Submission{
		TaskID:     "task_1",
		Attempt:    1,
		Model:      "wan2.6-r2v-flash-720p-audio",
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
	providertest.Run(t, func(t *testing.T) providertest.Harness {
		s := newFixture(t, false)
		invalid := smallSubmission()
		invalid.Size = "640*360"

		return providertest.Harness{
			ConnectTo: func(t *testing.T, address string) provider.Provider {
				p := connect(t, address)
				p.submitTimeout = 300 * time.Millisecond

				return p
			},
			Provider:          s.uniall,
			Submission:        smallSubmission(),
			Secret:            secret,
			InvalidSubmission: &invalid,
			UnknownID:         "task_01JXUNKNOWN",
			Advance:           func(*testing.T) { s.clock.Advance(500 * time.Millisecond) },
			ExpireResult:      func(*testing.T, provider.Result) { s.clock.Advance(25 * time.Hour) },
			FailAll: func(*testing.T) {
				s.Respond(http.StatusInternalServerError, "application/json", `{"error":{"message":"failed for `+secret+`","code":"internal_error"}}`)
			},
			HangAll: s.Hang,
			UploadedBytes: func(t *testing.T, address string) []byte {
				b, ok := s.sim.UploadedBytes(address)
				if !ok || !strings.HasPrefix(address, "file_") {
					t.Fatalf("address %q", address)
				}

				return b
			},
		}
	})
}

// UniAll itself has no cancel endpoint and no uploads.
func TestGatewayWithoutUnireelExtensions(t *testing.T) {
	s := newFixture(t, true)

	remoteID, err := s.Submit(t.Context(), smallSubmission())
	if err != nil {
		t.Fatal(err)
	}

	if cancelled, err := s.Cancel(t.Context(), remoteID); cancelled || err != nil {
		t.Errorf("Cancel = %v, %v; want false", cancelled, err)
	}

	_, err = s.Upload(t.Context(), "m", "a.png", 3, strings.NewReader("abc"))
	if f := providertest.FailureOf(t, err, secret); f.Class != provider.InvalidRequest || f.Fault.Code != "reference_unreachable" {
		t.Errorf("Upload: %v, %+v", f, f.Fault)
	}

	s.clock.Advance(time.Minute)

	report, err := s.Poll(t.Context(), remoteID)
	if err != nil || report.Phase != provider.Rendered || report.Result.Usage != nil {
		t.Errorf("%+v, %v; want a result without usage", report, err)
	}
}

func TestCancelOfRenderingTaskIsRejected(t *testing.T) {
	s := newFixture(t, false)

	remoteID, err := s.Submit(t.Context(), smallSubmission())
	if err != nil {
		t.Fatal(err)
	}

	s.clock.Advance(time.Second)

	if cancelled, err := s.Cancel(t.Context(), remoteID); cancelled || err != nil {
		t.Errorf("Cancel = %v, %v", cancelled, err)
	}
}
