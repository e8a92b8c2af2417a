package fal

import (
	"net/http"
	"strings"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
)

// kindCancelled is the reason of an order that was cancelled.
const kindCancelled = "client_cancelled"

// The verdicts that the supplier's errors come down to.
var (
	failed       = provider.Verdict{Class: provider.Passing, Fault: fault.CodeSupplier}
	shut         = provider.Verdict{Class: provider.Locked, Fault: fault.CodeSupplier}
	rejected     = provider.Verdict{Class: provider.Refused, Fault: fault.CodeRefused}
	unreachable  = provider.Verdict{Class: provider.Refused, Fault: fault.CodeUnreachable}
	badReference = provider.Verdict{Class: provider.Refused, Fault: fault.CodeBadReference}
	moderated    = provider.Verdict{Class: provider.Refused, Fault: fault.CodeModerated}
)

// verdicts is what the supplier's words for an error mean: a model's ("errors")
// and the queue's ("request-errors").
var verdicts = map[string]provider.Verdict{
	// What was sent.
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
	"bad_request":              rejected,
	"feature_not_supported":    rejected,
	"missing":                  rejected,
	"one_of":                   rejected,
	"sequence_too_long":        rejected,
	"sequence_too_short":       rejected,
	"string_too_long":          rejected,
	"value_error":              rejected,
	// Broken there, for now.
	"downstream_service_error":       failed,
	"downstream_service_unavailable": failed,
	"generation_timeout":             failed,
	"internal_error":                 failed,
	"internal_server_error":          failed,
	"no_media_generated":             failed,
	"request_timeout":                failed,
	"runner_connection_error":        failed,
	"runner_connection_refused":      failed,
	"runner_connection_timeout":      failed,
	"runner_disconnected":            failed,
	"runner_incomplete_response":     failed,
	"runner_scheduling_failure":      failed,
	"runner_server_error":            failed,
	"startup_timeout":                failed,
}

// late says whether an error, answered to an order, leaves open whether it was
// taken: time ran out somewhere behind the queue's door.
func late(code string) bool { return strings.HasSuffix(code, "_timeout") }

// judge finds the verdict on an error: by its kind, else by what its sentence
// says of money, else by the status it came with. Of an unknown kind (a model's
// checks have many) the status decides: 422 is a request that is wrong.
func judge(status int, c provider.Complaint) provider.Verdict {
	v := meant(status, c)
	v.Unsure = late(c.Code)

	return v
}

func meant(status int, c provider.Complaint) provider.Verdict {
	if v, known := verdicts[c.Code]; known {
		return v
	}

	message := strings.ToLower(c.Message)
	if strings.Contains(message, "exhausted balance") || strings.Contains(message, "user is locked") {
		return shut
	}

	v := provider.ByStatus(status)
	v.ModelOnly = status == http.StatusNotFound

	return v
}
