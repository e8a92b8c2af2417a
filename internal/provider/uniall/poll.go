package uniall

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
)

// phases maps the states ("query task"; cancelled is Unireel's).
var phases = map[text]provider.Phase{
	"queued":      provider.Queued,
	"in_progress": provider.Rendering,
	"processing":  provider.Rendering,
	"completed":   provider.Rendered,
	"failed":      provider.Failed,
	"cancelled":   provider.Cancelled,
}

// query sends one request about a remote task. The response is returned with the
// failure.
func (u *uniall) query(ctx context.Context, method string, id provider.RemoteID, action string) (video, provider.Response, *provider.Failure) {
	ctx, cancel := context.WithTimeout(ctx, u.queryTimeout)
	defer cancel()

	r, err := u.client.NewRequest(ctx, method, u.videosPath+"/"+url.PathEscape(string(id))+action, nil)
	if err != nil {
		return video{}, provider.Response{}, u.client.TransientFailure(provider.Response{}, err)
	}

	resp, f := u.client.Do(r)
	if f != nil {
		return video{}, resp, f
	}

	v, err := readVideo(resp.Body)
	if err != nil {
		return video{}, resp, u.client.TransientFailure(resp, err)
	}

	if v.ID != text(id) && v.TaskID != text(id) {
		return video{}, resp, u.client.TransientFailure(resp, errors.New("the response is about another task"))
	}

	return v, resp, nil
}

// Poll reports the state of a task.
func (u *uniall) Poll(ctx context.Context, id provider.RemoteID) (provider.Report, error) {
	v, resp, f := u.query(ctx, http.MethodGet, id, "")
	if f != nil {
		if errBody, own := readError(resp.Body); own && isUnknownTask(resp.Status, errBody) {
			return provider.Report{Phase: provider.Unknown, Progress: -1}, nil
		}

		return provider.Report{}, f
	}

	phase, known := phases[v.Status]
	if !known {
		return provider.Report{}, u.client.TransientFailure(resp, fmt.Errorf("unknown status %q", v.Status))
	}

	report := provider.Report{Phase: phase, Progress: -1, Prompt: string(v.Prompt)}
	if v.Preview == "true" && phase != provider.Cancelled && phase != provider.Failed {
		report.Phase = provider.Failed
		report.Failure = u.previewFailure()

		return report, nil
	}

	switch phase {
	case provider.Rendering:
		if n := min(v.Progress.Int64(), 99); n > 0 {
			report.Progress = int(n)
		}
	case provider.Rendered:
		if report.Result = resultOf(v); report.Result.URL == "" {
			return provider.Report{}, u.client.TransientFailure(resp, errors.New("completed without a video_url"))
		}
	case provider.Failed:
		errBody := v.errorBody()
		classification := classify(0, errBody)
		classification.Param = "" // the submission that the gateway's field belongs to is not known here
		report.Failure = u.client.NewFailure(classification, errBody, fmt.Errorf("task failed: %s", errBody.Message))
		report.Failure.RequestID = resp.RequestID
	}

	return report, nil
}

// previewFailure is the failure for a gateway that has no supplier of its own and
// returns a preview: delivering it as a real video would be fraud.
func (u *uniall) previewFailure() *provider.Failure {
	return u.client.NewFailure(provider.Classification{Class: provider.AccountBlocked, Fault: fault.CodeSupplierFailed}, provider.ErrorBody{Code: "preview"},
		errors.New("the gateway makes previews only: configure a supplier there"))
}

func resultOf(v video) *provider.Result {
	r := &provider.Result{
		URL:    v.resultURL(),
		Prompt: string(v.Prompt),
		Size:   strings.ReplaceAll(strings.ToLower(string(v.Size)), "x", "*"),
		Usage:  v.usage(),
	}
	if begin, end := v.CreatedAt.Int64(), v.CompletedAt.Int64(); begin > 0 && end > begin && end < 1<<40 {
		r.DurationMillis = (end - begin) * 1000
	}

	return r
}

// Cancel cancels a task (Unireel's POST /v1/videos/{id}/cancel). If the gateway
// still waits for its own supplier, the cancel is tried again later.
func (u *uniall) Cancel(ctx context.Context, id provider.RemoteID) (bool, error) {
	v, resp, f := u.query(ctx, http.MethodPost, id, "/cancel")
	if f != nil {
		switch resp.Status {
		case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusConflict, http.StatusNotImplemented:
			return false, nil // it has no cancel endpoint, or does not cancel this task
		}

		return false, f
	}

	switch phases[v.Status] {
	case provider.Cancelled:
		return true, nil
	case provider.Queued, provider.Rendering:
		if v.CancelRequestedAt != "" && !v.hasWarning("cancel_refused") {
			return false, u.client.TransientFailure(resp, errors.New("the gateway still waits for its own supplier"))
		}
	}

	return false, nil
}
