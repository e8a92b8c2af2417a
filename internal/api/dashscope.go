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

// dashScopeRoot is the path prefix of DashScope's dialect, which its clients expect.
const dashScopeRoot = "/api/v1/"

// isDashScope reports whether the request uses DashScope's dialect.
func (c *requestContext) isDashScope() bool { return strings.HasPrefix(c.req.URL.Path, dashScopeRoot) }

// dashScopeTask is a task's status (DashScope's "manage asynchronous tasks"). Fields that
// are not known yet are left out.
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
	Preview    bool   `json:"preview,omitempty"` // our addition: a preview must not be taken for the real video
}

// dashScopeUsage is what was billed. Durations are in seconds. All fields are numbers
// where the AI SDK requires numbers.
type dashScopeUsage struct {
	Duration       json.Number `json:"duration"`
	InputDuration  json.Number `json:"input_video_duration"`
	OutputDuration int64       `json:"output_video_duration"`
	Size           string      `json:"size"`
	Tier           int         `json:"SR,omitempty"` // 720
	Count          int         `json:"video_count"`
}

// Task statuses in DashScope's dialect. A task that does not exist, or does not exist any
// more, is UNKNOWN.
const (
	dashScopePending   = "PENDING"
	dashScopeRunning   = "RUNNING"
	dashScopeSucceeded = "SUCCEEDED"
	dashScopeFailed    = "FAILED"
	dashScopeCanceled  = "CANCELED"
	dashScopeUnknown   = "UNKNOWN"
)

// dashScopeStatuses maps our status to DashScope's.
var dashScopeStatuses = map[string]string{
	"queued": dashScopePending, "in_progress": dashScopeRunning, "completed": dashScopeSucceeded, "failed": dashScopeFailed, "cancelled": dashScopeCanceled,
}

// createDashScope is POST /api/v1/services/aigc/video-generation/video-synthesis.
func (a *API) createDashScope(c *requestContext) error {
	if !strings.EqualFold(c.req.Header.Get("X-DashScope-Async"), "enable") {
		return fault.New(fault.CodeAsynchronousOnly, "X-DashScope-Async", "Videos are made asynchronously only: send the header X-DashScope-Async: enable.")
	}

	body, err := c.body()
	if err != nil {
		return err
	}

	root, err := parseObject(body)
	if err != nil {
		return err
	}

	raw := decodeDashScope(root, a.Catalog, func(key string) string { return ossFileID(c.key.Account, key) })

	t, err := a.createTask(c, root, checkout.CreateRequest{Raw: raw, Object: generationObject})
	if err != nil {
		return err
	}

	return c.json(http.StatusOK, dashScopeTask{RequestID: c.id, Output: dashScopeOutput{TaskID: t.ID, Status: dashScopeStatuses[t.State.Status()]}})
}

// getDashScope is GET /api/v1/tasks/{id}. It responds with 200 whether the task exists or
// not.
func (a *API) getDashScope(c *requestContext) error {
	id := c.req.PathValue("id")

	t, err := a.tasks.get(c.ctx(), c.key.Account, id)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return taskError(err)
	}

	response := dashScopeTask{RequestID: c.id, Output: dashScopeOutput{TaskID: id, Status: dashScopeUnknown}}
	if err == nil {
		a.fillDashScope(c, t, &response)
	}

	return c.json(http.StatusOK, response)
}

// fillDashScope fills in a task's status. A task whose video was deleted stays UNKNOWN, as
// in DashScope.
func (a *API) fillDashScope(c *requestContext, t task.Task, response *dashScopeTask) {
	now := a.Now()
	if t.State == task.Completed && !filesAvailable(t, now.UnixMilli()) {
		return
	}

	o := &response.Output
	o.Status = dashScopeStatuses[t.State.Status()]
	o.SubmitTime = beijingTime(t.CreatedAt)
	o.StartTime = beijingTime(t.StartedAt)
	o.EndTime = beijingTime(t.CompletedAt)
	o.Preview = t.Preview

	switch {
	case t.State == task.Completed:
		o.Prompt = t.Prompt
		o.VideoURL = a.link(a.baseURL(c.req), t.ID, linkTargetContent, now)
		response.Usage = a.dashScopeUsage(c, t)
	case t.State == task.Failed && t.Error != nil:
		o.Code = dashScopeCode(fault.Code(t.Error.Code))
		o.Message = dashScopeMessage(&fault.Fault{Param: t.Error.Param, Detail: t.Error.Message})
	}
}

// dashScopeUsage is what a completed task was billed for. What exceeds the video's own
// seconds is the length of its reference videos. The size is that of the file, which a
// picture may have determined, or the requested size if the artifact cannot be read.
func (a *API) dashScopeUsage(c *requestContext, t task.Task) *dashScopeUsage {
	u := &dashScopeUsage{
		Duration: decimal(t.Billed), InputDuration: decimal(max(0, t.Billed-t.Seconds*1000)), OutputDuration: t.Seconds,
		Size: strings.ReplaceAll(strings.ToLower(t.Size), "x", "*"), Count: 1,
	}
	if artifact, err := a.Store.Artifact(c.ctx(), t.ID, task.Video); err == nil && artifact.Width > 0 {
		u.Size = fmt.Sprintf("%d*%d", artifact.Width, artifact.Height)
	}

	if m, ok := a.Catalog.Model(t.ResolvedModel); ok {
		u.Tier, _ = strconv.Atoi(strings.TrimSuffix(m.Tier, "p")) // 0, and left out, for a tier that is not a number
	}

	return u
}

// cancelDashScope is POST /api/v1/tasks/{id}/cancel. It cancels only a task that was not
// submitted yet.
func (a *API) cancelDashScope(c *requestContext) error {
	done, err := a.Checkout.CancelIfNotSubmitted(c.ctx(), c.key.Account, c.req.PathValue("id"))
	if err != nil && !fault.Is(err, fault.CodeVideoNotFound) {
		return err
	}

	if !done {
		return fault.New(fault.CodeNotPending, "", "Failed to cancel the task, please confirm if the task is in PENDING status.")
	}

	return c.json(http.StatusOK, struct {
		RequestID string `json:"request_id"`
	}{c.id})
}

// beijing is the time zone of every time that DashScope writes, without naming it.
var beijing = time.FixedZone("UTC+8", 8*60*60)

// beijingTime formats unix milliseconds like "2026-01-02 15:04:05.000"; 0 becomes "".
func beijingTime(millis int64) string {
	if millis == 0 {
		return ""
	}

	return time.UnixMilli(millis).In(beijing).Format("2006-01-02 15:04:05.000")
}
