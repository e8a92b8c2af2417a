package wavespeed

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/unireel/unireel/internal/provider"
)

// phases are the supplier's states ("get-result").
var phases = map[provider.Text]provider.Phase{
	"created":    provider.Waiting,
	"processing": provider.Rendering,
	"completed":  provider.Rendered,
	"failed":     provider.Broken,
}

// Poll asks how a prediction stands. The supplier tells no progress, and does not
// repeat the prompt.
func (w *wavespeed) Poll(ctx context.Context, t provider.Ticket) (provider.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, w.queryTimeout)
	defer cancel()

	r, err := w.talk.Request(ctx, http.MethodGet, "/api/v3/predictions/"+url.PathEscape(string(t))+"/result", nil)
	if err != nil {
		return provider.Report{}, w.unsent(err)
	}

	a, f := w.talk.Ask(r)
	if c, own := readComplaint(a.Body); own && c.Code == "404" && (a.Status == http.StatusNotFound || a.Status == http.StatusOK) {
		return provider.Report{Phase: provider.Unknown, Progress: -1}, nil
	}

	if f == nil {
		f = w.within(a)
	}

	if f != nil {
		return provider.Report{}, f
	}

	p, err := readPrediction(a.Body)
	if err != nil {
		return provider.Report{}, w.talk.Broken(a, err)
	}

	if p.ID != provider.Text(t) {
		return provider.Report{}, w.talk.Broken(a, errors.New("the answer is about another prediction"))
	}

	phase, known := phases[p.Status]
	if !known {
		return provider.Report{}, w.talk.Broken(a, fmt.Errorf("unknown status %q", p.Status))
	}

	report := provider.Report{Phase: phase, Progress: -1}
	switch phase {
	case provider.Rendered:
		report.Result = &provider.Result{URL: p.Outputs.first(), ExpiresAt: p.until(w.talk.Now())}
		if report.Result.URL == "" {
			return provider.Report{}, w.talk.Broken(a, errors.New("completed without an output"))
		}
	case provider.Broken:
		c := provider.Complaint{Code: string(p.Code), Message: string(p.Error)}
		report.Failure = w.talk.Failure(judge(0, c), c, fmt.Errorf("prediction failed: %s", c.Message))
		report.Failure.RequestID = a.RequestID
	}

	return report, nil
}
