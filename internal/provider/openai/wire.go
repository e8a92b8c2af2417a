package openai

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

// video is the response to create, retrieve and delete ("the video object"). It is
// read leniently.
type video struct {
	ID          text            `json:"id"`
	Object      text            `json:"object"`
	Status      text            `json:"status"`
	Progress    text            `json:"progress"`
	Prompt      text            `json:"prompt"`
	Size        text            `json:"size"`       // "1280x720"
	CreatedAt   text            `json:"created_at"` // unix seconds, as in the other times
	CompletedAt text            `json:"completed_at"`
	ExpiresAt   text            `json:"expires_at"`
	URL         text            `json:"url"`       // SGLang: where it keeps videos in an object store
	VideoURL    text            `json:"video_url"` // other gateways
	Deleted     text            `json:"deleted"`
	Error       json.RawMessage `json:"error"` // null, a string or {code, message}
}

// readVideo reads a response. It requires an ID that can be part of a path.
func readVideo(b []byte) (video, error) {
	var v video
	if err := json.Unmarshal(b, &v); err != nil {
		return video{}, fmt.Errorf("read video: %w", err)
	}

	if id := string(v.ID); id == "" || id == "." || id == ".." || len(id) > 256 {
		return video{}, errors.New("read video: no id")
	}

	return v, nil
}

// errorBody reads the error of a failed video.
func (v video) errorBody() provider.ErrorBody {
	var plain string
	if json.Unmarshal(v.Error, &plain) == nil {
		return provider.ErrorBody{Message: plain}
	}

	errBody, _ := readErrorObject(v.Error)

	return errBody
}

// readError reads the errors of servers of this API: OpenAI's {error: {code,
// message, param, type}}, vLLM's older flat {object: "error", message, type,
// code}, and FastAPI's {detail} with a string or a list. Anything else did not
// come from the server, but for example from a proxy.
func readError(b []byte) (provider.ErrorBody, bool) {
	var envelope struct {
		Error  json.RawMessage `json:"error"`
		Object text            `json:"object"`
		Detail json.RawMessage `json:"detail"`
	}
	if json.Unmarshal(b, &envelope) != nil {
		return provider.ErrorBody{}, false
	}

	switch {
	case isObject(envelope.Error):
		return readErrorObject(envelope.Error)
	case envelope.Object == "error":
		return readErrorObject(b)
	default:
		return readDetail(envelope.Detail)
	}
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
	// vLLM's code repeats the HTTP status; its type is the actual code.
	if e.Code == "" || e.Type != "" && strings.Trim(string(e.Code), "0123456789") == "" {
		e.Code = e.Type
	}

	return provider.ErrorBody{
		Code:    string(e.Code),
		Message: string(e.Message),
		Param:   string(e.Param),
	}, e.Code != "" || e.Message != ""
}

// readDetail reads FastAPI's detail: a string, or a list of {loc, msg, type}.
func readDetail(b []byte) (provider.ErrorBody, bool) {
	var plain string
	if json.Unmarshal(b, &plain) == nil && plain != "" {
		return provider.ErrorBody{Message: plain}, true
	}

	var list []struct {
		Loc  []text `json:"loc"` // "body", then the field
		Msg  text   `json:"msg"`
		Type text   `json:"type"`
	}
	if json.Unmarshal(b, &list) != nil || len(list) == 0 || list[0].Msg == "" {
		return provider.ErrorBody{}, false
	}

	c := provider.ErrorBody{Code: string(list[0].Type), Message: string(list[0].Msg)}
	if len(list[0].Loc) > 1 {
		c.Param = string(list[0].Loc[1])
	}

	return c, true
}

// classifications are the codes and words that mean the same on every server; the
// first matching row applies. An empty column matches anything.
var classifications = []struct {
	code, phrase   string
	classification provider.Classification
}{
	{"moderation_blocked", "", provider.Classification{Class: provider.InvalidRequest, Fault: fault.CodeContentRejected}},
	{"content_policy_violation", "", provider.Classification{Class: provider.InvalidRequest, Fault: fault.CodeContentRejected}},
	{"content_rejected", "", provider.Classification{Class: provider.InvalidRequest, Fault: fault.CodeContentRejected}},
	{"", "content policy", provider.Classification{Class: provider.InvalidRequest, Fault: fault.CodeContentRejected}},
	{"", "moderation", provider.Classification{Class: provider.InvalidRequest, Fault: fault.CodeContentRejected}},
	{"", "safety checker", provider.Classification{Class: provider.InvalidRequest, Fault: fault.CodeContentRejected}},
	{"insufficient_quota", "", provider.Classification{Class: provider.AccountBlocked, Fault: fault.CodeSupplierFailed}},
	{"billing_hard_limit_reached", "", provider.Classification{Class: provider.AccountBlocked, Fault: fault.CodeSupplierFailed}},
	{"invalid_api_key", "", provider.Classification{Class: provider.AccountBlocked, Fault: fault.CodeSupplierFailed}},
	{"model_not_found", "", provider.Classification{
		Class:     provider.AccountBlocked,
		ModelOnly: true,
		Fault:     fault.CodeSupplierFailed,
	}},
	{"unknown_model", "", provider.Classification{
		Class:     provider.AccountBlocked,
		ModelOnly: true,
		Fault:     fault.CodeSupplierFailed,
	}},
	{"invalid_model", "", provider.Classification{
		Class:     provider.AccountBlocked,
		ModelOnly: true,
		Fault:     fault.CodeSupplierFailed,
	}},
	{"reference_unreachable", "", provider.Classification{Class: provider.InvalidRequest, Fault: fault.CodeReferenceUnreachable}},
	{"reference_invalid", "", provider.Classification{Class: provider.InvalidRequest, Fault: fault.CodeReferenceInvalid}},
	{"", "failed to download", provider.Classification{Class: provider.InvalidRequest, Fault: fault.CodeReferenceUnreachable}},
	{"", "cannot identify image", provider.Classification{Class: provider.InvalidRequest, Fault: fault.CodeReferenceInvalid}},
	{"", "out of memory", provider.Classification{Class: provider.Transient, Fault: fault.CodeSupplierFailed}},
	{"", "too many requests", provider.Classification{Class: provider.Throttled, Fault: fault.CodeSupplierFailed}},
	{"", "queue is full", provider.Classification{Class: provider.Throttled, Fault: fault.CodeSupplierFailed}},
}

// classify says what an error means. status is 0 for a failed video, which may be
// submitted again: it costs nothing. The param is the server's.
func classify(status int, errBody provider.ErrorBody) provider.Classification {
	v := provider.ClassifyStatus(status)

	message := strings.ToLower(errBody.Message)
	for _, row := range classifications {
		if (row.code == "" || row.code == errBody.Code) && strings.Contains(message, row.phrase) {
			v = row.classification
			break
		}
	}
	// A server with one model names the model when another one is requested.
	if status == http.StatusNotFound && (errBody.Param == "model" || strings.Contains(message, "model")) {
		v.ModelOnly = true
	}

	if v.Class == provider.InvalidRequest {
		v.Param = errBody.Param
	}

	return v
}
