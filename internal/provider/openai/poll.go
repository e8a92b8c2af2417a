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

// phases maps the states of OpenAI ("the video object"), of SGLang and of other
// servers of the API.
var phases = map[text]provider.Phase{
	"queued":      provider.Queued,
	"pending":     provider.Queued,
	"in_progress": provider.Rendering,
	"processing":  provider.Rendering,
	"running":     provider.Rendering,
	"completed":   provider.Rendered,
	"succeeded":   provider.Rendered,
	"failed":      provider.Failed,
	"error":       provider.Failed,
	"deleted":     provider.Cancelled,
	"cancelled":   provider.Cancelled,
	"canceled":    provider.Cancelled,
	"expired":     provider.Unknown,
}

func (p *openai) videoPath(id provider.RemoteID) string {
	return p.videosPath + "/" + url.PathEscape(string(id))
}

// query sends one request about a remote task. The video is nil when the server
// does not know the remote ID.
func (p *openai) query(ctx context.Context, method string, id provider.RemoteID) (*video, provider.Response, *provider.Failure) {
	ctx, cancel := context.WithTimeout(ctx, p.queryTimeout)
	defer cancel()

	r, err := p.client.NewRequest(ctx, method, p.videoPath(id), nil)
	if err != nil {
		return nil, provider.Response{}, p.client.TransientFailure(provider.Response{}, err)
	}

	resp, f := p.client.Do(r)
	if f != nil {
		if _, own := readError(resp.Body); own && resp.Status == http.StatusNotFound {
			return nil, resp, nil
		}

		return nil, resp, f
	}

	v, err := readVideo(resp.Body)
	if err != nil {
		return nil, resp, p.client.TransientFailure(resp, err)
	}

	if v.ID != text(id) {
		return nil, resp, p.client.TransientFailure(resp, errors.New("the response is about another video"))
	}

	return &v, resp, nil
}

// Poll reports the state of a video ("retrieve video").
func (p *openai) Poll(ctx context.Context, id provider.RemoteID) (provider.Report, error) {
	v, resp, f := p.query(ctx, http.MethodGet, id)
	if f != nil {
		return provider.Report{}, f
	}

	if v == nil {
		if p.wasDeleted(id) {
			return provider.Report{Phase: provider.Cancelled, Progress: -1}, nil
		}

		return provider.Report{Phase: provider.Unknown, Progress: -1}, nil
	}

	phase, known := phases[v.Status]
	if !known {
		return provider.Report{}, p.client.TransientFailure(resp, fmt.Errorf("unknown status %q", v.Status))
	}

	report := provider.Report{Phase: phase, Progress: -1, Prompt: string(v.Prompt)}
	switch phase {
	case provider.Rendering:
		report.Progress = progressOf(v.Progress)
	case provider.Rendered:
		report.Result = p.result(*v)
	case provider.Failed:
		errBody := v.errorBody()
		if errBody.Code == "cancelled" { // from a gateway that uses OpenAI's states only
			report.Phase = provider.Cancelled
			break
		}

		classification := classify(0, errBody)
		classification.Param = "" // the submission that the server's field belongs to is not known here
		report.Failure = p.client.NewFailure(classification, errBody, fmt.Errorf("video failed: %s", errBody.Message))
		report.Failure.RequestID = resp.RequestID
	}

	return report, nil
}

// progressOf returns -1 for 0 too: most servers report 0 until the video is
// complete.
func progressOf(t text) int {
	n := min(t.Int64(), 99)
	if n <= 0 {
		return -1
	}

	return int(n)
}

// result returns where the video is: the URL that the server reports, else its
// content endpoint ("retrieve video content").
func (p *openai) result(v video) *provider.Result {
	r := &provider.Result{
		URL: p.client.Origin + p.videoPath(provider.RemoteID(v.ID)) + "/content", Prompt: string(v.Prompt),
		Size: strings.ReplaceAll(strings.ToLower(string(v.Size)), "x", "*"),
	}
	for _, link := range []text{v.URL, v.VideoURL} {
		if u, err := url.Parse(string(link)); err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http") {
			r.URL = string(link)
			break
		}
	}

	const latest = 1 << 40 // seconds: a larger number is not a time
	if at := v.ExpiresAt.Int64(); at > 0 && at < latest {
		r.ExpiresAt = at * 1000
	}

	if begin, end := v.CreatedAt.Int64(), v.CompletedAt.Int64(); begin > 0 && end > begin && end < latest {
		r.DurationMillis = (end - begin) * 1000
	}

	return r
}

// Cancel deletes a video that is not finished ("delete video"). Some servers only
// forget the video and continue to render it. A finished video is left alone,
// since deleting it would lose the file.
func (p *openai) Cancel(ctx context.Context, id provider.RemoteID) (bool, error) {
	v, _, f := p.query(ctx, http.MethodGet, id)
	if f != nil {
		return false, f
	}

	if v == nil {
		return p.wasDeleted(id), nil
	}

	switch phases[v.Status] {
	case provider.Queued, provider.Rendering:
	case provider.Cancelled:
		return true, nil
	default:
		return false, nil
	}

	v, resp, f := p.query(ctx, http.MethodDelete, id)
	if f != nil {
		return p.deletedWithoutVideo(id, resp, f)
	}
	// vLLM reads the video again and keeps one that was finished in the meantime.
	if v == nil || v.Deleted == "false" || v.Deleted == "" && phases[v.Status] == provider.Rendered {
		return false, nil
	}

	p.rememberDeleted(id)

	return true, nil
}

// deletedWithoutVideo reads the responses to a delete that carry no video: an
// empty body means deleted, an error about an impossible operation means not
// deleted.
func (p *openai) deletedWithoutVideo(id provider.RemoteID, resp provider.Response, f *provider.Failure) (bool, error) {
	switch resp.Status {
	case http.StatusOK, http.StatusAccepted, http.StatusNoContent:
		if len(resp.Body) > 0 {
			return false, f
		}

		p.rememberDeleted(id)

		return true, nil
	case http.StatusBadRequest, http.StatusConflict, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return false, nil
	default:
		return false, f
	}
}

// maxDeleted is how many deleted videos are remembered; polls of a deleted video
// end soon.
const maxDeleted = 1000

func (p *openai) rememberDeleted(id provider.RemoteID) {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.deleted = append(p.deleted, id)
	if len(p.deleted) > maxDeleted {
		p.deleted = slices.Delete(p.deleted, 0, len(p.deleted)-maxDeleted)
	}
}

func (p *openai) wasDeleted(id provider.RemoteID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()

	return slices.Contains(p.deleted, id)
}
