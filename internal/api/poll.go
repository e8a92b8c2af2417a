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

const maxWait = 60 // seconds of a long poll

// statusStates is what a customer's status stands for.
var statusStates = map[string][]task.State{
	"queued":      {task.Preparing, task.Queued, task.Submitting},
	"in_progress": {task.Running, task.Collecting},
	"completed":   {task.Completed},
	"failed":      {task.Failed},
	"cancelled":   {task.Cancelled},
}

// getVideo is GET /v1/videos/{id}, at once or with ?wait.
func (a *API) getVideo(c *call) error {
	id := c.r.PathValue("id")
	if id == "" {
		id = c.r.PathValue("part")
	}

	if c.r.URL.RawQuery != "" {
		query := c.r.URL.Query()

		wait, until, err := waiting(query)
		if err != nil {
			return err
		}

		if wait > 0 {
			return a.waitVideo(c, id, wait, until)
		}
	}

	t, err := a.hot.of(c.ctx(), c.key.Account, id)
	if err != nil {
		return noTask(err)
	}

	return a.answer(c, t)
}

// waiting reads ?wait and ?status: how long, and what ends it early.
func waiting(query url.Values) (time.Duration, func(task.State) bool, error) {
	given := query.Get("wait")
	leave := query.Get("status")

	var faults []fault.Fault

	n, err := strconv.Atoi(given)
	if query.Has("wait") && (err != nil || n < 1 || n > maxWait) {
		faults = append(faults, *fault.New(fault.CodeInvalidValue, "wait", fmt.Sprintf("wait is a whole number of seconds from 1 to %d.", maxWait)))
	}

	if leave != "" && statusStates[leave] == nil {
		faults = append(faults, *badStatus())
	}

	if f := fault.Join(faults); f != nil {
		return 0, nil, f
	}

	if leave == "" {
		return time.Duration(n) * time.Second, task.State.Final, nil
	}

	return time.Duration(n) * time.Second, func(s task.State) bool { return s.Final() || s.Status() != leave }, nil
}

// waitVideo answers as soon as the task is as the caller wants it, or the time
// is over, or the server ends. It watches first, so that no change is missed.
func (a *API) waitVideo(c *call, id string, wait time.Duration, until func(task.State) bool) error {
	changed, stop := a.Store.WatchTask(id)
	defer stop()

	timer := time.NewTimer(wait)
	defer timer.Stop()

	for over := false; ; {
		t, err := a.Store.TaskOf(c.ctx(), c.key.Account, id)
		if err != nil {
			return noTask(err)
		}

		if over || until(t.State) {
			return a.answer(c, t)
		}

		select {
		case <-changed:
		case <-timer.C:
			over = true
		case <-a.draining:
			over = true
		case <-c.ctx().Done():
			return c.ctx().Err()
		}
	}
}

func noTask(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return checkout.NoTask()
	}

	return fmt.Errorf("read task: %w", err)
}

func badStatus() *fault.Fault {
	return fault.New(fault.CodeInvalidValue, "status", "A status is queued, in_progress, completed, failed or cancelled.")
}

// cancelVideo is POST /v1/videos/{id}/cancel: a wish, answered with the task.
func (a *API) cancelVideo(c *call) error {
	t, err := a.Checkout.Cancel(c.ctx(), c.key.Account, c.r.PathValue("id"))
	if err != nil {
		return err
	}

	return c.json(http.StatusOK, a.video(c, t))
}

// deleted is the answer to every DELETE.
type deleted struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Deleted bool   `json:"deleted"`
}

// deleteVideo is DELETE /v1/videos/{id}.
func (a *API) deleteVideo(c *call) error {
	id := c.r.PathValue("id")
	if err := a.Checkout.Delete(c.ctx(), c.key.Account, id); err != nil {
		return err
	}

	return c.json(http.StatusOK, deleted{ID: id, Object: "video.deleted", Deleted: true})
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
func (a *API) listVideos(c *call) error {
	query := c.r.URL.Query()
	f := store.Filter{Account: c.key.Account, Model: query.Get("model"), Key: query.Get("key"), After: query.Get("after")}

	var faults []fault.Fault

	limit, wrong := limitOf(query)
	if wrong != nil {
		faults = append(faults, *wrong)
	}

	f.Limit = limit

	switch query.Get("order") {
	case "", "desc":
	case "asc":
		f.Ascending = true
	default:
		faults = append(faults, *fault.New(fault.CodeInvalidValue, "order", "The order is asc (oldest first) or desc (newest first)."))
	}

	if s := query.Get("status"); s != "" {
		f.States = slices.Clone(statusStates[s])
		asOpenAI(&f, s)

		if f.States == nil {
			faults = append(faults, *badStatus())
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
		return 0, fault.New(fault.CodeInvalidValue, "limit", fmt.Sprintf("limit is a whole number from 1 to %d.", maxLimit))
	}

	return n, nil
}
