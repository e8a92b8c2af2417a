package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/unireel/unireel/internal/blob"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/store"
)

// ErrNoUpstream is what an Engine returns for an upstream that it does not know.
var ErrNoUpstream = errors.New("no such upstream")

const (
	testWait    = 30 * time.Second
	blobGrace   = 24 * time.Hour // a blob may be younger than the row that will name it
	maxFindings = 20             // of each check
)

// listUpstreams is GET /admin/v1/upstreams.
func (a *API) listUpstreams(c *call) error {
	all, err := a.Engine.Upstreams(c.ctx())
	if err != nil {
		return fmt.Errorf("list upstreams: %w", err)
	}

	for i := range all {
		if all[i].Models == nil {
			all[i].Models = []string{}
		}
	}

	return c.json(http.StatusOK, list[UpstreamStatus]{Data: append([]UpstreamStatus{}, all...)})
}

// upstreamTest is what became of a test.
type upstreamTest struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

// testUpstream is POST /admin/v1/upstreams/{name}/test. A failed test is an
// answer, not an error.
func (a *API) testUpstream(c *call) error {
	ctx, cancel := context.WithTimeout(c.ctx(), testWait)
	defer cancel()

	name := c.r.PathValue("name")

	err := a.Engine.TestUpstream(ctx, name)
	switch {
	case errors.Is(err, ErrNoUpstream):
		return noUpstream()
	case c.ctx().Err() != nil:
		return c.ctx().Err()
	case err != nil:
		return c.json(http.StatusOK, upstreamTest{Name: name, Detail: err.Error()})
	}

	return c.json(http.StatusOK, upstreamTest{Name: name, OK: true, Detail: "It answers and takes the key."})
}

func noUpstream() *fault.Fault {
	f := fault.New(fault.CodeInvalidValue, "name", "There is no upstream of this name; unireel upstream list shows them.")
	f.Kind = fault.NotFound

	return f
}

// addUpstream is POST /admin/v1/upstreams. The body has the keys of an entry of the
// configuration's list.
func (a *API) addUpstream(c *call) error {
	var setup json.RawMessage
	if err := c.decode(&setup); err != nil {
		return err
	}

	made, err := a.Engine.AddUpstream(c.ctx(), setup)
	if err != nil {
		return err
	}

	return c.json(http.StatusOK, made)
}

// wishUpstream is what an operator wants of an upstream. The answer is how it then
// stands.
func (a *API) wishUpstream(wish string) func(*call) error {
	return func(c *call) error {
		name := c.r.PathValue("name")
		if err := a.Engine.WishUpstream(c.ctx(), name, wish); errors.Is(err, ErrNoUpstream) {
			return noUpstream()
		} else if err != nil {
			return err
		}

		all, err := a.Engine.Upstreams(c.ctx())
		if err != nil {
			return fmt.Errorf("list upstreams: %w", err)
		}

		for _, u := range all {
			if u.Name == name {
				return c.json(http.StatusOK, u)
			}
		}

		return c.json(http.StatusOK, UpstreamStatus{Name: name, Models: []string{}, Gate: "gone"})
	}
}

// check is one thing that doctor looked at.
type check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
	Fix    string `json:"fix"`
}

type diagnosis struct {
	OK     bool    `json:"ok"`
	Checks []check `json:"checks"`
}

// doctor is GET /admin/v1/doctor: whether the server is ready, the ledger adds
// up, and every blob that a row names is there.
func (a *API) doctor(c *call) error {
	var d diagnosis

	add := func(name, fix string, details []string) {
		one := check{Name: name, OK: len(details) == 0}
		for i, detail := range details {
			if i > 0 {
				one.Detail += "; "
			}

			one.Detail += detail
		}

		if !one.OK {
			one.Fix = fix
		}

		d.Checks = append(d.Checks, one)
	}

	var ready []string
	if err := a.Ready(c.ctx()); err != nil {
		ready = append(ready, err.Error())
	}

	add("the server is ready", "Do what the detail names, then look again.", ready)

	findings, err := a.Store.Audit(c.ctx(), maxFindings)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}

	for _, name := range store.Checks() {
		add(name, "Stop the server, keep a copy of the data folder, and report what the detail says: this cannot happen by itself.", detailsOf(name, findings))
	}

	missing, unnamed, err := a.auditBlobs(c.ctx())
	if err != nil {
		return fmt.Errorf("audit blobs: %w", err)
	}

	add("every blob that a row names is there", "Restore the blobs folder from a backup; the videos named cannot be downloaded until then.", missing)
	add("every old blob has a row that names it", "Nothing needs doing: the sweep removes what nothing names.", unnamed)

	d.OK = true
	for _, one := range d.Checks {
		d.OK = d.OK && one.OK
	}

	return c.json(http.StatusOK, d)
}

func detailsOf(name string, findings []store.Finding) []string {
	var details []string

	for _, f := range findings {
		if f.Check == name {
			details = append(details, f.Detail)
		}
	}

	return details
}

// auditBlobs holds blobs against rows, both ways.
func (a *API) auditBlobs(ctx context.Context) (missing, unnamed []string, err error) {
	named := map[string]bool{}

	if err := a.Store.NamedBlobs(ctx, func(key string) bool { named[key] = true; return true }); err != nil {
		return nil, nil, err
	}

	old := a.Now().Add(-blobGrace)

	var candidates []string

	err = a.Blobs.List(ctx, func(i blob.Info) bool {
		if !named[i.Key] && i.ModTime.Before(old) {
			candidates = append(candidates, i.Key)
		}

		delete(named, i.Key)

		return true
	})
	if err != nil {
		return nil, nil, err
	}

	for key := range named {
		// It may have gone meanwhile, and its row with it.
		if still, err := a.stillNamed(ctx, key); err != nil {
			return nil, nil, err
		} else if still && len(missing) < maxFindings {
			missing = append(missing, key)
		}
	}

	for _, key := range candidates {
		if still, err := a.stillNamed(ctx, key); err != nil {
			return nil, nil, err
		} else if !still && len(unnamed) < maxFindings {
			unnamed = append(unnamed, key)
		}
	}

	return missing, unnamed, nil
}

// stillNamed says whether a row names the blob at this moment. A key begins with
// its owner.
func (a *API) stillNamed(ctx context.Context, key string) (bool, error) {
	owner, _, _ := strings.Cut(key, "/")
	return a.Store.BlobNamed(ctx, key, owner)
}
