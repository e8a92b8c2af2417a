// Package dashscopesim is a simulated DashScope: the asynchronous video API of the
// Wan models from 2.6 on as an http.Handler, with its limits, its states, its
// expiring links and, on demand, its faults. It takes the supplier's place on a
// task's path: after internal/provider/dashscope, or after any other client of the
// supplier's API. It renders test videos, never what a prompt says. It is never a
// default of the product, and it knows nothing of Unireel.
package dashscopesim

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Unlimited as the value of a limit means that there is none.
const Unlimited = -1

// Options configures the simulated supplier. The zero value has the real
// supplier's limits and accepts any key.
type Options struct {
	// Keys are the valid keys. If empty, any key is valid, each with an account of
	// its own.
	Keys []Key
	// Now is the supplier's clock; nil: the system's clock.
	Now func() time.Time
	// Seed determines IDs and render times.
	Seed uint64

	Limits Limits
	// QueueTime is how long a task is queued before it may start; 0: 30 ms.
	QueueTime time.Duration
	// RenderMin and RenderMax are the bounds of a render's duration; both 0: 3 s to
	// 6 s.
	RenderMin, RenderMax time.Duration
	// ListLag is how long a new task is missing from the list.
	ListLag time.Duration
	// LinkTTL is how long a video's link works, TaskTTL how long a task is known;
	// 0: 24 h.
	LinkTTL, TaskTTL time.Duration
	// Strict rejects wrong parameters at once (400). Otherwise the task is accepted
	// and ends as FAILED, as in the real supplier's documented example.
	Strict bool
	// ReferenceSeconds is the assumed length of reference videos in seconds; 0: 5.
	ReferenceSeconds float64
	// ReferenceLength returns the length of the reference video at a URL, if it is
	// known.
	ReferenceLength func(url string) (seconds float64, ok bool)
	// Video makes a result; nil: ffmpeg makes one video for each Spec.
	Video func(Spec) ([]byte, error)
	// MaxUploadMB is the largest upload; 0: 100.
	MaxUploadMB int
	// Gzip compresses responses for clients that accept it, as the real supplier
	// does.
	Gzip bool
}

// Limits apply to each account: Submits and InProgress to each model, Queries to
// all requests about tasks together. 0 is the real supplier's limit, Unlimited
// means none.
type Limits struct {
	Submits    int // within any second; the real limit is 5
	InProgress int // RUNNING at the same time; 5
	Queries    int // within any second; 20
}

// Key is one API key of an account. Keys of one account see each other's tasks.
type Key struct {
	Secret  string // the value after Bearer
	ID      string // the api_key_id of lists
	Account string
}

// Sim is the simulated supplier.
type Sim struct {
	o      Options
	mux    *http.ServeMux
	videos videoCache

	mu          sync.Mutex
	random      *rand.Rand
	tasks       map[string]*task
	created     []*task // in the order of creation
	queues      map[queueKey]*queue
	windows     map[string]*callWindow
	uploads     map[string]*upload
	faults      []*Fault
	submissions []Submission
}

// New makes a simulated supplier.
func New(o Options) *Sim {
	if o.Now == nil {
		o.Now = time.Now
	}

	o.Limits.Submits = orDefault(o.Limits.Submits, 5)
	o.Limits.InProgress = orDefault(o.Limits.InProgress, 5)
	o.Limits.Queries = orDefault(o.Limits.Queries, 20)
	o.QueueTime = orDefault(o.QueueTime, 30*time.Millisecond)

	if o.RenderMin == 0 && o.RenderMax == 0 {
		o.RenderMin = 3 * time.Second
		o.RenderMax = 6 * time.Second
	}

	o.RenderMax = max(o.RenderMax, o.RenderMin)
	o.LinkTTL = orDefault(o.LinkTTL, 24*time.Hour)
	o.TaskTTL = orDefault(o.TaskTTL, 24*time.Hour)
	o.ReferenceSeconds = orDefault(o.ReferenceSeconds, 5)
	o.MaxUploadMB = orDefault(o.MaxUploadMB, 100)

	s := &Sim{
		o:       o,
		random:  rand.New(rand.NewPCG(o.Seed, o.Seed+1)),
		tasks:   map[string]*task{},
		queues:  map[queueKey]*queue{},
		windows: map[string]*callWindow{},
		uploads: map[string]*upload{},
	}
	if s.o.Video == nil {
		s.o.Video = renderVideo
	}

	s.mux = s.routes()

	return s
}

func orDefault[T int | float64 | time.Duration](v, fallback T) T {
	if v == 0 {
		return fallback
	}

	return v
}

func (s *Sim) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("POST /api/v1/services/aigc/video-generation/video-synthesis", s.authenticated(Submit, s.create))
	mux.Handle("GET /api/v1/tasks/{id}", s.authenticated(Poll, s.query))
	mux.Handle("POST /api/v1/tasks/{id}/cancel", s.authenticated(Cancel, s.cancel))
	mux.Handle("GET /api/v1/tasks", s.authenticated(List, s.list))
	mux.Handle("GET /api/v1/tasks/{$}", s.authenticated(List, s.list))
	mux.Handle("GET /api/v1/uploads", s.authenticated(Policy, s.uploadPolicy))
	mux.Handle("POST /oss", s.unauthenticated(Upload, s.storeUpload))
	mux.Handle("GET /results/{file}", s.unauthenticated(Download, s.download))
	mux.Handle("/", s.authenticated("", func(*apiCall) response {
		return errorResponse(http.StatusNotFound, "NotFound", "Not found.")
	}))

	return mux
}

// ServeHTTP serves the supplier's API.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// maxBody is the largest request body, in bytes; pictures may be data URIs.
const maxBody = 64 << 20

// apiCall is one authorized request.
type apiCall struct {
	*http.Request
	key       Key
	body      []byte
	requestID string    // its request_id
	now       time.Time // by the supplier's clock
	created   *task     // the task that a Submit made
}

// authenticated wraps a handler with what all API requests share: the request ID,
// a pending fault, the key and the bounded body.
func (s *Sim) authenticated(operation Operation, handler func(*apiCall) response) http.Handler {
	return s.unauthenticated(operation, func(c *apiCall) response {
		secret, ok := strings.CutPrefix(c.Header.Get("Authorization"), "Bearer ")
		if !ok || secret == "" {
			return errorResponse(http.StatusUnauthorized, "InvalidApiKey", "No API-key provided.")
		}

		if c.key, ok = s.findKey(secret); !ok {
			return errorResponse(http.StatusUnauthorized, "InvalidApiKey", "Invalid API-key provided.")
		}

		return handler(c)
	})
}

// unauthenticated is authenticated without the key.
func (s *Sim) unauthenticated(operation Operation, handler func(*apiCall) response) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &apiCall{Request: r, now: s.o.Now(), requestID: s.newID()}
		w.Header().Set("X-Request-Id", c.requestID)
		w.Header().Set("Server", "istio-envoy")

		if operation != Upload {
			var err error
			if c.body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody)); err != nil {
				errorResponse(http.StatusBadRequest, "BadRequest.TooLarge", "Payload Too Large.").write(w, r)
				return
			}
		}

		f := s.matchFault(operation, c)
		if f != nil && f.SkipCall {
			f.respond(w, r, response{})
			return
		}

		a := handler(c)
		if a.requestID != "" {
			w.Header().Set("X-Request-Id", a.requestID)
		}

		if f != nil && f.ChangeTask != nil && c.created != nil {
			s.mu.Lock()
			f.ChangeTask(c.created)
			s.mu.Unlock()
		}

		if f != nil && f.respond != nil {
			f.respond(w, r, a)
			return
		}

		if s.o.Gzip && a.serve == nil && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			a = a.gzipped()
		}

		a.write(w, r)
	})
}

func (s *Sim) findKey(secret string) (Key, bool) {
	if len(s.o.Keys) == 0 {
		sum := sha256.Sum256([]byte(secret))
		return Key{Secret: secret, ID: fmt.Sprint(10000 + int(sum[0])<<8 + int(sum[1])), Account: "any"}, true
	}

	for _, k := range s.o.Keys {
		if k.Secret == secret {
			return k, true
		}
	}

	return Key{}, false
}

func (s *Sim) newID() string {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.newIDLocked()
}

func (s *Sim) newIDLocked() string {
	a := s.random.Uint64()
	b := s.random.Uint64()

	return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", uint32(a>>32), uint16(a>>16), a&0xfff, uint16(b>>48)&0x3fff|0x8000, b&0xffffffffffff)
}

// sign makes the signature that links and policies carry, so that clients cannot
// forge them.
func (s *Sim) sign(message string) string {
	mac := hmac.New(sha256.New, []byte(fmt.Sprint("simulated", s.o.Seed)))
	mac.Write([]byte(message))

	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// baseURL is the address by which the client reached this server.
func baseURL(r *http.Request) string {
	u := url.URL{Scheme: "http", Host: r.Host}
	if r.TLS != nil {
		u.Scheme = "https"
	}

	return u.String()
}
