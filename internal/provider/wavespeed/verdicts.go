package wavespeed

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
)

// The verdicts that the supplier's errors come down to.
var (
	failed       = provider.Verdict{Class: provider.Passing, Fault: fault.CodeSupplier}
	timedOut     = provider.Verdict{Class: provider.Passing, Unsure: true, Fault: fault.CodeSupplier}
	shut         = provider.Verdict{Class: provider.Locked, Fault: fault.CodeSupplier}
	modelShut    = provider.Verdict{Class: provider.Locked, ModelOnly: true, Fault: fault.CodeSupplier}
	rejected     = provider.Verdict{Class: provider.Refused, Fault: fault.CodeRefused}
	unreachable  = provider.Verdict{Class: provider.Refused, Fault: fault.CodeUnreachable}
	badReference = provider.Verdict{Class: provider.Refused, Fault: fault.CodeBadReference}
	moderated    = provider.Verdict{Class: provider.Refused, Fault: fault.CodeModerated}
)

// verdicts is what the supplier's codes mean ("error-codes"): HTTP statuses in
// the envelope, numbers from 1000 in a failed prediction.
var verdicts = map[string]provider.Verdict{
	"1200": moderated,    // content moderation
	"1400": rejected,     // missing parameter
	"1401": rejected,     // invalid parameter
	"1402": unreachable,  // media access failed
	"1403": failed,       // task execution failed: of any reason
	"1405": failed,       // task failed: of any reason
	"5000": failed,       // internal error
	"5003": failed,       // service unavailable
	"5004": timedOut,     // timeout
	"413":  badReference, // an upload that is too large
	"415":  badReference, // an upload of another type
}

// said is what a message tells that its code does not, in lower case; the first
// that is part of it wins.
var said = []struct {
	part    string
	verdict provider.Verdict
}{
	{"insufficient credit", shut},
	{"insufficient balance", shut},
	{"top up", shut},
	{"sensitive", moderated},
	{"moderation", moderated},
	{"nsfw", moderated},
	{"inappropriate", moderated},
	{"failed to download", unreachable},
	{"unable to access", unreachable},
	{"product not found", modelShut},
	{"model not found", modelShut},
}

// judge finds the verdict on a code and its message. status is the HTTP status it
// came with, 0 in a failed prediction; it decides for a code that is neither ours
// nor a status. Where the verdict is only that it failed, or that the request is
// wrong, the message may say more.
func judge(status int, c provider.Complaint) provider.Verdict {
	v, known := verdicts[c.Code]
	if !known {
		if n, err := strconv.Atoi(c.Code); err == nil && n >= 400 && n < 600 && status != 0 {
			status = n
		}

		v = provider.ByStatus(status)
		v.ModelOnly = status == http.StatusNotFound
	}

	if v != failed && v != rejected {
		return v
	}

	message := strings.ToLower(c.Message)
	for _, s := range said {
		if strings.Contains(message, s.part) {
			return s.verdict
		}
	}

	return v
}
