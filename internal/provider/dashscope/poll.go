package dashscope

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/unireel/unireel/internal/provider"
)

// phases maps the supplier's states ("query task result").
var phases = map[text]provider.Phase{
	"PENDING":   provider.Queued,
	"SUSPENDED": provider.Queued,
	"RUNNING":   provider.Rendering,
	"SUCCEEDED": provider.Rendered,
	"FAILED":    provider.Failed,
	"CANCELED":  provider.Cancelled,
	"UNKNOWN":   provider.Unknown,
}

// resultTTL is how long a result's link works ("video_url is valid for 24 hours").
const resultTTL = 24 * time.Hour

// Poll reports the state of a task. The supplier reports no progress.
func (d *dashscope) Poll(ctx context.Context, id provider.RemoteID) (provider.Report, error) {
	response, f := d.query(ctx, http.MethodGet, d.tasksPath+"/"+url.PathEscape(string(id)))
	if f != nil {
		return provider.Report{}, f
	}

	taskResp, err := readTaskResponse(response.Body)
	if err != nil {
		return provider.Report{}, d.transientFailure(response, err)
	}

	if taskResp.Output.TaskID != text(id) {
		return provider.Report{}, d.transientFailure(response, errors.New("the response is about another task"))
	}

	phase, known := phases[taskResp.Output.Status]
	if !known {
		return provider.Report{}, d.transientFailure(response, fmt.Errorf("unknown task_status %q", taskResp.Output.Status))
	}

	report := provider.Report{Phase: phase, Progress: -1, Prompt: string(taskResp.Output.OrigPrompt)}
	switch phase {
	case provider.Rendered:
		report.Result = d.result(taskResp)
		if report.Result.URL == "" {
			return provider.Report{}, d.transientFailure(response, errors.New("succeeded without a video_url"))
		}
	case provider.Failed:
		errBody := provider.ErrorBody{
			Code:      string(taskResp.Output.Code),
			Message:   string(taskResp.Output.Message),
			RequestID: string(firstNonEmpty(taskResp.RequestID, text(response.RequestID))),
		}
		report.Failure = d.client.NewFailure(d.client.Classify(0, errBody), errBody, fmt.Errorf("task failed: %s", errBody.Message))
	}

	return report, nil
}

// result reads where the video is and what is billed.
func (d *dashscope) result(taskResp taskResponse) *provider.Result {
	r := &provider.Result{URL: string(taskResp.Output.VideoURL), Prompt: string(taskResp.Output.OrigPrompt)}
	for _, result := range taskResp.Output.Results {
		if r.URL == "" {
			r.URL = string(result.VideoURL)
		}
	}

	end, hasEnd := readTime(taskResp.Output.EndTime)
	if begin, hasBegin := readTime(taskResp.Output.SubmitTime); hasEnd && hasBegin && end.After(begin) {
		r.DurationMillis = end.Sub(begin).Milliseconds()
	}

	if !hasEnd {
		end = d.client.Now()
	}

	r.ExpiresAt = end.Add(resultTTL).UnixMilli()
	if u, err := url.Parse(r.URL); err == nil {
		if seconds, err := strconv.ParseInt(u.Query().Get("Expires"), 10, 64); err == nil && seconds > 0 && seconds < 1<<40 {
			r.ExpiresAt = seconds * 1000
		}
	}

	if taskResp.Usage != nil {
		r.Size = strings.ReplaceAll(strings.ToLower(string(taskResp.Usage.Size)), "x", "*")
		r.Usage = readUsage(*taskResp.Usage)
	}

	return r
}

// readUsage reads the usage; nil when it does not say what is billed. duration is
// the figure that counts; it is the sum of the other two.
func readUsage(u usage) *provider.Usage {
	totalMillis, hasTotal := u.Duration.Millis()
	inputMillis, _ := u.Input.Millis()

	outputMillis, hasOutput := u.Output.Millis()
	if !hasTotal && !hasOutput {
		outputMillis, hasOutput = u.VideoDuration.Millis()
	}

	switch {
	case hasTotal && !hasOutput:
		outputMillis = max(totalMillis-inputMillis, 0)
	case !hasTotal && hasOutput:
		totalMillis = inputMillis + outputMillis
	case !hasTotal:
		return nil
	}

	return &provider.Usage{Billed: totalMillis, Input: inputMillis, Output: outputMillis}
}

// Cancel cancels a PENDING task; a running one cannot be cancelled.
func (d *dashscope) Cancel(ctx context.Context, id provider.RemoteID) (bool, error) {
	_, f := d.query(ctx, http.MethodPost, d.tasksPath+"/"+url.PathEscape(string(id))+"/cancel")
	switch {
	case f == nil:
		return true, nil
	case f.Code == "UnsupportedOperation":
		return false, nil
	default:
		return false, f
	}
}
