package api

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/unireel/unireel/internal/task"
)

// video is a task in a response, with the fields of all dialects that know JSON of this
// form (openapi.yaml, Video). Times are unix seconds; what is not known yet is null.
type video struct {
	ID                string         `json:"id"`
	TaskID            string         `json:"task_id"`
	Object            string         `json:"object"`
	Model             string         `json:"model"`
	ResolvedModel     string         `json:"resolved_model"`
	Prompt            string         `json:"prompt"`
	Size              string         `json:"size"`
	Seconds           string         `json:"seconds"`
	Status            string         `json:"status"`
	Progress          int64          `json:"progress"`
	CreatedAt         int64          `json:"created_at"`
	StartedAt         *int64         `json:"started_at"`
	CompletedAt       *int64         `json:"completed_at"`
	ExpiresAt         *int64         `json:"expires_at"`
	Duration          int64          `json:"duration"`
	Metadata          map[string]any `json:"metadata"`
	VideoURL          *string        `json:"video_url"`
	ThumbnailURL      *string        `json:"thumbnail_url"`
	Result            *videoResult   `json:"result"`
	Error             *videoError    `json:"error"`
	QueuePosition     *int64         `json:"queue_position"`
	ETA               *int64         `json:"eta"`
	Usage             *videoUsage    `json:"usage"`
	Warnings          []videoWarning `json:"warnings"`
	Preview           bool           `json:"preview"`
	CancelRequestedAt *int64         `json:"cancel_requested_at"`
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

// videoUsage is what a finished task was charged. BilledSeconds has at most three
// decimals; Cost is a decimal string in Currency.
type videoUsage struct {
	BilledSeconds json.Number `json:"billed_seconds"`
	Cost          string      `json:"cost"`
	Currency      string      `json:"currency"`
}

// respondVideo responds with a task as it is now.
func (a *API) respondVideo(c *requestContext, t task.Task) error {
	v := a.video(c, t)
	if !t.State.Final() {
		c.Header().Set(pollAfterHeader, strconv.FormatInt(a.pollAfter(v.ETA).Milliseconds(), 10))
	}

	return c.json(http.StatusOK, v)
}

// viewOptions says for whom a task is shown: the base URL of links, and whether the path
// is OpenAI's.
type viewOptions struct {
	root   string
	openAI bool
}

// video returns a task as it is now, with links to the address at which the caller reached
// the server.
func (a *API) video(c *requestContext, t task.Task) video {
	return a.videoFor(viewOptions{a.baseURL(c.req), c.openAI}, t)
}

func (a *API) videoFor(opts viewOptions, t task.Task) video {
	v := video{
		ID:                t.ID,
		TaskID:            t.ID,
		Object:            t.Object,
		Model:             t.Model,
		ResolvedModel:     t.ResolvedModel,
		Prompt:            t.Prompt,
		Size:              t.Size,
		Seconds:           strconv.FormatInt(t.Seconds, 10),
		Status:            t.State.Status(),
		Progress:          t.Progress,
		CreatedAt:         t.CreatedAt / 1000,
		StartedAt:         unixSeconds(t.StartedAt),
		CompletedAt:       unixSeconds(t.CompletedAt),
		ExpiresAt:         unixSeconds(t.ExpiresAt),
		Metadata:          metadata(t),
		Error:             errorOf(t),
		Warnings:          warningsOf(t),
		Preview:           t.Preview,
		CancelRequestedAt: unixSeconds(t.CancelRequestedAt),
	}
	now := a.Now()

	if t.State.Final() {
		v.Duration = (t.CompletedAt - t.CreatedAt) / 1000
		v.Usage = &videoUsage{BilledSeconds: decimal(t.Billed), Cost: t.Cost.String(), Currency: a.Catalog.Currency()}
	} else {
		v.Duration = max(0, (now.UnixMilli()-t.CreatedAt)/1000)
		a.addLive(&v)
	}

	opts.applyOpenAIStatus(t, &v)

	if t.State == task.Completed && filesAvailable(t, now.UnixMilli()) {
		link := a.link(opts.root, t.ID, linkTargetContent, now)
		v.VideoURL = &link
		v.Result = &videoResult{Outputs: []string{link}, VideoURL: link}
		thumbnail := a.link(opts.root, t.ID, linkTargetThumbnail, now)
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

// filesAvailable reports whether a completed task's files still exist.
func filesAvailable(t task.Task, now int64) bool {
	return t.SweptAt == 0 && (t.ExpiresAt == 0 || now < t.ExpiresAt)
}

// addLive adds what dispatch knows of an unfinished task.
func (a *API) addLive(v *video) {
	status, ok := a.Engine.Live(v.ID)
	if !ok {
		return
	}

	v.Progress = min(99, max(v.Progress, status.Progress))
	if status.Position > 0 && v.Status == "queued" {
		v.QueuePosition = &status.Position
	}

	if status.ETA > 0 {
		v.ETA = &status.ETA
	}
}

// metadata returns the customer's pairs and, for a finished task, how long it took in
// seconds.
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

// unixSeconds converts unix milliseconds to seconds; 0 becomes null.
func unixSeconds(millis int64) *int64 {
	if millis == 0 {
		return nil
	}

	seconds := millis / 1000

	return &seconds
}

// decimal formats milliseconds as seconds, without floating point.
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
