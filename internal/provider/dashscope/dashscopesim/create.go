package dashscopesim

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"
)

// sizes26 lists the sizes of 2.6 by resolution tier (SR).
var sizes26 = map[int][]string{
	720:  {"1280*720", "720*1280", "960*960", "1088*832", "832*1088"},
	1080: {"1920*1080", "1080*1920", "1440*1440", "1632*1248", "1248*1632"},
}

var models = []string{
	"wan2.6-r2v", "wan2.6-r2v-flash", "wan2.6-t2v", "wan2.6-t2v-us", "wan2.6-i2v", "wan2.6-i2v-flash", "wan2.6-i2v-us",
	"wan2.7-r2v", "wan2.7-r2v-2026-06-12", "wan2.7-t2v", "wan2.7-i2v", "wan3.0-video", "wan3.0-video-prime",
}

// maxBilledSeconds is the largest number of seconds that each reference video is
// billed for, by the number of all references.
var maxBilledSeconds = []float64{0, 5, 2.5, 1.65, 1.25, 1}

// createRequest holds the fields that are read from a request; others are ignored,
// as the real supplier does.
type createRequest struct {
	Model string `json:"model"`
	Input *struct {
		Prompt     string      `json:"prompt"`
		Negative   string      `json:"negative_prompt"`
		References []string    `json:"reference_urls"`
		Videos     []string    `json:"reference_video_urls"`
		Image      string      `json:"img_url"`
		Media      []mediaItem `json:"media"`
		Audio      string      `json:"audio_url"`
	} `json:"input"`
	Parameters struct {
		Size       string   `json:"size"`
		Resolution string   `json:"resolution"`
		Format     string   `json:"ratio"`
		Duration   *float64 `json:"duration"`
		ShotType   string   `json:"shot_type"`
		Audio      *bool    `json:"audio"`
		Watermark  bool     `json:"watermark"`
		Seed       *int64   `json:"seed"`
	} `json:"parameters"`
}

// create accepts a submission. The errors of precheck are returned at once; wrong
// parameters make the task fail, unless Strict is set.
func (s *Sim) create(c *apiCall) response {
	var request createRequest
	if resp, rejected := s.precheck(c, &request); rejected {
		code := struct{ Code string }{}
		_ = json.Unmarshal(resp.body, &code)
		s.recordSubmission(c, request, code.Code, nil)

		return resp
	}

	interpret := s.interpret
	maxPrompt := 1500

	if family, ok := modelFamilyOf(request.Model); ok {
		interpret = family.interpreter(s)
		maxPrompt = family.maxPrompt
	}

	spec, input, problem := interpret(request)
	if problem != "" && s.o.Strict {
		s.recordSubmission(c, request, "InvalidParameter", nil)
		return errorResponse(http.StatusBadRequest, "InvalidParameter", problem)
	}

	s.mu.Lock()

	t := &task{
		id:           s.newIDLocked(),
		requestID:    c.requestID,
		key:          c.key,
		model:        request.Model,
		prompt:       truncate(request.Input.Prompt, maxPrompt),
		spec:         spec,
		size:         spec.size(),
		ratio:        request.Parameters.Format,
		inputSeconds: input,
		createdAt:    c.now,
		renderTime:   s.o.RenderMin,
	}
	if _, media := modelFamilyOf(request.Model); media || modeOf(request.Model) == "i2v" {
		t.size = ""
	}

	if spread := s.o.RenderMax - s.o.RenderMin; spread > 0 {
		t.renderTime += time.Duration(s.random.Int64N(int64(spread)))
	}

	if problem != "" {
		t.willFail = true
		t.code = "InvalidParameter"
		t.message = problem
		t.renderTime = 75 * time.Millisecond
	}

	s.enqueue(t)
	s.mu.Unlock()

	c.created = t
	s.recordSubmission(c, request, "", t)

	return jsonResponse(http.StatusOK, map[string]any{
		"output": map[string]string{"task_status": pending, "task_id": t.id}, "request_id": c.requestID,
	})
}

// precheck checks what the supplier checks before it makes a task.
func (s *Sim) precheck(c *apiCall, request *createRequest) (response, bool) {
	reject := func(status int, code, message string) (response, bool) {
		return errorResponse(status, code, message), true
	}
	if c.Header.Get("X-DashScope-Async") != "enable" {
		return reject(http.StatusForbidden, "AccessDenied", "current user api does not support synchronous calls.")
	}

	if json.Unmarshal(c.body, request) != nil {
		return reject(http.StatusBadRequest, "BadRequest.IllegalInput", "The input parameter requires json format.")
	}

	switch {
	case request.Model == "":
		return reject(http.StatusBadRequest, "BadRequest.EmptyModel", `Required parameter "model" missing from request.`)
	case !slices.Contains(models, request.Model):
		return reject(http.StatusNotFound, "ModelNotFound", fmt.Sprintf("The model %s does not exist.", request.Model))
	case request.Input == nil:
		return reject(http.StatusBadRequest, "BadRequest.EmptyInput", "Required input parameter missing from request.")
	case !s.allow("submit "+c.key.Account+" "+request.Model, s.o.Limits.Submits, c.now):
		return reject(http.StatusTooManyRequests, "Throttling.RateQuota", "Requests rate limit exceeded, please try again later.")
	}

	resolve := c.Header.Get("X-DashScope-OssResourceResolve") == "enable"
	for _, u := range request.mediaURLs() {
		if strings.HasPrefix(u, "oss://") && (!resolve || !s.canRead(u, c.key, request.Model)) {
			return reject(http.StatusBadRequest, "InvalidParameter.DataInspection", "Unable to download the media resource during the data inspection process.")
		}
	}

	return response{}, false
}

func (request createRequest) mediaURLs() []string {
	all := slices.Concat(request.Input.References, request.Input.Videos, []string{request.Input.Image, request.Input.Audio})
	for _, m := range request.Input.Media {
		all = append(all, m.URL, m.Voice)
	}

	return slices.DeleteFunc(all, func(u string) bool { return u == "" })
}

// interpret reads the parameters. It returns what is rendered, the billed seconds
// of the references, and what is wrong.
func (s *Sim) interpret(request createRequest) (Spec, float64, string) {
	kind := modeOf(request.Model)
	seconds := 5.0
	maxSeconds := 15.0

	if request.Parameters.Duration != nil {
		seconds = *request.Parameters.Duration
	}

	if kind == "r2v" {
		maxSeconds = 10
	}

	size, problem := s.videoSize(request, kind)
	spec := Spec{Seconds: int(seconds), Sound: true}

	_, _ = fmt.Sscanf(size, "%d*%d", &spec.Width, &spec.Height) // an invalid size stays 0
	if request.Parameters.Audio != nil && strings.Contains(request.Model, "-flash") {
		spec.Sound = *request.Parameters.Audio
	}

	switch {
	case problem != "":
	case seconds != float64(int(seconds)) || seconds < 2 || seconds > maxSeconds:
		problem = fmt.Sprintf("Required parameter(duration) missing or invalid, please check the request parameters. It must be an integer in [2, %d].", int(maxSeconds))
	case request.Parameters.Seed != nil && (*request.Parameters.Seed < 0 || *request.Parameters.Seed > 2147483647):
		problem = "Required parameter(seed) missing or invalid, please check the request parameters."
	case request.Parameters.ShotType != "" && request.Parameters.ShotType != "single" && request.Parameters.ShotType != "multi":
		problem = "Required parameter(shot_type) missing or invalid, please check the request parameters."
	case kind == "i2v" && request.Input.Image == "":
		problem = "Field required: input.img_url"
	case kind != "i2v" && strings.TrimSpace(request.Input.Prompt) == "":
		problem = "prompt must contain words"
	}

	if kind != "r2v" || problem != "" {
		return spec, 0, problem
	}

	input, problem := s.billedReferenceSeconds(slices.Concat(request.Input.References, request.Input.Videos), len(request.Input.Videos))

	return spec, input, problem
}

// videoSize returns the size of the video, and what is wrong with the requested
// one.
func (s *Sim) videoSize(request createRequest, kind string) (string, string) {
	if kind == "i2v" {
		switch strings.ToUpper(request.Parameters.Resolution) {
		case "720P":
			return s.closestSize(request.Input.Image, sizes26[720]), ""
		case "", "1080P":
			return s.closestSize(request.Input.Image, sizes26[1080]), ""
		}

		return "1280*720", "Required parameter(resolution) missing or invalid, please check the request parameters."
	}

	if request.Parameters.Size == "" {
		return "1920*1080", ""
	}

	all := slices.Concat(sizes26[720], sizes26[1080])
	if !slices.Contains(all, request.Parameters.Size) {
		return "1280*720", fmt.Sprintf("The size is not match the allowed size ['%s']", strings.Join(all, "', '"))
	}

	return request.Parameters.Size, ""
}

// billedReferenceSeconds returns the seconds that the reference videos are billed
// for. The last of urls are videos, whatever their extension.
func (s *Sim) billedReferenceSeconds(urls []string, last int) (float64, string) {
	videos := 0
	total := 0.0

	if len(urls) == 0 {
		return 0, "Field required: input.reference_urls"
	}

	if len(urls) > 5 {
		return 0, "Required parameter(reference_urls) missing or invalid: at most 5 references."
	}

	for i, u := range urls {
		plain, _, _ := strings.Cut(u, "?")

		end := strings.ToLower(path.Ext(plain))
		if i < len(urls)-last && end != ".mp4" && end != ".mov" {
			continue
		}

		videos++
		total += min(s.referenceLength(u), maxBilledSeconds[len(urls)])
	}

	if videos > 3 {
		return 0, "Required parameter(reference_urls) missing or invalid: at most 3 videos."
	}

	return total, ""
}

// referenceLength returns the assumed length of a reference in seconds.
func (s *Sim) referenceLength(u string) float64 {
	if s.o.ReferenceLength != nil {
		if known, ok := s.o.ReferenceLength(u); ok {
			return known
		}
	}

	return s.o.ReferenceSeconds
}

func (s *Sim) recordSubmission(c *apiCall, request createRequest, code string, t *task) {
	submission := Submission{
		At:       c.now,
		KeyID:    c.key.ID,
		Account:  c.key.Account,
		Model:    request.Model,
		Accepted: t != nil,
		Code:     code,
	}
	if request.Input != nil {
		submission.Prompt = request.Input.Prompt
	}

	if t != nil {
		submission.TaskID = t.id
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	s.submissions = append(s.submissions, submission)
}

func modeOf(model string) string {
	for _, m := range []string{"r2v", "i2v"} {
		if strings.Contains(model, "-"+m) {
			return m
		}
	}

	return "t2v"
}

// truncate keeps the first n characters: the supplier truncates without an error.
func truncate(text string, n int) string {
	if r := []rune(text); len(r) > n {
		return string(r[:n])
	}

	return text
}
