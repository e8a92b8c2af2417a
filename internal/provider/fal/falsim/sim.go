// Package falsim is a simulated fal: its queue API for the Wan 2.6
// reference-to-video models and its file storage as one http.Handler. It takes the
// supplier's place on a task's path, after internal/provider/fal or any other
// client of that API. Only tests import it. It knows nothing of Unireel except
// providertest's operations and renderer.
package falsim

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
	"unicode/utf8"

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
	// A request's own URLs contain only owner and app, without the rest of the
	// model's path.
	s.mux.Handle("POST /wan/v2.6/{model...}", s.authenticated(s.create))
	s.mux.Handle("GET /wan/v2.6/requests/{id}/status", s.authenticated(s.status))
	s.mux.Handle("GET /wan/v2.6/requests/{id}", s.authenticated(s.response))
	s.mux.Handle("PUT /wan/v2.6/requests/{id}/cancel", s.authenticated(s.cancel))
	s.mux.Handle("POST /storage/upload/initiate", s.authenticated(s.initiateUpload))
	s.mux.HandleFunc("PUT /files/{id}/{name}", s.storeUpload)
	s.mux.HandleFunc("GET /videos/{id}", s.serveVideo)
	s.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusNotFound, map[string]string{"detail": "Not Found"})
	})

	return s
}

// ServeHTTP serves the supplier's API.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Fal-Request-Id", rand.Text())
	s.mux.ServeHTTP(w, r)
}

// Operation says which operation a request belongs to.
func (s *Sim) Operation(r *http.Request) providertest.Operation {
	switch {
	case strings.HasPrefix(r.URL.Path, "/storage/"), strings.HasPrefix(r.URL.Path, "/files/"):
		return providertest.Upload
	case strings.HasPrefix(r.URL.Path, "/videos/"):
		return providertest.Download
	case r.Method == http.MethodPost:
		return providertest.Submit
	case r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/requests/"):
		return providertest.Poll
	}

	return providertest.Other
}

func (s *Sim) authenticated(handler http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Key ")
		if !ok || key == "" || len(s.o.Keys) > 0 && !slices.Contains(s.o.Keys, key) {
			writeJSON(w, http.StatusUnauthorized, map[string]string{"detail": "Authentication is required to access this application. Please provide a valid key."})
			return
		}

		handler(w, r)
	})
}

// createRequest holds the fields that are read from a request; others are ignored.
type createRequest struct {
	Prompt      string   `json:"prompt"`
	Videos      []string `json:"video_urls"`
	Images      []string `json:"image_urls"`
	AspectRatio string   `json:"aspect_ratio"`
	Resolution  string   `json:"resolution"`
	Duration    string   `json:"duration"`
	Sound       *bool    `json:"enable_audio"`
}

// sizes are width and height by aspect ratio and resolution.
var sizes = map[string][2]int{
	"16:9 720p": {1280, 720}, "9:16 720p": {720, 1280}, "1:1 720p": {960, 960}, "4:3 720p": {1088, 832}, "3:4 720p": {832, 1088},
	"16:9 1080p": {1920, 1080}, "9:16 1080p": {1080, 1920}, "1:1 1080p": {1440, 1440}, "4:3 1080p": {1632, 1248}, "3:4 1080p": {1248, 1632},
}

// maxBody is the largest request body, in bytes.
const maxBody = 64 << 20

// create queues any request: the model finds out later what is wrong with it.
func (s *Sim) create(w http.ResponseWriter, r *http.Request) {
	model := r.PathValue("model")
	if model != "reference-to-video" && model != "reference-to-video/flash" {
		writeJSON(w, http.StatusNotFound, map[string]string{"detail": fmt.Sprintf("Path /%s not found", model)})
		return
	}

	var c createRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&c); err != nil {
		writeJSON(w, http.StatusBadRequest, map[string]string{"detail": "Invalid JSON body"})
		return
	}

	spec, errorType := c.spec(strings.HasSuffix(model, "/flash"))
	job := s.Add(providertest.Job{
		Model:         "wan/v2.6/" + model,
		Prompt:        c.Prompt,
		Spec:          spec,
		FailureReason: errorType,
	})
	v := requestURLs(r, job)
	v["status"] = "IN_QUEUE"
	v["queue_position"] = 0
	writeJSON(w, http.StatusOK, v)
}

// requestURLs returns a request's ID and URLs.
func requestURLs(r *http.Request, job providertest.Job) map[string]any {
	at := baseURL(r) + "/wan/v2.6/requests/" + job.ID

	return map[string]any{
		"request_id":   job.ID,
		"response_url": at,
		"status_url":   at + "/status",
		"cancel_url":   at + "/cancel",
	}
}

// spec returns what a request asks for, and the supplier's error type for what is
// wrong.
func (c createRequest) spec(flash bool) (providertest.Spec, string) {
	f := providertest.Spec{Sound: c.Sound == nil || !flash || *c.Sound}
	size, known := sizes[c.AspectRatio+" "+c.Resolution]
	f.Width = size[0]
	f.Height = size[1]
	_, _ = fmt.Sscanf(c.Duration, "%d", &f.Seconds) // an invalid number stays 0

	images := c.Images
	if !flash {
		images = nil
	}

	switch {
	case c.Prompt == "", len(c.Videos)+len(images) == 0:
		return f, "missing"
	case utf8.RuneCountInString(c.Prompt) > 800:
		return f, "string_too_long"
	case len(c.Videos) > 3 || len(c.Videos)+len(images) > 5:
		return f, "sequence_too_long"
	case !known || c.Duration != "5" && c.Duration != "10":
		return f, "literal_error"
	}

	return f, ""
}

func (s *Sim) status(w http.ResponseWriter, r *http.Request) {
	job, ok := s.findJob(w, r)
	if !ok {
		return
	}

	v := requestURLs(r, job)
	status := http.StatusAccepted

	switch state, _ := s.State(job); state {
	case providertest.Queued:
		v["status"] = "IN_QUEUE"
		v["queue_position"] = 0
	case providertest.Rendering:
		v["status"] = "IN_PROGRESS"
	default:
		v["status"] = "COMPLETED"
		v["metrics"] = map[string]float64{"inference_time": job.RenderTime.Seconds()}
		status = http.StatusOK
	}

	writeJSON(w, status, v)
}

// response serves the outcome of a request: the video, or its model's error with
// its model's status.
func (s *Sim) response(w http.ResponseWriter, r *http.Request) {
	job, ok := s.findJob(w, r)
	if !ok {
		return
	}

	switch state, _ := s.State(job); state {
	case providertest.Completed:
		writeJSON(w, http.StatusOK, map[string]any{
			"video": map[string]any{
				"url":          baseURL(r) + "/videos/" + job.ID + ".mp4",
				"content_type": "video/mp4",
				"file_name":    job.ID + ".mp4",
			}, "seed": 1,
		})
	case providertest.Failed:
		writeJSON(w, http.StatusUnprocessableEntity, map[string]any{"detail": []map[string]any{{
			"loc":  []string{"body"},
			"msg":  "Not as it should be",
			"type": job.FailureReason,
		}}})
	case providertest.Cancelled:
		writeJSON(w, 499, map[string]string{"detail": "Request was cancelled by the client", "error_type": "client_cancelled"})
	default:
		writeJSON(w, http.StatusBadRequest, map[string]string{"detail": "Request is still in progress"})
	}
}

// cancel removes a queued request. A rendering one gets a signal, which this model
// ignores.
func (s *Sim) cancel(w http.ResponseWriter, r *http.Request) {
	job, ok := s.Job(r.PathValue("id"))

	state, _ := s.State(job)
	switch {
	case !ok:
		writeJSON(w, http.StatusNotFound, map[string]string{"status": "NOT_FOUND"})
	case state == providertest.Queued:
		s.Cancel(job.ID)
		writeJSON(w, http.StatusAccepted, map[string]string{"status": "CANCELLATION_REQUESTED"})
	case state == providertest.Rendering:
		writeJSON(w, http.StatusAccepted, map[string]string{"status": "CANCELLATION_REQUESTED"})
	default:
		writeJSON(w, http.StatusBadRequest, map[string]string{"status": "ALREADY_COMPLETED"})
	}
}

func (s *Sim) findJob(w http.ResponseWriter, r *http.Request) (providertest.Job, bool) {
	job, ok := s.Job(r.PathValue("id"))
	if !ok {
		writeJSON(w, http.StatusNotFound, map[string]string{"detail": "Request not found"})
	}

	return job, ok
}

// serveVideo serves a result's bytes as long as its link works.
func (s *Sim) serveVideo(w http.ResponseWriter, r *http.Request) {
	job, ok := s.Job(strings.TrimSuffix(r.PathValue("id"), ".mp4"))
	if !ok || !s.ServeVideo(w, r, job) {
		http.Error(w, "AccessDenied", http.StatusForbidden)
	}
}

// initiateUpload returns the URLs for one upload.
func (s *Sim) initiateUpload(w http.ResponseWriter, r *http.Request) {
	var file struct {
		Name string `json:"file_name"`
		Type string `json:"content_type"`
	}
	if json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&file) != nil || file.Name == "" || file.Type == "" {
		writeJSON(w, http.StatusUnprocessableEntity, map[string]string{"detail": "file_name and content_type are required"})
		return
	}

	at := baseURL(r) + "/files/" + rand.Text() + "/" + file.Name
	writeJSON(w, http.StatusOK, map[string]string{"upload_url": at + "?signed=1", "file_url": at})
}

// storeUpload stores the bytes. It requires no key, since the URL is signed.
func (s *Sim) storeUpload(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil || r.URL.Query().Get("signed") != "1" || r.Header.Get("Authorization") != "" {
		w.WriteHeader(http.StatusForbidden)
		return
	}

	s.uploads.Store(r.URL.Path, b)
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
