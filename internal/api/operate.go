package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/unireel/unireel/internal/blob"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/store"
)

// ErrNoUpstream is what an Engine returns for an upstream that does not exist.
var ErrNoUpstream = errors.New("no such upstream")

const (
	upstreamTestTimeout = 30 * time.Second
	blobGrace           = 24 * time.Hour // a blob is written before the row that references it
	maxFindings         = 20             // per check
)

// listUpstreams is GET /admin/v1/upstreams.
func (a *API) listUpstreams(c *requestContext) error {
	all, err := a.Engine.Upstreams(c.ctx())
	if err != nil {
		return fmt.Errorf("list upstreams: %w", err)
	}

	for i := range all {
		if all[i].Models == nil {
			all[i].Models = []string{}
		}
	}

	return c.json(http.StatusOK, listBody[UpstreamStatus]{Data: append([]UpstreamStatus{}, all...)})
}

// upstreamTest is the result of a test.
type upstreamTest struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

// testUpstream is POST /admin/v1/upstreams/{name}/test. A failed test is a result with
// status 200, not an error.
func (a *API) testUpstream(c *requestContext) error {
	ctx, cancel := context.WithTimeout(c.ctx(), upstreamTestTimeout)
	defer cancel()

	name := c.req.PathValue("name")

	err := a.Engine.TestUpstream(ctx, name)
	switch {
	case errors.Is(err, ErrNoUpstream):
		return noUpstream()
	case c.ctx().Err() != nil:
		return c.ctx().Err()
	case err != nil:
		return c.json(http.StatusOK, upstreamTest{Name: name, Detail: err.Error()})
	}

	return c.json(http.StatusOK, upstreamTest{Name: name, OK: true, Detail: "The upstream responds and accepts the key."})
}

func noUpstream() *fault.Fault {
	f := fault.New(fault.CodeInvalidValue, "name", "There is no upstream with this name; unireel upstream list shows all.")
	f.Kind = fault.NotFound

	return f
}

// addUpstream is POST /admin/v1/upstreams. The body has the keys of one entry of the
// configuration's list of upstreams.
func (a *API) addUpstream(c *requestContext) error {
	var settings json.RawMessage
	if err := c.decode(&settings); err != nil {
		return err
	}

	status, err := a.Engine.AddUpstream(c.ctx(), settings)
	if err != nil {
		return err
	}

	return c.json(http.StatusOK, status)
}

// setUpstreamState records what an operator wants of an upstream and responds with the
// upstream's status afterwards.
func (a *API) setUpstreamState(action string) func(*requestContext) error {
	return func(c *requestContext) error {
		name := c.req.PathValue("name")
		if err := a.Engine.SetDesiredState(c.ctx(), name, action); errors.Is(err, ErrNoUpstream) {
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

		return c.json(http.StatusOK, UpstreamStatus{Name: name, Models: []string{}, Submissions: "gone"})
	}
}

// doctorCheck is the result of one check.
type doctorCheck struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
	Fix    string `json:"fix"`
}

// doctorReport is the result of all checks.
type doctorReport struct {
	OK     bool          `json:"ok"`
	Checks []doctorCheck `json:"checks"`
}

// doctor is GET /admin/v1/doctor. It checks that the server is ready, that the ledger adds
// up, and that every blob that a row references exists.
func (a *API) doctor(c *requestContext) error {
	var d doctorReport

	add := func(name, fix string, details []string) {
		result := doctorCheck{Name: name, OK: len(details) == 0}
		for i, detail := range details {
			if i > 0 {
				result.Detail += "; "
			}

			result.Detail += detail
		}

		if !result.OK {
			result.Fix = fix
		}

		d.Checks = append(d.Checks, result)
	}

	var ready []string
	if err := a.Ready(c.ctx()); err != nil {
		ready = append(ready, err.Error())
	}

	add("the server is ready", "Do what the detail says, then run the check again.", ready)

	findings, err := a.Store.CheckIntegrity(c.ctx(), maxFindings)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}

	for _, name := range store.IntegrityChecks() {
		add(name, "Stop the server, keep a copy of the data folder, and report the detail: this cannot happen in normal operation.", detailsOf(name, findings))
	}

	missing, unreferenced, err := a.checkBlobs(c.ctx())
	if err != nil {
		return fmt.Errorf("audit blobs: %w", err)
	}

	add("every referenced blob exists", "Restore the blobs folder from a backup; the videos in the detail cannot be downloaded until then.", missing)
	add("every old blob is referenced", "Nothing to do: the sweep removes unreferenced blobs.", unreferenced)

	d.OK = true
	for _, result := range d.Checks {
		d.OK = d.OK && result.OK
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

// checkBlobs compares blobs with the rows that reference them, in both directions.
//
// Rows and blobs change between the two listings. So each suspect is checked once more: a
// blob is reported missing only if a row still references it, and unreferenced only if no
// row does now. A blob younger than blobGrace may still get its row.
func (a *API) checkBlobs(ctx context.Context) (missing, unreferenced []string, err error) {
	referenced := map[string]bool{}

	if err := a.Store.ReferencedBlobs(ctx, func(key string) bool { referenced[key] = true; return true }); err != nil {
		return nil, nil, err
	}

	old := a.Now().Add(-blobGrace)

	var candidates []string

	err = a.Blobs.List(ctx, func(i blob.Info) bool {
		if !referenced[i.Key] && i.ModTime.Before(old) {
			candidates = append(candidates, i.Key)
		}

		delete(referenced, i.Key)

		return true
	})
	if err != nil {
		return nil, nil, err
	}

	for key := range referenced {
		// The blob may have been deleted in the meantime together with its row.
		referencedNow, err := a.stillReferenced(ctx, key)
		if err != nil {
			return nil, nil, err
		}

		if referencedNow && len(missing) < maxFindings {
			missing = append(missing, key)
		}
	}

	for _, key := range candidates {
		referencedNow, err := a.stillReferenced(ctx, key)
		if err != nil {
			return nil, nil, err
		}

		if !referencedNow && len(unreferenced) < maxFindings {
			unreferenced = append(unreferenced, key)
		}
	}

	return missing, unreferenced, nil
}

// stillReferenced reports whether a row references the blob now. A blob's key begins with
// the id of its owner.
func (a *API) stillReferenced(ctx context.Context, key string) (bool, error) {
	return a.Store.BlobReferenced(ctx, key, blob.ParseKey(key).Owner)
}
