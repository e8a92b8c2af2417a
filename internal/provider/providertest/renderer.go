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

// Renderer is the part that simulated suppliers share behind their APIs: jobs that
// are queued, render and complete by a given clock, and a test video for each.
type Renderer struct {
	o      RendererOptions
	videos sync.Map // Spec -> func() ([]byte, error), made once

	mu       sync.Mutex
	jobs     map[string]*Job
	accepted []Job // all jobs that were ever accepted
}

// RendererOptions says how a simulated supplier renders.
type RendererOptions struct {
	Now func() time.Time // nil: the system's clock
	// QueueTime is how long a job is queued before it renders; 0: 30 ms.
	QueueTime time.Duration
	// RenderMin and RenderMax are the bounds of a render's duration; both 0: 3 s to
	// 6 s.
	RenderMin, RenderMax time.Duration
	// LinkTTL is how long a result can be downloaded; 0: 24 h.
	LinkTTL time.Duration
	// Video returns the bytes of every result; nil: ffmpeg makes one video for each
	// Spec.
	Video func() ([]byte, error)
}

// Spec is everything that decides what a simulated video looks like.
type Spec struct {
	Width, Height int // pixels
	Seconds       int
	Sound         bool
}

// Job is one accepted submission.
type Job struct {
	ID, Model, Prompt string
	Spec              Spec
	CreatedAt         time.Time
	RenderTime        time.Duration // without the time in the queue
	FailureReason     string        // the reason why it will fail; "": it will succeed
	Cancelled         bool
}

// JobState is the state of a job.
type JobState string

const (
	Queued    JobState = "queued"
	Rendering JobState = "rendering"
	Completed JobState = "completed"
	Failed    JobState = "failed"
	Cancelled JobState = "cancelled"
)

// NewRenderer makes a renderer without jobs.
func NewRenderer(o RendererOptions) *Renderer {
	if o.Now == nil {
		o.Now = time.Now
	}

	if o.QueueTime == 0 {
		o.QueueTime = 30 * time.Millisecond
	}

	if o.RenderMin == 0 && o.RenderMax == 0 {
		o.RenderMin = 3 * time.Second
		o.RenderMax = 6 * time.Second
	}

	if o.LinkTTL == 0 {
		o.LinkTTL = 24 * time.Hour
	}

	return &Renderer{o: o, jobs: map[string]*Job{}}
}

// Add accepts a job. The renderer sets its ID and its times.
func (r *Renderer) Add(job Job) Job {
	r.mu.Lock()
	defer r.mu.Unlock()

	n := len(r.accepted) + 1
	job.ID = fmt.Sprintf("sim-%08d", n)
	job.CreatedAt = r.o.Now()
	job.RenderTime = r.o.RenderMin

	if span := r.o.RenderMax - r.o.RenderMin; span > 0 {
		job.RenderTime += span * time.Duration(n*7%10) / 10 // the nth job always takes equally long
	}

	r.jobs[job.ID] = &job
	r.accepted = append(r.accepted, job)

	return job
}

// Job finds a job by its ID.
func (r *Renderer) Job(id string) (Job, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()

	if job := r.jobs[id]; job != nil {
		return *job, true
	}

	return Job{}, false
}

// State returns the current state of a job and its progress in percent.
func (r *Renderer) State(job Job) (JobState, int) {
	rendering := r.o.Now().Sub(job.CreatedAt.Add(r.o.QueueTime))
	switch {
	case job.Cancelled:
		return Cancelled, 0
	case rendering < 0:
		return Queued, 0
	case rendering < job.RenderTime:
		return Rendering, int(rendering * 100 / job.RenderTime)
	case job.FailureReason != "":
		return Failed, 0
	default:
		return Completed, 100
	}
}

// EndTime is when a job completed or will complete.
func (r *Renderer) EndTime(job Job) time.Time {
	return job.CreatedAt.Add(r.o.QueueTime + job.RenderTime)
}

// ExpiryTime is when a job's result can no longer be downloaded.
func (r *Renderer) ExpiryTime(job Job) time.Time { return r.EndTime(job).Add(r.o.LinkTTL) }

// Cancel cancels a job that has not ended. It reports whether the job is
// cancelled.
func (r *Renderer) Cancel(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()

	job := r.jobs[id]
	if job == nil {
		return false
	}

	if state, _ := r.State(*job); state == Queued || state == Rendering {
		job.Cancelled = true
	}

	return job.Cancelled
}

// Forget removes a job.
func (r *Renderer) Forget(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()

	delete(r.jobs, id)
}

// Accepted counts the accepted jobs whose prompt contains the text.
func (r *Renderer) Accepted(text string) int {
	r.mu.Lock()
	defer r.mu.Unlock()

	n := 0

	for _, job := range r.accepted {
		if strings.Contains(job.Prompt, text) {
			n++
		}
	}

	return n
}

// ServeVideo writes the video of a job that has completed and not expired. It
// returns false when there is none.
func (r *Renderer) ServeVideo(w http.ResponseWriter, request *http.Request, job Job) bool {
	if state, _ := r.State(job); state != Completed || !r.o.Now().Before(r.ExpiryTime(job)) {
		return false
	}

	b, err := r.video(job.Spec)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return true
	}

	w.Header().Set("Content-Type", "video/mp4")
	http.ServeContent(w, request, "", r.EndTime(job), bytes.NewReader(b))

	return true
}

func (r *Renderer) video(spec Spec) ([]byte, error) {
	if r.o.Video != nil {
		return r.o.Video()
	}

	once, _ := r.videos.LoadOrStore(spec, sync.OnceValues(func() ([]byte, error) { return RenderVideo(spec) }))

	return once.(func() ([]byte, error))()
}

// RenderVideo makes a test video with ffmpeg: H.264, 30 frames a second, AAC.
func RenderVideo(spec Spec) ([]byte, error) {
	folder, err := os.MkdirTemp("", "video-")
	if err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	defer os.RemoveAll(folder)

	path := filepath.Join(folder, "video.mp4")

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

		return nil, fmt.Errorf("render a test video: %w: %s", err, out)
	}

	return os.ReadFile(path)
}
