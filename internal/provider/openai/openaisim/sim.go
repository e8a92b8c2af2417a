// Package openaisim is a simulated server of OpenAI's videos API as GPU servers
// serve it (SGLang-Diffusion, vLLM-Omni), as an http.Handler with a given clock.
// It takes the server's place on a task's path: after internal/provider/openai, or
// after any other client of the API. It renders test videos, never what a prompt
// says. Tests use it, never the product.
package openaisim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/unireel/unireel/internal/provider/providertest"
)

// Options configures the simulated server.
type Options struct {
	// Keys are the valid keys. If empty, no key is required.
	Keys []string
	providertest.RendererOptions
	// Silent makes videos without sound, as most open models do.
	Silent bool
}

// Sim is the simulated server.
type Sim struct {
	o        Options
	mux      *http.ServeMux
	renderer *providertest.Renderer
}

// New makes a simulated server.
func New(o Options) *Sim {
	s := &Sim{o: o, renderer: providertest.NewRenderer(o.RendererOptions), mux: http.NewServeMux()}
	s.mux.Handle("POST /v1/videos", s.authenticated(s.create))
	s.mux.Handle("GET /v1/videos", s.authenticated(s.list))
	s.mux.Handle("GET /v1/videos/{id}", s.authenticated(s.retrieve))
	s.mux.Handle("DELETE /v1/videos/{id}", s.authenticated(s.deleteVideo))
	s.mux.Handle("GET /v1/videos/{id}/content", s.authenticated(s.content))
	s.mux.Handle("/", s.authenticated(func(w http.ResponseWriter, _ *http.Request) { writeError(w, http.StatusNotFound, "Not Found") }))

	return s
}

// ServeHTTP serves the API.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Operation says which operation a request belongs to.
func (s *Sim) Operation(r *http.Request) providertest.Operation {
	switch {
	case r.Method == http.MethodPost:
		return providertest.Submit
	case r.Method == http.MethodDelete || r.URL.Path == "/v1/videos":
		return providertest.Other
	case strings.HasSuffix(r.URL.Path, "/content"):
		return providertest.Download
	default:
		return providertest.Poll
	}
}

// Accepted counts the accepted submissions whose prompt contains the text.
func (s *Sim) Accepted(text string) int { return s.renderer.Accepted(text) }

func (s *Sim) authenticated(handler http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if len(s.o.Keys) > 0 && !slices.Contains(s.o.Keys, key) {
			writeJSON(w, http.StatusUnauthorized, map[string]any{"error": map[string]any{
				"message": "Incorrect API key provided.",
				"type":    "invalid_request_error",
				"param":   nil,
				"code":    "invalid_api_key",
			}})

			return
		}

		handler(w, r)
	})
}

// createRequest holds the fields that are read from a request.
type createRequest struct {
	model, prompt, seconds, size string
}

const maxBody = 256 << 20

// create accepts a form or a JSON object.
func (s *Sim) create(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)

	request, err := readCreateRequest(r)
	if err != nil {
		writeError(w, http.StatusBadRequest, "Invalid request body: "+err.Error())
		return
	}

	seconds, err := strconv.Atoi(request.seconds)
	if err != nil || seconds < 1 || seconds > 15 {
		writeFieldError(w, "seconds", "Input should be a valid integer from 1 to 15")
		return
	}

	spec := providertest.Spec{Seconds: seconds, Sound: !s.o.Silent}
	if n, _ := fmt.Sscanf(request.size, "%dx%d", &spec.Width, &spec.Height); n != 2 || spec.Width%16 != 0 || spec.Height%16 != 0 {
		writeFieldError(w, "size", "String should match pattern '^\\d+x\\d+$' in steps of 16")
		return
	}

	if request.prompt == "" {
		writeFieldError(w, "prompt", "Field required")
		return
	}

	job := s.renderer.Add(providertest.Job{Model: request.model, Prompt: request.prompt, Spec: spec})
	writeJSON(w, http.StatusOK, s.video(job))
}

func readCreateRequest(r *http.Request) (createRequest, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return createRequest{}, err
	}

	if kind == "multipart/form-data" {
		return readForm(r)
	}

	var body struct {
		Model   string          `json:"model"`
		Prompt  string          `json:"prompt"`
		Seconds json.RawMessage `json:"seconds"`
		Size    string          `json:"size"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		return createRequest{}, err
	}

	return createRequest{
		model:   body.Model,
		prompt:  body.Prompt,
		seconds: strings.Trim(string(body.Seconds), `"`),
		size:    body.Size,
	}, nil
}

func readForm(r *http.Request) (createRequest, error) {
	parts, err := r.MultipartReader()
	if err != nil {
		return createRequest{}, err
	}

	var request createRequest

	fields := map[string]*string{
		"model":   &request.model,
		"prompt":  &request.prompt,
		"seconds": &request.seconds,
		"size":    &request.size,
	}

	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return request, nil
		}

		if err != nil {
			return request, err
		}

		b, err := io.ReadAll(part)
		if err != nil {
			return request, err
		}

		if field := fields[part.FormName()]; field != nil {
			*field = string(b)
		}
	}
}

// video is the video object.
func (s *Sim) video(job providertest.Job) map[string]any {
	state, progress := s.renderer.State(job)
	v := map[string]any{
		"id":                    job.ID,
		"object":                "video",
		"model":                 job.Model,
		"prompt":                job.Prompt,
		"progress":              progress,
		"created_at":            job.CreatedAt.Unix(),
		"size":                  fmt.Sprintf("%dx%d", job.Spec.Width, job.Spec.Height),
		"seconds":               strconv.Itoa(job.Spec.Seconds),
		"quality":               "standard",
		"completed_at":          nil,
		"expires_at":            nil,
		"error":                 nil,
		"remixed_from_video_id": nil,
	}

	v["status"] = map[providertest.JobState]string{
		providertest.Queued:    "queued",
		providertest.Rendering: "in_progress",
		providertest.Completed: "completed",
		providertest.Failed:    "failed",
	}[state]
	switch state {
	case providertest.Completed:
		v["completed_at"] = s.renderer.EndTime(job).Unix()
		v["expires_at"] = s.renderer.ExpiryTime(job).Unix()
	case providertest.Failed:
		v["error"] = map[string]string{"code": "generation_failed", "message": job.FailureReason}
	}

	return v
}

// findJob finds the job named in the path, or responds that there is none.
func (s *Sim) findJob(w http.ResponseWriter, r *http.Request) (providertest.Job, bool) {
	job, ok := s.renderer.Job(r.PathValue("id"))
	if !ok {
		writeError(w, http.StatusNotFound, "Video not found")
	}

	return job, ok
}

func (s *Sim) retrieve(w http.ResponseWriter, r *http.Request) {
	if job, ok := s.findJob(w, r); ok {
		writeJSON(w, http.StatusOK, s.video(job))
	}
}

// list does not say which client created a video: the API has no field for it.
func (s *Sim) list(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": []any{}})
}

// deleteVideo removes a video at once, finished or not, as these servers do.
func (s *Sim) deleteVideo(w http.ResponseWriter, r *http.Request) {
	if job, ok := s.findJob(w, r); ok {
		s.renderer.Forget(job.ID)
		writeJSON(w, http.StatusOK, map[string]any{"id": job.ID, "object": "video.deleted", "deleted": true})
	}
}

func (s *Sim) content(w http.ResponseWriter, r *http.Request) {
	job, ok := s.findJob(w, r)
	if ok && !s.renderer.ServeVideo(w, r, job) {
		writeError(w, http.StatusNotFound, "Generation is still in-progress")
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		b = []byte(err.Error())
	}

	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Request-Id", "req-sim")
	w.WriteHeader(status)
	w.Write(b)
}

// writeError responds with FastAPI's error.
func writeError(w http.ResponseWriter, status int, message string) {
	writeJSON(w, status, map[string]string{"detail": message})
}

// writeFieldError responds with FastAPI's error about a field.
func writeFieldError(w http.ResponseWriter, field, message string) {
	writeJSON(w, http.StatusUnprocessableEntity, map[string]any{"detail": []any{
		map[string]any{"type": "value_error", "loc": []string{"body", field}, "msg": message},
	}})
}
