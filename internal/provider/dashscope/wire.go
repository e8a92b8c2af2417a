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

// creation is the body of an order (R2V, T2V, I2V API references, "create
// task"). Which of its fields a model takes is in shape.go.
type creation struct {
	Model      string     `json:"model"`
	Input      input      `json:"input"`
	Parameters parameters `json:"parameters"`
}

type input struct {
	Prompt         string   `json:"prompt,omitempty"`
	NegativePrompt string   `json:"negative_prompt,omitempty"`
	ReferenceURLs  []string `json:"reference_urls,omitempty"` // R2V: character1, character2, ...
	ImageURL       string   `json:"img_url,omitempty"`        // I2V
	Media          []medium `json:"media,omitempty"`          // from 2.7 on, in place of the two above
	AudioURL       string   `json:"audio_url,omitempty"`      // T2V, and I2V of 2.6; for R2V not documented
}

type parameters struct {
	Size         string `json:"size,omitempty"`       // R2V, T2V: "1280*720"
	Resolution   string `json:"resolution,omitempty"` // I2V, and all from 2.7 on: "720P", "1080P"
	Format       string `json:"ratio,omitempty"`      // from 2.7 on: "16:9"
	Duration     int    `json:"duration"`             // seconds
	ShotType     string `json:"shot_type,omitempty"`
	Audio        *bool  `json:"audio,omitempty"`         // flash models and 3.0
	PromptExtend *bool  `json:"prompt_extend,omitempty"` // T2V and I2V; for R2V not documented
	Watermark    *bool  `json:"watermark,omitempty"`
	Seed         *int64 `json:"seed,omitempty"` // 0..2147483647
}

// answer is what create and query answer ("query task result").
type answer struct {
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

// usage is what a finished task is billed for; all of it is read leniently,
// since numbers were seen as strings and seconds as fractions.
type usage struct {
	Duration text `json:"duration"` // input and output: the billed seconds
	Input    text `json:"input_video_duration"`
	Output   text `json:"output_video_duration"`
	Size     text `json:"size"`
	// Clip stands in place of the rest in answers about a video that was made of no
	// other: billed seconds too.
	Clip text `json:"video_duration"`
}

// page is one page of the list ("manage asynchronous tasks").
type page struct {
	Data      *[]row `json:"data"`
	TotalPage text   `json:"total_page"`
	RequestID text   `json:"request_id"`
}

type row struct {
	TaskID    text `json:"task_id"`
	Status    text `json:"status"`
	Model     text `json:"model_name"`
	KeyID     text `json:"api_key_id"`
	RequestID text `json:"request_id"`
	Created   text `json:"gmt_create"` // unix milliseconds
}

// policy allows one upload ("get temporary file URL").
type policy struct {
	Policy         text `json:"policy"`
	Signature      text `json:"signature"`
	Folder         text `json:"upload_dir"`
	Host           text `json:"upload_host"`
	MaxMB          text `json:"max_file_size_mb"`
	AccessKey      text `json:"oss_access_key_id"`
	ACL            text `json:"x_oss_object_acl"`
	ForbidOverride text `json:"x_oss_forbid_overwrite"`
}

type text = provider.Text

// readError reads the flat body {code, message, request_id}, the envelope of the
// compatible endpoints {error: {...}}, or the object store's XML. Only a body
// with a code counts: an HTML page of something between us does not.
func readError(b []byte) (provider.Complaint, bool) {
	type flat struct {
		Code      text `json:"code"`
		Type      text `json:"type"`
		Message   text `json:"message"`
		Msg       text `json:"msg"`
		RequestID text `json:"request_id"`
	}

	var wire struct {
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
			return provider.Complaint{}, false
		}

		return provider.Complaint{Code: oss.Code, Message: oss.Message, RequestID: oss.RequestID}, true
	}

	if err := json.Unmarshal(b, &wire); err != nil {
		return provider.Complaint{}, false
	}

	f := wire.flat
	if bytes.HasPrefix(bytes.TrimSpace(wire.Error), []byte("{")) {
		var inner flat
		if json.Unmarshal(wire.Error, &inner) == nil {
			inner.RequestID = either(inner.RequestID, f.RequestID)
			f = inner
		}
	}

	code := either(f.Code, f.Type)
	if code == "" {
		return provider.Complaint{}, false
	}

	return provider.Complaint{Code: string(code), Message: string(either(f.Message, f.Msg)), RequestID: string(f.RequestID)}, true
}

func either(a, b text) text {
	if a != "" {
		return a
	}

	return b
}

// readAnswer reads what create and query answer; it wants an id and a status.
func readAnswer(b []byte) (answer, error) {
	var a answer
	if err := json.Unmarshal(b, &a); err != nil {
		return answer{}, fmt.Errorf("read answer: %w", err)
	}

	if a.Output.TaskID == "" || a.Output.Status == "" {
		return answer{}, errors.New("read answer: no task_id or no task_status")
	}

	return a, nil
}

// readPage reads one page of the list; it wants the data, be it empty.
func readPage(b []byte) (page, error) {
	var p page
	if err := json.Unmarshal(b, &p); err != nil {
		return page{}, fmt.Errorf("read list: %w", err)
	}

	if p.Data == nil {
		return page{}, errors.New("read list: no data")
	}

	for i, r := range *p.Data {
		if r.TaskID == "" || r.Created.Whole() <= 0 {
			return page{}, fmt.Errorf("read list: entry %d has no task_id or no gmt_create", i)
		}
	}

	return p, nil
}

// readPolicy reads an upload policy; raw HTTP has it in data, a wrapper of the
// supplier's SDK in output.
func readPolicy(b []byte) (policy, error) {
	var wire struct {
		Data   *policy `json:"data"`
		Output *policy `json:"output"`
	}
	if err := json.Unmarshal(b, &wire); err != nil {
		return policy{}, fmt.Errorf("read policy: %w", err)
	}

	p := wire.Data
	if p == nil {
		p = wire.Output
	}

	if p == nil || p.Policy == "" || p.Signature == "" || p.Folder == "" || p.Host == "" || p.AccessKey == "" {
		return policy{}, errors.New("read policy: a field is missing")
	}

	return *p, nil
}

// beijing is the zone of every time that the supplier writes without one.
var beijing = time.FixedZone("UTC+8", 8*60*60)

// readTime reads "2025-12-16 00:30:35.396", the milliseconds of which may lack.
func readTime(t text) (time.Time, bool) {
	at, err := time.ParseInLocation(time.DateTime, strings.TrimSpace(string(t)), beijing)
	return at, err == nil
}
