package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/unireel/unireel/internal/checkout"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

const maxWait = 60 // maximum seconds of a long poll

// statusStates maps a customer's status to the states that it covers.
var statusStates = map[string][]task.State{
	"queued":      {task.Preparing, task.Queued, task.Submitting},
	"in_progress": {task.Running, task.Collecting},
	"completed":   {task.Completed},
	"failed":      {task.Failed},
	"cancelled":   {task.Cancelled},
}

// getVideo is GET /v1/videos/{id}. It responds at once, or waits with ?wait.
func (a *API) getVideo(c *requestContext) error {
	id := c.req.PathValue("id")
	if id == "" {
		id = c.req.PathValue("part")
	}

	if c.req.URL.RawQuery != "" {
		query := c.req.URL.Query()

		wait, until, err := readWait(query)
		if err != nil {
			return err
		}

		if wait > 0 {
			return a.waitVideo(c, id, wait, until)
		}
	}

	t, err := a.tasks.get(c.ctx(), c.key.Account, id)
	if err != nil {
		return taskError(err)
	}

	return a.respondVideo(c, t)
}

// readWait parses ?wait and ?status: how long to wait, and which state ends the wait
// early.
func readWait(query url.Values) (time.Duration, func(task.State) bool, error) {
	text := query.Get("wait")
	status := query.Get("status")

	var faults []fault.Fault

	n, err := strconv.Atoi(text)
	if query.Has("wait") && (err != nil || n < 1 || n > maxWait) {
		faults = append(faults, *fault.New(fault.CodeInvalidValue, "wait", fmt.Sprintf("wait must be a whole number of seconds from 1 to %d.", maxWait)))
	}

	if status != "" && statusStates[status] == nil {
		faults = append(faults, *invalidStatus())
	}

	if f := fault.Join(faults); f != nil {
		return 0, nil, f
	}

	if status == "" {
		return time.Duration(n) * time.Second, task.State.Final, nil
	}

	return time.Duration(n) * time.Second, func(s task.State) bool { return s.Final() || s.Status() != status }, nil
}

// waitVideo responds when the task has reached a state that until accepts, the time is
// over, or the server drains.
//
// The watch begins before the first read, so a change between the two still signals the
// watch.
func (a *API) waitVideo(c *requestContext, id string, wait time.Duration, until func(task.State) bool) error {
	changed, stop := a.Store.WatchTask(id)
	defer stop()

	timer := time.NewTimer(wait)
	defer timer.Stop()

	for done := false; ; {
		t, err := a.Store.TaskOf(c.ctx(), c.key.Account, id)
		if err != nil {
			return taskError(err)
		}

		if done || until(t.State) {
			return a.respondVideo(c, t)
		}

		select {
		case <-changed:
		case <-timer.C:
			done = true
		case <-a.draining:
			done = true
		case <-c.ctx().Done():
			return c.ctx().Err()
		}
	}
}

func taskError(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return checkout.TaskNotFound()
	}

	return fmt.Errorf("read task: %w", err)
}

func invalidStatus() *fault.Fault {
	return fault.New(fault.CodeInvalidValue, "status", "The status must be queued, in_progress, completed, failed or cancelled.")
}

// cancelVideo is POST /v1/videos/{id}/cancel. Cancelling is asynchronous; the response is
// the task as it is now.
func (a *API) cancelVideo(c *requestContext) error {
	t, err := a.Checkout.Cancel(c.ctx(), c.key.Account, c.req.PathValue("id"))
	if err != nil {
		return err
	}

	return c.json(http.StatusOK, a.video(c, t))
}

// deletedBody is the response to every DELETE of a customer.
type deletedBody struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Deleted bool   `json:"deleted"`
}

// deleteVideo is DELETE /v1/videos/{id}.
func (a *API) deleteVideo(c *requestContext) error {
	id := c.req.PathValue("id")
	if err := a.Checkout.Delete(c.ctx(), c.key.Account, id); err != nil {
		return err
	}

	return c.json(http.StatusOK, deletedBody{ID: id, Object: "video.deleted", Deleted: true})
}

// page is one page of a list.
type page[T any] struct {
	Object  string  `json:"object"`
	Data    []T     `json:"data"`
	FirstID *string `json:"first_id"`
	LastID  *string `json:"last_id"`
	HasMore bool    `json:"has_more"`
}

func newPage[T any](data []T, more bool, id func(T) string) page[T] {
	p := page[T]{Object: "list", Data: data, HasMore: more}
	if data == nil {
		p.Data = []T{}
	}

	if n := len(data); n > 0 {
		first := id(data[0])
		last := id(data[n-1])
		p.FirstID = &first
		p.LastID = &last
	}

	return p
}

const (
	defaultLimit = 20
	maxLimit     = 100
)

// listVideos is GET /v1/videos.
func (a *API) listVideos(c *requestContext) error {
	query := c.req.URL.Query()
	f := store.TaskFilter{Account: c.key.Account, Model: query.Get("model"), Key: query.Get("key"), After: query.Get("after")}

	var faults []fault.Fault

	limit, limitFault := limitOf(query)
	if limitFault != nil {
		faults = append(faults, *limitFault)
	}

	f.Limit = limit

	switch query.Get("order") {
	case "", "desc":
	case "asc":
		f.Ascending = true
	default:
		faults = append(faults, *fault.New(fault.CodeInvalidValue, "order", "The order must be asc (oldest first) or desc (newest first)."))
	}

	if s := query.Get("status"); s != "" {
		f.States = slices.Clone(statusStates[s])
		filterAsOpenAI(&f, s)

		if f.States == nil {
			faults = append(faults, *invalidStatus())
		}
	}

	if f := fault.Join(faults); f != nil {
		return f
	}

	list, more, err := a.Store.Tasks(c.ctx(), f)
	if err != nil {
		return fmt.Errorf("list tasks: %w", err)
	}

	videos := make([]video, 0, len(list))
	for _, t := range list {
		videos = append(videos, a.video(c, t))
	}

	return c.json(http.StatusOK, newPage(videos, more, func(v video) string { return v.ID }))
}

func limitOf(query url.Values) (int, *fault.Fault) {
	if !query.Has("limit") {
		return defaultLimit, nil
	}

	n, err := strconv.Atoi(query.Get("limit"))
	if err != nil || n < 1 || n > maxLimit {
		return 0, fault.New(fault.CodeInvalidValue, "limit", fmt.Sprintf("limit must be a whole number from 1 to %d.", maxLimit))
	}

	return n, nil
}
