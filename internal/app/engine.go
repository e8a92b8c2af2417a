package app

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/unireel/unireel/internal/api"
	"github.com/unireel/unireel/internal/blob"
	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/checkout"
	"github.com/unireel/unireel/internal/config"
	"github.com/unireel/unireel/internal/dispatch"
	"github.com/unireel/unireel/internal/dispatch/upstream"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/sample"
	"github.com/unireel/unireel/internal/store"
)

// engine implements api.Engine with dispatch, which api must not import.
type engine struct{ app *app }

func (e engine) Live(task string) (api.LiveStatus, bool) {
	progress, position, eta, ok := e.app.dispatch.Live(task)
	return api.LiveStatus{Progress: progress, Position: position, ETA: eta}, ok
}

func (e engine) Upstreams(ctx context.Context) ([]api.UpstreamStatus, error) {
	list, err := e.app.dispatch.Upstreams(ctx)

	var out []api.UpstreamStatus
	for _, s := range list {
		out = append(out, upstreamStatus(s))
	}

	return out, err
}

func upstreamStatus(s dispatch.Status) api.UpstreamStatus {
	submissions := "open"

	switch {
	case s.DesiredState == store.DesiredPaused:
		submissions = "paused by the operator: tasks that wait for it keep waiting"
	case s.DesiredState == store.DesiredDraining:
		submissions = "draining: tasks in progress finish, nothing new is submitted"
	case s.DesiredState == store.DesiredRemoved:
		submissions = "being removed: it is deleted once none of its tasks is in progress"
	case s.SuspendedUntil > 0:
		submissions = "suspended: " + s.SuspendReason
	case s.Blocked:
		submissions = "blocked: it is not known yet whether the supplier accepted a submission"
	}

	return api.UpstreamStatus{
		Name:           s.Name,
		Provider:       s.Provider,
		Models:         append([]string{}, s.Models...),
		InProgress:     int64(s.InProgress),
		Waiting:        s.Queued,
		Limits:         api.UpstreamLimits(s.Limits),
		Order:          s.Order,
		Weight:         s.Weight,
		DesiredState:   string(s.DesiredState),
		Added:          s.Added,
		SuspendedUntil: s.SuspendedUntil / 1000,
		Submissions:    submissions,
		LastError:      s.LastError,
	}
}

func (e engine) TestUpstream(ctx context.Context, name string) error {
	err := e.app.dispatch.TestUpstream(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return api.ErrNoUpstream
	}

	return err
}

// AddUpstream validates the setup and replaces the key in it by a reference to a file
// before anything is stored.
func (e engine) AddUpstream(ctx context.Context, setup []byte) (api.UpstreamStatus, error) {
	invalid := func(err error) (api.UpstreamStatus, error) {
		text := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "config: "), "upstream add: ")
		return api.UpstreamStatus{}, fault.New(fault.CodeInvalidValue, "upstream", capitalize(text)).WithCause(err)
	}
	if _, err := e.app.buildFromSetup(string(setup)); err != nil { // before the key is written anywhere
		return invalid(err)
	}

	if e.upstreamExists(ctx, setup) {
		return invalid(upstream.ErrExists)
	}

	stored, err := e.app.storeKey(setup)
	if err != nil {
		return invalid(err)
	}

	name, err := e.app.dispatch.AddUpstream(ctx, string(stored))
	if errors.Is(err, upstream.ErrExists) {
		return invalid(err)
	}

	if err != nil {
		return api.UpstreamStatus{}, err
	}

	list, err := e.Upstreams(ctx)
	for _, s := range list {
		if s.Name == name {
			return s, nil
		}
	}

	return api.UpstreamStatus{Name: name, Models: []string{}, Submissions: "open"}, err
}

// capitalize makes text a sentence. The first letter becomes a capital unless the first
// word is the name of a key.
func capitalize(text string) string {
	if first, _, _ := strings.Cut(text, " "); !strings.ContainsAny(first, "_:[") {
		text = strings.ToUpper(text[:1]) + text[1:]
	}

	return text + "."
}

// upstreamExists reports whether there is an upstream with the setup's name.
func (e engine) upstreamExists(ctx context.Context, setup []byte) bool {
	var parsed struct {
		Name string `json:"name"`
	}

	list, err := e.app.dispatch.Upstreams(ctx)

	return json.Unmarshal(setup, &parsed) == nil && err == nil && slices.ContainsFunc(list, func(s dispatch.Status) bool { return s.Name == parsed.Name })
}

// desiredStates maps the actions of the API to the states that the table stores.
var desiredStates = map[string]store.DesiredState{"pause": store.DesiredPaused, "resume": store.DesiredServing, "drain": store.DesiredDraining, "remove": store.DesiredRemoved}

func (e engine) SetDesiredState(ctx context.Context, name, action string) error {
	err := e.app.dispatch.SetDesiredState(ctx, name, desiredStates[action])
	switch {
	case errors.Is(err, store.ErrNotFound):
		return api.ErrNoUpstream
	case errors.Is(err, upstream.ErrConfigured):
		return fault.New(fault.CodeInvalidValue, "name", name+" is in the configuration: drain it, remove it there, and restart the server.")
	case errors.Is(err, upstream.ErrEmbedded):
		return fault.New(fault.CodeInvalidValue, "name", name+" is the embedded renderer, which is built in and cannot be removed.")
	}

	return err
}

func (e engine) Routes(ctx context.Context) ([]api.ModelRoutes, error) {
	list, err := e.Upstreams(ctx)
	if err != nil {
		return nil, err
	}

	statusByName := map[string]api.UpstreamStatus{}
	for _, u := range list {
		statusByName[u.Name] = u
	}

	routes := map[string][]api.ModelRoute{}

	for _, route := range e.app.dispatch.Routes() {
		u := statusByName[route.Upstream]
		key := route.Model + " " + string(route.Mode)
		routes[key] = append(routes[key], api.ModelRoute{
			Upstream:      route.Upstream,
			Provider:      u.Provider,
			SupplierModel: route.SupplierModel,
			Order:         route.Order,
			Weight:        route.Weight,
			Unsupported:   append([]catalog.Feature{}, route.Unsupported...),
			DesiredState:  u.DesiredState,
			Submissions:   u.Submissions,
		})
	}

	var result []api.ModelRoutes

	for _, m := range e.app.catalog.Models() {
		for _, mode := range m.ModeList() {
			result = append(result, api.ModelRoutes{Model: m.ID, Mode: mode, Routes: append([]api.ModelRoute{}, routes[m.ID+" "+string(mode)]...)})
		}
	}

	return result, nil
}

func (e engine) Thumbnail(ctx context.Context, task string) error {
	return e.app.dispatch.Thumbnail(ctx, task)
}

// Gauges returns none, because dispatch registers its own metrics.
func (engine) Gauges() []api.Gauge { return nil }

// offlineEngine implements api.Engine while no server runs. It knows only the
// configuration.
type offlineEngine struct{ upstreams []config.Upstream }

func (offlineEngine) Live(string) (api.LiveStatus, bool) { return api.LiveStatus{}, false }
func (offlineEngine) Gauges() []api.Gauge                { return nil }

func (offlineEngine) Thumbnail(context.Context, string) error { return store.ErrNotFound }

func (e offlineEngine) Upstreams(context.Context) ([]api.UpstreamStatus, error) {
	var out []api.UpstreamStatus
	for _, u := range e.upstreams {
		out = append(out, api.UpstreamStatus{
			Name:        u.Name,
			Provider:    u.Provider,
			Models:      u.Models,
			Limits:      api.UpstreamLimits(u.Limits),
			Submissions: "no server is running",
		})
	}

	return out, nil
}

func (offlineEngine) TestUpstream(context.Context, string) error {
	return errors.New("no server is running; start one with unireel serve")
}

// errNoServer is the error of changes that need a running server.
func errNoServer() *fault.Fault {
	return fault.New(fault.CodeUnavailable, "", "No server is running; start one with unireel serve.")
}

func (offlineEngine) AddUpstream(context.Context, []byte) (api.UpstreamStatus, error) {
	return api.UpstreamStatus{}, errNoServer()
}

func (offlineEngine) SetDesiredState(context.Context, string, string) error { return errNoServer() }

func (offlineEngine) Routes(context.Context) ([]api.ModelRoutes, error) { return nil, errNoServer() }

// builtinSamples returns the embedded sample references, for checkout.
func builtinSamples() []checkout.Sample {
	var list []checkout.Sample
	for _, s := range sample.List() {
		list = append(list, checkout.Sample{
			ID:    s.ID,
			Name:  s.Name,
			Kind:  s.Kind,
			Type:  s.Type,
			Bytes: s.Bytes,
			Open:  func() (io.ReadSeekCloser, error) { return openSample(s) },
		})
	}

	return list
}

// openSample opens an embedded sample as a blob.
func openSample(s sample.Sample) (blob.Reader, error) {
	f, err := sample.Files().Open(s.Name)
	if err != nil {
		return nil, err
	}

	r, ok := f.(io.ReadSeekCloser)
	if !ok {
		return nil, errors.New("an embedded file cannot seek")
	}

	return sizedReader{r, s.Bytes}, nil
}

type sizedReader struct {
	io.ReadSeekCloser
	size int64
}

func (s sizedReader) Size() int64 { return s.size }
