// Package falsim is a simulated fal: its queue for the Wan 2.6 reference-to-video
// models and its store as one http.Handler. It stands where the supplier stands
// on a task's path, after internal/provider/fal or any other client of that API.
// It is imported by tests alone, and knows nothing of Unireel but the tests' words
// for calls and their studio.
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

// Options is how the simulated supplier is.
type Options struct {
	providertest.StudioOptions
	Keys []string // those that are valid; none: any is
}

// Sim is the simulated supplier.
type Sim struct {
	*providertest.Studio
	o       Options
	mux     *http.ServeMux
	uploads sync.Map // path -> bytes
}

// New makes a simulated supplier.
func New(o Options) *Sim {
	s := &Sim{Studio: providertest.NewStudio(o.StudioOptions), o: o, mux: http.NewServeMux()}
	// An order's own addresses stand below owner and app alone, without the rest
	// of the model's path.
	s.mux.Handle("POST /wan/v2.6/{model...}", s.call(s.create))
	s.mux.Handle("GET /wan/v2.6/requests/{id}/status", s.call(s.status))
	s.mux.Handle("GET /wan/v2.6/requests/{id}", s.call(s.response))
	s.mux.Handle("PUT /wan/v2.6/requests/{id}/cancel", s.call(s.cancel))
	s.mux.Handle("POST /storage/upload/initiate", s.call(s.place))
	s.mux.HandleFunc("PUT /files/{id}/{name}", s.put)
	s.mux.HandleFunc("GET /films/{id}", s.film)
	s.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		say(w, http.StatusNotFound, map[string]string{"detail": "Not Found"})
	})

	return s
}

// ServeHTTP answers as the supplier does.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Fal-Request-Id", rand.Text())
	s.mux.ServeHTTP(w, r)
}

// Step says which call a request belongs to.
func (s *Sim) Step(r *http.Request) providertest.Step {
	switch {
	case strings.HasPrefix(r.URL.Path, "/storage/"), strings.HasPrefix(r.URL.Path, "/files/"):
		return providertest.Upload
	case strings.HasPrefix(r.URL.Path, "/films/"):
		return providertest.Collect
	case r.Method == http.MethodPost:
		return providertest.Submit
	case r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/requests/"):
		return providertest.Poll
	}

	return providertest.Other
}

func (s *Sim) call(do http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Key ")
		if !ok || key == "" || len(s.o.Keys) > 0 && !slices.Contains(s.o.Keys, key) {
			say(w, http.StatusUnauthorized, map[string]string{"detail": "Authentication is required to access this application. Please provide a valid key."})
			return
		}

		do(w, r)
	})
}

// creation is what is read of an order; other keys are ignored.
type creation struct {
	Prompt     string   `json:"prompt"`
	Videos     []string `json:"video_urls"`
	Images     []string `json:"image_urls"`
	Shape      string   `json:"aspect_ratio"`
	Resolution string   `json:"resolution"`
	Duration   string   `json:"duration"`
	Sound      *bool    `json:"enable_audio"`
}

// sizes are width and height by shape and resolution.
var sizes = map[string][2]int{
	"16:9 720p": {1280, 720}, "9:16 720p": {720, 1280}, "1:1 720p": {960, 960}, "4:3 720p": {1088, 832}, "3:4 720p": {832, 1088},
	"16:9 1080p": {1920, 1080}, "9:16 1080p": {1080, 1920}, "1:1 1080p": {1440, 1440}, "4:3 1080p": {1632, 1248}, "3:4 1080p": {1248, 1632},
}

// maxBody bounds what is read of a request, in bytes.
const maxBody = 64 << 20

// create takes any order into the queue: the model finds out later what is wrong
// with it.
func (s *Sim) create(w http.ResponseWriter, r *http.Request) {
	model := r.PathValue("model")
	if model != "reference-to-video" && model != "reference-to-video/flash" {
		say(w, http.StatusNotFound, map[string]string{"detail": fmt.Sprintf("Path /%s not found", model)})
		return
	}

	var c creation
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&c); err != nil {
		say(w, http.StatusBadRequest, map[string]string{"detail": "Invalid JSON body"})
		return
	}

	spec, wrong := c.spec(strings.HasSuffix(model, "/flash"))
	p := s.Take(providertest.Piece{Model: "wan/v2.6/" + model, Prompt: c.Prompt, Spec: spec, Fails: wrong})
	v := addresses(r, p)
	v["status"] = "IN_QUEUE"
	v["queue_position"] = 0
	say(w, http.StatusOK, v)
}

// addresses are an order's own.
func addresses(r *http.Request, p providertest.Piece) map[string]any {
	at := origin(r) + "/wan/v2.6/requests/" + p.ID
	return map[string]any{"request_id": p.ID, "response_url": at, "status_url": at + "/status", "cancel_url": at + "/cancel"}
}

// spec is what an order asks for, and what is wrong with it: the supplier's word.
func (c creation) spec(flash bool) (providertest.Spec, string) {
	f := providertest.Spec{Sound: c.Sound == nil || !flash || *c.Sound}
	size, known := sizes[c.Shape+" "+c.Resolution]
	f.Width = size[0]
	f.Height = size[1]
	_, _ = fmt.Sscanf(c.Duration, "%d", &f.Seconds) // what is no number stays 0

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
	p, ok := s.find(w, r)
	if !ok {
		return
	}

	v := addresses(r, p)
	status := http.StatusAccepted

	switch stage, _ := s.Stage(p); stage {
	case providertest.Waits:
		v["status"] = "IN_QUEUE"
		v["queue_position"] = 0
	case providertest.Renders:
		v["status"] = "IN_PROGRESS"
	default:
		v["status"] = "COMPLETED"
		v["metrics"] = map[string]float64{"inference_time": p.Takes.Seconds()}
		status = http.StatusOK
	}

	say(w, status, v)
}

// response gives what came of an order: the film, or its model's error with its
// model's status.
func (s *Sim) response(w http.ResponseWriter, r *http.Request) {
	p, ok := s.find(w, r)
	if !ok {
		return
	}

	switch stage, _ := s.Stage(p); stage {
	case providertest.Done:
		say(w, http.StatusOK, map[string]any{
			"video": map[string]any{"url": origin(r) + "/films/" + p.ID + ".mp4", "content_type": "video/mp4", "file_name": p.ID + ".mp4"}, "seed": 1,
		})
	case providertest.Failed:
		say(w, http.StatusUnprocessableEntity, map[string]any{"detail": []map[string]any{{"loc": []string{"body"}, "msg": "Not as it should be", "type": p.Fails}}})
	case providertest.Stopped:
		say(w, 499, map[string]string{"detail": "Request was cancelled by the client", "error_type": "client_cancelled"})
	default:
		say(w, http.StatusBadRequest, map[string]string{"detail": "Request is still in progress"})
	}
}

// cancel removes an order that waits; one that renders is given a signal, which
// this model does not heed.
func (s *Sim) cancel(w http.ResponseWriter, r *http.Request) {
	p, ok := s.Piece(r.PathValue("id"))

	stage, _ := s.Stage(p)
	switch {
	case !ok:
		say(w, http.StatusNotFound, map[string]string{"status": "NOT_FOUND"})
	case stage == providertest.Waits:
		s.Stop(p.ID)
		say(w, http.StatusAccepted, map[string]string{"status": "CANCELLATION_REQUESTED"})
	case stage == providertest.Renders:
		say(w, http.StatusAccepted, map[string]string{"status": "CANCELLATION_REQUESTED"})
	default:
		say(w, http.StatusBadRequest, map[string]string{"status": "ALREADY_COMPLETED"})
	}
}

func (s *Sim) find(w http.ResponseWriter, r *http.Request) (providertest.Piece, bool) {
	p, ok := s.Piece(r.PathValue("id"))
	if !ok {
		say(w, http.StatusNotFound, map[string]string{"detail": "Request not found"})
	}

	return p, ok
}

// film gives a result's bytes as long as its link works.
func (s *Sim) film(w http.ResponseWriter, r *http.Request) {
	p, ok := s.Piece(strings.TrimSuffix(r.PathValue("id"), ".mp4"))
	if !ok || !s.ServeFilm(w, r, p) {
		http.Error(w, "AccessDenied", http.StatusForbidden)
	}
}

// place gives a place to put a file.
func (s *Sim) place(w http.ResponseWriter, r *http.Request) {
	var file struct {
		Name string `json:"file_name"`
		Type string `json:"content_type"`
	}
	if json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&file) != nil || file.Name == "" || file.Type == "" {
		say(w, http.StatusUnprocessableEntity, map[string]string{"detail": "file_name and content_type are required"})
		return
	}

	at := origin(r) + "/files/" + rand.Text() + "/" + file.Name
	say(w, http.StatusOK, map[string]string{"upload_url": at + "?signed=1", "file_url": at})
}

// put takes the bytes, without a key: the place is signed.
func (s *Sim) put(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil || r.URL.Query().Get("signed") != "1" || r.Header.Get("Authorization") != "" {
		w.WriteHeader(http.StatusForbidden)
		return
	}

	s.uploads.Store(r.URL.Path, b)
}

// Kept is what was uploaded to an address of this host.
func (s *Sim) Kept(address string) ([]byte, bool) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, false
	}

	b, ok := s.uploads.Load(u.Path)
	kept, _ := b.([]byte)

	return kept, ok
}

// origin is the address that the client reached this host by.
func origin(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}

	return "http://" + r.Host
}

// say answers with a value as JSON.
func say(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}

	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(b)
}
