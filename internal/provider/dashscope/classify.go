package dashscope

import (
	"strings"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
)

// classification says what one of the supplier's errors means. The same table
// serves rejected requests and failed tasks ("error codes").
type classification struct {
	status      int    // the documented HTTP status; 0 for errors of failed tasks only
	code        string // the supplier's; "X.*" is every code below X that has no row of its own
	messagePart string // a lower-case part of the message; "" matches any message
	class       provider.Class
	flag        errorFlag
	fault       fault.Code
	message     string
}

// errorFlag is one more fact about an error.
type errorFlag uint8

const (
	noFlag        errorFlag = iota
	mayBeAccepted           // as the response to a submission, it leaves open whether a task exists
	modelOnly               // it concerns the submission's model; other models of the account may work
)

// The sentences that customers read. The supplier's own text goes to the log.
const (
	messageSupplier             = "The supplier could not make the video. Nothing was charged; create it again later."
	messageInvalidRequest       = "The supplier rejected the request. Check the prompt, the references and the parameters against the model's page, and create it again."
	messageReferenceUnreachable = "The supplier could not download a reference. Make sure that its URL is public and responds quickly, or upload it with POST /v1/files."
	messageReferenceInvalid     = "The supplier does not accept one of the references. Check its format, file size, dimensions and duration against the model's page."
	messageModerated            = "The supplier's content inspection rejected the prompt, a reference or the result. Change the content, and create it again."
	messageInfringement         = "The supplier suspects that the prompt or a reference infringes someone's rights. Change it, and create it again."
	messagePromptEmpty          = "The prompt contains no words. Describe what the video shows, and create it again."
	messageSize                 = "The supplier does not support this size for this model. Choose another of the model's sizes, and create it again."
)

// operatorHints are added to the supplier's own text in the log, for the operator;
// customers never see them. A key of another region is rejected as if it did not
// exist.
var operatorHints = map[string]string{
	"InvalidApiKey": "a key works in its own region only; check that the upstream's region or base_url matches the key",
}

// classifications is the table. For a code, the first row whose message part
// matches applies: rows with a message part come before the row without one.
var classifications = []classification{
	// Downloading references.
	{400, "InvalidParameter", "timed out", provider.Transient, noFlag, fault.CodeReferenceUnreachable, messageReferenceUnreachable},
	{400, "InvalidParameter", "failed to download", provider.InvalidRequest, noFlag, fault.CodeReferenceUnreachable, messageReferenceUnreachable},
	{400, "InvalidParameter", "unable to download", provider.InvalidRequest, noFlag, fault.CodeReferenceUnreachable, messageReferenceUnreachable},
	{400, "InvalidParameter", "failed to find the requested media", provider.InvalidRequest, noFlag, fault.CodeReferenceUnreachable, messageReferenceUnreachable},
	{400, "InvalidParameter", "authorization to access the media", provider.InvalidRequest, noFlag, fault.CodeReferenceUnreachable, messageReferenceUnreachable},
	{400, "InvalidParameter.DataInspection", "timed out", provider.Transient, noFlag, fault.CodeReferenceUnreachable, messageReferenceUnreachable},
	{400, "InvalidParameter.DataInspection", "media format", provider.InvalidRequest, noFlag, fault.CodeReferenceInvalid, messageReferenceInvalid},
	{400, "InvalidParameter.DataInspection", "", provider.InvalidRequest, noFlag, fault.CodeReferenceUnreachable, messageReferenceUnreachable},
	{400, "InvalidURL.Timeout", "", provider.Transient, noFlag, fault.CodeReferenceUnreachable, messageReferenceUnreachable},
	{400, "InvalidURL", "", provider.InvalidRequest, noFlag, fault.CodeReferenceUnreachable, messageReferenceUnreachable},
	{400, "InvalidURL.*", "", provider.InvalidRequest, noFlag, fault.CodeReferenceUnreachable, messageReferenceUnreachable},
	{400, "InvalidFile.DownloadFailed", "", provider.InvalidRequest, noFlag, fault.CodeReferenceUnreachable, messageReferenceUnreachable},
	{400, "BadRequest.InputDownloadFailed", "", provider.InvalidRequest, noFlag, fault.CodeReferenceUnreachable, messageReferenceUnreachable},
	// The content of references.
	{400, "InvalidParameter", "invalid video file", provider.InvalidRequest, noFlag, fault.CodeReferenceInvalid, messageReferenceInvalid},
	{400, "InvalidFile.*", "", provider.InvalidRequest, noFlag, fault.CodeReferenceInvalid, messageReferenceInvalid},
	{400, "InvalidImage.*", "", provider.InvalidRequest, noFlag, fault.CodeReferenceInvalid, messageReferenceInvalid},
	{400, "InvalidImageResolution", "", provider.InvalidRequest, noFlag, fault.CodeReferenceInvalid, messageReferenceInvalid},
	{400, "InvalidImageFormat", "", provider.InvalidRequest, noFlag, fault.CodeReferenceInvalid, messageReferenceInvalid},
	// Content inspection.
	{400, "DataInspectionFailed", "", provider.InvalidRequest, noFlag, fault.CodeContentRejected, messageModerated},
	{400, "data_inspection_failed", "", provider.InvalidRequest, noFlag, fault.CodeContentRejected, messageModerated},
	{400, "IPInfringementSuspect", "", provider.InvalidRequest, noFlag, fault.CodeContentRejected, messageInfringement},
	// The request itself.
	{400, "InvalidParameter", "model not exist", provider.AccountBlocked, modelOnly, fault.CodeSupplierFailed, messageSupplier},
	{400, "InvalidParameter", "must contain words", provider.InvalidRequest, noFlag, fault.CodeSupplierRejected, messagePromptEmpty},
	{400, "InvalidParameter", "size is not match", provider.InvalidRequest, noFlag, fault.CodeSupplierRejected, messageSize},
	{400, "InvalidParameter", "", provider.InvalidRequest, noFlag, fault.CodeSupplierRejected, messageInvalidRequest},
	{400, "BadRequest.*", "", provider.InvalidRequest, noFlag, fault.CodeSupplierRejected, messageInvalidRequest},
	{400, "UnsupportedOperation", "", provider.InvalidRequest, noFlag, fault.CodeSupplierRejected, messageInvalidRequest},
	{409, "Conflict", "", provider.InvalidRequest, noFlag, fault.CodeSupplierRejected, messageInvalidRequest},
	// The key, the account, its money: the operator's.
	{400, "Arrearage", "", provider.AccountBlocked, noFlag, fault.CodeSupplierFailed, messageSupplier},
	{401, "InvalidApiKey", "", provider.AccountBlocked, noFlag, fault.CodeSupplierFailed, messageSupplier},
	{403, "AccessDenied", "policy expired", provider.Transient, noFlag, fault.CodeSupplierFailed, messageSupplier},
	{403, "AccessDenied", "", provider.AccountBlocked, noFlag, fault.CodeSupplierFailed, messageSupplier},
	{403, "AccessDenied.*", "", provider.AccountBlocked, noFlag, fault.CodeSupplierFailed, messageSupplier},
	{403, "Model.AccessDenied", "", provider.AccountBlocked, modelOnly, fault.CodeSupplierFailed, messageSupplier},
	{403, "Workspace.AccessDenied", "", provider.AccountBlocked, noFlag, fault.CodeSupplierFailed, messageSupplier},
	{403, "Endpoint.AccessDenied", "", provider.AccountBlocked, noFlag, fault.CodeSupplierFailed, messageSupplier},
	{403, "AllocationQuota.*", "", provider.AccountBlocked, noFlag, fault.CodeSupplierFailed, messageSupplier},
	{404, "ModelNotFound", "", provider.AccountBlocked, modelOnly, fault.CodeSupplierFailed, messageSupplier},
	{404, "WorkSpaceNotFound", "", provider.AccountBlocked, noFlag, fault.CodeSupplierFailed, messageSupplier},
	{404, "NotFound", "", provider.AccountBlocked, noFlag, fault.CodeSupplierFailed, messageSupplier},
	{429, "CommodityNotPurchased", "", provider.AccountBlocked, noFlag, fault.CodeSupplierFailed, messageSupplier},
	{429, "PrepaidBillOverdue", "", provider.AccountBlocked, noFlag, fault.CodeSupplierFailed, messageSupplier},
	{429, "PostpaidBillOverdue", "", provider.AccountBlocked, noFlag, fault.CodeSupplierFailed, messageSupplier},
	{429, "Throttling.AllocationQuota", "free allocated", provider.AccountBlocked, noFlag, fault.CodeSupplierFailed, messageSupplier},
	// Too much at once.
	{429, "Throttling", "", provider.Throttled, noFlag, fault.CodeSupplierFailed, messageSupplier},
	{429, "Throttling.*", "", provider.Throttled, noFlag, fault.CodeSupplierFailed, messageSupplier},
	{503, "ServiceUnavailable", "", provider.Throttled, noFlag, fault.CodeSupplierFailed, messageSupplier},
	// Failures of the supplier, for the moment.
	{500, "InternalError.Algo", "invalid", provider.InvalidRequest, noFlag, fault.CodeSupplierRejected, messageInvalidRequest},
	{500, "InternalError.Algo", "input", provider.InvalidRequest, noFlag, fault.CodeSupplierRejected, messageInvalidRequest},
	{500, "InternalError.Timeout", "", provider.Transient, mayBeAccepted, fault.CodeSupplierFailed, messageSupplier},
	{500, "InternalError", "", provider.Transient, noFlag, fault.CodeSupplierFailed, messageSupplier},
	{500, "InternalError.*", "", provider.Transient, noFlag, fault.CodeSupplierFailed, messageSupplier},
	{500, "SystemError", "", provider.Transient, noFlag, fault.CodeSupplierFailed, messageSupplier},
	{500, "ModelServiceFailed", "", provider.Transient, noFlag, fault.CodeSupplierFailed, messageSupplier},
	{500, "RequestTimeOut", "", provider.Transient, mayBeAccepted, fault.CodeSupplierFailed, messageSupplier},
	{503, "ModelUnavailable", "", provider.Transient, noFlag, fault.CodeSupplierFailed, messageSupplier},
	// A failed task without a code: the message alone decides.
	{0, "", "inappropriate content", provider.InvalidRequest, noFlag, fault.CodeContentRejected, messageModerated},
	{0, "", "ip infringement", provider.InvalidRequest, noFlag, fault.CodeContentRejected, messageInfringement},
	{0, "", "must contain words", provider.InvalidRequest, noFlag, fault.CodeSupplierRejected, messagePromptEmpty},
	{0, "", "size is not match", provider.InvalidRequest, noFlag, fault.CodeSupplierRejected, messageSize},
	{0, "", "", provider.Transient, noFlag, fault.CodeSupplierFailed, messageSupplier},
}

// classify finds the classification for a code and its message. status is the HTTP
// status of the response, 0 for a failed task; it decides when no row has the
// code.
func classify(status int, code, message string) classification {
	message = strings.ToLower(message)
	if v, ok := lookupClassification(code, message); ok {
		return v
	}

	if dot := strings.IndexByte(code, '.'); dot > 0 {
		if v, ok := lookupClassification(code[:dot]+".*", message); ok {
			return v
		}
	}

	return classifyStatus(status)
}

func lookupClassification(code, message string) (classification, bool) {
	for _, v := range classifications {
		if v.code == code && strings.Contains(message, v.messagePart) {
			return v, true
		}
	}

	return classification{}, false
}

// classifyStatus classifies an error without a known code. A failed task (status
// 0) with an unknown code may be submitted again: failed tasks are not billed.
func classifyStatus(status int) classification {
	v := provider.ClassifyStatus(status)

	message := messageSupplier
	if v.Class == provider.InvalidRequest {
		message = messageInvalidRequest
	}

	return classification{
		status:  status,
		class:   v.Class,
		fault:   v.Fault,
		message: message,
	}
}

// classifyError is classify in the form that provider.Client expects.
func classifyError(status int, errBody provider.ErrorBody) provider.Classification {
	v := classify(status, errBody.Code, errBody.Message)

	return provider.Classification{
		Class:         v.class,
		ModelOnly:     v.flag == modelOnly,
		MayBeAccepted: v.flag == mayBeAccepted,
		Fault:         v.fault,
		Message:       v.message,
		OperatorHint:  operatorHints[errBody.Code],
	}
}
