package dispatch

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/catalog"
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

// rigs are the providers of the fault matrix, each over its simulated supplier.
var rigs = map[string]func(*testing.T, []byte) rig{
	"dashscope": func(_ *testing.T, video []byte) rig {
		sim := dashscopesim.New(dashscopesim.Options{
			Video:     func(dashscopesim.Spec) ([]byte, error) { return video, nil },
			RenderMin: 50 * time.Second, RenderMax: 70 * time.Second,
			Keys: []dashscopesim.Key{{Secret: "sk-ours", ID: "1", Account: "main"}},
		})

		return rig{
			kind: dashscope.Kind(), options: provider.Options{BaseURL: "http://supplier.test", Secret: "sk-ours"},
			sim: theDashScope{sim}, ask: fromFace,
		}
	},
}

func init() {
	studio := func(video []byte) providertest.StudioOptions {
		return providertest.StudioOptions{RenderMin: 50 * time.Second, RenderMax: 70 * time.Second, Video: func() ([]byte, error) { return video, nil }}
	}
	five := func(prompt string) catalog.Request { // seconds; the fewest that these make
		r := fromFace(prompt)
		r.Model = "wan2.6-r2v-flash-720p-audio"
		r.Resolved = "wan2.6-r2v-flash-720p-audio"
		r.Seconds = 5

		return r
	}
	rigs["fal"] = func(_ *testing.T, video []byte) rig {
		return rig{
			kind: fal.Kind(), options: provider.Options{BaseURL: "http://supplier.test", Secret: "sk-ours", Settings: map[string]string{"storage_url": "http://supplier.test"}},
			sim: falsim.New(falsim.Options{Keys: []string{"sk-ours"}, StudioOptions: studio(video)}), ask: five,
		}
	}
	rigs["wavespeed"] = func(_ *testing.T, video []byte) rig {
		return rig{
			kind: wavespeed.Kind(), options: provider.Options{BaseURL: "http://supplier.test", Secret: "sk-ours"},
			sim: wavespeedsim.New(wavespeedsim.Options{Keys: []string{"sk-ours"}, StudioOptions: studio(video)}), ask: five,
		}
	}
	rigs["openai"] = func(_ *testing.T, video []byte) rig {
		return rig{
			kind: openai.Kind(), options: provider.Options{BaseURL: "http://supplier.test"},
			sim: openaisim.New(openaisim.Options{StudioOptions: studio(video)}), ask: fromFace,
			routes: []Route{{Supply: catalog.Supply{Model: "gpu-model"}}},
		}
	}
	rigs["uniall"] = func(_ *testing.T, video []byte) rig {
		return rig{
			kind: uniall.Kind(), options: provider.Options{BaseURL: "http://supplier.test", Secret: "sk-ours"},
			sim: uniallsim.New(uniallsim.Options{Keys: []string{"sk-ours"}, StudioOptions: studio(video)}), ask: fromFace,
		}
	}
}

// fromFace asks for a video from a picture at the customer's host.
func fromFace(prompt string) catalog.Request {
	return refs(prompt, "http://customer.test/face.png")
}

// theDashScope is the simulated DashScope as the matrix sees it.
type theDashScope struct{ *dashscopesim.Sim }

func (s theDashScope) Step(r *http.Request) providertest.Step {
	switch {
	case strings.HasSuffix(r.URL.Path, "/video-synthesis"):
		return providertest.Submit
	case strings.HasPrefix(r.URL.Path, "/api/v1/tasks/") && r.Method == http.MethodGet && strings.Count(r.URL.Path, "/") == 4 && !strings.HasSuffix(r.URL.Path, "/"):
		return providertest.Poll
	case strings.HasPrefix(r.URL.Path, "/api/v1/uploads") || r.Method == http.MethodPost && !strings.HasPrefix(r.URL.Path, "/api/v1/tasks"):
		return providertest.Upload
	case r.Method == http.MethodGet && !strings.HasPrefix(r.URL.Path, "/api/"):
		return providertest.Collect
	}

	return providertest.Other
}

func (s theDashScope) Accepted(text string) int {
	n := 0

	for _, one := range s.Submissions() {
		if one.Accepted && !one.Planted && strings.Contains(one.Prompt, text) {
			n++
		}
	}

	return n
}
