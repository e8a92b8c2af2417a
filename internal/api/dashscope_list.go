package api

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// dashScopeList is one page of the account's tasks.
type dashScopeList struct {
	RequestID string         `json:"request_id"`
	Data      []dashScopeRow `json:"data"`
	Total     int64          `json:"total"`
	Pages     int64          `json:"total_page"`
	Page      int            `json:"page_no"`
	Size      int            `json:"page_size"`
}

// dashScopeRow is a task in a list. Times are unix milliseconds.
type dashScopeRow struct {
	TaskID    string `json:"task_id"`
	Status    string `json:"status"`
	Model     string `json:"model_name"`
	Key       string `json:"api_key_id"`
	Account   string `json:"caller_uid"`
	Parent    string `json:"caller_parent_id"`
	CreatedAt int64  `json:"gmt_create"`
	StartedAt int64  `json:"start_time,omitempty"`
	EndedAt   int64  `json:"end_time,omitempty"`
	Function  string `json:"user_api_unique_key"`
}

// listDashScope is GET /api/v1/tasks: the tasks of one day, newest first.
func (a *API) listDashScope(c *requestContext) error {
	query := c.req.URL.Query()

	f, page, err := a.readDashScopeFilter(query)
	if err != nil {
		return err
	}

	f.Account = c.key.Account
	response := dashScopeList{RequestID: c.id, Data: []dashScopeRow{}, Page: page, Size: f.Limit}

	var list []task.Task

	if query.Get("status") != dashScopeUnknown { // no stored task is UNKNOWN
		if response.Total, err = a.Store.CountTasks(c.ctx(), f); err == nil && int64(f.Offset) < response.Total {
			list, _, err = a.Store.Tasks(c.ctx(), f)
		}
	}

	if err != nil {
		return fmt.Errorf("list tasks: %w", err)
	}

	response.Pages = (response.Total + int64(f.Limit) - 1) / int64(f.Limit)
	for _, t := range list {
		response.Data = append(response.Data, dashScopeRow{
			TaskID:    t.ID,
			Status:    dashScopeStatuses[t.State.Status()],
			Model:     t.Model,
			Key:       t.Key,
			Account:   t.Account,
			Parent:    t.Account,
			CreatedAt: t.CreatedAt,
			StartedAt: t.StartedAt,
			EndedAt:   t.CompletedAt,
			Function:  "apikey:v1:aigc:video-generation:video-synthesis:" + t.Model,
		})
	}

	return c.json(http.StatusOK, response)
}

const (
	dashScopePageSize = 10      // tasks per page
	maxPageNumber     = 1 << 20 // the highest page number; no day has more pages
	maxListSpan       = 24 * time.Hour
)

// readDashScopeFilter parses the filter and the page number. Other parameters are ignored.
func (a *API) readDashScopeFilter(query url.Values) (f store.TaskFilter, page int, err error) {
	var faults []fault.Fault

	invalid := func(param, detail string) {
		faults = append(faults, *fault.New(fault.CodeInvalidValue, param, detail))
	}
	number := func(name string, fallback, limit int) int {
		n, err := strconv.Atoi(query.Get(name))
		switch {
		case query.Get(name) == "":
			return fallback
		case err != nil || n < 1 || n > limit:
			invalid(name, fmt.Sprintf("This must be a whole number from 1 to %d.", limit))
			return fallback
		}

		return n
	}
	page = number("page_no", 1, maxPageNumber)
	f.Limit = number("page_size", dashScopePageSize, maxLimit)
	f.Offset = (page - 1) * f.Limit
	f.ID = query.Get("task_id")
	f.Model = query.Get("model_name")

	for ours, theirs := range dashScopeStatuses {
		if theirs == query.Get("status") {
			f.States = statusStates[ours]
		}
	}

	if s := query.Get("status"); s != "" && s != dashScopeUnknown && f.States == nil {
		invalid("status", "The status must be PENDING, RUNNING, SUCCEEDED, FAILED, CANCELED or UNKNOWN.")
	}

	timestamp := func(name string, fallback time.Time) time.Time {
		at, err := time.ParseInLocation("20060102150405", query.Get(name), beijing)
		switch {
		case query.Get(name) == "":
			return fallback
		case err != nil:
			invalid(name, "This must be a time in UTC+8 like 20260102150405.")
			return fallback
		}

		return at
	}
	end := timestamp("end_time", a.Now().Truncate(time.Second)).Add(time.Second) // includes the second that it names

	start := timestamp("start_time", end.Add(-maxListSpan))
	if end.Sub(start) > maxListSpan+time.Second {
		invalid("start_time", "A list covers at most 24 hours; give an earlier end_time too.")
	}

	f.From = start.UnixMilli()
	f.Until = end.UnixMilli()

	if joined := fault.Join(faults); joined != nil {
		return f, page, joined
	}

	return f, page, nil
}
