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

// listDashScope is GET /api/v1/tasks: the tasks of a day, newest first.
func (a *API) listDashScope(c *call) error {
	query := c.r.URL.Query()

	f, page, err := a.listed(query)
	if err != nil {
		return err
	}

	f.Account = c.key.Account
	answer := dashScopeList{RequestID: c.id, Data: []dashScopeRow{}, Page: page, Size: f.Limit}

	var list []task.Task

	if query.Get("status") != dashScopeUnknown { // there is none of which we would not know
		if answer.Total, err = a.Store.CountTasks(c.ctx(), f); err == nil && int64(f.Skip) < answer.Total {
			list, _, err = a.Store.Tasks(c.ctx(), f)
		}
	}

	if err != nil {
		return fmt.Errorf("list tasks: %w", err)
	}

	answer.Pages = (answer.Total + int64(f.Limit) - 1) / int64(f.Limit)
	for _, t := range list {
		answer.Data = append(answer.Data, dashScopeRow{
			TaskID: t.ID, Status: dashScopeStatuses[t.State.Status()], Model: t.Model, Key: t.Key, Account: t.Account, Parent: t.Account,
			CreatedAt: t.CreatedAt, StartedAt: t.StartedAt, EndedAt: t.CompletedAt, Function: "apikey:v1:aigc:video-generation:video-synthesis:" + t.Model,
		})
	}

	return c.json(http.StatusOK, answer)
}

const (
	dashScopePage = 10      // tasks of a page
	maxPage       = 1 << 20 // a page's number; no list of a day is longer
	listDay       = 24 * time.Hour
)

// listed reads what a list shall have, and its page. Other parameters are ignored.
func (a *API) listed(query url.Values) (f store.Filter, page int, err error) {
	var faults []fault.Fault

	wrong := func(param, detail string) {
		faults = append(faults, *fault.New(fault.CodeInvalidValue, param, detail))
	}
	number := func(name string, none, most int) int {
		n, err := strconv.Atoi(query.Get(name))
		switch {
		case query.Get(name) == "":
			return none
		case err != nil || n < 1 || n > most:
			wrong(name, fmt.Sprintf("It is a whole number from 1 to %d.", most))
			return none
		}

		return n
	}
	page = number("page_no", 1, maxPage)
	f.Limit = number("page_size", dashScopePage, maxLimit)
	f.Skip = (page - 1) * f.Limit
	f.ID = query.Get("task_id")

	f.Model = query.Get("model_name")
	for ours, theirs := range dashScopeStatuses {
		if theirs == query.Get("status") {
			f.States = statusStates[ours]
		}
	}

	if s := query.Get("status"); s != "" && s != dashScopeUnknown && f.States == nil {
		wrong("status", "A status is PENDING, RUNNING, SUCCEEDED, FAILED, CANCELED or UNKNOWN.")
	}

	moment := func(name string, none time.Time) time.Time {
		at, err := time.ParseInLocation("20060102150405", query.Get(name), beijing)
		switch {
		case query.Get(name) == "":
			return none
		case err != nil:
			wrong(name, "It is a time in UTC+8 like 20260102150405.")
			return none
		}

		return at
	}
	end := moment("end_time", a.Now().Truncate(time.Second)).Add(time.Second) // the second that it names is included

	start := moment("start_time", end.Add(-listDay))
	if end.Sub(start) > listDay+time.Second {
		wrong("start_time", "A list is of 24 hours at most; give an earlier end_time too.")
	}

	f.From = start.UnixMilli()

	f.Until = end.UnixMilli()
	if joined := fault.Join(faults); joined != nil {
		return f, page, joined
	}

	return f, page, nil
}
