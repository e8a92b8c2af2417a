package wavespeed

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/unireel/unireel/internal/provider"
)

// phases maps the supplier's states ("get-result").
var phases = map[provider.Text]provider.Phase{
	"created":    provider.Queued,
	"processing": provider.Rendering,
	"completed":  provider.Rendered,
	"failed":     provider.Failed,
}

// Poll reports the state of a prediction. The supplier reports no progress and
// does not repeat the prompt.
func (w *wavespeed) Poll(ctx context.Context, id provider.RemoteID) (provider.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, w.queryTimeout)
	defer cancel()

	r, err := w.client.NewRequest(ctx, http.MethodGet, "/api/v3/predictions/"+url.PathEscape(string(id))+"/result", nil)
	if err != nil {
		return provider.Report{}, w.notSent(err)
	}

	resp, f := w.client.Do(r)
	if errBody, own := readError(resp.Body); own && errBody.Code == "404" && (resp.Status == http.StatusNotFound || resp.Status == http.StatusOK) {
		return provider.Report{Phase: provider.Unknown, Progress: -1}, nil
	}

	if f == nil {
		f = w.embeddedFailure(resp)
	}

	if f != nil {
		return provider.Report{}, f
	}

	p, err := readPrediction(resp.Body)
	if err != nil {
		return provider.Report{}, w.client.TransientFailure(resp, err)
	}

	if p.ID != provider.Text(id) {
		return provider.Report{}, w.client.TransientFailure(resp, errors.New("the response is about another prediction"))
	}

	phase, known := phases[p.Status]
	if !known {
		return provider.Report{}, w.client.TransientFailure(resp, fmt.Errorf("unknown status %q", p.Status))
	}

	report := provider.Report{Phase: phase, Progress: -1}
	switch phase {
	case provider.Rendered:
		report.Result = &provider.Result{URL: p.Outputs.firstNonEmpty(), ExpiresAt: p.expiresAt(w.client.Now())}
		if report.Result.URL == "" {
			return provider.Report{}, w.client.TransientFailure(resp, errors.New("completed without an output"))
		}
	case provider.Failed:
		errBody := provider.ErrorBody{Code: string(p.Code), Message: string(p.Error)}
		report.Failure = w.client.NewFailure(classify(0, errBody), errBody, fmt.Errorf("prediction failed: %s", errBody.Message))
		report.Failure.RequestID = resp.RequestID
	}

	return report, nil
}
