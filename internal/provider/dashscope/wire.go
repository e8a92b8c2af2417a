package dashscope

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/unireel/unireel/internal/provider"
)

// createRequest is the body of a submission (R2V, T2V, I2V API references, "create
// task"). format.go says which fields a model takes.
type createRequest struct {
	Model      string     `json:"model"`
	Input      input      `json:"input"`
	Parameters parameters `json:"parameters"`
}

type input struct {
	Prompt         string      `json:"prompt,omitempty"`
	NegativePrompt string      `json:"negative_prompt,omitempty"`
	ReferenceURLs  []string    `json:"reference_urls,omitempty"` // R2V: character1, character2, ...
	ImageURL       string      `json:"img_url,omitempty"`        // I2V
	Media          []mediaItem `json:"media,omitempty"`          // from 2.7 on, instead of the two above
	AudioURL       string      `json:"audio_url,omitempty"`      // T2V, and I2V of 2.6; not documented for R2V
}

type parameters struct {
	Size         string `json:"size,omitempty"`       // R2V, T2V: "1280*720"
	Resolution   string `json:"resolution,omitempty"` // I2V, and all from 2.7 on: "720P", "1080P"
	Ratio        string `json:"ratio,omitempty"`      // from 2.7 on: "16:9"
	Duration     int    `json:"duration"`             // seconds
	ShotType     string `json:"shot_type,omitempty"`
	Audio        *bool  `json:"audio,omitempty"`         // flash models and 3.0
	PromptExtend *bool  `json:"prompt_extend,omitempty"` // T2V and I2V; not documented for R2V
	Watermark    *bool  `json:"watermark,omitempty"`
	Seed         *int64 `json:"seed,omitempty"` // 0..2147483647
}

// taskResponse is the response to create and query ("query task result").
type taskResponse struct {
	RequestID text   `json:"request_id"`
	Output    output `json:"output"`
	Usage     *usage `json:"usage"`
}

type output struct {
	TaskID     text `json:"task_id"`
	Status     text `json:"task_status"`
	SubmitTime text `json:"submit_time"`
	EndTime    text `json:"end_time"`
	OrigPrompt text `json:"orig_prompt"`
	VideoURL   text `json:"video_url"`
	Results    []struct {
		VideoURL text `json:"video_url"`
	} `json:"results"`
	Code    text `json:"code"`
	Message text `json:"message"`
}

// usage is what a finished task is billed for. It is read leniently, since numbers
// were seen as strings and seconds as fractions.
type usage struct {
	Duration text `json:"duration"` // input and output: the billed seconds
	Input    text `json:"input_video_duration"`
	Output   text `json:"output_video_duration"`
	Size     text `json:"size"`
	// VideoDuration replaces the other fields when the video was made without
	// reference videos: billed seconds too.
	VideoDuration text `json:"video_duration"`
}

// taskPage is one page of the list ("manage asynchronous tasks").
type taskPage struct {
	Data       *[]taskRow `json:"data"`
	TotalPages text       `json:"total_page"`
	RequestID  text       `json:"request_id"`
}

type taskRow struct {
	TaskID    text `json:"task_id"`
	Status    text `json:"status"`
	Model     text `json:"model_name"`
	KeyID     text `json:"api_key_id"`
	RequestID text `json:"request_id"`
	CreatedAt text `json:"gmt_create"` // unix milliseconds
}

// uploadPolicy allows one upload ("get temporary file URL").
type uploadPolicy struct {
	Policy         text `json:"policy"`
	Signature      text `json:"signature"`
	Dir            text `json:"upload_dir"`
	Host           text `json:"upload_host"`
	MaxMB          text `json:"max_file_size_mb"`
	AccessKey      text `json:"oss_access_key_id"`
	ACL            text `json:"x_oss_object_acl"`
	ForbidOverride text `json:"x_oss_forbid_overwrite"`
}

type text = provider.Text

// readError reads the flat body {code, message, request_id}, the envelope of the
// compatible endpoints {error: {...}}, or the object store's XML. Only a body with
// a code counts; the HTML page of a proxy has none.
func readError(b []byte) (provider.ErrorBody, bool) {
	type flat struct {
		Code      text `json:"code"`
		Type      text `json:"type"`
		Message   text `json:"message"`
		Msg       text `json:"msg"`
		RequestID text `json:"request_id"`
	}

	var envelope struct {
		flat
		Error json.RawMessage `json:"error"`
	}

	if trimmed := bytes.TrimSpace(b); bytes.HasPrefix(trimmed, []byte("<")) {
		var oss struct {
			XMLName   xml.Name `xml:"Error"`
			Code      string
			Message   string
			RequestID string `xml:"RequestId"`
		}
		if err := xml.Unmarshal(trimmed, &oss); err != nil || oss.Code == "" {
			return provider.ErrorBody{}, false
		}

		return provider.ErrorBody{Code: oss.Code, Message: oss.Message, RequestID: oss.RequestID}, true
	}

	if err := json.Unmarshal(b, &envelope); err != nil {
		return provider.ErrorBody{}, false
	}

	f := envelope.flat
	if bytes.HasPrefix(bytes.TrimSpace(envelope.Error), []byte("{")) {
		var inner flat
		if json.Unmarshal(envelope.Error, &inner) == nil {
			inner.RequestID = firstNonEmpty(inner.RequestID, f.RequestID)
			f = inner
		}
	}

	code := firstNonEmpty(f.Code, f.Type)
	if code == "" {
		return provider.ErrorBody{}, false
	}

	return provider.ErrorBody{
		Code:      string(code),
		Message:   string(firstNonEmpty(f.Message, f.Msg)),
		RequestID: string(f.RequestID),
	}, true
}

func firstNonEmpty(a, b text) text {
	if a != "" {
		return a
	}

	return b
}

// readTaskResponse reads the response to create and query. It requires an ID and a
// status.
func readTaskResponse(b []byte) (taskResponse, error) {
	var taskResp taskResponse
	if err := json.Unmarshal(b, &taskResp); err != nil {
		return taskResponse{}, fmt.Errorf("read response: %w", err)
	}

	if taskResp.Output.TaskID == "" || taskResp.Output.Status == "" {
		return taskResponse{}, errors.New("read response: no task_id or no task_status")
	}

	return taskResp, nil
}

// readTaskPage reads one page of the list. It requires the data field, which may
// be empty.
func readTaskPage(b []byte) (taskPage, error) {
	var p taskPage
	if err := json.Unmarshal(b, &p); err != nil {
		return taskPage{}, fmt.Errorf("read list: %w", err)
	}

	if p.Data == nil {
		return taskPage{}, errors.New("read list: no data")
	}

	for i, r := range *p.Data {
		if r.TaskID == "" || r.CreatedAt.Int64() <= 0 {
			return taskPage{}, fmt.Errorf("read list: entry %d has no task_id or no gmt_create", i)
		}
	}

	return p, nil
}

// readUploadPolicy reads an upload policy. It is in data in the HTTP API, and in
// output in the supplier's SDK.
func readUploadPolicy(b []byte) (uploadPolicy, error) {
	var envelope struct {
		Data   *uploadPolicy `json:"data"`
		Output *uploadPolicy `json:"output"`
	}
	if err := json.Unmarshal(b, &envelope); err != nil {
		return uploadPolicy{}, fmt.Errorf("read policy: %w", err)
	}

	p := envelope.Data
	if p == nil {
		p = envelope.Output
	}

	if p == nil || p.Policy == "" || p.Signature == "" || p.Dir == "" || p.Host == "" || p.AccessKey == "" {
		return uploadPolicy{}, errors.New("read policy: a field is missing")
	}

	return *p, nil
}

// beijing is the time zone of every time that the supplier writes without one.
var beijing = time.FixedZone("UTC+8", 8*60*60)

// readTime reads "2025-12-16 00:30:35.396"; the milliseconds may be missing.
func readTime(t text) (time.Time, bool) {
	at, err := time.ParseInLocation(time.DateTime, strings.TrimSpace(string(t)), beijing)
	return at, err == nil
}
