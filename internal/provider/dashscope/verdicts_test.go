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
	passing   = provider.Passing
	throttled = provider.Throttled
	rejected  = provider.Refused
	locked    = provider.Locked
)

type said struct {
	status  int
	code    string
	message string
	class   provider.Class
	fault   fault.Code
	unsure  bool
}

// documented is the supplier's error table, a line for each code and message
// that its page names, and what each must mean to us.
var documented = []said{
	{400, "InvalidParameter", "Required parameter(xxx) missing or invalid, please check the request parameters.", rejected, fault.CodeRefused, false},
	{400, "InvalidParameter", "Field required: input.media", rejected, fault.CodeRefused, false},
	{400, "InvalidParameter", "The size is not match the allowed size ['1024*1024']", rejected, fault.CodeRefused, false},
	{400, "InvalidParameter", "Model not exist.", locked, fault.CodeSupplier, false},
	{400, "InvalidParameter", "Input JSON error.", rejected, fault.CodeRefused, false},
	{400, "InvalidParameter", "Invalid video file.", rejected, fault.CodeBadReference, false},
	{400, "InvalidParameter", "prompt must contain words", rejected, fault.CodeRefused, false},
	{400, "InvalidParameter", "url error, please check url！ For details, see: https://help.aliyun.com/zh/model-studio/error-code#error-url", rejected, fault.CodeRefused, false},
	{400, "InvalidParameter", "Failed to download multimodal content.", rejected, fault.CodeUnreachable, false},
	{400, "InvalidParameter", "Download the media resource timed out during the data inspection process.", passing, fault.CodeUnreachable, false},
	{400, "InvalidParameter", "Unable to download the media resource during the data inspection process.", rejected, fault.CodeUnreachable, false},
	{400, "InvalidParameter", "Failed to find the requested media resource during the data inspection process.", rejected, fault.CodeUnreachable, false},
	{400, "InvalidParameter", "Don't have authorization to access the media resource during the data inspection process.", rejected, fault.CodeUnreachable, false},
	{400, "InvalidParameter.DataInspection", "Unable to download the media resource during the data inspection process.", rejected, fault.CodeUnreachable, false},
	{400, "InvalidParameter.DataInspection", "Download the media resource timed out during the data inspection process.", passing, fault.CodeUnreachable, false},
	{400, "InvalidParameter.DataInspection", "The media format is not supported or incorrect for the data inspection.", rejected, fault.CodeBadReference, false},
	{400, "DataInspectionFailed", "Input or output data may contain inappropriate content.", rejected, fault.CodeModerated, false},
	{400, "data_inspection_failed", "Output data may contain inappropriate content.", rejected, fault.CodeModerated, false},
	{400, "IPInfringementSuspect", "Input data is suspected of being involved in IP infringement.", rejected, fault.CodeModerated, false},
	{400, "Arrearage", "Access denied, please make sure your account is in good standing.", locked, fault.CodeSupplier, false},
	{400, "InvalidURL", "Required URL is missing or invalid, please check the request URL.", rejected, fault.CodeUnreachable, false},
	{400, "InvalidURL.ConnectionRefused", "Connection to xxx refused, please provide available URL.", rejected, fault.CodeUnreachable, false},
	{400, "InvalidURL.Timeout", "Download xxx timeout, please check network connection.", passing, fault.CodeUnreachable, false},
	{400, "InvalidFile.Format", "Invalid file format.", rejected, fault.CodeBadReference, false},
	{400, "InvalidFile.Size", "Invalid file size.", rejected, fault.CodeBadReference, false},
	{400, "InvalidFile.Duration", "Invalid file duration. The file duration must be xxx s ~ yyy s.", rejected, fault.CodeBadReference, false},
	{400, "InvalidFile.Resolution", "Invalid file resolution.", rejected, fault.CodeBadReference, false},
	{400, "InvalidFile.FPS", "Invalid file FPS.", rejected, fault.CodeBadReference, false},
	{400, "InvalidFile.AspectRatio", "Invalid file ratio.", rejected, fault.CodeBadReference, false},
	{400, "InvalidFile.Openerror", "Invalid file, cannot open file as video.", rejected, fault.CodeBadReference, false},
	{400, "InvalidFile.DownloadFailed", "The file cannot be downloaded.", rejected, fault.CodeUnreachable, false},
	{400, "InvalidImage.FileFormat", "Invalid image type.", rejected, fault.CodeBadReference, false},
	{400, "InvalidImageResolution", "The input image resolution is too large or small.", rejected, fault.CodeBadReference, false},
	{400, "InvalidImageFormat", "Invalid image format.", rejected, fault.CodeBadReference, false},
	{400, "BadRequest.EmptyInput", "Required input parameter missing from request.", rejected, fault.CodeRefused, false},
	{400, "BadRequest.EmptyModel", `Required parameter "model" missing from request.`, rejected, fault.CodeRefused, false},
	{400, "BadRequest.EmptyParameters", `Required parameter "parameters" missing from request.`, rejected, fault.CodeRefused, false},
	{400, "BadRequest.IllegalInput", "The input parameter requires json format.", rejected, fault.CodeRefused, false},
	{400, "BadRequest.InputDownloadFailed", "Failed to download the input file: xxx.", rejected, fault.CodeUnreachable, false},
	{400, "BadRequest.TooLarge", "Payload Too Large.", rejected, fault.CodeRefused, false},
	{400, "UnsupportedOperation", "Failed to cancel the task, please confirm if the task is in PENDING status.", rejected, fault.CodeRefused, false},
	{401, "InvalidApiKey", "Invalid API-key provided.", locked, fault.CodeSupplier, false},
	{401, "InvalidApiKey", "No API-key provided.", locked, fault.CodeSupplier, false},
	{403, "AccessDenied", "current user api does not support synchronous calls.", locked, fault.CodeSupplier, false},
	{403, "AccessDenied", "Access denied.", locked, fault.CodeSupplier, false},
	{403, "AccessDenied", "Invalid according to Policy: Policy expired.", passing, fault.CodeSupplier, false},
	{403, "AccessDenied.Unpurchased", "Access to model denied. Please make sure you are eligible for using the model.", locked, fault.CodeSupplier, false},
	{403, "Model.AccessDenied", "Model access denied.", locked, fault.CodeSupplier, false},
	{403, "Workspace.AccessDenied", "Workspace access denied.", locked, fault.CodeSupplier, false},
	{403, "Endpoint.AccessDenied", "Endpoint access denied.", locked, fault.CodeSupplier, false},
	{403, "AllocationQuota.FreeTierOnly", "The free tier of the model has been exhausted.", locked, fault.CodeSupplier, false},
	{404, "ModelNotFound", "The model xxx does not exist.", locked, fault.CodeSupplier, false},
	{404, "WorkSpaceNotFound", "WorkSpace can not be found.", locked, fault.CodeSupplier, false},
	{404, "NotFound", "Not found.", locked, fault.CodeSupplier, false},
	{409, "Conflict", "Conflict.", rejected, fault.CodeRefused, false},
	{429, "Throttling", "Too many requests in route. Please try again later.", throttled, fault.CodeSupplier, false},
	{429, "Throttling.RateQuota", "Requests rate limit exceeded, please try again later.", throttled, fault.CodeSupplier, false},
	{429, "Throttling.BurstRate", "Request rate increased too quickly.", throttled, fault.CodeSupplier, false},
	{429, "Throttling.AllocationQuota", "Allocated quota exceeded, please increase your quota limit.", throttled, fault.CodeSupplier, false},
	{429, "Throttling.AllocationQuota", "Free allocated quota exceeded.", locked, fault.CodeSupplier, false},
	{429, "Throttling.Concurrency", "Too many concurrent requests.", throttled, fault.CodeSupplier, false},
	{429, "CommodityNotPurchased", "Commodity has not purchased yet.", locked, fault.CodeSupplier, false},
	{429, "PrepaidBillOverdue", "The prepaid bill is overdue.", locked, fault.CodeSupplier, false},
	{429, "PostpaidBillOverdue", "The postpaid bill is overdue.", locked, fault.CodeSupplier, false},
	{500, "InternalError", "An internal error has occurred, please try again later or contact service support.", passing, fault.CodeSupplier, false},
	{500, "InternalError.Algo", "Inference internal error.", passing, fault.CodeSupplier, false},
	{500, "InternalError.Algo", "No backend server available", passing, fault.CodeSupplier, false},
	{500, "InternalError.Algo", "InternalError.Algo: the input picture has no face", rejected, fault.CodeRefused, false},
	{500, "InternalError.Algo", "InternalError.Algo: invalid frame count", rejected, fault.CodeRefused, false},
	{500, "InternalError.Timeout", "An internal timeout error has occurred during execution", passing, fault.CodeSupplier, true},
	{500, "InternalError.Upload", "Failed to upload result.", passing, fault.CodeSupplier, false},
	{500, "InternalError.FileUpload", "OSS upload error.", passing, fault.CodeSupplier, false},
	{500, "SystemError", "An system error has occurred.", passing, fault.CodeSupplier, false},
	{500, "ModelServiceFailed", "Failed to request model service.", passing, fault.CodeSupplier, false},
	{500, "RequestTimeOut", "Request timed out.", passing, fault.CodeSupplier, true},
	{503, "ServiceUnavailable", "Too many requests. Your requests are being throttled due to system capacity limits.", throttled, fault.CodeSupplier, false},
	{500, "ServiceUnavailable", "Too many requests.", throttled, fault.CodeSupplier, false},
	{503, "ModelUnavailable", "Model is unavailable, please try again later.", passing, fault.CodeSupplier, false},
	// Statuses and codes beside the table.
	{408, "SomethingNew", "slow", passing, fault.CodeSupplier, true},
	{504, "SomethingNew", "slow", passing, fault.CodeSupplier, true},
	{502, "SomethingNew", "broken", passing, fault.CodeSupplier, false},
	{429, "SomethingNew", "busy", throttled, fault.CodeSupplier, false},
	{402, "SomethingNew", "money", locked, fault.CodeSupplier, false},
	{422, "SomethingNew", "wrong", rejected, fault.CodeRefused, false},
}

func TestEveryErrorOfACreate(t *testing.T) {
	s := simulate(t, nil)
	for _, e := range documented {
		s.Inject(dashscopesim.Refuse(dashscopesim.Submit, e.status, e.code, e.message))
		_, err := s.Submit(t.Context(), small())
		f := providertest.FailureOf(t, err, secret)

		want := provider.NotTaken
		if e.unsure {
			want = provider.Unsure
		}

		if f.Class != e.class || f.Fault.Code != e.fault || f.Taken != want || f.Code != e.code || f.RequestID == "" {
			t.Errorf("%d %s %q: class %s, fault %s, taken %d, code %s, request %q; want %s, %s, %d", e.status, e.code, e.message,
				f.Class, f.Fault.Code, f.Taken, f.Code, f.RequestID, e.class, e.fault, want)
		}

		if !strings.Contains(f.Error(), e.message) || strings.Contains(f.Fault.Error(), e.message) {
			t.Errorf("%s: the supplier's text belongs in the log alone: log %q, customer %q", e.code, f.Error(), f.Fault.Error())
		}
	}
}

func TestEveryErrorOfATask(t *testing.T) {
	s := simulate(t, func(o *dashscopesim.Options) { o.Limits.InProgress = dashscopesim.Unlimited })

	for _, e := range documented {
		if e.code == "SomethingNew" {
			continue
		}

		f := s.broken(t, e.code, e.message)
		if f.Class != e.class || f.Fault.Code != e.fault || f.Code != e.code {
			t.Errorf("%s %q in a task: class %s, fault %s, code %s; want %s, %s", e.code, e.message, f.Class, f.Fault.Code, f.Code, e.class, e.fault)
		}
	}
}

func TestWhichErrorsAreAboutTheModelOnly(t *testing.T) {
	s := simulate(t, nil)

	for _, e := range documented {
		want := e.code == "ModelNotFound" || e.code == "Model.AccessDenied" || e.message == "Model not exist."
		s.Inject(dashscopesim.Refuse(dashscopesim.Submit, e.status, e.code, e.message))

		_, err := s.Submit(t.Context(), small())
		if f := providertest.FailureOf(t, err, secret); f.ModelOnly != want || want && f.Class != locked {
			t.Errorf("%s %q: of the model only is %v, class %s", e.code, e.message, f.ModelOnly, f.Class)
		}
	}
}

func TestATaskThatFailsWithoutACode(t *testing.T) {
	s := simulate(t, nil)
	for message, want := range map[string]fault.Code{
		"": fault.CodeSupplier, "who knows": fault.CodeSupplier,
		"Output data may contain inappropriate content.": fault.CodeModerated,
		"suspected of being involved in IP infringement": fault.CodeModerated,
		"prompt must contain words":                      fault.CodeRefused,
		"The size is not match xxxxxx":                   fault.CodeRefused,
	} {
		if f := s.broken(t, "", message); f.Fault.Code != want || f.Fault.Detail == "" {
			t.Errorf("message %q: %s, want %s", message, f.Fault.Code, want)
		}
	}
}

// Every row of the table is the verdict on something documented: a row that
// nothing reaches is dead, and one that was shadowed is wrong.
func TestEveryRowIsReached(t *testing.T) {
	reached := map[verdict]bool{judge(0, "", ""): true}
	for _, e := range documented {
		reached[judge(e.status, e.code, e.message)] = true
	}

	for _, message := range []string{"inappropriate content", "IP infringement", "must contain words", "size is not match"} {
		reached[judge(0, "", message)] = true
	}

	for i, v := range verdicts {
		if !reached[v] {
			t.Errorf("row %d %s %q is reached by nothing", i, v.code, v.says)
		}

		if v.status != 0 && !slices.ContainsFunc(documented, func(e said) bool {
			return e.status == v.status && judge(e.status, e.code, e.message) == v
		}) {
			t.Errorf("row %d %s: status %d is not the documented one", i, v.code, v.status)
		}

		if !strings.HasSuffix(v.sentence, ".") || v.fault.Kind() == fault.Internal {
			t.Errorf("row %d %s: sentence %q, fault %s", i, v.code, v.sentence, v.fault)
		}
	}
}

// broken submits an order that fails there and returns how.
func (s supplier) broken(t *testing.T, code, message string) *provider.Failure {
	t.Helper()
	s.Inject(dashscopesim.FailTask(code, message))

	ticket, err := s.Submit(t.Context(), small())
	if err != nil {
		t.Fatal(err)
	}

	s.clock.pass(10 * time.Second)

	report, err := s.Poll(t.Context(), ticket)
	if err != nil || report.Phase != provider.Broken || report.Failure == nil || report.Failure.Fault == nil {
		t.Fatalf("Poll = %+v, %v; want broken", report, err)
	}

	return report.Failure
}

func TestTheKeyIsNeverSaid(t *testing.T) {
	s := simulate(t, nil)
	s.Inject(dashscopesim.Refuse(dashscopesim.Poll, http.StatusUnauthorized, secret, "Incorrect key "+secret+"\nset another"))

	_, err := s.Poll(context.Background(), "x")
	if f := providertest.FailureOf(t, err, secret); strings.Contains(f.Error(), "\n") {
		t.Errorf("a line break reached the log: %q", f.Error())
	}
}

// A key of another region is refused like a wrong one: the operator is told what
// to look at, the customer nothing of it.
func TestAWrongKeyIsExplainedToTheOperator(t *testing.T) {
	s := simulate(t, nil)
	s.dashscope.talk.Auth = "Bearer sk-of-another-region"
	_, err := s.Submit(t.Context(), small())

	f := providertest.FailureOf(t, err, secret)
	if f.Class != provider.Locked || !strings.Contains(f.Err.Error(), "own region") || strings.Contains(f.Fault.Detail, "region") {
		t.Errorf("%+v, fault %+v", f, f.Fault)
	}
}
