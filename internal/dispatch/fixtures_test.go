package dispatch

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/dispatch/upstream"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/provider/dashscope"
	"github.com/unireel/unireel/internal/provider/dashscope/dashscopesim"
	"github.com/unireel/unireel/internal/provider/fal"
	"github.com/unireel/unireel/internal/provider/fal/falsim"
	"github.com/unireel/unireel/internal/provider/openai"
	"github.com/unireel/unireel/internal/provider/openai/openaisim"
	"github.com/unireel/unireel/internal/provider/providertest"
	"github.com/unireel/unireel/internal/provider/uniall"
	"github.com/unireel/unireel/internal/provider/uniall/uniallsim"
	"github.com/unireel/unireel/internal/provider/wavespeed"
	"github.com/unireel/unireel/internal/provider/wavespeed/wavespeedsim"
)

// fixtures build the providers of the fault matrix, each connected to its simulated
// supplier, which renders the given video.
var fixtures = map[string]func(*testing.T, []byte) fixture{
	"dashscope": func(_ *testing.T, video []byte) fixture {
		sim := dashscopesim.New(dashscopesim.Options{
			Video:     func(dashscopesim.Spec) ([]byte, error) { return video, nil },
			RenderMin: 50 * time.Second, RenderMax: 70 * time.Second,
			Keys: []dashscopesim.Key{{Secret: "sk-ours", ID: "1", Account: "main"}},
		})

		return fixture{
			driver: dashscope.Driver(), options: provider.Options{BaseURL: "http://supplier.test", Secret: "sk-ours"},
			sim: dashScopeSim{sim}, request: imageRequest,
		}
	},
}

func init() {
	rendererOptions := func(video []byte) providertest.RendererOptions {
		return providertest.RendererOptions{RenderMin: 50 * time.Second, RenderMax: 70 * time.Second, Video: func() ([]byte, error) { return video, nil }}
	}
	fiveSecondRequest := func(prompt string) catalog.Request { // 5 s is the shortest video of these suppliers
		r := imageRequest(prompt)
		r.Model = "wan2.6-r2v-flash-720p-audio"
		r.Resolved = "wan2.6-r2v-flash-720p-audio"
		r.Seconds = 5

		return r
	}
	fixtures["fal"] = func(_ *testing.T, video []byte) fixture {
		return fixture{
			driver: fal.Driver(), options: provider.Options{BaseURL: "http://supplier.test", Secret: "sk-ours", Settings: map[string]string{"storage_url": "http://supplier.test"}},
			sim: falsim.New(falsim.Options{Keys: []string{"sk-ours"}, RendererOptions: rendererOptions(video)}), request: fiveSecondRequest,
		}
	}
	fixtures["wavespeed"] = func(_ *testing.T, video []byte) fixture {
		return fixture{
			driver: wavespeed.Driver(), options: provider.Options{BaseURL: "http://supplier.test", Secret: "sk-ours"},
			sim: wavespeedsim.New(wavespeedsim.Options{Keys: []string{"sk-ours"}, RendererOptions: rendererOptions(video)}), request: fiveSecondRequest,
		}
	}
	fixtures["openai"] = func(_ *testing.T, video []byte) fixture {
		return fixture{
			driver: openai.Driver(), options: provider.Options{BaseURL: "http://supplier.test"},
			sim: openaisim.New(openaisim.Options{RendererOptions: rendererOptions(video)}), request: imageRequest,
			routes: []upstream.ModelRoute{{Capability: catalog.Capability{SupplierModel: "gpu-model"}}},
		}
	}
	fixtures["uniall"] = func(_ *testing.T, video []byte) fixture {
		return fixture{
			driver: uniall.Driver(), options: provider.Options{BaseURL: "http://supplier.test", Secret: "sk-ours"},
			sim: uniallsim.New(uniallsim.Options{Keys: []string{"sk-ours"}, RendererOptions: rendererOptions(video)}), request: imageRequest,
		}
	}
}

// imageRequest is a request for a video from an image at the customer's host.
func imageRequest(prompt string) catalog.Request {
	return referenceRequest(prompt, "http://customer.test/face.png")
}

// dashScopeSim adapts the simulated DashScope to the matrix.
type dashScopeSim struct{ *dashscopesim.Sim }

func (s dashScopeSim) Operation(r *http.Request) providertest.Operation {
	switch {
	case strings.HasSuffix(r.URL.Path, "/video-synthesis"):
		return providertest.Submit
	case strings.HasPrefix(r.URL.Path, "/api/v1/tasks/") && r.Method == http.MethodGet && strings.Count(r.URL.Path, "/") == 4 && !strings.HasSuffix(r.URL.Path, "/"):
		return providertest.Poll
	case strings.HasPrefix(r.URL.Path, "/api/v1/uploads") || r.Method == http.MethodPost && !strings.HasPrefix(r.URL.Path, "/api/v1/tasks"):
		return providertest.Upload
	case r.Method == http.MethodGet && !strings.HasPrefix(r.URL.Path, "/api/"):
		return providertest.Download
	}

	return providertest.Other
}

func (s dashScopeSim) Accepted(text string) int {
	n := 0

	for _, sub := range s.Submissions() {
		if sub.Accepted && !sub.Foreign && strings.Contains(sub.Prompt, text) {
			n++
		}
	}

	return n
}
