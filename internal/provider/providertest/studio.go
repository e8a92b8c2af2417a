package providertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Studio is what simulated suppliers have in common behind their APIs: pieces
// that wait, render and are done by a given clock, and a test picture for each.
type Studio struct {
	o     StudioOptions
	films sync.Map // Spec -> func() ([]byte, error), once

	mu     sync.Mutex
	pieces map[string]*Piece
	made   []Piece // all that were ever taken
}

// StudioOptions is how a simulated supplier renders.
type StudioOptions struct {
	Now func() time.Time // nil: the system's
	// Waiting is how long a piece waits before it renders; 0: 30 ms.
	Waiting time.Duration
	// RenderMin and RenderMax bound how long a render takes; both 0: 3 s to 6 s.
	RenderMin, RenderMax time.Duration
	// LinkLife is how long a result can be fetched; 0: 24 h.
	LinkLife time.Duration
	// Video makes every result; nil: ffmpeg makes one for each Spec.
	Video func() ([]byte, error)
}

// Spec is all that decides how a simulated video is.
type Spec struct {
	Width, Height int // pixels
	Seconds       int
	Sound         bool
}

// Piece is one order that was taken.
type Piece struct {
	ID, Model, Prompt string
	Spec              Spec
	Made              time.Time
	Takes             time.Duration // of rendering
	Fails             string        // why it will end so; "": it will not
	Stopped           bool
}

// Stage is how a piece stands.
type Stage string

// The stages.
const (
	Waits   Stage = "waits"
	Renders Stage = "renders"
	Done    Stage = "done"
	Failed  Stage = "failed"
	Stopped Stage = "stopped"
)

// NewStudio makes a studio without pieces.
func NewStudio(o StudioOptions) *Studio {
	if o.Now == nil {
		o.Now = time.Now
	}

	if o.Waiting == 0 {
		o.Waiting = 30 * time.Millisecond
	}

	if o.RenderMin == 0 && o.RenderMax == 0 {
		o.RenderMin = 3 * time.Second
		o.RenderMax = 6 * time.Second
	}

	if o.LinkLife == 0 {
		o.LinkLife = 24 * time.Hour
	}

	return &Studio{o: o, pieces: map[string]*Piece{}}
}

// Take takes an order: its id and its time are the studio's.
func (s *Studio) Take(p Piece) Piece {
	s.mu.Lock()
	defer s.mu.Unlock()

	n := len(s.made) + 1
	p.ID = fmt.Sprintf("sim-%08d", n)
	p.Made = s.o.Now()

	p.Takes = s.o.RenderMin
	if span := s.o.RenderMax - s.o.RenderMin; span > 0 {
		p.Takes += span * time.Duration(n*7%10) / 10 // the nth piece always takes as long
	}

	s.pieces[p.ID] = &p
	s.made = append(s.made, p)

	return p
}

// Piece finds a piece.
func (s *Studio) Piece(id string) (Piece, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if p := s.pieces[id]; p != nil {
		return *p, true
	}

	return Piece{}, false
}

// Stage says how a piece stands now, and its progress in percent.
func (s *Studio) Stage(p Piece) (Stage, int) {
	rendering := s.o.Now().Sub(p.Made.Add(s.o.Waiting))
	switch {
	case p.Stopped:
		return Stopped, 0
	case rendering < 0:
		return Waits, 0
	case rendering < p.Takes:
		return Renders, int(rendering * 100 / p.Takes)
	case p.Fails != "":
		return Failed, 0
	default:
		return Done, 100
	}
}

// Ended is when a piece was done, or is to be.
func (s *Studio) Ended(p Piece) time.Time { return p.Made.Add(s.o.Waiting + p.Takes) }

// Expires is when its result cannot be fetched any more.
func (s *Studio) Expires(p Piece) time.Time { return s.Ended(p).Add(s.o.LinkLife) }

// Stop stops a piece that has not ended.
func (s *Studio) Stop(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()

	p := s.pieces[id]
	if p == nil {
		return false
	}

	if stage, _ := s.Stage(*p); stage == Waits || stage == Renders {
		p.Stopped = true
	}

	return p.Stopped
}

// Forget makes a piece unknown.
func (s *Studio) Forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()

	delete(s.pieces, id)
}

// Accepted counts the orders that were taken and whose prompt holds the text.
func (s *Studio) Accepted(text string) int {
	s.mu.Lock()
	defer s.mu.Unlock()

	n := 0

	for _, p := range s.made {
		if strings.Contains(p.Prompt, text) {
			n++
		}
	}

	return n
}

// ServeFilm writes the bytes of a piece that is done and not expired; false when
// it has none.
func (s *Studio) ServeFilm(w http.ResponseWriter, r *http.Request, p Piece) bool {
	if stage, _ := s.Stage(p); stage != Done || !s.o.Now().Before(s.Expires(p)) {
		return false
	}

	b, err := s.film(p.Spec)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return true
	}

	w.Header().Set("Content-Type", "video/mp4")
	http.ServeContent(w, r, "", s.Ended(p), bytes.NewReader(b))

	return true
}

func (s *Studio) film(spec Spec) ([]byte, error) {
	if s.o.Video != nil {
		return s.o.Video()
	}

	once, _ := s.films.LoadOrStore(spec, sync.OnceValues(func() ([]byte, error) { return Film(spec) }))

	return once.(func() ([]byte, error))()
}

// Film makes a test picture with ffmpeg: H.264, 30 frames a second, AAC.
func Film(spec Spec) ([]byte, error) {
	folder, err := os.MkdirTemp("", "film-")
	if err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	defer os.RemoveAll(folder)

	path := filepath.Join(folder, "film.mp4")

	args := []string{
		"-nostdin", "-v", "error", "-f", "lavfi", "-i",
		fmt.Sprintf("testsrc2=s=%dx%d:r=30:d=%d", spec.Width, spec.Height, spec.Seconds),
	}
	if spec.Sound {
		args = append(args, "-f", "lavfi", "-i", fmt.Sprintf("sine=frequency=220:duration=%d", spec.Seconds), "-c:a", "aac", "-b:a", "96k")
	}

	args = append(args, "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-movflags", "+faststart", path)

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()

	if out, err := exec.CommandContext(ctx, "ffmpeg", args...).CombinedOutput(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return nil, errors.New("ffmpeg is missing; install it: apt-get install ffmpeg")
		}

		return nil, fmt.Errorf("render a test film: %w: %s", err, out)
	}

	return os.ReadFile(path)
}
