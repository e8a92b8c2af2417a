package dashscope

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/provider/dashscope/dashscopesim"
	"github.com/unireel/unireel/internal/provider/providertest"
)

const (
	transient      = provider.Transient
	throttled      = provider.Throttled
	invalidRequest = provider.InvalidRequest
	accountBlocked = provider.AccountBlocked
)

type documentedError struct {
	status        int
	code          string
	message       string
	class         provider.Class
	fault         fault.Code
	mayBeAccepted bool
}

// documentedErrors is the supplier's error table: a line for each code and message
// on its page, with the classification that it must get.
var documentedErrors = []documentedError{
	{400, "InvalidParameter", "Required parameter(xxx) missing or invalid, please check the request parameters.", invalidRequest, fault.CodeSupplierRejected, false},
	{400, "InvalidParameter", "Field required: input.media", invalidRequest, fault.CodeSupplierRejected, false},
	{400, "InvalidParameter", "The size is not match the allowed size ['1024*1024']", invalidRequest, fault.CodeSupplierRejected, false},
	{400, "InvalidParameter", "Model not exist.", accountBlocked, fault.CodeSupplierFailed, false},
	{400, "InvalidParameter", "Input JSON error.", invalidRequest, fault.CodeSupplierRejected, false},
	{400, "InvalidParameter", "Invalid video file.", invalidRequest, fault.CodeReferenceInvalid, false},
	{400, "InvalidParameter", "prompt must contain words", invalidRequest, fault.CodeSupplierRejected, false},
	{400, "InvalidParameter", "url error, please check url！ For details, see: https://help.aliyun.com/zh/model-studio/error-code#error-url", invalidRequest, fault.CodeSupplierRejected, false},
	{400, "InvalidParameter", "Failed to download multimodal content.", invalidRequest, fault.CodeReferenceUnreachable, false},
	{400, "InvalidParameter", "Download the media resource timed out during the data inspection process.", transient, fault.CodeReferenceUnreachable, false},
	{400, "InvalidParameter", "Unable to download the media resource during the data inspection process.", invalidRequest, fault.CodeReferenceUnreachable, false},
	{400, "InvalidParameter", "Failed to find the requested media resource during the data inspection process.", invalidRequest, fault.CodeReferenceUnreachable, false},
	{400, "InvalidParameter", "Don't have authorization to access the media resource during the data inspection process.", invalidRequest, fault.CodeReferenceUnreachable, false},
	{400, "InvalidParameter.DataInspection", "Unable to download the media resource during the data inspection process.", invalidRequest, fault.CodeReferenceUnreachable, false},
	{400, "InvalidParameter.DataInspection", "Download the media resource timed out during the data inspection process.", transient, fault.CodeReferenceUnreachable, false},
	{400, "InvalidParameter.DataInspection", "The media format is not supported or incorrect for the data inspection.", invalidRequest, fault.CodeReferenceInvalid, false},
	{400, "DataInspectionFailed", "Input or output data may contain inappropriate content.", invalidRequest, fault.CodeContentRejected, false},
	{400, "data_inspection_failed", "Output data may contain inappropriate content.", invalidRequest, fault.CodeContentRejected, false},
	{400, "IPInfringementSuspect", "Input data is suspected of being involved in IP infringement.", invalidRequest, fault.CodeContentRejected, false},
	{400, "Arrearage", "Access denied, please make sure your account is in good standing.", accountBlocked, fault.CodeSupplierFailed, false},
	{400, "InvalidURL", "Required URL is missing or invalid, please check the request URL.", invalidRequest, fault.CodeReferenceUnreachable, false},
	{400, "InvalidURL.ConnectionRefused", "Connection to xxx refused, please provide available URL.", invalidRequest, fault.CodeReferenceUnreachable, false},
	{400, "InvalidURL.Timeout", "Download xxx timeout, please check network connection.", transient, fault.CodeReferenceUnreachable, false},
	{400, "InvalidFile.Format", "Invalid file format.", invalidRequest, fault.CodeReferenceInvalid, false},
	{400, "InvalidFile.Size", "Invalid file size.", invalidRequest, fault.CodeReferenceInvalid, false},
	{400, "InvalidFile.Duration", "Invalid file duration. The file duration must be xxx s ~ yyy s.", invalidRequest, fault.CodeReferenceInvalid, false},
	{400, "InvalidFile.Resolution", "Invalid file resolution.", invalidRequest, fault.CodeReferenceInvalid, false},
	{400, "InvalidFile.FPS", "Invalid file FPS.", invalidRequest, fault.CodeReferenceInvalid, false},
	{400, "InvalidFile.AspectRatio", "Invalid file ratio.", invalidRequest, fault.CodeReferenceInvalid, false},
	{400, "InvalidFile.Openerror", "Invalid file, cannot open file as video.", invalidRequest, fault.CodeReferenceInvalid, false},
	{400, "InvalidFile.DownloadFailed", "The file cannot be downloaded.", invalidRequest, fault.CodeReferenceUnreachable, false},
	{400, "InvalidImage.FileFormat", "Invalid image type.", invalidRequest, fault.CodeReferenceInvalid, false},
	{400, "InvalidImageResolution", "The input image resolution is too large or small.", invalidRequest, fault.CodeReferenceInvalid, false},
	{400, "InvalidImageFormat", "Invalid image format.", invalidRequest, fault.CodeReferenceInvalid, false},
	{400, "BadRequest.EmptyInput", "Required input parameter missing from request.", invalidRequest, fault.CodeSupplierRejected, false},
	{400, "BadRequest.EmptyModel", `Required parameter "model" missing from request.`, invalidRequest, fault.CodeSupplierRejected, false},
	{400, "BadRequest.EmptyParameters", `Required parameter "parameters" missing from request.`, invalidRequest, fault.CodeSupplierRejected, false},
	{400, "BadRequest.IllegalInput", "The input parameter requires json format.", invalidRequest, fault.CodeSupplierRejected, false},
	{400, "BadRequest.InputDownloadFailed", "Failed to download the input file: xxx.", invalidRequest, fault.CodeReferenceUnreachable, false},
	{400, "BadRequest.TooLarge", "Payload Too Large.", invalidRequest, fault.CodeSupplierRejected, false},
	{400, "UnsupportedOperation", "Failed to cancel the task, please confirm if the task is in PENDING status.", invalidRequest, fault.CodeSupplierRejected, false},
	{401, "InvalidApiKey", "Invalid API-key provided.", accountBlocked, fault.CodeSupplierFailed, false},
	{401, "InvalidApiKey", "No API-key provided.", accountBlocked, fault.CodeSupplierFailed, false},
	{403, "AccessDenied", "current user api does not support synchronous calls.", accountBlocked, fault.CodeSupplierFailed, false},
	{403, "AccessDenied", "Access denied.", accountBlocked, fault.CodeSupplierFailed, false},
	{403, "AccessDenied", "Invalid according to Policy: Policy expired.", transient, fault.CodeSupplierFailed, false},
	{403, "AccessDenied.Unpurchased", "Access to model denied. Please make sure you are eligible for using the model.", accountBlocked, fault.CodeSupplierFailed, false},
	{403, "Model.AccessDenied", "Model access denied.", accountBlocked, fault.CodeSupplierFailed, false},
	{403, "Workspace.AccessDenied", "Workspace access denied.", accountBlocked, fault.CodeSupplierFailed, false},
	{403, "Endpoint.AccessDenied", "Endpoint access denied.", accountBlocked, fault.CodeSupplierFailed, false},
	{403, "AllocationQuota.FreeTierOnly", "The free tier of the model has been exhausted.", accountBlocked, fault.CodeSupplierFailed, false},
	{404, "ModelNotFound", "The model xxx does not exist.", accountBlocked, fault.CodeSupplierFailed, false},
	{404, "WorkSpaceNotFound", "WorkSpace can not be found.", accountBlocked, fault.CodeSupplierFailed, false},
	{404, "NotFound", "Not found.", accountBlocked, fault.CodeSupplierFailed, false},
	{409, "Conflict", "Conflict.", invalidRequest, fault.CodeSupplierRejected, false},
	{429, "Throttling", "Too many requests in route. Please try again later.", throttled, fault.CodeSupplierFailed, false},
	{429, "Throttling.RateQuota", "Requests rate limit exceeded, please try again later.", throttled, fault.CodeSupplierFailed, false},
	{429, "Throttling.BurstRate", "Request rate increased too quickly.", throttled, fault.CodeSupplierFailed, false},
	{429, "Throttling.AllocationQuota", "Allocated quota exceeded, please increase your quota limit.", throttled, fault.CodeSupplierFailed, false},
	{429, "Throttling.AllocationQuota", "Free allocated quota exceeded.", accountBlocked, fault.CodeSupplierFailed, false},
	{429, "Throttling.Concurrency", "Too many concurrent requests.", throttled, fault.CodeSupplierFailed, false},
	{429, "CommodityNotPurchased", "Commodity has not purchased yet.", accountBlocked, fault.CodeSupplierFailed, false},
	{429, "PrepaidBillOverdue", "The prepaid bill is overdue.", accountBlocked, fault.CodeSupplierFailed, false},
	{429, "PostpaidBillOverdue", "The postpaid bill is overdue.", accountBlocked, fault.CodeSupplierFailed, false},
	{500, "InternalError", "An internal error has occurred, please try again later or contact service support.", transient, fault.CodeSupplierFailed, false},
	{500, "InternalError.Algo", "Inference internal error.", transient, fault.CodeSupplierFailed, false},
	{500, "InternalError.Algo", "No backend server available", transient, fault.CodeSupplierFailed, false},
	{500, "InternalError.Algo", "InternalError.Algo: the input picture has no face", invalidRequest, fault.CodeSupplierRejected, false},
	{500, "InternalError.Algo", "InternalError.Algo: invalid frame count", invalidRequest, fault.CodeSupplierRejected, false},
	{500, "InternalError.Timeout", "An internal timeout error has occurred during execution", transient, fault.CodeSupplierFailed, true},
	{500, "InternalError.Upload", "Failed to upload result.", transient, fault.CodeSupplierFailed, false},
	{500, "InternalError.FileUpload", "OSS upload error.", transient, fault.CodeSupplierFailed, false},
	{500, "SystemError", "An system error has occurred.", transient, fault.CodeSupplierFailed, false},
	{500, "ModelServiceFailed", "Failed to request model service.", transient, fault.CodeSupplierFailed, false},
	{500, "RequestTimeOut", "Request timed out.", transient, fault.CodeSupplierFailed, true},
	{503, "ServiceUnavailable", "Too many requests. Your requests are being throttled due to system capacity limits.", throttled, fault.CodeSupplierFailed, false},
	{500, "ServiceUnavailable", "Too many requests.", throttled, fault.CodeSupplierFailed, false},
	{503, "ModelUnavailable", "Model is unavailable, please try again later.", transient, fault.CodeSupplierFailed, false},
	// Statuses and codes that are not in the supplier's table.
	{408, "SomethingNew", "slow", transient, fault.CodeSupplierFailed, true},
	{504, "SomethingNew", "slow", transient, fault.CodeSupplierFailed, true},
	{502, "SomethingNew", "broken", transient, fault.CodeSupplierFailed, false},
	{429, "SomethingNew", "busy", throttled, fault.CodeSupplierFailed, false},
	{402, "SomethingNew", "money", accountBlocked, fault.CodeSupplierFailed, false},
	{422, "SomethingNew", "wrong", invalidRequest, fault.CodeSupplierRejected, false},
}

func TestCreateErrors(t *testing.T) {
	s := newFixture(t, nil)
	for _, e := range documentedErrors {
		s.Inject(dashscopesim.Reject(dashscopesim.Submit, e.status, e.code, e.message))
		_, err := s.Submit(t.Context(), smallSubmission())
		f := providertest.FailureOf(t, err, secret)

		want := provider.NotAccepted
		if e.mayBeAccepted {
			want = provider.AcceptanceUnknown
		}

		if f.Class != e.class || f.Fault.Code != e.fault || f.Acceptance != want || f.Code != e.code || f.RequestID == "" {
			t.Errorf("%d %s %q: class %s, fault %s, acceptance %d, code %s, request %q; want %s, %s, %d", e.status, e.code, e.message,
				f.Class, f.Fault.Code, f.Acceptance, f.Code, f.RequestID, e.class, e.fault, want)
		}

		if !strings.Contains(f.Error(), e.message) || strings.Contains(f.Fault.Error(), e.message) {
			t.Errorf("%s: the supplier's text must be in the log only: log %q, customer %q", e.code, f.Error(), f.Fault.Error())
		}
	}
}

func TestTaskErrors(t *testing.T) {
	s := newFixture(t, func(o *dashscopesim.Options) { o.Limits.InProgress = dashscopesim.Unlimited })

	for _, e := range documentedErrors {
		if e.code == "SomethingNew" {
			continue
		}

		f := s.failedTask(t, e.code, e.message)
		if f.Class != e.class || f.Fault.Code != e.fault || f.Code != e.code {
			t.Errorf("%s %q in a failed task: class %s, fault %s, code %s; want %s, %s", e.code, e.message, f.Class, f.Fault.Code, f.Code, e.class, e.fault)
		}
	}
}

func TestModelOnlyErrors(t *testing.T) {
	s := newFixture(t, nil)

	for _, e := range documentedErrors {
		want := e.code == "ModelNotFound" || e.code == "Model.AccessDenied" || e.message == "Model not exist."
		s.Inject(dashscopesim.Reject(dashscopesim.Submit, e.status, e.code, e.message))

		_, err := s.Submit(t.Context(), smallSubmission())
		if f := providertest.FailureOf(t, err, secret); f.ModelOnly != want || want && f.Class != accountBlocked {
			t.Errorf("%s %q: ModelOnly is %v, class %s", e.code, e.message, f.ModelOnly, f.Class)
		}
	}
}

func TestFailedTaskWithoutCode(t *testing.T) {
	s := newFixture(t, nil)
	for message, want := range map[string]fault.Code{
		"": fault.CodeSupplierFailed, "who knows": fault.CodeSupplierFailed,
		"Output data may contain inappropriate content.": fault.CodeContentRejected,
		"suspected of being involved in IP infringement": fault.CodeContentRejected,
		"prompt must contain words":                      fault.CodeSupplierRejected,
		"The size is not match xxxxxx":                   fault.CodeSupplierRejected,
	} {
		if f := s.failedTask(t, "", message); f.Fault.Code != want || f.Fault.Detail == "" {
			t.Errorf("message %q: %s, want %s", message, f.Fault.Code, want)
		}
	}
}

// Every row of the table must be the classification of a documented error: a row
// that no error reaches is dead, and one that another row precedes is wrong.
func TestEveryClassificationIsReachable(t *testing.T) {
	reached := map[classification]bool{classify(0, "", ""): true}
	for _, e := range documentedErrors {
		reached[classify(e.status, e.code, e.message)] = true
	}

	for _, message := range []string{"inappropriate content", "IP infringement", "must contain words", "size is not match"} {
		reached[classify(0, "", message)] = true
	}

	for i, v := range classifications {
		if !reached[v] {
			t.Errorf("row %d %s %q is never reached", i, v.code, v.messagePart)
		}

		if v.status != 0 && !slices.ContainsFunc(documentedErrors, func(e documentedError) bool {
			return e.status == v.status && classify(e.status, e.code, e.message) == v
		}) {
			t.Errorf("row %d %s: status %d is not the documented one", i, v.code, v.status)
		}

		if !strings.HasSuffix(v.message, ".") || v.fault.Kind() == fault.Internal {
			t.Errorf("row %d %s: sentence %q, fault %s", i, v.code, v.message, v.fault)
		}
	}
}

// failedTask submits a task that fails at the supplier and returns the failure.
func (s fixture) failedTask(t *testing.T, code, message string) *provider.Failure {
	t.Helper()
	s.Inject(dashscopesim.FailTask(code, message))

	remoteID, err := s.Submit(t.Context(), smallSubmission())
	if err != nil {
		t.Fatal(err)
	}

	s.clock.advance(10 * time.Second)

	report, err := s.Poll(t.Context(), remoteID)
	if err != nil || report.Phase != provider.Failed || report.Failure == nil || report.Failure.Fault == nil {
		t.Fatalf("Poll = %+v, %v; want failed", report, err)
	}

	return report.Failure
}

func TestFailuresHideTheKey(t *testing.T) {
	s := newFixture(t, nil)
	s.Inject(dashscopesim.Reject(dashscopesim.Poll, http.StatusUnauthorized, secret, "Incorrect key "+secret+"\nset another"))

	_, err := s.Poll(context.Background(), "x")
	if f := providertest.FailureOf(t, err, secret); strings.Contains(f.Error(), "\n") {
		t.Errorf("a line break reached the log: %q", f.Error())
	}
}

// A key of another region is rejected like a wrong one. The operator gets a hint
// about the region; the customer does not.
func TestWrongKeyHintsTheOperator(t *testing.T) {
	s := newFixture(t, nil)
	s.dashscope.client.Authorization = "Bearer sk-of-another-region"
	_, err := s.Submit(t.Context(), smallSubmission())

	f := providertest.FailureOf(t, err, secret)
	if f.Class != provider.AccountBlocked || !strings.Contains(f.Err.Error(), "own region") || strings.Contains(f.Fault.Detail, "region") {
		t.Errorf("%+v, fault %+v", f, f.Fault)
	}
}
