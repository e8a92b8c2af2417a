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

// phases are the states ("query task"; cancelled is Unireel's).
var phases = map[text]provider.Phase{
	"queued":      provider.Waiting,
	"in_progress": provider.Rendering,
	"processing":  provider.Rendering,
	"completed":   provider.Rendered,
	"failed":      provider.Broken,
	"cancelled":   provider.Stopped,
}

// ask is one call about a ticket. The answer is given with the failure.
func (u *uniall) ask(ctx context.Context, method string, t provider.Ticket, act string) (video, provider.Answer, *provider.Failure) {
	ctx, cancel := context.WithTimeout(ctx, u.queryTimeout)
	defer cancel()

	r, err := u.talk.Request(ctx, method, u.videosPath+"/"+url.PathEscape(string(t))+act, nil)
	if err != nil {
		return video{}, provider.Answer{}, u.talk.Broken(provider.Answer{}, err)
	}

	a, f := u.talk.Ask(r)
	if f != nil {
		return video{}, a, f
	}

	v, err := readVideo(a.Body)
	if err != nil {
		return video{}, a, u.talk.Broken(a, err)
	}

	if v.ID != text(t) && v.TaskID != text(t) {
		return video{}, a, u.talk.Broken(a, errors.New("the answer is about another task"))
	}

	return v, a, nil
}

// Poll asks how a task stands.
func (u *uniall) Poll(ctx context.Context, t provider.Ticket) (provider.Report, error) {
	v, a, f := u.ask(ctx, http.MethodGet, t, "")
	if f != nil {
		if c, own := readComplaint(a.Body); own && unknownTask(a.Status, c) {
			return provider.Report{Phase: provider.Unknown, Progress: -1}, nil
		}

		return provider.Report{}, f
	}

	phase, known := phases[v.Status]
	if !known {
		return provider.Report{}, u.talk.Broken(a, fmt.Errorf("unknown status %q", v.Status))
	}

	report := provider.Report{Phase: phase, Progress: -1, Prompt: string(v.Prompt)}
	if v.Preview == "true" && phase != provider.Stopped && phase != provider.Broken {
		report.Phase = provider.Broken
		report.Failure = u.onlyPreview()

		return report, nil
	}

	switch phase {
	case provider.Rendering:
		if n := min(v.Progress.Whole(), 99); n > 0 {
			report.Progress = int(n)
		}
	case provider.Rendered:
		if report.Result = resultOf(v); report.Result.URL == "" {
			return provider.Report{}, u.talk.Broken(a, errors.New("completed without a video_url"))
		}
	case provider.Broken:
		c := v.complaint()
		judged := judge(0, c)
		judged.Param = "" // the order that the gateway's field belongs to is not here
		report.Failure = u.talk.Failure(judged, c, fmt.Errorf("task failed: %s", c.Message))
		report.Failure.RequestID = a.RequestID
	}

	return report, nil
}

// onlyPreview is a gateway that has no supplier of its own and answers with a
// stand-in: sold as a video it would be fraud.
func (u *uniall) onlyPreview() *provider.Failure {
	return u.talk.Failure(provider.Verdict{Class: provider.Locked, Fault: fault.CodeSupplier}, provider.Complaint{Code: "preview"},
		errors.New("the gateway makes previews only: configure a supplier there"))
}

func resultOf(v video) *provider.Result {
	r := &provider.Result{
		URL: v.link(), Prompt: string(v.Prompt), Size: strings.ReplaceAll(strings.ToLower(string(v.Size)), "x", "*"), Usage: v.usage(),
	}
	if begin, end := v.CreatedAt.Whole(), v.CompletedAt.Whole(); begin > 0 && end > begin && end < 1<<40 {
		r.Took = (end - begin) * 1000
	}

	return r
}

// Cancel wishes a task away (Unireel's POST /v1/videos/{id}/cancel). A gateway
// that has asked its own supplier and not heard yet is asked again later.
func (u *uniall) Cancel(ctx context.Context, t provider.Ticket) (bool, error) {
	v, a, f := u.ask(ctx, http.MethodPost, t, "/cancel")
	if f != nil {
		switch a.Status {
		case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusConflict, http.StatusNotImplemented:
			return false, nil // it has no cancels, or not for this one
		}

		return false, f
	}

	switch phases[v.Status] {
	case provider.Stopped:
		return true, nil
	case provider.Waiting, provider.Rendering:
		if v.CancelAt != "" && !v.warns("cancel_refused") {
			return false, u.talk.Broken(a, errors.New("the gateway has not heard from its own supplier yet"))
		}
	}

	return false, nil
}
