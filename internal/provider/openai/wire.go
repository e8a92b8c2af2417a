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

// video is what create, retrieve and delete answer ("the video object"); all of
// it is read leniently.
type video struct {
	ID          text            `json:"id"`
	Object      text            `json:"object"`
	Status      text            `json:"status"`
	Progress    text            `json:"progress"`
	Prompt      text            `json:"prompt"`
	Size        text            `json:"size"`       // "1280x720"
	CreatedAt   text            `json:"created_at"` // unix seconds, as the others
	CompletedAt text            `json:"completed_at"`
	ExpiresAt   text            `json:"expires_at"`
	URL         text            `json:"url"`       // SGLang: where it keeps videos in a store
	VideoURL    text            `json:"video_url"` // other gateways
	Deleted     text            `json:"deleted"`
	Error       json.RawMessage `json:"error"` // null, a text or {code, message}
}

// readVideo reads an answer; it wants an id, which goes into paths.
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

// complaint reads the error of a failed video.
func (v video) complaint() provider.Complaint {
	var plain string
	if json.Unmarshal(v.Error, &plain) == nil {
		return provider.Complaint{Message: plain}
	}

	c, _ := readInner(v.Error)

	return c
}

// readComplaint reads what servers of this API answer to a wrong request:
// OpenAI's {error: {code, message, param, type}}, vLLM's older flat
// {object: "error", message, type, code}, and FastAPI's {detail} of a text or a
// list. Anything else is no server's own: a page of something between.
func readComplaint(b []byte) (provider.Complaint, bool) {
	var wire struct {
		Error  json.RawMessage `json:"error"`
		Object text            `json:"object"`
		Detail json.RawMessage `json:"detail"`
	}
	if json.Unmarshal(b, &wire) != nil {
		return provider.Complaint{}, false
	}

	switch {
	case isObject(wire.Error):
		return readInner(wire.Error)
	case wire.Object == "error":
		return readInner(b)
	default:
		return readDetail(wire.Detail)
	}
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
	// vLLM's code is the HTTP status again; its type is the word.
	if e.Code == "" || e.Type != "" && strings.Trim(string(e.Code), "0123456789") == "" {
		e.Code = e.Type
	}

	return provider.Complaint{Code: string(e.Code), Message: string(e.Message), Param: string(e.Param)}, e.Code != "" || e.Message != ""
}

// readDetail reads FastAPI's: a text, or a list of {loc, msg, type}.
func readDetail(b []byte) (provider.Complaint, bool) {
	var plain string
	if json.Unmarshal(b, &plain) == nil && plain != "" {
		return provider.Complaint{Message: plain}, true
	}

	var list []struct {
		Loc  []text `json:"loc"` // "body", then the field
		Msg  text   `json:"msg"`
		Type text   `json:"type"`
	}
	if json.Unmarshal(b, &list) != nil || len(list) == 0 || list[0].Msg == "" {
		return provider.Complaint{}, false
	}

	c := provider.Complaint{Code: string(list[0].Type), Message: string(list[0].Msg)}
	if len(list[0].Loc) > 1 {
		c.Param = string(list[0].Loc[1])
	}

	return c, true
}

// verdicts are the codes and words that mean the same wherever they come from;
// the first row that fits wins. An empty column is any.
var verdicts = []struct {
	code, says string
	verdict    provider.Verdict
}{
	{"moderation_blocked", "", provider.Verdict{Class: provider.Refused, Fault: fault.CodeModerated}},
	{"content_policy_violation", "", provider.Verdict{Class: provider.Refused, Fault: fault.CodeModerated}},
	{"content_rejected", "", provider.Verdict{Class: provider.Refused, Fault: fault.CodeModerated}},
	{"", "content policy", provider.Verdict{Class: provider.Refused, Fault: fault.CodeModerated}},
	{"", "moderation", provider.Verdict{Class: provider.Refused, Fault: fault.CodeModerated}},
	{"", "safety checker", provider.Verdict{Class: provider.Refused, Fault: fault.CodeModerated}},
	{"insufficient_quota", "", provider.Verdict{Class: provider.Locked, Fault: fault.CodeSupplier}},
	{"billing_hard_limit_reached", "", provider.Verdict{Class: provider.Locked, Fault: fault.CodeSupplier}},
	{"invalid_api_key", "", provider.Verdict{Class: provider.Locked, Fault: fault.CodeSupplier}},
	{"model_not_found", "", provider.Verdict{Class: provider.Locked, ModelOnly: true, Fault: fault.CodeSupplier}},
	{"unknown_model", "", provider.Verdict{Class: provider.Locked, ModelOnly: true, Fault: fault.CodeSupplier}},
	{"invalid_model", "", provider.Verdict{Class: provider.Locked, ModelOnly: true, Fault: fault.CodeSupplier}},
	{"reference_unreachable", "", provider.Verdict{Class: provider.Refused, Fault: fault.CodeUnreachable}},
	{"reference_invalid", "", provider.Verdict{Class: provider.Refused, Fault: fault.CodeBadReference}},
	{"", "failed to download", provider.Verdict{Class: provider.Refused, Fault: fault.CodeUnreachable}},
	{"", "cannot identify image", provider.Verdict{Class: provider.Refused, Fault: fault.CodeBadReference}},
	{"", "out of memory", provider.Verdict{Class: provider.Passing, Fault: fault.CodeSupplier}},
	{"", "too many requests", provider.Verdict{Class: provider.Throttled, Fault: fault.CodeSupplier}},
	{"", "queue is full", provider.Verdict{Class: provider.Throttled, Fault: fault.CodeSupplier}},
}

// judge says what an error means; status is 0 in a video that failed, which may
// then be made again: it costs nothing. The param is the server's.
func judge(status int, c provider.Complaint) provider.Verdict {
	v := provider.ByStatus(status)

	message := strings.ToLower(c.Message)
	for _, row := range verdicts {
		if (row.code == "" || row.code == c.Code) && strings.Contains(message, row.says) {
			v = row.verdict
			break
		}
	}
	// A server of one model names it where it is asked for another.
	if status == http.StatusNotFound && (c.Param == "model" || strings.Contains(message, "model")) {
		v.ModelOnly = true
	}

	if v.Class == provider.Refused {
		v.Param = c.Param
	}

	return v
}
