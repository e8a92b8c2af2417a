// Package wavespeedsim is a simulated WaveSpeed: its predictions of the Wan 2.6
// reference-to-video models and its uploads as an http.Handler. It stands where
// the supplier stands on a task's path, after internal/provider/wavespeed or any
// other client of that API. It is imported by tests alone, and knows nothing of
// Unireel but the tests' words for calls and their studio.
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
	s.mux.Handle("POST /api/v3/alibaba/{model...}", s.call(s.create))
	s.mux.Handle("GET /api/v3/predictions/{id}", s.call(s.query))
	s.mux.Handle("GET /api/v3/predictions/{id}/result", s.call(s.query))
	s.mux.Handle("POST /api/v3/media/upload/binary", s.call(s.upload))
	s.mux.HandleFunc("GET /films/{id}", s.film)
	s.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusNotFound, "not found") })

	return s
}

// ServeHTTP answers as the supplier does.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Request-Id", rand.Text())
	s.mux.ServeHTTP(w, r)
}

// Step says which call a request belongs to.
func (s *Sim) Step(r *http.Request) providertest.Step {
	switch {
	case r.URL.Path == "/api/v3/media/upload/binary":
		return providertest.Upload
	case strings.HasPrefix(r.URL.Path, "/api/v3/predictions/"):
		return providertest.Poll
	case strings.HasPrefix(r.URL.Path, "/films/"):
		return providertest.Collect
	case r.Method == http.MethodPost:
		return providertest.Submit
	}

	return providertest.Other
}

func (s *Sim) call(do http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok || key == "" || len(s.o.Keys) > 0 && !slices.Contains(s.o.Keys, key) {
			refuse(w, http.StatusUnauthorized, "invalid authentication")
			return
		}

		do(w, r)
	})
}

// creation is what is read of an order; other keys are ignored.
type creation struct {
	Files    []string `json:"reference_files"`
	URLs     []string `json:"reference_urls"` // as files was called before
	Videos   []string `json:"videos"`
	Prompt   string   `json:"prompt"`
	Size     string   `json:"size"`
	Duration *int     `json:"duration"`
	ShotType string   `json:"shot_type"`
	Sound    *bool    `json:"enable_audio"`
	Seed     *int64   `json:"seed"`
}

var sizes = []string{"1280*720", "720*1280", "960*960", "1088*832", "832*1088", "1920*1080", "1080*1920", "1440*1440", "1632*1248", "1248*1632"}

// maxBody bounds what is read of a request, in bytes.
const maxBody = 64 << 20

func (s *Sim) create(w http.ResponseWriter, r *http.Request) {
	model := r.PathValue("model")

	flash := model == "wan-2.6/reference-to-video-flash"
	if !flash && model != "wan-2.6/reference-to-video" {
		refuse(w, http.StatusBadRequest, "product not found")
		return
	}

	var c creation
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&c); err != nil {
		refuse(w, http.StatusBadRequest, "Invalid request body")
		return
	}

	film, wrong := c.spec(flash)
	if wrong != "" {
		refuse(w, http.StatusBadRequest, wrong)
		return
	}

	tell(w, s.view(r, s.Take(providertest.Piece{Model: "alibaba/" + model, Prompt: c.Prompt, Spec: film})))
}

// spec is what an order asks for, and what is wrong with it.
func (c creation) spec(flash bool) (providertest.Spec, string) {
	f := providertest.Spec{Seconds: 5, Sound: true}
	if c.Duration != nil {
		f.Seconds = *c.Duration
	}

	if c.Sound != nil && flash {
		f.Sound = *c.Sound
	}

	_, _ = fmt.Sscanf(c.Size, "%d*%d", &f.Width, &f.Height) // what is no size stays 0
	refs := append(slices.Clone(c.Files), c.URLs...)
	most := 5

	if !flash {
		refs = c.Videos
		most = 2
	}

	switch {
	case c.Prompt == "":
		return f, "property \"prompt\" is missing"
	case len(refs) == 0 || len(refs) > most:
		return f, fmt.Sprintf("references: want 1 to %d items", most)
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
	p, ok := s.Piece(r.PathValue("id"))
	if !ok {
		refuse(w, http.StatusNotFound, "prediction not found")
		return
	}

	tell(w, s.view(r, p))
}

// view is an order as the supplier tells of it.
func (s *Sim) view(r *http.Request, p providertest.Piece) map[string]any {
	stage, _ := s.Stage(p)

	v := map[string]any{
		"id": p.ID, "model": p.Model, "outputs": []string{}, "has_nsfw_contents": []bool{}, "error": "",
		"status":     map[providertest.Stage]string{providertest.Waits: "created", providertest.Renders: "processing", providertest.Done: "completed"}[stage],
		"created_at": p.Made.UTC().Format(time.RFC3339Nano), "urls": map[string]string{"get": origin(r) + "/api/v3/predictions/" + p.ID + "/result"},
		"timings": map[string]int64{"inference": 0},
	}
	if stage == providertest.Done {
		v["outputs"] = []string{origin(r) + "/films/" + p.ID + ".mp4"}
		v["timings"] = map[string]int64{"inference": p.Takes.Milliseconds()}
	}

	return v
}

// film gives a result's bytes as long as its link works.
func (s *Sim) film(w http.ResponseWriter, r *http.Request) {
	p, ok := s.Piece(strings.TrimSuffix(r.PathValue("id"), ".mp4"))
	if !ok || !s.ServeFilm(w, r, p) {
		http.Error(w, "AccessDenied", http.StatusForbidden)
	}
}

func (s *Sim) upload(w http.ResponseWriter, r *http.Request) {
	form, err := r.MultipartReader()
	if err != nil {
		refuse(w, http.StatusBadRequest, "request is not multipart")
		return
	}

	part, err := form.NextPart()
	if err != nil || part.FormName() != "file" || part.FileName() == "" {
		refuse(w, http.StatusBadRequest, "file is required")
		return
	}

	b, err := io.ReadAll(io.LimitReader(part, maxBody))
	if err != nil {
		refuse(w, http.StatusBadRequest, "file cannot be read")
		return
	}

	kind, _, _ := strings.Cut(part.Header.Get("Content-Type"), "/")
	path := "/media/" + rand.Text() + "/" + part.FileName()
	s.uploads.Store(path, b)
	tell(w, map[string]any{"type": kind, "download_url": origin(r) + path, "filename": part.FileName(), "size": len(b)})
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

// tell answers 200 in the supplier's envelope.
func tell(w http.ResponseWriter, data any) {
	say(w, http.StatusOK, map[string]any{"code": 200, "message": "success", "data": data})
}

// refuse answers in the supplier's envelope, its code being the status.
func refuse(w http.ResponseWriter, status int, message string) {
	say(w, status, map[string]any{"code": status, "message": message})
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
