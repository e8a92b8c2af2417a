package app

import (
	"context"
	"errors"
	"io"

	"github.com/unireel/unireel/internal/api"
	"github.com/unireel/unireel/internal/blob"
	"github.com/unireel/unireel/internal/checkout"
	"github.com/unireel/unireel/internal/config"
	"github.com/unireel/unireel/internal/dispatch"
	"github.com/unireel/unireel/internal/sample"
	"github.com/unireel/unireel/internal/store"
)

// engine shows dispatch to api, which must not know it.
type engine struct{ d *dispatch.Dispatch }

func (e engine) Live(task string) (api.Live, bool) {
	progress, position, eta, ok := e.d.Live(task)
	return api.Live{Progress: progress, Position: position, ETA: eta}, ok
}

func (e engine) Upstreams(ctx context.Context) ([]api.UpstreamStatus, error) {
	list, err := e.d.Upstreams(ctx)
	var out []api.UpstreamStatus
	for _, s := range list {
		gate := "open"
		switch {
		case s.ParkedUntil > 0:
			gate = "parked: " + s.ParkedWhy
		case s.Shut:
			gate = "shut: it is being found out whether a submission was taken"
		}
		out = append(out, api.UpstreamStatus{
			Name: s.Name, Provider: s.Provider, Models: s.Models, InProgress: int64(s.InProgress), Waiting: s.Waiting,
			Limits: api.UpstreamLimits(s.Limits), ParkedUntil: s.ParkedUntil / 1000, Gate: gate, LastError: s.LastError,
		})
	}
	return out, err
}

func (e engine) TestUpstream(ctx context.Context, name string) error {
	err := e.d.TestUpstream(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return api.ErrNoUpstream
	}
	return err
}

func (e engine) Thumbnail(ctx context.Context, task string) error { return e.d.Thumbnail(ctx, task) }

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
