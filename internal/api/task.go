package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"

	"github.com/unireel/unireel/internal/checkout"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// taskBody is a task of any account, as the operator sees it. Times are unix seconds, null
// for not yet; amounts are decimal strings.
type taskBody struct {
	ID                string         `json:"id"`
	Account           string         `json:"account"`
	Key               string         `json:"key"`
	State             task.State     `json:"state"`
	Object            string         `json:"object"`
	Model             string         `json:"model"`
	ResolvedModel     string         `json:"resolved_model"`
	Size              string         `json:"size"`
	Seconds           int64          `json:"seconds"`
	Preview           bool           `json:"preview"`
	Queue             string         `json:"queue"`
	Upstream          string         `json:"upstream"` // of the latest attempt
	RemoteID          string         `json:"remote_id"`
	Attempt           int64          `json:"attempt"` // submissions so far
	Retries           int64          `json:"retries"`
	Progress          int64          `json:"progress"`
	Hold              string         `json:"hold"`
	Cost              string         `json:"cost"`
	Currency          string         `json:"currency"`
	CreatedAt         int64          `json:"created_at"`
	SubmittedAt       *int64         `json:"submitted_at"`
	StartedAt         *int64         `json:"started_at"`
	RenderedAt        *int64         `json:"rendered_at"`
	CompletedAt       *int64         `json:"completed_at"`
	CancelRequestedAt *int64         `json:"cancel_requested_at"`
	DeletedAt         *int64         `json:"deleted_at"`
	Error             *videoError    `json:"error"`
	Warnings          []videoWarning `json:"warnings"`
}

func (a *API) taskBody(t task.Task) taskBody {
	return taskBody{
		ID:                t.ID,
		Account:           t.Account,
		Key:               t.Key,
		State:             t.State,
		Object:            t.Object,
		Model:             t.Model,
		ResolvedModel:     t.ResolvedModel,
		Size:              t.Size,
		Seconds:           t.Seconds,
		Preview:           t.Preview,
		Queue:             t.Queue,
		Upstream:          task.ParseUpstreamID(t.Upstream).Name,
		RemoteID:          t.RemoteID,
		Attempt:           t.Attempt,
		Retries:           t.Retries,
		Progress:          t.Progress,
		Hold:              t.Hold.String(),
		Cost:              t.Cost.String(),
		Currency:          a.Catalog.Currency(),
		CreatedAt:         t.CreatedAt / 1000,
		SubmittedAt:       unixSeconds(t.SubmittedAt),
		StartedAt:         unixSeconds(t.StartedAt),
		RenderedAt:        unixSeconds(t.RenderedAt),
		CompletedAt:       unixSeconds(t.CompletedAt),
		CancelRequestedAt: unixSeconds(t.CancelRequestedAt),
		DeletedAt:         unixSeconds(t.HiddenAt),
		Error:             errorOf(t),
		Warnings:          warningsOf(t),
	}
}

// searchTasks is GET /admin/v1/tasks: the tasks of all accounts, newest first, including
// deleted ones.
func (a *API) searchTasks(c *requestContext) error {
	query := c.req.URL.Query()
	f := store.SearchFilter{State: task.State(query.Get("state")), Model: query.Get("model"), Upstream: query.Get("upstream"), After: query.Get("after")}

	var faults []fault.Fault

	limit, limitFault := limitOf(query)
	if limitFault != nil {
		faults = append(faults, *limitFault)
	}

	f.Limit = limit
	if f.State != "" && !slices.Contains(task.States(), f.State) {
		faults = append(faults, *fault.New(fault.CodeInvalidValue, "state", fmt.Sprintf("The state must be one of %v.", task.States())))
	}

	if f := fault.Join(faults); f != nil {
		return f
	}

	if name := query.Get("account"); name != "" {
		acct, err := a.account(c, name)
		if err != nil {
			return err
		}

		f.Account = acct.ID
	}

	list, more, err := a.Store.SearchTasks(c.ctx(), f)
	if err != nil {
		return fmt.Errorf("search tasks: %w", err)
	}

	tasks := make([]taskBody, 0, len(list))
	for _, t := range list {
		tasks = append(tasks, a.taskBody(t))
	}

	return c.json(http.StatusOK, newPage(tasks, more, func(t taskBody) string { return t.ID }))
}

// taskDetail is a task with everything stored about it except its files. Attempts and
// events are deleted with the history.
type taskDetail struct {
	taskBody
	Prompt   string        `json:"prompt"`
	Attempts []attemptBody `json:"attempts"`
	Events   []eventBody   `json:"events"`
	Entries  []entryBody   `json:"entries"`
}

// attemptBody is one submission to a supplier.
type attemptBody struct {
	N           int64  `json:"n"`
	Upstream    string `json:"upstream"`
	Model       string `json:"model"` // the supplier's name
	SentAt      *int64 `json:"sent_at"`
	UncertainAt *int64 `json:"uncertain_at"` // when its outcome became unknown
	RequestID   string `json:"request_id"`   // the supplier's
	RemoteID    string `json:"remote_id"`
	Outcome     string `json:"outcome"` // "" means not known yet
}

// eventBody is one event of a task. Note is for the operator only: it contains internal
// errors.
type eventBody struct {
	Seq   int64      `json:"seq"`
	State task.State `json:"state"`
	Note  string     `json:"note"`
	At    int64      `json:"at"`
}

// maxHistory bounds each list of a task's detail.
const maxHistory = 1000

// getTask is GET /admin/v1/tasks/{id}.
func (a *API) getTask(c *requestContext) error {
	id := c.req.PathValue("id")

	t, err := a.Store.Task(c.ctx(), id)
	if errors.Is(err, store.ErrNotFound) {
		return checkout.AdminTaskNotFound()
	}

	if err != nil {
		return fmt.Errorf("read task: %w", err)
	}

	attempts, err1 := a.Store.AttemptsOf(c.ctx(), id, maxHistory)
	events, err2 := a.Store.Events(c.ctx(), id, 0, maxHistory)

	entries, err3 := a.Store.EntriesOf(c.ctx(), id)
	if err := errors.Join(err1, err2, err3); err != nil {
		return fmt.Errorf("read the history of %s: %w", id, err)
	}

	detail := taskDetail{taskBody: a.taskBody(t), Prompt: t.Prompt, Attempts: []attemptBody{}, Events: []eventBody{}, Entries: entryBodies(entries)}
	for _, one := range attempts {
		detail.Attempts = append(detail.Attempts, attemptBody{
			N:           one.N,
			Upstream:    task.ParseUpstreamID(one.Upstream).Name,
			Model:       one.Model,
			SentAt:      unixSeconds(one.SentAt),
			UncertainAt: unixSeconds(one.UncertainAt),
			RequestID:   one.RequestID,
			RemoteID:    one.RemoteID,
			Outcome:     one.Outcome,
		})
	}

	for _, e := range events {
		detail.Events = append(detail.Events, eventBody{Seq: e.Seq, State: e.State, Note: redactLinks(e.Note), At: e.At / 1000})
	}

	return c.json(http.StatusOK, detail)
}

// cancelTask is POST /admin/v1/tasks/{id}/cancel. Like a customer's cancel it is
// asynchronous.
func (a *API) cancelTask(c *requestContext) error {
	t, err := a.Checkout.CancelAsAdmin(c.ctx(), c.req.PathValue("id"))
	if err != nil {
		return err
	}

	return c.json(http.StatusOK, a.taskBody(t))
}

var linkPattern = regexp.MustCompile(`https?://[^\s"]+`)

// redactLinks removes from the links in a note what may grant access: user names,
// passwords and everything after the path.
func redactLinks(note string) string {
	return linkPattern.ReplaceAllStringFunc(note, func(link string) string {
		u, err := url.Parse(link)
		switch {
		case err != nil:
			return "..."
		case u.RawQuery != "" || u.Fragment != "":
			return u.Scheme + "://" + u.Host + u.EscapedPath() + "?..."
		}

		return u.Scheme + "://" + u.Host + u.EscapedPath()
	})
}
