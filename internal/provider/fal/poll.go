package fal

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/unireel/unireel/internal/provider"
)

// Poll asks how an order stands ("get queue status"), and when it is completed,
// what came of it: only that answer tells whether it failed.
func (f *fal) Poll(ctx context.Context, t provider.Ticket) (provider.Report, error) {
	ours, ok := readTicket(t)
	if !ok {
		return told(provider.Unknown), nil
	}

	a, no := f.ask(ctx, http.MethodGet, ours.status)
	if nobody(a) {
		return told(provider.Unknown), nil
	}

	if no != nil {
		return provider.Report{}, no
	}

	s, err := readStanding(a.Body)
	if err != nil {
		return provider.Report{}, f.talk.Broken(a, err)
	}

	if s.ID != "" && string(s.ID) != ours.id {
		return provider.Report{}, f.talk.Broken(a, errors.New("the answer is about another request"))
	}

	switch {
	case s.Status == "IN_QUEUE":
		return told(provider.Waiting), nil
	case s.Status == "IN_PROGRESS":
		return told(provider.Rendering), nil
	case s.Status == "CANCELLED", s.Status == "CANCELED", s.ErrorType == kindCancelled:
		return told(provider.Stopped), nil
	case s.Status == "COMPLETED", s.Status == "FAILED", s.Status == "ERROR":
		return f.outcome(ctx, ours)
	}

	return provider.Report{}, f.talk.Broken(a, fmt.Errorf("unknown status %q", s.Status))
}

// outcome asks what came of a completed order. A failed one answers with the
// status and the body that its model gave; an answer of the way there (the key,
// too many questions, something between us) says nothing about the order.
func (f *fal) outcome(ctx context.Context, ours ticket) (provider.Report, error) {
	a, no := f.ask(ctx, http.MethodGet, ours.response)
	if no == nil {
		address, err := readResponse(a.Body)
		if err != nil {
			return provider.Report{}, f.talk.Broken(a, err)
		}

		report := told(provider.Rendered)
		report.Result = &provider.Result{URL: address}

		return report, nil
	}

	c, own := readComplaint(a.Body)

	_, known := verdicts[c.Code]
	switch {
	case own && c.Code == kindCancelled:
		return told(provider.Stopped), nil
	case nobody(a):
		return told(provider.Unknown), nil
	case !own, !known && !ofModel(a.Status, c):
		return provider.Report{}, no
	case strings.Contains(strings.ToLower(c.Message), "still in progress"):
		return told(provider.Rendering), nil
	}

	report := told(provider.Broken)
	report.Failure = no

	return report, nil
}

// ofModel says whether an error of no known kind is what a model answered: an
// order that is wrong, or a breakdown that has a name.
func ofModel(status int, c provider.Complaint) bool {
	switch status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return true
	}

	return status >= http.StatusInternalServerError && c.Code != ""
}

// told is a report of a phase alone: the supplier tells no progress, and does not
// repeat the prompt.
func told(phase provider.Phase) provider.Report {
	return provider.Report{Phase: phase, Progress: -1}
}

// nobody says whether the supplier itself does not know the order (any more).
func nobody(a provider.Answer) bool {
	c, own := readComplaint(a.Body)
	return a.Status == http.StatusNotFound && own && c.Code == ""
}
