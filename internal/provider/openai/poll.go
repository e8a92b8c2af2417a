package openai

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/unireel/unireel/internal/provider"
)

// phases are the states of OpenAI ("the video object"), of SGLang and of other
// servers of the API.
var phases = map[text]provider.Phase{
	"queued":      provider.Waiting,
	"pending":     provider.Waiting,
	"in_progress": provider.Rendering,
	"processing":  provider.Rendering,
	"running":     provider.Rendering,
	"completed":   provider.Rendered,
	"succeeded":   provider.Rendered,
	"failed":      provider.Broken,
	"error":       provider.Broken,
	"deleted":     provider.Stopped,
	"cancelled":   provider.Stopped,
	"canceled":    provider.Stopped,
	"expired":     provider.Unknown,
}

func (p *openai) path(t provider.Ticket) string {
	return p.videosPath + "/" + url.PathEscape(string(t))
}

// ask is one call about a ticket. The video is nil where the server does not
// know the ticket.
func (p *openai) ask(ctx context.Context, method string, t provider.Ticket) (*video, provider.Answer, *provider.Failure) {
	ctx, cancel := context.WithTimeout(ctx, p.queryTimeout)
	defer cancel()

	r, err := p.talk.Request(ctx, method, p.path(t), nil)
	if err != nil {
		return nil, provider.Answer{}, p.talk.Broken(provider.Answer{}, err)
	}

	a, f := p.talk.Ask(r)
	if f != nil {
		if _, own := readComplaint(a.Body); own && a.Status == http.StatusNotFound {
			return nil, a, nil
		}

		return nil, a, f
	}

	v, err := readVideo(a.Body)
	if err != nil {
		return nil, a, p.talk.Broken(a, err)
	}

	if v.ID != text(t) {
		return nil, a, p.talk.Broken(a, errors.New("the answer is about another video"))
	}

	return &v, a, nil
}

// Poll asks how a video stands ("retrieve video").
func (p *openai) Poll(ctx context.Context, t provider.Ticket) (provider.Report, error) {
	v, a, f := p.ask(ctx, http.MethodGet, t)
	if f != nil {
		return provider.Report{}, f
	}

	if v == nil {
		if p.gone(t) {
			return provider.Report{Phase: provider.Stopped, Progress: -1}, nil
		}

		return provider.Report{Phase: provider.Unknown, Progress: -1}, nil
	}

	phase, known := phases[v.Status]
	if !known {
		return provider.Report{}, p.talk.Broken(a, fmt.Errorf("unknown status %q", v.Status))
	}

	report := provider.Report{Phase: phase, Progress: -1, Prompt: string(v.Prompt)}
	switch phase {
	case provider.Rendering:
		report.Progress = progressOf(v.Progress)
	case provider.Rendered:
		report.Result = p.result(*v)
	case provider.Broken:
		c := v.complaint()
		if c.Code == "cancelled" { // how a gateway says it that keeps to OpenAI's states
			report.Phase = provider.Stopped
			break
		}

		judged := judge(0, c)
		judged.Param = "" // the order that the server's field belongs to is not here
		report.Failure = p.talk.Failure(judged, c, fmt.Errorf("video failed: %s", c.Message))
		report.Failure.RequestID = a.RequestID
	}

	return report, nil
}

// progressOf is -1 at 0 too: most servers know no more than that it began.
func progressOf(t text) int {
	n := min(t.Whole(), 99)
	if n <= 0 {
		return -1
	}

	return int(n)
}

// result is where the video is: where the server says, else its content ("retrieve
// video content").
func (p *openai) result(v video) *provider.Result {
	r := &provider.Result{
		URL: p.talk.Origin + p.path(provider.Ticket(v.ID)) + "/content", Prompt: string(v.Prompt),
		Size: strings.ReplaceAll(strings.ToLower(string(v.Size)), "x", "*"),
	}
	for _, one := range []text{v.URL, v.VideoURL} {
		if u, err := url.Parse(string(one)); err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http") {
			r.URL = string(one)
			break
		}
	}

	const latest = 1 << 40 // seconds: beyond it a number is no time
	if at := v.ExpiresAt.Whole(); at > 0 && at < latest {
		r.ExpiresAt = at * 1000
	}

	if begin, end := v.CreatedAt.Whole(), v.CompletedAt.Whole(); begin > 0 && end > begin && end < latest {
		r.Took = (end - begin) * 1000
	}

	return r
}

// Cancel deletes a video that is not finished ("delete video"). Some servers
// render on and only forget it; a finished one is left alone, since deleting it
// would lose the file.
func (p *openai) Cancel(ctx context.Context, t provider.Ticket) (bool, error) {
	v, _, f := p.ask(ctx, http.MethodGet, t)
	if f != nil {
		return false, f
	}

	if v == nil {
		return p.gone(t), nil
	}

	switch phases[v.Status] {
	case provider.Waiting, provider.Rendering:
	case provider.Stopped:
		return true, nil
	default:
		return false, nil
	}

	v, a, f := p.ask(ctx, http.MethodDelete, t)
	if f != nil {
		return p.deletedAnyhow(t, a, f)
	}
	// vLLM reads the video again and keeps one that was finished meanwhile.
	if v == nil || v.Deleted == "false" || v.Deleted == "" && phases[v.Status] == provider.Rendered {
		return false, nil
	}

	p.remember(t)

	return true, nil
}

// deletedAnyhow reads the answers to a delete that carry no video: an empty body
// is a yes, and that it cannot be done is a no.
func (p *openai) deletedAnyhow(t provider.Ticket, a provider.Answer, f *provider.Failure) (bool, error) {
	switch a.Status {
	case http.StatusOK, http.StatusAccepted, http.StatusNoContent:
		if len(a.Body) > 0 {
			return false, f
		}

		p.remember(t)

		return true, nil
	case http.StatusBadRequest, http.StatusConflict, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return false, nil
	default:
		return false, f
	}
}

// mostDeleted bounds what is remembered of deleted videos: polls end soon after.
const mostDeleted = 1000

func (p *openai) remember(t provider.Ticket) {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.deleted = append(p.deleted, t)
	if len(p.deleted) > mostDeleted {
		p.deleted = slices.Delete(p.deleted, 0, len(p.deleted)-mostDeleted)
	}
}

func (p *openai) gone(t provider.Ticket) bool {
	p.mu.Lock()
	defer p.mu.Unlock()

	return slices.Contains(p.deleted, t)
}
