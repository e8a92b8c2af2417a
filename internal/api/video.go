package api

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/unireel/unireel/internal/task"
)

// video is the one superset answer about a task (contract.md, "Answers"). Times
// are unix seconds; what is not known yet is null.
type video struct {
	ID            string         `json:"id"`
	TaskID        string         `json:"task_id"`
	Object        string         `json:"object"`
	Model         string         `json:"model"`
	ResolvedModel string         `json:"resolved_model"`
	Prompt        string         `json:"prompt"`
	Size          string         `json:"size"`
	Seconds       string         `json:"seconds"`
	Status        string         `json:"status"`
	Progress      int64          `json:"progress"`
	CreatedAt     int64          `json:"created_at"`
	StartedAt     *int64         `json:"started_at"`
	CompletedAt   *int64         `json:"completed_at"`
	ExpiresAt     *int64         `json:"expires_at"`
	Duration      int64          `json:"duration"`
	Metadata      map[string]any `json:"metadata"`
	VideoURL      *string        `json:"video_url"`
	ThumbnailURL  *string        `json:"thumbnail_url"`
	Result        *videoResult   `json:"result"`
	Error         *videoError    `json:"error"`
	QueuePosition *int64         `json:"queue_position"`
	ETA           *int64         `json:"eta"`
	Usage         *videoUsage    `json:"usage"`
	Warnings      []videoWarning `json:"warnings"`
	Preview       bool           `json:"preview"`
	CancelAt      *int64         `json:"cancel_requested_at"`
}

type videoResult struct {
	Outputs  []string `json:"outputs"`
	VideoURL string   `json:"video_url"`
}

type videoError struct {
	Code    string  `json:"code"`
	Message string  `json:"message"`
	Param   *string `json:"param"`
}

type videoWarning struct {
	Code    string  `json:"code"`
	Message string  `json:"message"`
	Param   *string `json:"param"`
}

// videoUsage is what a final task was charged. BilledSeconds has at most three
// decimals; Cost is a decimal string in Currency.
type videoUsage struct {
	BilledSeconds json.Number `json:"billed_seconds"`
	Cost          string      `json:"cost"`
	Currency      string      `json:"currency"`
}

// answer answers with a task as it is now.
func (a *API) answer(c *call, t task.Task) error {
	v := a.video(c, t)
	if !t.State.Final() {
		c.Header().Set(pollAfter, strconv.FormatInt(a.pollAfter(v.ETA).Milliseconds(), 10))
	}

	return c.json(http.StatusOK, v)
}

// seenBy is who an answer is for: how they reach us, and whether they speak OpenAI's
// dialect.
type seenBy struct {
	root   string
	openAI bool
}

// video is a task as it is answered now, for links as the call's caller reaches
// us.
func (a *API) video(c *call, t task.Task) video {
	return a.videoFor(seenBy{a.root(c.r), c.openAI}, t)
}

func (a *API) videoFor(who seenBy, t task.Task) video {
	v := video{
		ID: t.ID, TaskID: t.ID, Object: t.Object, Model: t.Model, ResolvedModel: t.Resolved,
		Prompt: t.Prompt, Size: t.Size, Seconds: strconv.FormatInt(t.Seconds, 10),
		Status: t.State.Status(), Progress: t.Progress,
		CreatedAt: t.CreatedAt / 1000, StartedAt: stamp(t.StartedAt), CompletedAt: stamp(t.CompletedAt), ExpiresAt: stamp(t.ExpiresAt),
		Metadata: metadata(t), Error: errorOf(t), Warnings: warningsOf(t), Preview: t.Preview, CancelAt: stamp(t.CancelRequestedAt),
	}
	now := a.Now()

	if t.State.Final() {
		v.Duration = (t.CompletedAt - t.CreatedAt) / 1000
		v.Usage = &videoUsage{BilledSeconds: decimal(t.Billed), Cost: t.Cost.String(), Currency: a.Catalog.Currency()}
	} else {
		v.Duration = max(0, (now.UnixMilli()-t.CreatedAt)/1000)
		a.live(&v)
	}

	who.asOpenAI(t, &v)

	if t.State == task.Completed && kept(t, now.UnixMilli()) {
		link := a.link(who.root, t.ID, contentPart, now)
		v.VideoURL = &link
		v.Result = &videoResult{Outputs: []string{link}, VideoURL: link}
		thumbnail := a.link(who.root, t.ID, thumbnailPart, now)
		v.ThumbnailURL = &thumbnail
	}

	return v
}

func errorOf(t task.Task) *videoError {
	if t.Error == nil {
		return nil
	}

	return &videoError{Code: t.Error.Code, Message: t.Error.Message, Param: orNull(t.Error.Param)}
}

func warningsOf(t task.Task) []videoWarning {
	list := make([]videoWarning, 0, len(t.Warnings))
	for _, w := range t.Warnings {
		list = append(list, videoWarning{Code: w.Code, Message: w.Message, Param: orNull(w.Param)})
	}

	return list
}

// kept says whether a completed task's files are still there.
func kept(t task.Task, now int64) bool {
	return t.SweptAt == 0 && (t.ExpiresAt == 0 || now < t.ExpiresAt)
}

// live adds what dispatch knows of an unfinished task.
func (a *API) live(v *video) {
	live, ok := a.Engine.Live(v.ID)
	if !ok {
		return
	}

	v.Progress = min(99, max(v.Progress, live.Progress))
	if live.Position > 0 && v.Status == "queued" {
		v.QueuePosition = &live.Position
	}

	if live.ETA > 0 {
		v.ETA = &live.ETA
	}
}

// metadata is the customer's pairs, and at the end how long it took, in seconds.
func metadata(t task.Task) map[string]any {
	m := make(map[string]any, len(t.Metadata)+2)
	for k, v := range t.Metadata {
		m[k] = v
	}

	if t.State.Final() {
		m["total_time"] = decimal(t.CompletedAt - t.CreatedAt)
		if t.RenderedAt > 0 && t.StartedAt > 0 {
			m["predict_time"] = decimal(t.RenderedAt - t.StartedAt)
		}
	}

	return m
}

// stamp is unix milliseconds as seconds, or null.
func stamp(millis int64) *int64 {
	if millis == 0 {
		return nil
	}

	seconds := millis / 1000

	return &seconds
}

// decimal writes milliseconds as seconds, without a float on the way.
func decimal(millis int64) json.Number {
	sign := ""
	if millis < 0 {
		sign = "-"
		millis = -millis
	}

	text := strconv.FormatInt(millis/1000, 10)
	if rest := millis % 1000; rest != 0 {
		text += "." + strings.TrimRight(strconv.FormatInt(1000+rest, 10)[1:], "0")
	}

	return json.Number(sign + text)
}
