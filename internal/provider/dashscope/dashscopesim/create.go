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

// sizes are the sizes by tier (SR) of 2.6.
var sizes = map[int][]string{
	720:  {"1280*720", "720*1280", "960*960", "1088*832", "832*1088"},
	1080: {"1920*1080", "1080*1920", "1440*1440", "1632*1248", "1248*1632"},
}

var models = []string{
	"wan2.6-r2v", "wan2.6-r2v-flash", "wan2.6-t2v", "wan2.6-t2v-us", "wan2.6-i2v", "wan2.6-i2v-flash", "wan2.6-i2v-us",
	"wan2.7-r2v", "wan2.7-r2v-2026-06-12", "wan2.7-t2v", "wan2.7-i2v", "wan3.0-video", "wan3.0-video-prime",
}

// caps are the most seconds that each reference video is billed for, by the
// number of all references.
var caps = []float64{0, 5, 2.5, 1.65, 1.25, 1}

// creation is what is read of an order; other keys are ignored, as there.
type creation struct {
	Model string `json:"model"`
	Input *struct {
		Prompt     string   `json:"prompt"`
		Negative   string   `json:"negative_prompt"`
		References []string `json:"reference_urls"`
		Videos     []string `json:"reference_video_urls"`
		Image      string   `json:"img_url"`
		Media      []medium `json:"media"`
		Audio      string   `json:"audio_url"`
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

// create takes an order: the gate's checks answer at once, the model's make the
// task fail, unless Strict.
func (s *Sim) create(c *call) reply {
	var order creation
	if a, refused := s.gate(c, &order); refused {
		code := struct{ Code string }{}
		_ = json.Unmarshal(a.body, &code)
		s.note(c, order, code.Code, nil)

		return a
	}

	understand := s.understand
	longest := 1500

	if l, ok := lineOf(order.Model); ok {
		understand = l.understand(s)
		longest = l.prompt
	}

	spec, input, wrong := understand(order)
	if wrong != "" && s.o.Strict {
		s.note(c, order, "InvalidParameter", nil)
		return refusal(http.StatusBadRequest, "InvalidParameter", wrong)
	}

	s.mu.Lock()

	t := &task{
		id: s.newIDLocked(), requestID: c.id, key: c.key, model: order.Model, prompt: cut(order.Input.Prompt, longest),
		spec: spec, size: spec.size(), format: order.Parameters.Format, input: input, made: c.now, takes: s.o.RenderMin,
	}
	if _, media := lineOf(order.Model); media || mode(order.Model) == "i2v" {
		t.size = ""
	}

	if span := s.o.RenderMax - s.o.RenderMin; span > 0 {
		t.takes += time.Duration(s.random.Int64N(int64(span)))
	}

	if wrong != "" {
		t.fails = true
		t.code = "InvalidParameter"
		t.message = wrong
		t.takes = 75 * time.Millisecond
	}

	s.add(t)
	s.mu.Unlock()

	c.made = t
	s.note(c, order, "", t)

	return answer(http.StatusOK, map[string]any{
		"output": map[string]string{"task_status": pending, "task_id": t.id}, "request_id": c.id,
	})
}

// gate is what is checked before an order becomes a task.
func (s *Sim) gate(c *call, order *creation) (reply, bool) {
	bad := func(status int, code, message string) (reply, bool) { return refusal(status, code, message), true }
	if c.Header.Get("X-DashScope-Async") != "enable" {
		return bad(http.StatusForbidden, "AccessDenied", "current user api does not support synchronous calls.")
	}

	if json.Unmarshal(c.body, order) != nil {
		return bad(http.StatusBadRequest, "BadRequest.IllegalInput", "The input parameter requires json format.")
	}

	switch {
	case order.Model == "":
		return bad(http.StatusBadRequest, "BadRequest.EmptyModel", `Required parameter "model" missing from request.`)
	case !slices.Contains(models, order.Model):
		return bad(http.StatusNotFound, "ModelNotFound", fmt.Sprintf("The model %s does not exist.", order.Model))
	case order.Input == nil:
		return bad(http.StatusBadRequest, "BadRequest.EmptyInput", "Required input parameter missing from request.")
	case !s.allow("submit "+c.key.Account+" "+order.Model, s.o.Limits.Submits, c.now):
		return bad(http.StatusTooManyRequests, "Throttling.RateQuota", "Requests rate limit exceeded, please try again later.")
	}

	resolve := c.Header.Get("X-DashScope-OssResourceResolve") == "enable"
	for _, u := range order.media() {
		if strings.HasPrefix(u, "oss://") && (!resolve || !s.readable(u, c.key, order.Model)) {
			return bad(http.StatusBadRequest, "InvalidParameter.DataInspection", "Unable to download the media resource during the data inspection process.")
		}
	}

	return reply{}, false
}

func (o creation) media() []string {
	all := slices.Concat(o.Input.References, o.Input.Videos, []string{o.Input.Image, o.Input.Audio})
	for _, m := range o.Input.Media {
		all = append(all, m.URL, m.Voice)
	}

	return slices.DeleteFunc(all, func(u string) bool { return u == "" })
}

// understand reads the parameters: what is rendered, the billed seconds of the
// references, and what is wrong.
func (s *Sim) understand(o creation) (Spec, float64, string) {
	kind := mode(o.Model)
	seconds := 5.0
	longest := 15.0

	if o.Parameters.Duration != nil {
		seconds = *o.Parameters.Duration
	}

	if kind == "r2v" {
		longest = 10
	}

	size, wrong := s.sizeOf(o, kind)
	spec := Spec{Seconds: int(seconds), Sound: true}

	_, _ = fmt.Sscanf(size, "%d*%d", &spec.Width, &spec.Height) // what is no size stays 0
	if o.Parameters.Audio != nil && strings.Contains(o.Model, "-flash") {
		spec.Sound = *o.Parameters.Audio
	}

	switch {
	case wrong != "":
	case seconds != float64(int(seconds)) || seconds < 2 || seconds > longest:
		wrong = fmt.Sprintf("Required parameter(duration) missing or invalid, please check the request parameters. It must be an integer in [2, %d].", int(longest))
	case o.Parameters.Seed != nil && (*o.Parameters.Seed < 0 || *o.Parameters.Seed > 2147483647):
		wrong = "Required parameter(seed) missing or invalid, please check the request parameters."
	case o.Parameters.ShotType != "" && o.Parameters.ShotType != "single" && o.Parameters.ShotType != "multi":
		wrong = "Required parameter(shot_type) missing or invalid, please check the request parameters."
	case kind == "i2v" && o.Input.Image == "":
		wrong = "Field required: input.img_url"
	case kind != "i2v" && strings.TrimSpace(o.Input.Prompt) == "":
		wrong = "prompt must contain words"
	}

	if kind != "r2v" || wrong != "" {
		return spec, 0, wrong
	}

	input, wrong := s.referenceSeconds(slices.Concat(o.Input.References, o.Input.Videos), len(o.Input.Videos))

	return spec, input, wrong
}

// sizeOf is the size of the video, and what is wrong with what was asked.
func (s *Sim) sizeOf(o creation, kind string) (string, string) {
	if kind == "i2v" {
		switch strings.ToUpper(o.Parameters.Resolution) {
		case "720P":
			return s.shape(o.Input.Image, sizes[720]), ""
		case "", "1080P":
			return s.shape(o.Input.Image, sizes[1080]), ""
		}

		return "1280*720", "Required parameter(resolution) missing or invalid, please check the request parameters."
	}

	if o.Parameters.Size == "" {
		return "1920*1080", ""
	}

	all := slices.Concat(sizes[720], sizes[1080])
	if !slices.Contains(all, o.Parameters.Size) {
		return "1280*720", fmt.Sprintf("The size is not match the allowed size ['%s']", strings.Join(all, "', '"))
	}

	return o.Parameters.Size, ""
}

// referenceSeconds is what the reference videos are billed for. The last of urls
// are videos whatever they are called.
func (s *Sim) referenceSeconds(urls []string, last int) (float64, string) {
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
		total += min(s.secondsOf(u), caps[len(urls)])
	}

	if videos > 3 {
		return 0, "Required parameter(reference_urls) missing or invalid: at most 3 videos."
	}

	return total, ""
}

// secondsOf is how long a reference is taken to be.
func (s *Sim) secondsOf(u string) float64 {
	if s.o.Length != nil {
		if known, ok := s.o.Length(u); ok {
			return known
		}
	}

	return s.o.ReferenceSeconds
}

func (s *Sim) note(c *call, o creation, code string, t *task) {
	n := Submission{At: c.now, Key: c.key.ID, Account: c.key.Account, Model: o.Model, Accepted: t != nil, Code: code}
	if o.Input != nil {
		n.Prompt = o.Input.Prompt
	}

	if t != nil {
		n.Task = t.id
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	s.submissions = append(s.submissions, n)
}

func mode(model string) string {
	for _, m := range []string{"r2v", "i2v"} {
		if strings.Contains(model, "-"+m) {
			return m
		}
	}

	return "t2v"
}

// cut keeps the first n characters: the supplier shortens silently.
func cut(text string, n int) string {
	if r := []rune(text); len(r) > n {
		return string(r[:n])
	}

	return text
}
