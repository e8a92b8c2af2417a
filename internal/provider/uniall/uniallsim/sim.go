// Package uniallsim is a simulated gateway of the UniAll video API as Unireel
// serves it, with uploads and cancels, as an http.Handler with a given clock. It
// takes the gateway's place on a task's path: after internal/provider/uniall, or
// after any other client of the API. It renders test videos, never what a prompt
// says. Tests use it, never the product.
package uniallsim

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/unireel/unireel/internal/provider/providertest"
)

// Options configures the simulated gateway.
type Options struct {
	// Keys are the valid keys. If empty, any key is valid.
	Keys []string
	providertest.RendererOptions
	// WithoutExtensions leaves out what only Unireel has: uploads, cancels and
	// usage.
	WithoutExtensions bool
}

// Sim is the simulated gateway.
type Sim struct {
	o        Options
	mux      *http.ServeMux
	renderer *providertest.Renderer

	mu    sync.Mutex
	files map[string][]byte
}

// New makes a simulated gateway.
func New(o Options) *Sim {
	s := &Sim{
		o:        o,
		renderer: providertest.NewRenderer(o.RendererOptions),
		mux:      http.NewServeMux(),
		files:    map[string][]byte{},
	}
	s.mux.Handle("POST /v1/video/generations", s.authenticated(s.create))
	s.mux.Handle("GET /v1/videos/{id}", s.authenticated(s.query))

	if !o.WithoutExtensions {
		s.mux.Handle("POST /v1/videos/{id}/cancel", s.authenticated(s.cancel))
		s.mux.Handle("POST /v1/files", s.authenticated(s.storeFile))
	}

	s.mux.HandleFunc("GET /results/{id}", s.serveResult)
	s.mux.Handle("/", s.authenticated(func(w http.ResponseWriter, _ *http.Request) {
		writeError(w, http.StatusNotFound, "unknown_path", "", "There is no such path.")
	}))

	return s
}

// ServeHTTP serves the API.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Operation says which operation a request belongs to.
func (s *Sim) Operation(r *http.Request) providertest.Operation {
	switch {
	case r.URL.Path == "/v1/files":
		return providertest.Upload
	case r.URL.Path == "/v1/video/generations":
		return providertest.Submit
	case strings.HasPrefix(r.URL.Path, "/results/"):
		return providertest.Download
	case r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/v1/videos/"):
		return providertest.Poll
	default:
		return providertest.Other
	}
}

// Accepted counts the accepted submissions whose prompt contains the text.
func (s *Sim) Accepted(text string) int { return s.renderer.Accepted(text) }

// UploadedBytes returns the bytes of an upload.
func (s *Sim) UploadedBytes(id string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()

	b, ok := s.files[id]

	return b, ok
}

func (s *Sim) authenticated(handler http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok || len(s.o.Keys) > 0 && !slices.Contains(s.o.Keys, key) {
			writeError(w, http.StatusUnauthorized, "invalid_api_key", "", "The API key is unknown.")
			return
		}

		handler(w, r)
	})
}

// createRequest holds the fields that are read from a request.
type createRequest struct {
	Model    string   `json:"model"`
	Prompt   string   `json:"prompt"`
	Image    string   `json:"image"`
	Images   []string `json:"images"`
	Videos   []string `json:"videos"`
	Size     string   `json:"size"`
	Duration int      `json:"duration"`
}

const maxBody = 64 << 20

func (s *Sim) create(w http.ResponseWriter, r *http.Request) {
	var request createRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&request); err != nil {
		writeError(w, http.StatusBadRequest, "malformed_body", "", "The body is not valid JSON.")
		return
	}

	spec := providertest.Spec{
		Width:   1280,
		Height:  720,
		Seconds: request.Duration,
		Sound:   !strings.HasSuffix(request.Model, "-silent"),
	}
	if request.Size != "" {
		if n, _ := fmt.Sscanf(request.Size, "%d*%d", &spec.Width, &spec.Height); n != 2 || spec.Width < 720 && spec.Height < 720 {
			writeError(w, http.StatusBadRequest, "invalid_value", "size", "The size is not one of the model's tier.")
			return
		}
	}

	switch {
	case request.Prompt == "":
		writeError(w, http.StatusBadRequest, "missing_field", "prompt", "A prompt is required.")
	case request.Duration < 2 || request.Duration > 15:
		writeError(w, http.StatusBadRequest, "invalid_value", "duration", "The duration is out of its bounds.")
	case strings.Contains(request.Model, "-r2v") && len(request.Images)+len(request.Videos) == 0:
		writeError(w, http.StatusBadRequest, "missing_field", "videos", "At least one reference is required.")
	case !s.filesExist(append(append([]string{}, request.Images...), request.Videos...)):
		writeError(w, http.StatusBadRequest, "file_not_found", "images[0]", "There is no such file.")
	default:
		writeJSON(w, http.StatusOK, s.video(r, s.renderer.Add(providertest.Job{
			Model:  request.Model,
			Prompt: request.Prompt,
			Spec:   spec,
		})))
	}
}

// filesExist reports whether every referenced upload exists.
func (s *Sim) filesExist(addresses []string) bool {
	for _, a := range addresses {
		if strings.Contains(a, "://") {
			continue
		}

		if _, ok := s.UploadedBytes(a); !ok {
			return false
		}
	}

	return true
}

// video is the task object, with the fields of both UniAll and Unireel.
func (s *Sim) video(r *http.Request, job providertest.Job) map[string]any {
	state, progress := s.renderer.State(job)
	v := map[string]any{
		"id":         job.ID,
		"task_id":    job.ID,
		"object":     "video.generation.job",
		"model":      job.Model,
		"prompt":     job.Prompt,
		"size":       fmt.Sprintf("%d*%d", job.Spec.Width, job.Spec.Height),
		"seconds":    strconv.Itoa(job.Spec.Seconds),
		"progress":   progress,
		"created_at": job.CreatedAt.Unix(),
		"video_url":  nil,
		"result":     nil,
		"error":      nil,
		"usage":      nil,
		"preview":    false,
		"warnings":   []any{},
	}

	v["status"] = map[providertest.JobState]string{
		providertest.Queued:    "queued",
		providertest.Rendering: "in_progress",
		providertest.Completed: "completed",
		providertest.Failed:    "failed",
		providertest.Cancelled: "cancelled",
	}[state]
	switch state {
	case providertest.Completed:
		link := "http://" + r.Host + "/results/" + job.ID
		v["video_url"] = link
		v["result"] = map[string]any{"video_url": link, "outputs": []string{link}}

		v["completed_at"] = s.renderer.EndTime(job).Unix()
		if !s.o.WithoutExtensions {
			v["usage"] = map[string]any{"billed_seconds": job.Spec.Seconds, "cost": "0.5", "currency": "USD"}
		}
	case providertest.Failed:
		v["error"] = map[string]any{"code": job.FailureReason, "message": "It failed.", "param": nil}
	}

	return v
}

func (s *Sim) query(w http.ResponseWriter, r *http.Request) {
	job, ok := s.renderer.Job(r.PathValue("id"))
	if !ok {
		writeError(w, http.StatusNotFound, "video_not_found", "", "This account has no video with this id.")
		return
	}

	writeJSON(w, http.StatusOK, s.video(r, job))
}

// cancel requests a cancellation. A task that already renders runs on, with a
// warning that says so.
func (s *Sim) cancel(w http.ResponseWriter, r *http.Request) {
	job, ok := s.renderer.Job(r.PathValue("id"))
	if !ok {
		writeError(w, http.StatusNotFound, "video_not_found", "", "This account has no video with this id.")
		return
	}

	rejected := false

	switch state, _ := s.renderer.State(job); state {
	case providertest.Queued:
		s.renderer.Cancel(job.ID)
		job, _ = s.renderer.Job(job.ID)
	case providertest.Rendering:
		rejected = true
	}

	v := s.video(r, job)
	if rejected {
		v["cancel_requested_at"] = job.CreatedAt.Unix()
		v["warnings"] = []any{map[string]any{"code": "cancel_refused", "message": "It runs on.", "param": nil}}
	}

	writeJSON(w, http.StatusOK, v)
}

// storeFile stores an upload.
func (s *Sim) storeFile(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)

	file, header, err := r.FormFile("file")
	if err != nil {
		writeError(w, http.StatusBadRequest, "malformed_body", "", "The form is broken.")
		return
	}
	defer file.Close()

	b, err := io.ReadAll(file)
	if err != nil {
		writeError(w, http.StatusBadRequest, "malformed_body", "", "The form is broken.")
		return
	}

	s.mu.Lock()
	id := fmt.Sprintf("file_%08d", len(s.files)+1)
	s.files[id] = b
	s.mu.Unlock()
	writeJSON(w, http.StatusOK, map[string]any{
		"id":       id,
		"object":   "file",
		"bytes":    len(b),
		"filename": header.Filename,
		"purpose":  "user_data",
		"status":   "processed",
	})
}

// serveResult requires no key: the real links are signed.
func (s *Sim) serveResult(w http.ResponseWriter, r *http.Request) {
	job, ok := s.renderer.Job(r.PathValue("id"))
	if !ok || !s.renderer.ServeVideo(w, r, job) {
		writeError(w, http.StatusGone, "video_expired", "", "The video's file was deleted.")
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

// writeError responds with the error envelope.
func writeError(w http.ResponseWriter, status int, code, param, message string) {
	var field any
	if param != "" {
		field = param
	}

	writeJSON(w, status, map[string]any{"error": map[string]any{
		"message": message,
		"type":    "invalid_request_error",
		"code":    code,
		"param":   field,
	}})
}
