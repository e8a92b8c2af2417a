package fal

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/unireel/unireel/internal/provider"
)

// Poll reads the state of a request ("get queue status") and, when it is
// completed, its outcome: only the outcome says whether it failed.
func (f *fal) Poll(ctx context.Context, id provider.RemoteID) (provider.Report, error) {
	handle, ok := parseRemoteID(id)
	if !ok {
		return phaseReport(provider.Unknown), nil
	}

	resp, failure := f.query(ctx, http.MethodGet, handle.statusPath)
	if isUnknownRequest(resp) {
		return phaseReport(provider.Unknown), nil
	}

	if failure != nil {
		return provider.Report{}, failure
	}

	s, err := readStatus(resp.Body)
	if err != nil {
		return provider.Report{}, f.client.TransientFailure(resp, err)
	}

	if s.ID != "" && string(s.ID) != handle.id {
		return provider.Report{}, f.client.TransientFailure(resp, errors.New("the response is about another request"))
	}

	switch {
	case s.Status == "IN_QUEUE":
		return phaseReport(provider.Queued), nil
	case s.Status == "IN_PROGRESS":
		return phaseReport(provider.Rendering), nil
	case s.Status == "CANCELLED", s.Status == "CANCELED", s.ErrorType == errorTypeCancelled:
		return phaseReport(provider.Cancelled), nil
	case s.Status == "COMPLETED", s.Status == "FAILED", s.Status == "ERROR":
		return f.fetchOutcome(ctx, handle)
	}

	return provider.Report{}, f.client.TransientFailure(resp, fmt.Errorf("unknown status %q", s.Status))
}

// fetchOutcome reads the outcome of a completed request. A failed one responds
// with the status and body of its model. An error from elsewhere (the key,
// throttling, a proxy) says nothing about the request.
func (f *fal) fetchOutcome(ctx context.Context, handle requestHandle) (provider.Report, error) {
	resp, failure := f.query(ctx, http.MethodGet, handle.resultPath)
	if failure == nil {
		address, err := readResult(resp.Body)
		if err != nil {
			return provider.Report{}, f.client.TransientFailure(resp, err)
		}

		report := phaseReport(provider.Rendered)
		report.Result = &provider.Result{URL: address}

		return report, nil
	}

	errBody, own := readError(resp.Body)

	_, known := classifications[errBody.Code]
	switch {
	case own && errBody.Code == errorTypeCancelled:
		return phaseReport(provider.Cancelled), nil
	case isUnknownRequest(resp):
		return phaseReport(provider.Unknown), nil
	case !own, !known && !isModelError(resp.Status, errBody):
		return provider.Report{}, failure
	case strings.Contains(strings.ToLower(errBody.Message), "still in progress"):
		return phaseReport(provider.Rendering), nil
	}

	report := phaseReport(provider.Failed)
	report.Failure = failure

	return report, nil
}

// isModelError reports whether an error of an unknown type came from the model: an
// invalid request, or a failure with a type.
func isModelError(status int, errBody provider.ErrorBody) bool {
	switch status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return true
	}

	return status >= http.StatusInternalServerError && errBody.Code != ""
}

// phaseReport is a report of the phase only: the supplier reports no progress and
// does not repeat the prompt.
func phaseReport(phase provider.Phase) provider.Report {
	return provider.Report{Phase: phase, Progress: -1}
}

// isUnknownRequest reports whether the supplier itself does not know the request,
// or no longer.
func isUnknownRequest(resp provider.Response) bool {
	errBody, own := readError(resp.Body)
	return resp.Status == http.StatusNotFound && own && errBody.Code == ""
}
