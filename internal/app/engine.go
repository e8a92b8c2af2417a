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
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/sample"
	"github.com/unireel/unireel/internal/store"
)

// engine shows dispatch to api, which must not know it.
type engine struct{ h *house }

func (e engine) Live(task string) (api.Live, bool) {
	progress, position, eta, ok := e.h.dispatch.Live(task)
	return api.Live{Progress: progress, Position: position, ETA: eta}, ok
}

func (e engine) Upstreams(ctx context.Context) ([]api.UpstreamStatus, error) {
	list, err := e.h.dispatch.Upstreams(ctx)

	var out []api.UpstreamStatus
	for _, s := range list {
		out = append(out, statusOf(s))
	}

	return out, err
}

func statusOf(s dispatch.Status) api.UpstreamStatus {
	gate := "open"

	switch {
	case s.Wish == store.WishPause:
		gate = "paused by the operator: what waits for it goes on waiting"
	case s.Wish == store.WishDrain:
		gate = "draining: what is in progress ends, nothing new is taken"
	case s.Wish == store.WishRemove:
		gate = "being removed: it goes when nothing of it is in progress"
	case s.ParkedUntil > 0:
		gate = "parked: " + s.ParkedWhy
	case s.Shut:
		gate = "shut: it is being found out whether a submission was taken"
	}

	return api.UpstreamStatus{
		Name: s.Name, Provider: s.Provider, Models: append([]string{}, s.Models...), InProgress: int64(s.InProgress), Waiting: s.Waiting,
		Limits: api.UpstreamLimits(s.Limits), Order: s.Order, Weight: s.Weight, Wish: string(s.Wish), Added: s.Added,
		ParkedUntil: s.ParkedUntil / 1000, Gate: gate, LastError: s.LastError,
	}
}

func (e engine) TestUpstream(ctx context.Context, name string) error {
	err := e.h.dispatch.TestUpstream(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return api.ErrNoUpstream
	}

	return err
}

// AddUpstream takes the key out of the set-up before anything is kept.
func (e engine) AddUpstream(ctx context.Context, setup []byte) (api.UpstreamStatus, error) {
	refused := func(err error) (api.UpstreamStatus, error) {
		text := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "config: "), "upstream add: ")
		return api.UpstreamStatus{}, fault.New(fault.CodeInvalidValue, "upstream", sentence(text)).Because(err)
	}
	if _, err := e.h.makeAdded(string(setup)); err != nil { // before its key is written anywhere
		return refused(err)
	}

	if e.known(ctx, setup) {
		return refused(dispatch.ErrExists)
	}

	kept, err := e.h.keepKey(setup)
	if err != nil {
		return refused(err)
	}

	name, err := e.h.dispatch.AddUpstream(ctx, string(kept))
	if errors.Is(err, dispatch.ErrExists) {
		return refused(err)
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

	return api.UpstreamStatus{Name: name, Models: []string{}, Gate: "open"}, err
}

// sentence begins with a capital letter, unless with the name of a key.
func sentence(text string) string {
	if first, _, _ := strings.Cut(text, " "); !strings.ContainsAny(first, "_:[") {
		text = strings.ToUpper(text[:1]) + text[1:]
	}

	return text + "."
}

// known says whether there is an upstream of the set-up's name.
func (e engine) known(ctx context.Context, setup []byte) bool {
	var named struct {
		Name string `json:"name"`
	}

	list, err := e.h.dispatch.Upstreams(ctx)

	return json.Unmarshal(setup, &named) == nil && err == nil && slices.ContainsFunc(list, func(s dispatch.Status) bool { return s.Name == named.Name })
}

// wishes are the words of the API for what the table keeps.
var wishes = map[string]store.Wish{"pause": store.WishPause, "resume": store.WishServe, "drain": store.WishDrain, "remove": store.WishRemove}

func (e engine) WishUpstream(ctx context.Context, name, wish string) error {
	err := e.h.dispatch.WishUpstream(ctx, name, wishes[wish])
	switch {
	case errors.Is(err, store.ErrNotFound):
		return api.ErrNoUpstream
	case errors.Is(err, dispatch.ErrConfigured):
		return fault.New(fault.CodeInvalidValue, "name", name+" stands in the configuration: drain it, take it out there, and start the server again.")
	case errors.Is(err, dispatch.ErrEmbedded):
		return fault.New(fault.CodeInvalidValue, "name", name+" is the embedded renderer, which is always there.")
	}

	return err
}

func (e engine) Routes(ctx context.Context) ([]api.ModelRoutes, error) {
	list, err := e.Upstreams(ctx)
	if err != nil {
		return nil, err
	}

	stands := map[string]api.UpstreamStatus{}
	for _, u := range list {
		stands[u.Name] = u
	}

	ways := map[string][]api.ModelsRoute{}

	for _, w := range e.h.dispatch.Ways() {
		u := stands[w.Upstream]
		of := w.Model + " " + string(w.Mode)
		ways[of] = append(ways[of], api.ModelsRoute{
			Upstream: w.Upstream, Provider: u.Provider, As: w.As, Order: w.Order, Weight: w.Weight, Lacks: append([]catalog.Feature{}, w.Lacks...), Wish: u.Wish, Gate: u.Gate,
		})
	}

	var all []api.ModelRoutes

	for _, m := range e.h.catalog.Models() {
		for _, mode := range m.ModeList() {
			all = append(all, api.ModelRoutes{Model: m.ID, Mode: mode, Routes: append([]api.ModelsRoute{}, ways[m.ID+" "+string(mode)]...)})
		}
	}

	return all, nil
}

func (e engine) Thumbnail(ctx context.Context, task string) error {
	return e.h.dispatch.Thumbnail(ctx, task)
}

// Gauges are none: dispatch registers its own metrics.
func (engine) Gauges() []api.Gauge { return nil }

// stopped is what there is to know while no server runs.
type stopped struct{ upstreams []config.Upstream }

func (stopped) Live(string) (api.Live, bool) { return api.Live{}, false }
func (stopped) Gauges() []api.Gauge          { return nil }

func (stopped) Thumbnail(context.Context, string) error { return store.ErrNotFound }

func (s stopped) Upstreams(context.Context) ([]api.UpstreamStatus, error) {
	var out []api.UpstreamStatus
	for _, u := range s.upstreams {
		out = append(out, api.UpstreamStatus{Name: u.Name, Provider: u.Provider, Models: u.Models, Limits: api.UpstreamLimits(u.Limits), Gate: "no server is running"})
	}

	return out, nil
}

func (stopped) TestUpstream(context.Context, string) error {
	return errors.New("no server is running; start it with unireel serve")
}

// errStopped is why nothing can be changed at an upstream that nobody serves.
func errStopped() *fault.Fault {
	return fault.New(fault.CodeUnavailable, "", "No server is running; start it with unireel serve.")
}

func (stopped) AddUpstream(context.Context, []byte) (api.UpstreamStatus, error) {
	return api.UpstreamStatus{}, errStopped()
}

func (stopped) WishUpstream(context.Context, string, string) error { return errStopped() }

func (stopped) Routes(context.Context) ([]api.ModelRoutes, error) { return nil, errStopped() }

// shipped gives checkout the references that ship with the program.
func shipped() []checkout.Sample {
	var list []checkout.Sample
	for _, s := range sample.List() {
		list = append(list, checkout.Sample{
			ID: s.ID, Name: s.Name, Kind: s.Kind, Type: s.Type, Bytes: s.Bytes,
			Open: func() (io.ReadSeekCloser, error) { return openSample(s) },
		})
	}

	return list
}

// openSample reads an embedded file as a blob.
func openSample(s sample.Sample) (blob.Reader, error) {
	f, err := sample.Files().Open(s.Name)
	if err != nil {
		return nil, err
	}

	r, ok := f.(io.ReadSeekCloser)
	if !ok {
		return nil, errors.New("an embedded file that cannot seek")
	}

	return sized{r, s.Bytes}, nil
}

type sized struct {
	io.ReadSeekCloser
	size int64
}

func (s sized) Size() int64 { return s.size }
