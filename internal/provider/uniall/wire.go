package uniall

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
)

type text = provider.Text

// createRequest is the body of a submission ("Wan 2.6 R2V: create video task",
// "Wan 2.6: create task").
type createRequest struct {
	Model     string    `json:"model"`
	Prompt    string    `json:"prompt"`
	Image     string    `json:"image,omitempty"`  // I2V
	Videos    []string  `json:"videos,omitempty"` // R2V: from character1 on
	Images    []string  `json:"images,omitempty"` // R2V: the characters after the videos
	Size      string    `json:"size,omitempty"`   // "1280*720"
	Duration  int       `json:"duration"`         // seconds
	ExtraBody extraBody `json:"extra_body"`
}

type extraBody struct {
	NegativePrompt  string `json:"negative_prompt,omitempty"`
	Audio           string `json:"audio,omitempty"`     // guide audio
	ShotType        string `json:"shot_type,omitempty"` // "single", "multi"
	PromptExpansion *bool  `json:"enable_prompt_expansion,omitempty"`
	Watermark       *bool  `json:"watermark,omitempty"` // only Unireel has it
	Seed            int64  `json:"seed"`                // -1: random
}

// video is the response to create, query and Unireel's cancel ("query task"). It
// is read leniently.
type video struct {
	ID                text            `json:"id"`
	TaskID            text            `json:"task_id"`
	Status            text            `json:"status"`
	Progress          text            `json:"progress"`
	Prompt            text            `json:"prompt"`
	Size              text            `json:"size"`
	Seconds           text            `json:"seconds"`
	CreatedAt         text            `json:"created_at"` // unix seconds, as in the other times
	CompletedAt       text            `json:"completed_at"`
	VideoURL          text            `json:"video_url"`
	Result            json.RawMessage `json:"result"` // null or {video_url, outputs}
	Error             json.RawMessage `json:"error"`  // null, a string or {code, message, param}
	Usage             json.RawMessage `json:"usage"`  // Unireel: {billed_seconds}
	Warnings          json.RawMessage `json:"warnings"`
	Preview           text            `json:"preview"`             // Unireel: true for a preview
	CancelRequestedAt text            `json:"cancel_requested_at"` // Unireel
}

// readVideo reads a response. It requires an ID that can be part of a path.
func readVideo(b []byte) (video, error) {
	var v video
	if err := json.Unmarshal(b, &v); err != nil {
		return video{}, fmt.Errorf("read task: %w", err)
	}

	if id := v.remoteID(); id == "" || id == "." || id == ".." || len(id) > 256 {
		return video{}, errors.New("read task: no id")
	}

	return v, nil
}

// remoteID returns the ID for queries. When both are present, task_id is the one
// used in paths.
func (v video) remoteID() text {
	if v.TaskID != "" {
		return v.TaskID
	}

	return v.ID
}

// resultURL returns the URL of the video.
func (v video) resultURL() string {
	if v.VideoURL != "" {
		return string(v.VideoURL)
	}

	var result struct {
		VideoURL text   `json:"video_url"`
		Outputs  []text `json:"outputs"`
	}

	_ = json.Unmarshal(v.Result, &result) // another shape means that there is no link
	if result.VideoURL == "" && len(result.Outputs) > 0 {
		return string(result.Outputs[0])
	}

	return string(result.VideoURL)
}

// usage returns what the gateway bills; nil when it does not report it. The billed
// seconds include the video's own; the rest are the references'.
func (v video) usage() *provider.Usage {
	var u struct {
		Billed text `json:"billed_seconds"`
	}
	if json.Unmarshal(v.Usage, &u) != nil {
		return nil
	}

	billed, ok := u.Billed.Millis()
	if !ok || billed == 0 {
		return nil
	}

	output := billed
	if seconds, ok := v.Seconds.Millis(); ok && seconds > 0 && seconds < billed {
		output = seconds
	}

	return &provider.Usage{Billed: billed, Input: billed - output, Output: output}
}

// hasWarning reports whether the task carries a warning with this code.
func (v video) hasWarning(code string) bool {
	var list []struct {
		Code text `json:"code"`
	}

	_ = json.Unmarshal(v.Warnings, &list) // another shape means that there are none
	for _, w := range list {
		if string(w.Code) == code {
			return true
		}
	}

	return false
}

// errorBody reads the error of a failed task.
func (v video) errorBody() provider.ErrorBody {
	var plain string
	if json.Unmarshal(v.Error, &plain) == nil {
		return provider.ErrorBody{Message: plain}
	}

	c, _ := readErrorObject(v.Error)

	return c
}

// readUpload reads the response to POST /v1/files: submissions refer to the file
// by its ID.
func readUpload(b []byte) (string, error) {
	var file struct {
		ID text `json:"id"`
	}
	if err := json.Unmarshal(b, &file); err != nil {
		return "", fmt.Errorf("read file: %w", err)
	}

	if file.ID == "" {
		return "", errors.New("read file: no id")
	}

	return string(file.ID), nil
}

// readError reads {error: {code, message, param}}, or the same fields without the
// envelope, as some gateways send for tasks. Without the envelope, a body needs
// both a code and a message to count, since it may come from a proxy.
func readError(b []byte) (provider.ErrorBody, bool) {
	var envelope struct {
		Error json.RawMessage `json:"error"`
	}
	if json.Unmarshal(b, &envelope) != nil {
		return provider.ErrorBody{}, false
	}

	if isObject(envelope.Error) {
		return readErrorObject(envelope.Error)
	}

	c, _ := readErrorObject(b)

	return c, c.Code != "" && c.Message != ""
}

func isObject(b []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(b), []byte("{")) }

// readErrorObject reads the error object; false when it has neither a code nor a
// message.
func readErrorObject(b []byte) (provider.ErrorBody, bool) {
	var e struct {
		Code    text `json:"code"`
		Type    text `json:"type"`
		Message text `json:"message"`
		Param   text `json:"param"`
	}
	if !isObject(b) || json.Unmarshal(b, &e) != nil {
		return provider.ErrorBody{}, false
	}

	if e.Code == "" {
		e.Code = e.Type
	}

	return provider.ErrorBody{
		Code:    string(e.Code),
		Message: string(e.Message),
		Param:   string(e.Param),
	}, e.Code != "" || e.Message != ""
}

// classifications are Unireel's codes (docs/errors.md), then phrases that UniAll
// may pass on from its own suppliers; the first matching row applies. An empty
// column matches anything.
var classifications = []struct {
	code, phrase   string
	classification provider.Classification
}{
	{"content_rejected", "", provider.Classification{Class: provider.InvalidRequest, Fault: fault.CodeContentRejected}},
	{"reference_unreachable", "", provider.Classification{Class: provider.InvalidRequest, Fault: fault.CodeReferenceUnreachable}},
	{"file_not_found", "", provider.Classification{Class: provider.InvalidRequest, Fault: fault.CodeReferenceUnreachable}},
	{"reference_invalid", "", provider.Classification{Class: provider.InvalidRequest, Fault: fault.CodeReferenceInvalid}},
	{"unsupported_file_type", "", provider.Classification{Class: provider.InvalidRequest, Fault: fault.CodeReferenceInvalid}},
	{"supplier_rejected", "", provider.Classification{Class: provider.InvalidRequest, Fault: fault.CodeSupplierRejected}},
	{"unknown_model", "", provider.Classification{
		Class:     provider.AccountBlocked,
		ModelOnly: true,
		Fault:     fault.CodeSupplierFailed,
	}},
	{"insufficient_credit", "", provider.Classification{Class: provider.AccountBlocked, Fault: fault.CodeSupplierFailed}},
	{"insufficient_user_quota", "", provider.Classification{Class: provider.AccountBlocked, Fault: fault.CodeSupplierFailed}},
	{"", "inappropriate content", provider.Classification{Class: provider.InvalidRequest, Fault: fault.CodeContentRejected}},
	{"", "content policy", provider.Classification{Class: provider.InvalidRequest, Fault: fault.CodeContentRejected}},
	{"", "infringement", provider.Classification{Class: provider.InvalidRequest, Fault: fault.CodeContentRejected}},
}

// classify says what an error means. status is 0 for a failed task, which may be
// submitted again: it costs nothing. The param is the gateway's.
func classify(status int, errBody provider.ErrorBody) provider.Classification {
	v := provider.ClassifyStatus(status)

	message := strings.ToLower(errBody.Message)
	for _, row := range classifications {
		if (row.code == "" || row.code == errBody.Code) && strings.Contains(message, row.phrase) {
			v = row.classification
			break
		}
	}
	// If the gateway has no supplier for the model at all, its operator must fix
	// that; if it lacks support for one field only, the customer can leave the
	// field out.
	if errBody.Code == "no_route" && (errBody.Param == "" || errBody.Param == "model") {
		v = provider.Classification{
			Class:     provider.AccountBlocked,
			ModelOnly: true,
			Fault:     fault.CodeSupplierFailed,
		}
	}

	if v.Class == provider.InvalidRequest {
		v.Param = errBody.Param
	}

	return v
}

// isUnknownTask reports whether an error means that the gateway does not know the
// task.
func isUnknownTask(status int, errBody provider.ErrorBody) bool {
	switch errBody.Code {
	case "video_not_found", "task_not_found", "task_not_exist":
		return true
	}

	return status == http.StatusNotFound && errBody.Code != "unknown_path"
}
