package fal

import (
	"net/http"
	"strings"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
)

// errorTypeCancelled is the error type of a cancelled request.
const errorTypeCancelled = "client_cancelled"

// The classifications of the supplier's errors.
var (
	transientError = provider.Classification{Class: provider.Transient, Fault: fault.CodeSupplierFailed}
	accountBlocked = provider.Classification{Class: provider.AccountBlocked, Fault: fault.CodeSupplierFailed}
	invalidRequest = provider.Classification{Class: provider.InvalidRequest, Fault: fault.CodeSupplierRejected}
	unreachable    = provider.Classification{Class: provider.InvalidRequest, Fault: fault.CodeReferenceUnreachable}
	badReference   = provider.Classification{Class: provider.InvalidRequest, Fault: fault.CodeReferenceInvalid}
	moderated      = provider.Classification{Class: provider.InvalidRequest, Fault: fault.CodeContentRejected}
)

// classifications is what the supplier's words for an error mean: a model's ("errors")
// and the queue's ("request-errors").
var classifications = map[string]provider.Classification{
	// The request is wrong.
	"content_policy_violation": moderated,
	"file_download_error":      unreachable,
	"file_too_large":           badReference,
	"image_load_error":         badReference,
	"image_too_large":          badReference,
	"image_too_small":          badReference,
	"unsupported_image_format": badReference,
	"unsupported_video_format": badReference,
	"video_duration_too_long":  badReference,
	"video_duration_too_short": badReference,
	"invalid_fps":              badReference,
	"bad_request":              invalidRequest,
	"feature_not_supported":    invalidRequest,
	"missing":                  invalidRequest,
	"one_of":                   invalidRequest,
	"sequence_too_long":        invalidRequest,
	"sequence_too_short":       invalidRequest,
	"string_too_long":          invalidRequest,
	"value_error":              invalidRequest,
	// Failures of the supplier, for the moment.
	"downstream_service_error":       transientError,
	"downstream_service_unavailable": transientError,
	"generation_timeout":             transientError,
	"internal_error":                 transientError,
	"internal_server_error":          transientError,
	"no_media_generated":             transientError,
	"request_timeout":                transientError,
	"runner_connection_error":        transientError,
	"runner_connection_refused":      transientError,
	"runner_connection_timeout":      transientError,
	"runner_disconnected":            transientError,
	"runner_incomplete_response":     transientError,
	"runner_scheduling_failure":      transientError,
	"runner_server_error":            transientError,
	"startup_timeout":                transientError,
}

// mayBeAccepted reports whether an error, as the response to a submission, leaves
// open whether it was accepted: the timeout may have occurred after the request
// was queued.
func mayBeAccepted(code string) bool { return strings.HasSuffix(code, "_timeout") }

// classify classifies an error by its type, else by what its message says about
// the balance, else by its status. For an unknown type (a model's checks have
// many) the status decides: 422 is an invalid request.
func classify(status int, errBody provider.ErrorBody) provider.Classification {
	v := classifyError(status, errBody)
	v.MayBeAccepted = mayBeAccepted(errBody.Code)

	return v
}

func classifyError(status int, errBody provider.ErrorBody) provider.Classification {
	if v, known := classifications[errBody.Code]; known {
		return v
	}

	message := strings.ToLower(errBody.Message)
	if strings.Contains(message, "exhausted balance") || strings.Contains(message, "user is locked") {
		return accountBlocked
	}

	v := provider.ClassifyStatus(status)
	v.ModelOnly = status == http.StatusNotFound

	return v
}
