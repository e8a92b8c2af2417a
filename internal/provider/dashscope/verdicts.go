package dashscope

import (
	"strings"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
)

// verdict is what one of the supplier's errors means to us. The same table
// serves refused calls and failed tasks ("error codes").
type verdict struct {
	status   int    // the HTTP status it is documented with; 0 when it never is one
	code     string // the supplier's; "X.*" is every code below X that has no row
	says     string // a lower-case part of its message; "" is any
	class    provider.Class
	mark     mark
	fault    fault.Code
	sentence string
}

// mark is what else is true of an error.
type mark uint8

const (
	plain     mark = iota
	unsure         // answered to a create, it leaves open whether a task exists
	modelOnly      // it is about the order's model: others of the account may work
)

// What customers are told. The supplier's own text goes to the log.
const (
	sentenceSupplier  = "The supplier could not make the video. Nothing was charged; create it again later."
	sentenceRefused   = "The supplier refused the request as it stands. Check the prompt, the references and the parameters against the model's page, and create it again."
	sentenceFetch     = "The supplier could not download a reference. Make sure that its address is public and answers quickly, or upload it by POST /v1/files."
	sentenceReference = "The supplier does not take a reference as it is: check its format, bytes, pixels and seconds against the model's page."
	sentenceModerated = "The supplier's content inspection refused the prompt, a reference or the result. Change what it may object to, and create it again."
	sentenceProperty  = "The supplier suspects that the prompt or a reference infringes somebody's rights. Change it, and create it again."
	sentenceWords     = "The prompt has no words in it. Say what the video shows, and create it again."
	sentenceSize      = "The supplier does not take this size for this model. Choose another of the model's sizes, and create it again."
)

// hints are what the operator is told beside the supplier's own text: in the log,
// never to a customer. A key of another region is refused as if it did not exist.
var hints = map[string]string{
	"InvalidApiKey": "a key works in its own region only, see that the upstream's region or base_url is the key's",
}

// verdicts is the table. For a code, the first row whose message part fits wins:
// rows with a message part stand before the row without.
var verdicts = []verdict{
	// Fetching references.
	{400, "InvalidParameter", "timed out", provider.Passing, plain, fault.CodeUnreachable, sentenceFetch},
	{400, "InvalidParameter", "failed to download", provider.Refused, plain, fault.CodeUnreachable, sentenceFetch},
	{400, "InvalidParameter", "unable to download", provider.Refused, plain, fault.CodeUnreachable, sentenceFetch},
	{400, "InvalidParameter", "failed to find the requested media", provider.Refused, plain, fault.CodeUnreachable, sentenceFetch},
	{400, "InvalidParameter", "authorization to access the media", provider.Refused, plain, fault.CodeUnreachable, sentenceFetch},
	{400, "InvalidParameter.DataInspection", "timed out", provider.Passing, plain, fault.CodeUnreachable, sentenceFetch},
	{400, "InvalidParameter.DataInspection", "media format", provider.Refused, plain, fault.CodeBadReference, sentenceReference},
	{400, "InvalidParameter.DataInspection", "", provider.Refused, plain, fault.CodeUnreachable, sentenceFetch},
	{400, "InvalidURL.Timeout", "", provider.Passing, plain, fault.CodeUnreachable, sentenceFetch},
	{400, "InvalidURL", "", provider.Refused, plain, fault.CodeUnreachable, sentenceFetch},
	{400, "InvalidURL.*", "", provider.Refused, plain, fault.CodeUnreachable, sentenceFetch},
	{400, "InvalidFile.DownloadFailed", "", provider.Refused, plain, fault.CodeUnreachable, sentenceFetch},
	{400, "BadRequest.InputDownloadFailed", "", provider.Refused, plain, fault.CodeUnreachable, sentenceFetch},
	// What the references are.
	{400, "InvalidParameter", "invalid video file", provider.Refused, plain, fault.CodeBadReference, sentenceReference},
	{400, "InvalidFile.*", "", provider.Refused, plain, fault.CodeBadReference, sentenceReference},
	{400, "InvalidImage.*", "", provider.Refused, plain, fault.CodeBadReference, sentenceReference},
	{400, "InvalidImageResolution", "", provider.Refused, plain, fault.CodeBadReference, sentenceReference},
	{400, "InvalidImageFormat", "", provider.Refused, plain, fault.CodeBadReference, sentenceReference},
	// Content inspection.
	{400, "DataInspectionFailed", "", provider.Refused, plain, fault.CodeModerated, sentenceModerated},
	{400, "data_inspection_failed", "", provider.Refused, plain, fault.CodeModerated, sentenceModerated},
	{400, "IPInfringementSuspect", "", provider.Refused, plain, fault.CodeModerated, sentenceProperty},
	// The request itself.
	{400, "InvalidParameter", "model not exist", provider.Locked, modelOnly, fault.CodeSupplier, sentenceSupplier},
	{400, "InvalidParameter", "must contain words", provider.Refused, plain, fault.CodeRefused, sentenceWords},
	{400, "InvalidParameter", "size is not match", provider.Refused, plain, fault.CodeRefused, sentenceSize},
	{400, "InvalidParameter", "", provider.Refused, plain, fault.CodeRefused, sentenceRefused},
	{400, "BadRequest.*", "", provider.Refused, plain, fault.CodeRefused, sentenceRefused},
	{400, "UnsupportedOperation", "", provider.Refused, plain, fault.CodeRefused, sentenceRefused},
	{409, "Conflict", "", provider.Refused, plain, fault.CodeRefused, sentenceRefused},
	// The key, the account, its money: the operator's.
	{400, "Arrearage", "", provider.Locked, plain, fault.CodeSupplier, sentenceSupplier},
	{401, "InvalidApiKey", "", provider.Locked, plain, fault.CodeSupplier, sentenceSupplier},
	{403, "AccessDenied", "policy expired", provider.Passing, plain, fault.CodeSupplier, sentenceSupplier},
	{403, "AccessDenied", "", provider.Locked, plain, fault.CodeSupplier, sentenceSupplier},
	{403, "AccessDenied.*", "", provider.Locked, plain, fault.CodeSupplier, sentenceSupplier},
	{403, "Model.AccessDenied", "", provider.Locked, modelOnly, fault.CodeSupplier, sentenceSupplier},
	{403, "Workspace.AccessDenied", "", provider.Locked, plain, fault.CodeSupplier, sentenceSupplier},
	{403, "Endpoint.AccessDenied", "", provider.Locked, plain, fault.CodeSupplier, sentenceSupplier},
	{403, "AllocationQuota.*", "", provider.Locked, plain, fault.CodeSupplier, sentenceSupplier},
	{404, "ModelNotFound", "", provider.Locked, modelOnly, fault.CodeSupplier, sentenceSupplier},
	{404, "WorkSpaceNotFound", "", provider.Locked, plain, fault.CodeSupplier, sentenceSupplier},
	{404, "NotFound", "", provider.Locked, plain, fault.CodeSupplier, sentenceSupplier},
	{429, "CommodityNotPurchased", "", provider.Locked, plain, fault.CodeSupplier, sentenceSupplier},
	{429, "PrepaidBillOverdue", "", provider.Locked, plain, fault.CodeSupplier, sentenceSupplier},
	{429, "PostpaidBillOverdue", "", provider.Locked, plain, fault.CodeSupplier, sentenceSupplier},
	{429, "Throttling.AllocationQuota", "free allocated", provider.Locked, plain, fault.CodeSupplier, sentenceSupplier},
	// Too much at once.
	{429, "Throttling", "", provider.Throttled, plain, fault.CodeSupplier, sentenceSupplier},
	{429, "Throttling.*", "", provider.Throttled, plain, fault.CodeSupplier, sentenceSupplier},
	{503, "ServiceUnavailable", "", provider.Throttled, plain, fault.CodeSupplier, sentenceSupplier},
	// Broken there, for now.
	{500, "InternalError.Algo", "invalid", provider.Refused, plain, fault.CodeRefused, sentenceRefused},
	{500, "InternalError.Algo", "input", provider.Refused, plain, fault.CodeRefused, sentenceRefused},
	{500, "InternalError.Timeout", "", provider.Passing, unsure, fault.CodeSupplier, sentenceSupplier},
	{500, "InternalError", "", provider.Passing, plain, fault.CodeSupplier, sentenceSupplier},
	{500, "InternalError.*", "", provider.Passing, plain, fault.CodeSupplier, sentenceSupplier},
	{500, "SystemError", "", provider.Passing, plain, fault.CodeSupplier, sentenceSupplier},
	{500, "ModelServiceFailed", "", provider.Passing, plain, fault.CodeSupplier, sentenceSupplier},
	{500, "RequestTimeOut", "", provider.Passing, unsure, fault.CodeSupplier, sentenceSupplier},
	{503, "ModelUnavailable", "", provider.Passing, plain, fault.CodeSupplier, sentenceSupplier},
	// A failed task without a code: what its message alone tells.
	{0, "", "inappropriate content", provider.Refused, plain, fault.CodeModerated, sentenceModerated},
	{0, "", "ip infringement", provider.Refused, plain, fault.CodeModerated, sentenceProperty},
	{0, "", "must contain words", provider.Refused, plain, fault.CodeRefused, sentenceWords},
	{0, "", "size is not match", provider.Refused, plain, fault.CodeRefused, sentenceSize},
	{0, "", "", provider.Passing, plain, fault.CodeSupplier, sentenceSupplier},
}

// judge finds the verdict on a code and its message. status is the HTTP status
// it came with, 0 in a failed task; it decides for a code that is in no row.
func judge(status int, code, message string) verdict {
	message = strings.ToLower(message)
	if v, ok := verdictOf(code, message); ok {
		return v
	}

	if dot := strings.IndexByte(code, '.'); dot > 0 {
		if v, ok := verdictOf(code[:dot]+".*", message); ok {
			return v
		}
	}

	return byStatus(status)
}

func verdictOf(code, message string) (verdict, bool) {
	for _, v := range verdicts {
		if v.code == code && strings.Contains(message, v.says) {
			return v, true
		}
	}

	return verdict{}, false
}

// byStatus judges what carries no code that we know. A failed task (0) of an
// unknown code may be submitted again: failed tasks are not billed.
func byStatus(status int) verdict {
	v := provider.ByStatus(status)

	said := sentenceSupplier
	if v.Class == provider.Refused {
		said = sentenceRefused
	}

	return verdict{status: status, class: v.Class, fault: v.Fault, sentence: said}
}

// told is the verdict on a complaint in the terms of all suppliers.
func told(status int, c provider.Complaint) provider.Verdict {
	v := judge(status, c.Code, c.Message)

	return provider.Verdict{
		Class: v.class, ModelOnly: v.mark == modelOnly, Unsure: v.mark == unsure, Fault: v.fault, Says: v.sentence, Hint: hints[c.Code],
	}
}
