package fal

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/unireel/unireel/internal/provider"
)

// Cancel asks the supplier to stop an order ("cancel a request"). One that waits
// is removed; one that runs is only given a signal, which its model may not heed.
// So after a promise to try, the order's own state decides: it is stopped, or it
// runs on.
func (f *fal) Cancel(ctx context.Context, t provider.Ticket) (bool, error) {
	ours, ok := readTicket(t)
	if !ok {
		return false, nil
	}

	a, no := f.ask(ctx, http.MethodPut, ours.cancel)
	switch readCancel(a.Body) {
	case "ALREADY_COMPLETED", "NOT_FOUND":
		return false, nil
	case "OK", "CANCELLATION_REQUESTED":
		report, err := f.Poll(ctx, t)
		return err == nil && (report.Phase == provider.Stopped || report.Phase == provider.Unknown), err
	}

	switch {
	case nobody(a):
		return false, nil
	case no == nil:
		no = f.talk.Broken(a, errors.New("the answer to a cancel says nothing that is known"))
	}

	return false, no
}

// readCancel is the supplier's word on a cancel, "" when it says none.
func readCancel(b []byte) string {
	var c struct {
		Status provider.Text `json:"status"`
	}
	if json.Unmarshal(b, &c) != nil {
		return ""
	}

	return string(c.Status)
}
