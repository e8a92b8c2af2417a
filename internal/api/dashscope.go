package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/unireel/unireel/internal/checkout"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// dashScopeRoot is where DashScope's dialect is spoken: its clients know it as
// part of the address.
const dashScopeRoot = "/api/v1/"

// dashScope says whether the caller speaks DashScope's dialect.
func (c *call) dashScope() bool { return strings.HasPrefix(c.r.URL.Path, dashScopeRoot) }

// dashScopeTask is how a task stands ("manage asynchronous tasks"). What is not known
// yet is not there.
type dashScopeTask struct {
	RequestID string          `json:"request_id"`
	Output    dashScopeOutput `json:"output"`
	Usage     *dashScopeUsage `json:"usage,omitempty"`
}

type dashScopeOutput struct {
	TaskID     string `json:"task_id"`
	Status     string `json:"task_status"`
	SubmitTime string `json:"submit_time,omitempty"`
	StartTime  string `json:"scheduled_time,omitempty"`
	EndTime    string `json:"end_time,omitempty"`
	Prompt     string `json:"orig_prompt,omitempty"`
	VideoURL   string `json:"video_url,omitempty"`
	Code       string `json:"code,omitempty"`
	Message    string `json:"message,omitempty"`
	Preview    bool   `json:"preview,omitempty"` // ours: nobody shall take a preview for the video
}

// dashScopeUsage is what was billed. Lengths are in seconds; the AI SDK wants all of
// it to be numbers.
type dashScopeUsage struct {
	Duration       json.Number `json:"duration"`
	InputDuration  json.Number `json:"input_video_duration"`
	OutputDuration int64       `json:"output_video_duration"`
	Size           string      `json:"size"`
	Tier           int         `json:"SR,omitempty"` // 720
	Count          int         `json:"video_count"`
}

// The states in which DashScope's dialect tells a task. Unknown is what it says of one
// that is not there, or not any more.
const (
	dashScopePending   = "PENDING"
	dashScopeRunning   = "RUNNING"
	dashScopeSucceeded = "SUCCEEDED"
	dashScopeFailed    = "FAILED"
	dashScopeCanceled  = "CANCELED"
	dashScopeUnknown   = "UNKNOWN"
)

// dashScopeStatuses: our status -> theirs.
var dashScopeStatuses = map[string]string{
	"queued": dashScopePending, "in_progress": dashScopeRunning, "completed": dashScopeSucceeded, "failed": dashScopeFailed, "cancelled": dashScopeCanceled,
}

// createDashScope is POST /api/v1/services/aigc/video-generation/video-synthesis.
func (a *API) createDashScope(c *call) error {
	if !strings.EqualFold(c.r.Header.Get("X-DashScope-Async"), "enable") {
		return fault.New(fault.CodeAsyncOnly, "X-DashScope-Async", "Videos are made asynchronously only: send the header X-DashScope-Async: enable.")
	}

	body, err := c.body()
	if err != nil {
		return err
	}

	root, err := parseObject(body)
	if err != nil {
		return err
	}

	ask := decodeDashScope(root, a.Catalog, func(key string) string { return ossFile(c.key.Account, key) })

	t, err := a.order(c, root, checkout.Order{Ask: ask, Object: generation})
	if err != nil {
		return err
	}

	return c.json(http.StatusOK, dashScopeTask{RequestID: c.id, Output: dashScopeOutput{TaskID: t.ID, Status: dashScopeStatuses[t.State.Status()]}})
}

// getDashScope is GET /api/v1/tasks/{id}: always 200, whether there is one or not.
func (a *API) getDashScope(c *call) error {
	id := c.r.PathValue("id")

	t, err := a.hot.of(c.ctx(), c.key.Account, id)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return noTask(err)
	}

	answer := dashScopeTask{RequestID: c.id, Output: dashScopeOutput{TaskID: id, Status: dashScopeUnknown}}
	if err == nil {
		a.tellDashScope(c, t, &answer)
	}

	return c.json(http.StatusOK, answer)
}

// tellDashScope says how a task stands. One whose video is gone is unknown there.
func (a *API) tellDashScope(c *call, t task.Task, answer *dashScopeTask) {
	now := a.Now()
	if t.State == task.Completed && !kept(t, now.UnixMilli()) {
		return
	}

	o := &answer.Output
	o.Status = dashScopeStatuses[t.State.Status()]
	o.SubmitTime = beijingTime(t.CreatedAt)
	o.StartTime = beijingTime(t.StartedAt)
	o.EndTime = beijingTime(t.CompletedAt)

	o.Preview = t.Preview
	switch {
	case t.State == task.Completed:
		o.Prompt = t.Prompt
		o.VideoURL = a.link(a.root(c.r), t.ID, contentPart, now)
		answer.Usage = a.dashScopeUsage(c, t)
	case t.State == task.Failed && t.Error != nil:
		o.Code = flatName(fault.Code(t.Error.Code))
		o.Message = flatMessage(&fault.Fault{Param: t.Error.Param, Detail: t.Error.Message})
	}
}

// dashScopeUsage is what a completed task was charged: what is billed beyond the
// video's own seconds is its reference videos. The size is the video's, which a
// picture may have decided; the one asked for where it cannot be read.
func (a *API) dashScopeUsage(c *call, t task.Task) *dashScopeUsage {
	u := &dashScopeUsage{
		Duration: decimal(t.Billed), InputDuration: decimal(max(0, t.Billed-t.Seconds*1000)), OutputDuration: t.Seconds,
		Size: strings.ReplaceAll(strings.ToLower(t.Size), "x", "*"), Count: 1,
	}
	if film, err := a.Store.Artifact(c.ctx(), t.ID, task.Video); err == nil && film.Width > 0 {
		u.Size = fmt.Sprintf("%d*%d", film.Width, film.Height)
	}

	if m, ok := a.Catalog.Model(t.Resolved); ok {
		u.Tier, _ = strconv.Atoi(strings.TrimSuffix(m.Tier, "p")) // 0, and left out, where a model's file has other tiers
	}

	return u
}

// cancelDashScope is POST /api/v1/tasks/{id}/cancel: only what still waits.
func (a *API) cancelDashScope(c *call) error {
	done, err := a.Checkout.CancelWaiting(c.ctx(), c.key.Account, c.r.PathValue("id"))
	if err != nil && !fault.Is(err, fault.CodeNoTask) {
		return err
	}

	if !done {
		return fault.New(fault.CodeNotWaiting, "", "Failed to cancel the task, please confirm if the task is in PENDING status.")
	}

	return c.json(http.StatusOK, struct {
		RequestID string `json:"request_id"`
	}{c.id})
}

// beijing is the zone of every time that DashScope writes, without naming it.
var beijing = time.FixedZone("UTC+8", 8*60*60)

// beijingTime writes unix milliseconds like "2026-01-02 15:04:05.000"; 0 is "".
func beijingTime(millis int64) string {
	if millis == 0 {
		return ""
	}

	return time.UnixMilli(millis).In(beijing).Format("2006-01-02 15:04:05.000")
}
