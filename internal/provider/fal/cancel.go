package fal

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/unireel/unireel/internal/provider"
)

// Cancel asks the supplier to cancel a request ("cancel a request"). A queued
// request is removed; a running one only gets a signal, which its model may
// ignore. So after the supplier has agreed to try, the request's own state decides
// whether it was cancelled or runs on.
func (f *fal) Cancel(ctx context.Context, id provider.RemoteID) (bool, error) {
	handle, ok := parseRemoteID(id)
	if !ok {
		return false, nil
	}

	resp, failure := f.query(ctx, http.MethodPut, handle.cancelPath)
	switch readCancelStatus(resp.Body) {
	case "ALREADY_COMPLETED", "NOT_FOUND":
		return false, nil
	case "OK", "CANCELLATION_REQUESTED":
		report, err := f.Poll(ctx, id)
		return err == nil && (report.Phase == provider.Cancelled || report.Phase == provider.Unknown), err
	}

	switch {
	case isUnknownRequest(resp):
		return false, nil
	case failure == nil:
		failure = f.client.TransientFailure(resp, errors.New("the response to a cancel has no known status"))
	}

	return false, failure
}

// readCancelStatus reads the status of a cancel response, "" when there is none.
func readCancelStatus(b []byte) string {
	var c struct {
		Status provider.Text `json:"status"`
	}
	if json.Unmarshal(b, &c) != nil {
		return ""
	}

	return string(c.Status)
}
