// Package dashscopesim is a simulated DashScope: the asynchronous video API of
// the Wan models from 2.6 on as an http.Handler, with its limits, its states, its
// expiring links and, on demand, its faults. It stands where the supplier stands
// on a task's path: after internal/provider/dashscope, or after any other client
// that speaks the supplier's API. It renders test pictures, never what a prompt
// says; it never is a default of the product, and it knows nothing of Unireel.
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

// Unlimited as a limit means none.
const Unlimited = -1

// Options is how the simulated supplier is. The zero value is a supplier with
// the real one's limits that takes any key.
type Options struct {
	// Keys are the keys that are valid. None: any key is, each of one account.
	Keys []Key
	// Now is the supplier's clock; nil: the system's.
	Now func() time.Time
	// Seed decides ids and render times.
	Seed uint64

	Limits Limits
	// Pending is how long a task waits before it may start: 0 is 30 ms.
	Pending time.Duration
	// RenderMin and RenderMax bound how long a render takes; both 0: 3 s to 6 s.
	RenderMin, RenderMax time.Duration
	// ListLag is how long a task is missing from the list after it was made.
	ListLag time.Duration
	// LinkLife is how long a video's link works, TaskLife how long a task is
	// known; 0: 24 h.
	LinkLife, TaskLife time.Duration
	// Strict refuses wrong parameters at once (400); otherwise the task is taken
	// and FAILED, as the real one's documented example shows.
	Strict bool
	// ReferenceSeconds is the length that reference videos are taken to have; 0: 5.
	ReferenceSeconds float64
	// Length says how long the reference video behind a URL is, where it knows.
	Length func(url string) (seconds float64, ok bool)
	// Video makes a result; nil: ffmpeg, once per Spec.
	Video func(Spec) ([]byte, error)
	// MaxUploadMB bounds an upload; 0: 100.
	MaxUploadMB int
	// Zip answers gzip where the client takes it, as the real one does.
	Zip bool
}

// Limits are per account: Submits and InProgress for each model, Queries for all
// calls about tasks together. 0 is the real one's, Unlimited none.
type Limits struct {
	Submits    int // in any second; the real one's: 5
	InProgress int // RUNNING at once: 5
	Queries    int // in any second: 20
}

// Key is one API key of an account. Keys of one account see each other's tasks.
type Key struct {
	Secret  string // what stands after Bearer
	ID      string // the api_key_id of lists
	Account string
}

// Sim is the simulated supplier.
type Sim struct {
	o     Options
	mux   *http.ServeMux
	films films

	mu          sync.Mutex
	random      *rand.Rand
	tasks       map[string]*task
	order       []*task // as made
	lanes       map[lane]*queue
	windows     map[string]*window
	uploads     map[string]*upload
	faults      []*Fault
	submissions []Submission
}

// New makes a simulated supplier.
func New(o Options) *Sim {
	if o.Now == nil {
		o.Now = time.Now
	}

	o.Limits.Submits = orElse(o.Limits.Submits, 5)
	o.Limits.InProgress = orElse(o.Limits.InProgress, 5)
	o.Limits.Queries = orElse(o.Limits.Queries, 20)

	o.Pending = orElse(o.Pending, 30*time.Millisecond)
	if o.RenderMin == 0 && o.RenderMax == 0 {
		o.RenderMin = 3 * time.Second
		o.RenderMax = 6 * time.Second
	}

	o.RenderMax = max(o.RenderMax, o.RenderMin)
	o.LinkLife = orElse(o.LinkLife, 24*time.Hour)
	o.TaskLife = orElse(o.TaskLife, 24*time.Hour)
	o.ReferenceSeconds = orElse(o.ReferenceSeconds, 5)
	o.MaxUploadMB = orElse(o.MaxUploadMB, 100)

	s := &Sim{
		o: o, random: rand.New(rand.NewPCG(o.Seed, o.Seed+1)),
		tasks: map[string]*task{}, lanes: map[lane]*queue{}, windows: map[string]*window{}, uploads: map[string]*upload{},
	}
	if s.o.Video == nil {
		s.o.Video = render
	}

	s.mux = s.routes()

	return s
}

func orElse[T int | float64 | time.Duration](v, other T) T {
	if v == 0 {
		return other
	}

	return v
}

func (s *Sim) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("POST /api/v1/services/aigc/video-generation/video-synthesis", s.call(Submit, s.create))
	mux.Handle("GET /api/v1/tasks/{id}", s.call(Poll, s.query))
	mux.Handle("POST /api/v1/tasks/{id}/cancel", s.call(Cancel, s.cancel))
	mux.Handle("GET /api/v1/tasks", s.call(List, s.list))
	mux.Handle("GET /api/v1/tasks/{$}", s.call(List, s.list))
	mux.Handle("GET /api/v1/uploads", s.call(Policy, s.policy))
	mux.Handle("POST /oss", s.open(Upload, s.keep))
	mux.Handle("GET /results/{file}", s.open(Fetch, s.fetch))
	mux.Handle("/", s.call("", func(*call) reply {
		return refusal(http.StatusNotFound, "NotFound", "Not found.")
	}))

	return mux
}

// ServeHTTP answers as the supplier does.
func (s *Sim) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// maxBody bounds what is read of a request, in bytes; pictures may be data URIs.
const maxBody = 64 << 20

// call is one authorised exchange.
type call struct {
	*http.Request
	key  Key
	body []byte
	id   string    // its request_id
	now  time.Time // the supplier's clock
	made *task     // what a Submit made
}

// call wraps a handler with what every API call shares: the id, the fault that
// waits for it, the key, the bounded body.
func (s *Sim) call(kind Call, do func(*call) reply) http.Handler {
	return s.open(kind, func(c *call) reply {
		secret, ok := strings.CutPrefix(c.Header.Get("Authorization"), "Bearer ")
		if !ok || secret == "" {
			return refusal(http.StatusUnauthorized, "InvalidApiKey", "No API-key provided.")
		}

		if c.key, ok = s.keyOf(secret); !ok {
			return refusal(http.StatusUnauthorized, "InvalidApiKey", "Invalid API-key provided.")
		}

		return do(c)
	})
}

// open is call without the key.
func (s *Sim) open(kind Call, do func(*call) reply) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{Request: r, now: s.o.Now(), id: s.newID()}
		w.Header().Set("X-Request-Id", c.id)
		w.Header().Set("Server", "istio-envoy")

		if kind != Upload {
			var err error
			if c.body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody)); err != nil {
				refusal(http.StatusBadRequest, "BadRequest.TooLarge", "Payload Too Large.").write(w, r)
				return
			}
		}

		f := s.meet(kind, c)
		if f != nil && f.Instead {
			f.send(w, r, reply{})
			return
		}

		a := do(c)
		if a.id != "" {
			w.Header().Set("X-Request-Id", a.id)
		}

		if f != nil && f.Task != nil && c.made != nil {
			s.mu.Lock()
			f.Task(c.made)
			s.mu.Unlock()
		}

		if f != nil && f.send != nil {
			f.send(w, r, a)
			return
		}

		if s.o.Zip && a.open == nil && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			a = a.zipped()
		}

		a.write(w, r)
	})
}

func (s *Sim) keyOf(secret string) (Key, bool) {
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

// sign is what links and policies carry so that nobody makes their own.
func (s *Sim) sign(text string) string {
	mac := hmac.New(sha256.New, []byte(fmt.Sprint("simulated", s.o.Seed)))
	mac.Write([]byte(text))

	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// origin is the address that the client reached us by.
func origin(r *http.Request) string {
	u := url.URL{Scheme: "http", Host: r.Host}
	if r.TLS != nil {
		u.Scheme = "https"
	}

	return u.String()
}
