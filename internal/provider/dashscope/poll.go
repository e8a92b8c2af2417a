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

// phases are the supplier's states ("query task result").
var phases = map[text]provider.Phase{
	"PENDING":   provider.Waiting,
	"SUSPENDED": provider.Waiting,
	"RUNNING":   provider.Rendering,
	"SUCCEEDED": provider.Rendered,
	"FAILED":    provider.Broken,
	"CANCELED":  provider.Stopped,
	"UNKNOWN":   provider.Unknown,
}

// resultLife is how long a result's link works ("video_url is valid for 24
// hours").
const resultLife = 24 * time.Hour

// Poll asks how a task stands. The supplier tells no progress.
func (d *dashscope) Poll(ctx context.Context, t provider.Ticket) (provider.Report, error) {
	x, f := d.ask(ctx, http.MethodGet, d.tasksPath+"/"+url.PathEscape(string(t)))
	if f != nil {
		return provider.Report{}, f
	}

	a, err := readAnswer(x.Body)
	if err != nil {
		return provider.Report{}, d.broken(x, err)
	}

	if a.Output.TaskID != text(t) {
		return provider.Report{}, d.broken(x, errors.New("the answer is about another task"))
	}

	phase, known := phases[a.Output.Status]
	if !known {
		return provider.Report{}, d.broken(x, fmt.Errorf("unknown task_status %q", a.Output.Status))
	}

	report := provider.Report{Phase: phase, Progress: -1, Prompt: string(a.Output.OrigPrompt)}
	switch phase {
	case provider.Rendered:
		report.Result = d.result(a)
		if report.Result.URL == "" {
			return provider.Report{}, d.broken(x, errors.New("succeeded without a video_url"))
		}
	case provider.Broken:
		c := provider.Complaint{Code: string(a.Output.Code), Message: string(a.Output.Message), RequestID: string(either(a.RequestID, text(x.RequestID)))}
		report.Failure = d.talk.Failure(d.talk.Judge(0, c), c, fmt.Errorf("task failed: %s", c.Message))
	}

	return report, nil
}

// result reads where the video is and what is billed.
func (d *dashscope) result(a answer) *provider.Result {
	r := &provider.Result{URL: string(a.Output.VideoURL), Prompt: string(a.Output.OrigPrompt)}
	for _, one := range a.Output.Results {
		if r.URL == "" {
			r.URL = string(one.VideoURL)
		}
	}

	end, ok := readTime(a.Output.EndTime)
	if begin, told := readTime(a.Output.SubmitTime); ok && told && end.After(begin) {
		r.Took = end.Sub(begin).Milliseconds()
	}

	if !ok {
		end = d.talk.Now()
	}

	r.ExpiresAt = end.Add(resultLife).UnixMilli()
	if u, err := url.Parse(r.URL); err == nil {
		if seconds, err := strconv.ParseInt(u.Query().Get("Expires"), 10, 64); err == nil && seconds > 0 && seconds < 1<<40 {
			r.ExpiresAt = seconds * 1000
		}
	}

	if a.Usage != nil {
		r.Size = strings.ReplaceAll(strings.ToLower(string(a.Usage.Size)), "x", "*")
		r.Usage = billed(*a.Usage)
	}

	return r
}

// billed reads usage; nil when it does not tell what is billed. duration is the
// figure that counts; it is the sum of the other two.
func billed(u usage) *provider.Usage {
	all, told := u.Duration.Millis()
	in, _ := u.Input.Millis()

	out, toldOut := u.Output.Millis()
	if !told && !toldOut {
		out, toldOut = u.Clip.Millis()
	}

	switch {
	case told && !toldOut:
		out = max(all-in, 0)
	case !told && toldOut:
		all = in + out
	case !told:
		return nil
	}

	return &provider.Usage{Billed: all, Input: in, Output: out}
}

// Cancel stops a PENDING task; a running one cannot be stopped.
func (d *dashscope) Cancel(ctx context.Context, t provider.Ticket) (bool, error) {
	_, f := d.ask(ctx, http.MethodPost, d.tasksPath+"/"+url.PathEscape(string(t))+"/cancel")
	switch {
	case f == nil:
		return true, nil
	case f.Code == "UnsupportedOperation":
		return false, nil
	default:
		return false, f
	}
}
