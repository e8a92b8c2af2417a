package wavespeed

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
)

// The classifications of the supplier's errors.
var (
	transientError = provider.Classification{Class: provider.Transient, Fault: fault.CodeSupplierFailed}
	timedOut       = provider.Classification{
		Class:         provider.Transient,
		MayBeAccepted: true,
		Fault:         fault.CodeSupplierFailed,
	}
	accountBlocked = provider.Classification{Class: provider.AccountBlocked, Fault: fault.CodeSupplierFailed}
	modelBlocked   = provider.Classification{
		Class:     provider.AccountBlocked,
		ModelOnly: true,
		Fault:     fault.CodeSupplierFailed,
	}
	invalidRequest = provider.Classification{Class: provider.InvalidRequest, Fault: fault.CodeSupplierRejected}
	unreachable    = provider.Classification{Class: provider.InvalidRequest, Fault: fault.CodeReferenceUnreachable}
	badReference   = provider.Classification{Class: provider.InvalidRequest, Fault: fault.CodeReferenceInvalid}
	moderated      = provider.Classification{Class: provider.InvalidRequest, Fault: fault.CodeContentRejected}
)

// classifications is what the supplier's codes mean ("error-codes"): HTTP statuses in
// the envelope, numbers from 1000 in a failed prediction.
var classifications = map[string]provider.Classification{
	"1200": moderated,      // content moderation
	"1400": invalidRequest, // missing parameter
	"1401": invalidRequest, // invalid parameter
	"1402": unreachable,    // media access failed
	"1403": transientError, // task execution failed, for any reason
	"1405": transientError, // task failed, for any reason
	"5000": transientError, // internal error
	"5003": transientError, // service unavailable
	"5004": timedOut,       // timeout
	"413":  badReference,   // an upload that is too large
	"415":  badReference,   // an upload of an unsupported type
}

// messageClassifications covers what a message says and its code does not, in
// lower case; the first phrase that the message contains applies.
var messageClassifications = []struct {
	part           string
	classification provider.Classification
}{
	{"insufficient credit", accountBlocked},
	{"insufficient balance", accountBlocked},
	{"top up", accountBlocked},
	{"sensitive", moderated},
	{"moderation", moderated},
	{"nsfw", moderated},
	{"inappropriate", moderated},
	{"failed to download", unreachable},
	{"unable to access", unreachable},
	{"product not found", modelBlocked},
	{"model not found", modelBlocked},
}

// classify finds the classification for a code and its message. status is the HTTP
// status of the response, 0 for a failed prediction; it decides for a code that is
// neither in the table nor a status. When the classification is only a general one
// (it failed, or the request is invalid), the message may make it more specific.
func classify(status int, errBody provider.ErrorBody) provider.Classification {
	v, known := classifications[errBody.Code]
	if !known {
		if n, err := strconv.Atoi(errBody.Code); err == nil && n >= 400 && n < 600 && status != 0 {
			status = n
		}

		v = provider.ClassifyStatus(status)
		v.ModelOnly = status == http.StatusNotFound
	}

	if v != transientError && v != invalidRequest {
		return v
	}

	message := strings.ToLower(errBody.Message)
	for _, row := range messageClassifications {
		if strings.Contains(message, row.part) {
			return row.classification
		}
	}

	return v
}
