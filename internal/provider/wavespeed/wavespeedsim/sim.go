// Package wavespeedsim is a simulated WaveSpeed: its predictions for the Wan 2.6
// reference-to-video models and its uploads as an http.Handler. It takes the
// supplier's place on a task's path, after internal/provider/wavespeed or any
// other client of that API. Only tests import it. It knows nothing of Unireel
// except providertest's operations and renderer.
package wavespeedsim

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/unireel/unireel/internal/provider/providertest"
)

// Options configures the simulated supplier.
type Options struct {
	providertest.RendererOptions
	Keys []string // the valid keys; if empty, any key is valid
}

// Sim is the simulated supplier.
type Sim struct {
	*providertest.Renderer
	o       Options
	mux     *http.ServeMux
	uploads sync.Map // path -> bytes
}

// New makes a simulated supplier.
func New(o Options) *Sim {
	s := &Sim{Renderer: providertest.NewRenderer(o.RendererOptions), o: o, mux: http.NewServeMux()}
	s.mux.Handle("POST /api/v3/alibaba/{model...}", s.authenticated(s.create))
	s.mux.Handle("GET /api/v3/predictions/{id}", s.authenticated(s.query))
	s.mux.Handle("GET /api/v3/predictions/{id}/result", s.authenticated(s.query))
	s.mux.Handle("POST /api/v3/media/upload/binary", s.authenticated(s.upload))
	s.mux.HandleFunc("GET /videos/{id}", s.serveVideo)
	s.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { writeError(w, http.StatusNotFound, "not found") })

	return s
}

// ServeHTTP serves the supplier's API.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Request-Id", rand.Text())
	s.mux.ServeHTTP(w, r)
}

// Operation says which operation a request belongs to.
func (s *Sim) Operation(r *http.Request) providertest.Operation {
	switch {
	case r.URL.Path == "/api/v3/media/upload/binary":
		return providertest.Upload
	case strings.HasPrefix(r.URL.Path, "/api/v3/predictions/"):
		return providertest.Poll
	case strings.HasPrefix(r.URL.Path, "/videos/"):
		return providertest.Download
	case r.Method == http.MethodPost:
		return providertest.Submit
	}

	return providertest.Other
}

func (s *Sim) authenticated(handler http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok || key == "" || len(s.o.Keys) > 0 && !slices.Contains(s.o.Keys, key) {
			writeError(w, http.StatusUnauthorized, "invalid authentication")
			return
		}

		handler(w, r)
	})
}

// createRequest holds the fields that are read from a request; others are ignored.
type createRequest struct {
	Files    []string `json:"reference_files"`
	URLs     []string `json:"reference_urls"` // the former name of reference_files
	Videos   []string `json:"videos"`
	Prompt   string   `json:"prompt"`
	Size     string   `json:"size"`
	Duration *int     `json:"duration"`
	ShotType string   `json:"shot_type"`
	Sound    *bool    `json:"enable_audio"`
	Seed     *int64   `json:"seed"`
}

var sizes = []string{"1280*720", "720*1280", "960*960", "1088*832", "832*1088", "1920*1080", "1080*1920", "1440*1440", "1632*1248", "1248*1632"}

// maxBody is the largest request body, in bytes.
const maxBody = 64 << 20

func (s *Sim) create(w http.ResponseWriter, r *http.Request) {
	model := r.PathValue("model")

	flash := model == "wan-2.6/reference-to-video-flash"
	if !flash && model != "wan-2.6/reference-to-video" {
		writeError(w, http.StatusBadRequest, "product not found")
		return
	}

	var c createRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&c); err != nil {
		writeError(w, http.StatusBadRequest, "Invalid request body")
		return
	}

	spec, problem := c.spec(flash)
	if problem != "" {
		writeError(w, http.StatusBadRequest, problem)
		return
	}

	writeData(w, s.prediction(r, s.Add(providertest.Job{
		Model:  "alibaba/" + model,
		Prompt: c.Prompt,
		Spec:   spec,
	})))
}

// spec returns what a request asks for, and what is wrong with it.
func (c createRequest) spec(flash bool) (providertest.Spec, string) {
	f := providertest.Spec{Seconds: 5, Sound: true}
	if c.Duration != nil {
		f.Seconds = *c.Duration
	}

	if c.Sound != nil && flash {
		f.Sound = *c.Sound
	}

	_, _ = fmt.Sscanf(c.Size, "%d*%d", &f.Width, &f.Height) // an invalid size stays 0
	refs := append(slices.Clone(c.Files), c.URLs...)
	maxReferences := 5

	if !flash {
		refs = c.Videos
		maxReferences = 2
	}

	switch {
	case c.Prompt == "":
		return f, "property \"prompt\" is missing"
	case len(refs) == 0 || len(refs) > maxReferences:
		return f, fmt.Sprintf("references: want 1 to %d items", maxReferences)
	case !slices.Contains(sizes, c.Size):
		return f, "property \"size\": value is not one of the allowed values"
	case f.Seconds != 5 && f.Seconds != 10:
		return f, "property \"duration\": value is not one of the allowed values"
	case c.ShotType != "" && c.ShotType != "single" && c.ShotType != "multi":
		return f, "property \"shot_type\": value is not one of the allowed values"
	case c.Seed != nil && (*c.Seed < -1 || *c.Seed > 2147483647):
		return f, "property \"seed\": number must be at most 2147483647"
	}

	return f, ""
}

func (s *Sim) query(w http.ResponseWriter, r *http.Request) {
	job, ok := s.Job(r.PathValue("id"))
	if !ok {
		writeError(w, http.StatusNotFound, "prediction not found")
		return
	}

	writeData(w, s.prediction(r, job))
}

// prediction is the supplier's object for a request.
func (s *Sim) prediction(r *http.Request, job providertest.Job) map[string]any {
	state, _ := s.State(job)

	v := map[string]any{
		"id":                job.ID,
		"model":             job.Model,
		"outputs":           []string{},
		"has_nsfw_contents": []bool{},
		"error":             "",
		"status": map[providertest.JobState]string{
			providertest.Queued:    "created",
			providertest.Rendering: "processing",
			providertest.Completed: "completed",
		}[state],
		"created_at": job.CreatedAt.UTC().Format(time.RFC3339Nano),
		"urls":       map[string]string{"get": baseURL(r) + "/api/v3/predictions/" + job.ID + "/result"},
		"timings":    map[string]int64{"inference": 0},
	}
	if state == providertest.Completed {
		v["outputs"] = []string{baseURL(r) + "/videos/" + job.ID + ".mp4"}
		v["timings"] = map[string]int64{"inference": job.RenderTime.Milliseconds()}
	}

	return v
}

// serveVideo serves a result's bytes as long as its link works.
func (s *Sim) serveVideo(w http.ResponseWriter, r *http.Request) {
	job, ok := s.Job(strings.TrimSuffix(r.PathValue("id"), ".mp4"))
	if !ok || !s.ServeVideo(w, r, job) {
		http.Error(w, "AccessDenied", http.StatusForbidden)
	}
}

func (s *Sim) upload(w http.ResponseWriter, r *http.Request) {
	form, err := r.MultipartReader()
	if err != nil {
		writeError(w, http.StatusBadRequest, "request is not multipart")
		return
	}

	part, err := form.NextPart()
	if err != nil || part.FormName() != "file" || part.FileName() == "" {
		writeError(w, http.StatusBadRequest, "file is required")
		return
	}

	b, err := io.ReadAll(io.LimitReader(part, maxBody))
	if err != nil {
		writeError(w, http.StatusBadRequest, "file cannot be read")
		return
	}

	kind, _, _ := strings.Cut(part.Header.Get("Content-Type"), "/")
	path := "/media/" + rand.Text() + "/" + part.FileName()
	s.uploads.Store(path, b)
	writeData(w, map[string]any{
		"type":         kind,
		"download_url": baseURL(r) + path,
		"filename":     part.FileName(),
		"size":         len(b),
	})
}

// UploadedBytes returns what was uploaded to an address of this server.
func (s *Sim) UploadedBytes(address string) ([]byte, bool) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, false
	}

	b, ok := s.uploads.Load(u.Path)
	kept, _ := b.([]byte)

	return kept, ok
}

// baseURL is the address by which the client reached this server.
func baseURL(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}

	return "http://" + r.Host
}

// writeData responds with 200 in the supplier's envelope.
func writeData(w http.ResponseWriter, data any) {
	writeJSON(w, http.StatusOK, map[string]any{"code": 200, "message": "success", "data": data})
}

// writeError responds with an error in the supplier's envelope, whose code is the
// status.
func writeError(w http.ResponseWriter, status int, message string) {
	writeJSON(w, status, map[string]any{"code": status, "message": message})
}

// writeJSON responds with a value as JSON.
func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}

	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(b)
}
