// Package uniallsim is a simulated gateway of the UniAll video API as Unireel
// serves it, with uploads and cancels, as an http.Handler under a given clock. It
// stands where the gateway stands on a task's path: after
// internal/provider/uniall, or after any other client of the API. It renders test
// pictures, never what a prompt says; it is used by tests, never by the product.
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

// Options is how the simulated gateway is.
type Options struct {
	// Keys are the keys that are valid. None: any key is.
	Keys []string
	providertest.StudioOptions
	// Bare leaves out what is Unireel's own: uploads, cancels and usage.
	Bare bool
}

// Sim is the simulated gateway.
type Sim struct {
	o      Options
	mux    *http.ServeMux
	studio *providertest.Studio

	mu    sync.Mutex
	files map[string][]byte
}

// New makes a simulated gateway.
func New(o Options) *Sim {
	s := &Sim{o: o, studio: providertest.NewStudio(o.StudioOptions), mux: http.NewServeMux(), files: map[string][]byte{}}
	s.mux.Handle("POST /v1/video/generations", s.keyed(s.create))
	s.mux.Handle("GET /v1/videos/{id}", s.keyed(s.query))

	if !o.Bare {
		s.mux.Handle("POST /v1/videos/{id}/cancel", s.keyed(s.cancel))
		s.mux.Handle("POST /v1/files", s.keyed(s.keep))
	}

	s.mux.HandleFunc("GET /results/{id}", s.result)
	s.mux.Handle("/", s.keyed(func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusNotFound, "unknown_path", "", "There is no such path.")
	}))

	return s
}

// ServeHTTP answers as the gateway does.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Step says which of a provider's calls a request is.
func (s *Sim) Step(r *http.Request) providertest.Step {
	switch {
	case r.URL.Path == "/v1/files":
		return providertest.Upload
	case r.URL.Path == "/v1/video/generations":
		return providertest.Submit
	case strings.HasPrefix(r.URL.Path, "/results/"):
		return providertest.Collect
	case r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/v1/videos/"):
		return providertest.Poll
	default:
		return providertest.Other
	}
}

// Accepted counts the orders that were taken and whose prompt holds the text.
func (s *Sim) Accepted(text string) int { return s.studio.Accepted(text) }

// Kept reads back an upload.
func (s *Sim) Kept(id string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()

	b, ok := s.files[id]

	return b, ok
}

func (s *Sim) keyed(do http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok || len(s.o.Keys) > 0 && !slices.Contains(s.o.Keys, key) {
			refuse(w, http.StatusUnauthorized, "invalid_api_key", "", "The API key is unknown.")
			return
		}

		do(w, r)
	})
}

// order is what is read of a body.
type order struct {
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
	var o order
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&o); err != nil {
		refuse(w, http.StatusBadRequest, "malformed_body", "", "The body is not valid JSON.")
		return
	}

	spec := providertest.Spec{Width: 1280, Height: 720, Seconds: o.Duration, Sound: !strings.HasSuffix(o.Model, "-silent")}
	if o.Size != "" {
		if n, _ := fmt.Sscanf(o.Size, "%d*%d", &spec.Width, &spec.Height); n != 2 || spec.Width < 720 && spec.Height < 720 {
			refuse(w, http.StatusBadRequest, "invalid_value", "size", "The size is not one of the model's tier.")
			return
		}
	}

	switch {
	case o.Prompt == "":
		refuse(w, http.StatusBadRequest, "missing_field", "prompt", "A prompt is required.")
	case o.Duration < 2 || o.Duration > 15:
		refuse(w, http.StatusBadRequest, "invalid_value", "duration", "The duration is out of its bounds.")
	case strings.Contains(o.Model, "-r2v") && len(o.Images)+len(o.Videos) == 0:
		refuse(w, http.StatusBadRequest, "missing_field", "videos", "At least one reference is required.")
	case !s.readable(append(append([]string{}, o.Images...), o.Videos...)):
		refuse(w, http.StatusBadRequest, "file_not_found", "images[0]", "There is no such file.")
	default:
		answer(w, http.StatusOK, s.video(r, s.studio.Take(providertest.Piece{Model: o.Model, Prompt: o.Prompt, Spec: spec})))
	}
}

// readable says whether every upload that is named is here.
func (s *Sim) readable(addresses []string) bool {
	for _, a := range addresses {
		if strings.Contains(a, "://") {
			continue
		}

		if _, ok := s.Kept(a); !ok {
			return false
		}
	}

	return true
}

// video is the superset answer.
func (s *Sim) video(r *http.Request, p providertest.Piece) map[string]any {
	stage, progress := s.studio.Stage(p)
	v := map[string]any{
		"id": p.ID, "task_id": p.ID, "object": "video.generation.job", "model": p.Model, "prompt": p.Prompt,
		"size": fmt.Sprintf("%d*%d", p.Spec.Width, p.Spec.Height), "seconds": strconv.Itoa(p.Spec.Seconds), "progress": progress,
		"created_at": p.Made.Unix(), "video_url": nil, "result": nil, "error": nil, "usage": nil, "preview": false, "warnings": []any{},
	}

	v["status"] = map[providertest.Stage]string{
		providertest.Waits: "queued", providertest.Renders: "in_progress", providertest.Done: "completed",
		providertest.Failed: "failed", providertest.Stopped: "cancelled",
	}[stage]
	switch stage {
	case providertest.Done:
		link := "http://" + r.Host + "/results/" + p.ID
		v["video_url"] = link
		v["result"] = map[string]any{"video_url": link, "outputs": []string{link}}

		v["completed_at"] = s.studio.Ended(p).Unix()
		if !s.o.Bare {
			v["usage"] = map[string]any{"billed_seconds": p.Spec.Seconds, "cost": "0.5", "currency": "USD"}
		}
	case providertest.Failed:
		v["error"] = map[string]any{"code": p.Fails, "message": "It failed.", "param": nil}
	}

	return v
}

func (s *Sim) query(w http.ResponseWriter, r *http.Request) {
	p, ok := s.studio.Piece(r.PathValue("id"))
	if !ok {
		refuse(w, http.StatusNotFound, "video_not_found", "", "This account has no video with this id.")
		return
	}

	answer(w, http.StatusOK, s.video(r, p))
}

// cancel is a wish: what renders already runs on, and a warning says so.
func (s *Sim) cancel(w http.ResponseWriter, r *http.Request) {
	p, ok := s.studio.Piece(r.PathValue("id"))
	if !ok {
		refuse(w, http.StatusNotFound, "video_not_found", "", "This account has no video with this id.")
		return
	}

	refused := false

	switch stage, _ := s.studio.Stage(p); stage {
	case providertest.Waits:
		s.studio.Stop(p.ID)
		p, _ = s.studio.Piece(p.ID)
	case providertest.Renders:
		refused = true
	}

	v := s.video(r, p)
	if refused {
		v["cancel_requested_at"] = p.Made.Unix()
		v["warnings"] = []any{map[string]any{"code": "cancel_refused", "message": "It runs on.", "param": nil}}
	}

	answer(w, http.StatusOK, v)
}

// keep takes an upload.
func (s *Sim) keep(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)

	file, header, err := r.FormFile("file")
	if err != nil {
		refuse(w, http.StatusBadRequest, "malformed_body", "", "The form is broken.")
		return
	}
	defer file.Close()

	b, err := io.ReadAll(file)
	if err != nil {
		refuse(w, http.StatusBadRequest, "malformed_body", "", "The form is broken.")
		return
	}

	s.mu.Lock()
	id := fmt.Sprintf("file_%08d", len(s.files)+1)
	s.files[id] = b
	s.mu.Unlock()
	answer(w, http.StatusOK, map[string]any{"id": id, "object": "file", "bytes": len(b), "filename": header.Filename, "purpose": "user_data", "status": "processed"})
}

// result needs no key: the real links are signed.
func (s *Sim) result(w http.ResponseWriter, r *http.Request) {
	p, ok := s.studio.Piece(r.PathValue("id"))
	if !ok || !s.studio.ServeFilm(w, r, p) {
		refuse(w, http.StatusGone, "video_expired", "", "The video's file was deleted.")
	}
}

func answer(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		b = []byte(err.Error())
	}

	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Request-Id", "req-sim")
	w.WriteHeader(status)
	w.Write(b)
}

// refuse is the error envelope.
func refuse(w http.ResponseWriter, status int, code, param, message string) {
	var field any
	if param != "" {
		field = param
	}

	answer(w, status, map[string]any{"error": map[string]any{"message": message, "type": "invalid_request_error", "code": code, "param": field}})
}
