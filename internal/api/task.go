package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/unireel/unireel/internal/checkout"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// taskBody is a task as the operator sees it, whoever's it is. Times are unix
// seconds, null for not yet; amounts decimal strings.
type taskBody struct {
	ID            string         `json:"id"`
	Account       string         `json:"account"`
	Key           string         `json:"key"`
	State         task.State     `json:"state"`
	Object        string         `json:"object"`
	Model         string         `json:"model"`
	ResolvedModel string         `json:"resolved_model"`
	Size          string         `json:"size"`
	Seconds       int64          `json:"seconds"`
	Preview       bool           `json:"preview"`
	Lane          string         `json:"lane"`
	Upstream      string         `json:"upstream"` // of the latest attempt
	Ticket        string         `json:"ticket"`
	Attempt       int64          `json:"attempt"` // submissions so far
	Retries       int64          `json:"retries"`
	Progress      int64          `json:"progress"`
	Hold          string         `json:"hold"`
	Cost          string         `json:"cost"`
	Currency      string         `json:"currency"`
	CreatedAt     int64          `json:"created_at"`
	SubmittedAt   *int64         `json:"submitted_at"`
	StartedAt     *int64         `json:"started_at"`
	RenderedAt    *int64         `json:"rendered_at"`
	CompletedAt   *int64         `json:"completed_at"`
	CancelAt      *int64         `json:"cancel_requested_at"`
	DeletedAt     *int64         `json:"deleted_at"`
	Error         *videoError    `json:"error"`
	Warnings      []videoWarning `json:"warnings"`
}

func (a *API) taskBody(t task.Task) taskBody {
	return taskBody{
		ID: t.ID, Account: t.Account, Key: t.Key, State: t.State, Object: t.Object, Model: t.Model, ResolvedModel: t.Resolved, Size: t.Size, Seconds: t.Seconds,
		Preview: t.Preview, Lane: t.Lane, Upstream: plainName(t.Upstream), Ticket: t.Ticket, Attempt: t.Attempt, Retries: t.Retries, Progress: t.Progress,
		Hold: t.Hold.String(), Cost: t.Cost.String(), Currency: a.Catalog.Currency(),
		CreatedAt: t.CreatedAt / 1000, SubmittedAt: stamp(t.SubmittedAt), StartedAt: stamp(t.StartedAt), RenderedAt: stamp(t.RenderedAt),
		CompletedAt: stamp(t.CompletedAt), CancelAt: stamp(t.CancelRequestedAt), DeletedAt: stamp(t.HiddenAt), Error: errorOf(t), Warnings: warningsOf(t),
	}
}

// plainName is what the operator calls an upstream: a replica's own renderer has more
// behind an @.
func plainName(upstream string) string {
	name, _, _ := strings.Cut(upstream, "@")
	return name
}

// searchTasks is GET /admin/v1/tasks: of all accounts, newest first, deleted ones too.
func (a *API) searchTasks(c *call) error {
	query := c.r.URL.Query()
	f := store.Search{State: task.State(query.Get("state")), Model: query.Get("model"), Upstream: query.Get("upstream"), After: query.Get("after")}

	var faults []fault.Fault

	limit, wrong := limitOf(query)
	if wrong != nil {
		faults = append(faults, *wrong)
	}

	f.Limit = limit
	if f.State != "" && !slices.Contains(task.States(), f.State) {
		faults = append(faults, *fault.New(fault.CodeInvalidValue, "state", fmt.Sprintf("A state is one of %v.", task.States())))
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

	list, more, err := a.Store.Search(c.ctx(), f)
	if err != nil {
		return fmt.Errorf("search tasks: %w", err)
	}

	tasks := make([]taskBody, 0, len(list))
	for _, t := range list {
		tasks = append(tasks, a.taskBody(t))
	}

	return c.json(http.StatusOK, newPage(tasks, more, func(t taskBody) string { return t.ID }))
}

// taskStory is a task with all that is kept of it but its bytes: attempts and events
// go with the history.
type taskStory struct {
	taskBody
	Prompt   string        `json:"prompt"`
	Attempts []attemptBody `json:"attempts"`
	Events   []eventBody   `json:"events"`
	Entries  []entryBody   `json:"entries"`
}

// attemptBody is one submission.
type attemptBody struct {
	N         int64  `json:"n"`
	Upstream  string `json:"upstream"`
	Model     string `json:"model"` // the supplier's name
	SentAt    *int64 `json:"sent_at"`
	LostAt    *int64 `json:"lost_at"`    // when its answer was given up
	RequestID string `json:"request_id"` // the supplier's
	Ticket    string `json:"ticket"`
	Outcome   string `json:"outcome"` // "" is open
}

// eventBody is one thing that happened to a task. Note is for the operator alone: it
// has the inside of an error.
type eventBody struct {
	Seq   int64      `json:"seq"`
	State task.State `json:"state"`
	Note  string     `json:"note"`
	At    int64      `json:"at"`
}

// mostTold bounds each list of a task's story.
const mostTold = 1000

// showTask is GET /admin/v1/tasks/{id}.
func (a *API) showTask(c *call) error {
	id := c.r.PathValue("id")

	t, err := a.Store.Task(c.ctx(), id)
	if errors.Is(err, store.ErrNotFound) {
		return checkout.NoTaskAtAll()
	}

	if err != nil {
		return fmt.Errorf("read task: %w", err)
	}

	attempts, err1 := a.Store.AttemptsOf(c.ctx(), id, mostTold)
	events, err2 := a.Store.Events(c.ctx(), id, 0, mostTold)

	entries, err3 := a.Store.EntriesOf(c.ctx(), id)
	if err := errors.Join(err1, err2, err3); err != nil {
		return fmt.Errorf("read the story of %s: %w", id, err)
	}

	story := taskStory{taskBody: a.taskBody(t), Prompt: t.Prompt, Attempts: []attemptBody{}, Events: []eventBody{}, Entries: entryBodies(entries)}
	for _, one := range attempts {
		story.Attempts = append(story.Attempts, attemptBody{
			N: one.N, Upstream: plainName(one.Upstream), Model: one.Model, SentAt: stamp(one.SentAt), LostAt: stamp(one.LostAt), RequestID: one.RequestID, Ticket: one.Ticket, Outcome: one.Outcome,
		})
	}

	for _, e := range events {
		story.Events = append(story.Events, eventBody{Seq: e.Seq, State: e.State, Note: withoutSecrets(e.Note), At: e.At / 1000})
	}

	return c.json(http.StatusOK, story)
}

// cancelTask is POST /admin/v1/tasks/{id}/cancel: a wish, as a customer's.
func (a *API) cancelTask(c *call) error {
	t, err := a.Checkout.CancelAsOperator(c.ctx(), c.r.PathValue("id"))
	if err != nil {
		return err
	}

	return c.json(http.StatusOK, a.taskBody(t))
}

var addresses = regexp.MustCompile(`https?://[^\s"]+`)

// withoutSecrets takes out of a note what makes a link open something: whom it names,
// and what stands behind its path.
func withoutSecrets(note string) string {
	return addresses.ReplaceAllStringFunc(note, func(link string) string {
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
