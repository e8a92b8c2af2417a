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

// creation is the body of an order ("Wan 2.6 R2V: create video task", "Wan 2.6:
// create task").
type creation struct {
	Model    string   `json:"model"`
	Prompt   string   `json:"prompt"`
	Image    string   `json:"image,omitempty"`  // I2V
	Videos   []string `json:"videos,omitempty"` // R2V: character1 and on
	Images   []string `json:"images,omitempty"` // R2V: the characters after the videos'
	Size     string   `json:"size,omitempty"`   // "1280*720"
	Duration int      `json:"duration"`         // seconds
	Extra    extra    `json:"extra_body"`
}

type extra struct {
	NegativePrompt  string `json:"negative_prompt,omitempty"`
	Audio           string `json:"audio,omitempty"`     // guide audio
	ShotType        string `json:"shot_type,omitempty"` // "single", "multi"
	PromptExpansion *bool  `json:"enable_prompt_expansion,omitempty"`
	Watermark       *bool  `json:"watermark,omitempty"` // Unireel alone
	Seed            int64  `json:"seed"`                // -1: random
}

// video is what create, query and Unireel's cancel answer ("query task"); all of
// it is read leniently.
type video struct {
	ID          text            `json:"id"`
	TaskID      text            `json:"task_id"`
	Status      text            `json:"status"`
	Progress    text            `json:"progress"`
	Prompt      text            `json:"prompt"`
	Size        text            `json:"size"`
	Seconds     text            `json:"seconds"`
	CreatedAt   text            `json:"created_at"` // unix seconds, as the others
	CompletedAt text            `json:"completed_at"`
	VideoURL    text            `json:"video_url"`
	Result      json.RawMessage `json:"result"` // null or {video_url, outputs}
	Error       json.RawMessage `json:"error"`  // null, a text or {code, message, param}
	Usage       json.RawMessage `json:"usage"`  // Unireel: {billed_seconds}
	Warnings    json.RawMessage `json:"warnings"`
	Preview     text            `json:"preview"`             // Unireel: it only stands in for a video
	CancelAt    text            `json:"cancel_requested_at"` // Unireel
}

// readVideo reads an answer; it wants an id, which goes into paths.
func readVideo(b []byte) (video, error) {
	var v video
	if err := json.Unmarshal(b, &v); err != nil {
		return video{}, fmt.Errorf("read task: %w", err)
	}

	if id := v.ticket(); id == "" || id == "." || id == ".." || len(id) > 256 {
		return video{}, errors.New("read task: no id")
	}

	return v, nil
}

// ticket is the id to ask with. Where both stand, the path's is called task_id.
func (v video) ticket() text {
	if v.TaskID != "" {
		return v.TaskID
	}

	return v.ID
}

// link is where the video is.
func (v video) link() string {
	if v.VideoURL != "" {
		return string(v.VideoURL)
	}

	var result struct {
		VideoURL text   `json:"video_url"`
		Outputs  []text `json:"outputs"`
	}

	_ = json.Unmarshal(v.Result, &result) // of another shape: no link
	if result.VideoURL == "" && len(result.Outputs) > 0 {
		return string(result.Outputs[0])
	}

	return string(result.VideoURL)
}

// usage is what the gateway bills; nil where it does not tell. The clip's seconds
// are in it; what is more are the references'.
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

	out := billed
	if clip, ok := v.Seconds.Millis(); ok && clip > 0 && clip < billed {
		out = clip
	}

	return &provider.Usage{Billed: billed, Input: billed - out, Output: out}
}

// warns says whether the task carries a warning.
func (v video) warns(code string) bool {
	var list []struct {
		Code text `json:"code"`
	}

	_ = json.Unmarshal(v.Warnings, &list) // of another shape: none
	for _, w := range list {
		if string(w.Code) == code {
			return true
		}
	}

	return false
}

// complaint reads the error of a failed task.
func (v video) complaint() provider.Complaint {
	var plain string
	if json.Unmarshal(v.Error, &plain) == nil {
		return provider.Complaint{Message: plain}
	}

	c, _ := readInner(v.Error)

	return c
}

// readUpload reads what POST /v1/files answers: the id is what an order names.
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

// readComplaint reads {error: {code, message, param}}, or the same flat, as some
// gateways answer for tasks. Only a body with a code counts: of the flat form,
// other things between us answer the rest.
func readComplaint(b []byte) (provider.Complaint, bool) {
	var wire struct {
		Error json.RawMessage `json:"error"`
	}
	if json.Unmarshal(b, &wire) != nil {
		return provider.Complaint{}, false
	}

	if isObject(wire.Error) {
		return readInner(wire.Error)
	}

	c, _ := readInner(b)

	return c, c.Code != "" && c.Message != ""
}

func isObject(b []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(b), []byte("{")) }

// readInner reads the error itself; one that says nothing is none.
func readInner(b []byte) (provider.Complaint, bool) {
	var e struct {
		Code    text `json:"code"`
		Type    text `json:"type"`
		Message text `json:"message"`
		Param   text `json:"param"`
	}
	if !isObject(b) || json.Unmarshal(b, &e) != nil {
		return provider.Complaint{}, false
	}

	if e.Code == "" {
		e.Code = e.Type
	}

	return provider.Complaint{Code: string(e.Code), Message: string(e.Message), Param: string(e.Param)}, e.Code != "" || e.Message != ""
}

// verdicts are Unireel's codes (docs/errors.md), then words that UniAll may pass
// on from its own suppliers; the first row that fits wins. An empty column is any.
var verdicts = []struct {
	code, says string
	verdict    provider.Verdict
}{
	{"content_rejected", "", provider.Verdict{Class: provider.Refused, Fault: fault.CodeModerated}},
	{"reference_unreachable", "", provider.Verdict{Class: provider.Refused, Fault: fault.CodeUnreachable}},
	{"file_not_found", "", provider.Verdict{Class: provider.Refused, Fault: fault.CodeUnreachable}},
	{"reference_invalid", "", provider.Verdict{Class: provider.Refused, Fault: fault.CodeBadReference}},
	{"unsupported_file_type", "", provider.Verdict{Class: provider.Refused, Fault: fault.CodeBadReference}},
	{"supplier_rejected", "", provider.Verdict{Class: provider.Refused, Fault: fault.CodeRefused}},
	{"unknown_model", "", provider.Verdict{Class: provider.Locked, ModelOnly: true, Fault: fault.CodeSupplier}},
	{"insufficient_credit", "", provider.Verdict{Class: provider.Locked, Fault: fault.CodeSupplier}},
	{"insufficient_user_quota", "", provider.Verdict{Class: provider.Locked, Fault: fault.CodeSupplier}},
	{"", "inappropriate content", provider.Verdict{Class: provider.Refused, Fault: fault.CodeModerated}},
	{"", "content policy", provider.Verdict{Class: provider.Refused, Fault: fault.CodeModerated}},
	{"", "infringement", provider.Verdict{Class: provider.Refused, Fault: fault.CodeModerated}},
}

// judge says what an error means; status is 0 in a task that failed, which may
// then be made again: it costs nothing. The param is the gateway's.
func judge(status int, c provider.Complaint) provider.Verdict {
	v := provider.ByStatus(status)

	message := strings.ToLower(c.Message)
	for _, row := range verdicts {
		if (row.code == "" || row.code == c.Code) && strings.Contains(message, row.says) {
			v = row.verdict
			break
		}
	}
	// A gateway with no supplier for a model at all must be mended there; where
	// one field is what it cannot do, the customer can leave it out.
	if c.Code == "no_route" && (c.Param == "" || c.Param == "model") {
		v = provider.Verdict{Class: provider.Locked, ModelOnly: true, Fault: fault.CodeSupplier}
	}

	if v.Class == provider.Refused {
		v.Param = c.Param
	}

	return v
}

// unknownTask says whether an error means that the gateway does not know the task.
func unknownTask(status int, c provider.Complaint) bool {
	switch c.Code {
	case "video_not_found", "task_not_found", "task_not_exist":
		return true
	}

	return status == http.StatusNotFound && c.Code != "unknown_path"
}
