// Package openaisim is a simulated server of OpenAI's videos API as GPU servers
// serve it (SGLang-Diffusion, vLLM-Omni), as an http.Handler under a given clock.
// It stands where the server stands on a task's path: after
// internal/provider/openai, or after any other client of the API. It renders test
// pictures, never what a prompt says; it is used by tests, never by the product.
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

// Options is how the simulated server is.
type Options struct {
	// Keys are the keys that are valid. None: it asks for none.
	Keys []string
	providertest.StudioOptions
	// Silent makes videos without sound, as most open models do.
	Silent bool
}

// Sim is the simulated server.
type Sim struct {
	o      Options
	mux    *http.ServeMux
	studio *providertest.Studio
}

// New makes a simulated server.
func New(o Options) *Sim {
	s := &Sim{o: o, studio: providertest.NewStudio(o.StudioOptions), mux: http.NewServeMux()}
	s.mux.Handle("POST /v1/videos", s.keyed(s.create))
	s.mux.Handle("GET /v1/videos", s.keyed(s.list))
	s.mux.Handle("GET /v1/videos/{id}", s.keyed(s.retrieve))
	s.mux.Handle("DELETE /v1/videos/{id}", s.keyed(s.remove))
	s.mux.Handle("GET /v1/videos/{id}/content", s.keyed(s.content))
	s.mux.Handle("/", s.keyed(func(w http.ResponseWriter, _ *http.Request) { detail(w, http.StatusNotFound, "Not Found") }))

	return s
}

// ServeHTTP answers as the server does.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Step says which of a provider's calls a request is.
func (s *Sim) Step(r *http.Request) providertest.Step {
	switch {
	case r.Method == http.MethodPost:
		return providertest.Submit
	case r.Method == http.MethodDelete || r.URL.Path == "/v1/videos":
		return providertest.Other
	case strings.HasSuffix(r.URL.Path, "/content"):
		return providertest.Collect
	default:
		return providertest.Poll
	}
}

// Accepted counts the orders that were taken and whose prompt holds the text.
func (s *Sim) Accepted(text string) int { return s.studio.Accepted(text) }

func (s *Sim) keyed(do http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if len(s.o.Keys) > 0 && !slices.Contains(s.o.Keys, key) {
			answer(w, http.StatusUnauthorized, map[string]any{"error": map[string]any{
				"message": "Incorrect API key provided.", "type": "invalid_request_error", "param": nil, "code": "invalid_api_key",
			}})

			return
		}

		do(w, r)
	})
}

// order is what is read of a request's fields.
type order struct {
	model, prompt, seconds, size string
}

const maxBody = 256 << 20

// create takes a form or a JSON object.
func (s *Sim) create(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)

	o, err := read(r)
	if err != nil {
		detail(w, http.StatusBadRequest, "Invalid request body: "+err.Error())
		return
	}

	seconds, err := strconv.Atoi(o.seconds)
	if err != nil || seconds < 1 || seconds > 15 {
		invalid(w, "seconds", "Input should be a valid integer from 1 to 15")
		return
	}

	spec := providertest.Spec{Seconds: seconds, Sound: !s.o.Silent}
	if n, _ := fmt.Sscanf(o.size, "%dx%d", &spec.Width, &spec.Height); n != 2 || spec.Width%16 != 0 || spec.Height%16 != 0 {
		invalid(w, "size", "String should match pattern '^\\d+x\\d+$' in steps of 16")
		return
	}

	if o.prompt == "" {
		invalid(w, "prompt", "Field required")
		return
	}

	p := s.studio.Take(providertest.Piece{Model: o.model, Prompt: o.prompt, Spec: spec})
	answer(w, http.StatusOK, s.video(p))
}

func read(r *http.Request) (order, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return order{}, err
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
		return order{}, err
	}

	return order{model: body.Model, prompt: body.Prompt, seconds: strings.Trim(string(body.Seconds), `"`), size: body.Size}, nil
}

func readForm(r *http.Request) (order, error) {
	parts, err := r.MultipartReader()
	if err != nil {
		return order{}, err
	}

	var o order

	words := map[string]*string{"model": &o.model, "prompt": &o.prompt, "seconds": &o.seconds, "size": &o.size}

	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return o, nil
		}

		if err != nil {
			return o, err
		}

		b, err := io.ReadAll(part)
		if err != nil {
			return o, err
		}

		if word := words[part.FormName()]; word != nil {
			*word = string(b)
		}
	}
}

// video is the video object.
func (s *Sim) video(p providertest.Piece) map[string]any {
	stage, progress := s.studio.Stage(p)
	v := map[string]any{
		"id": p.ID, "object": "video", "model": p.Model, "prompt": p.Prompt, "progress": progress, "created_at": p.Made.Unix(),
		"size": fmt.Sprintf("%dx%d", p.Spec.Width, p.Spec.Height), "seconds": strconv.Itoa(p.Spec.Seconds), "quality": "standard",
		"completed_at": nil, "expires_at": nil, "error": nil, "remixed_from_video_id": nil,
	}

	v["status"] = map[providertest.Stage]string{
		providertest.Waits: "queued", providertest.Renders: "in_progress", providertest.Done: "completed", providertest.Failed: "failed",
	}[stage]
	switch stage {
	case providertest.Done:
		v["completed_at"] = s.studio.Ended(p).Unix()
		v["expires_at"] = s.studio.Expires(p).Unix()
	case providertest.Failed:
		v["error"] = map[string]string{"code": "generation_failed", "message": p.Fails}
	}

	return v
}

// piece finds the piece of a path, or answers that there is none.
func (s *Sim) piece(w http.ResponseWriter, r *http.Request) (providertest.Piece, bool) {
	p, ok := s.studio.Piece(r.PathValue("id"))
	if !ok {
		detail(w, http.StatusNotFound, "Video not found")
	}

	return p, ok
}

func (s *Sim) retrieve(w http.ResponseWriter, r *http.Request) {
	if p, ok := s.piece(w, r); ok {
		answer(w, http.StatusOK, s.video(p))
	}
}

// list says nothing of whose a video is: the API has no word for it.
func (s *Sim) list(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{"object": "list", "data": []any{}})
}

// remove forgets a video at once, finished or not, as these servers do.
func (s *Sim) remove(w http.ResponseWriter, r *http.Request) {
	if p, ok := s.piece(w, r); ok {
		s.studio.Forget(p.ID)
		answer(w, http.StatusOK, map[string]any{"id": p.ID, "object": "video.deleted", "deleted": true})
	}
}

func (s *Sim) content(w http.ResponseWriter, r *http.Request) {
	p, ok := s.piece(w, r)
	if ok && !s.studio.ServeFilm(w, r, p) {
		detail(w, http.StatusNotFound, "Generation is still in-progress")
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

// detail is FastAPI's error.
func detail(w http.ResponseWriter, status int, message string) {
	answer(w, status, map[string]string{"detail": message})
}

// invalid is FastAPI's error about a field.
func invalid(w http.ResponseWriter, field, message string) {
	answer(w, http.StatusUnprocessableEntity, map[string]any{"detail": []any{
		map[string]any{"type": "value_error", "loc": []string{"body", field}, "msg": message},
	}})
}
