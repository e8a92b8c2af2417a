// Package animatic is the embedded provider. It renders a real, playable preview of a
// task with ffmpeg on this machine, without a key, a GPU or a network. dispatch submits a
// Submission; the camera moves over pictures, videos are cut in, the prompt is set in
// type, and the result is a video of exactly the requested size, length and sound. The
// same submission with the same seed gives the same file.
//
// Frames are composed here and encoded by ffmpeg. References are untrusted, so ffmpeg
// decodes them in separate processes with limits. The package never uses the network and
// never pretends to be a model: its videos are marked. It keeps nothing outside its
// folder and its process.
package animatic

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
)

// Limits of the queue and of a render.
const (
	maxQueued     = 64
	retention     = time.Hour // how long a job and its video are kept after its end
	renderTimeout = 10 * time.Minute
)

// Driver describes the provider.
//
// Settings: "parallel" (videos rendered at the same time; by default half the number of
// processors), "timeout" (of one render, "10m"), "font" (a file with Chinese
// characters), "ffmpeg" and "ffprobe" (paths).
func Driver() provider.Driver {
	return provider.Driver{
		Name: "animatic",
		Capabilities: provider.Capabilities{
			SafeToResubmit: true,
			Preview:        true,
			PollInterval:   [2]time.Duration{200 * time.Millisecond, time.Second},
		},
		New: newRenderer,
	}
}

// renderer is the provider: a queue of jobs and the workers that render them.
type renderer struct {
	tools   *tools
	font    *typeface
	folder  string
	now     func() time.Time
	log     *slog.Logger
	timeout time.Duration

	ctx     context.Context
	cancel  context.CancelCauseFunc
	workers sync.WaitGroup
	queue   chan *job

	mu     sync.Mutex
	jobs   map[provider.RemoteID]*job
	closed bool
}

// job is one submission. Its fields after cancel are guarded by the renderer's mu.
type job struct {
	remoteID   provider.RemoteID
	submission provider.Submission
	folder     string
	ctx        context.Context
	cancel     context.CancelCauseFunc

	report    provider.Report
	videoPath string
	endedAt   time.Time // zero while it is queued or rendered
}

// Causes of the cancellation of a render.
var (
	errCancelled = errors.New("cancelled")
	errClosed    = errors.New("the provider is closed")
)

func newRenderer(o provider.Options) (provider.Provider, error) {
	parallel, timeout, err := readSettings(o.Settings)
	if err != nil {
		return nil, err
	}

	ctx, cancel := context.WithTimeout(context.Background(), 2*checkTimeout)
	defer cancel()

	t, err := findTools(o.Settings)
	if err != nil {
		return nil, err
	}

	if err := emptyFolder(o.Folder); err != nil {
		return nil, err
	}

	tf, err := findTypeface(ctx, o.Settings)
	if err != nil {
		return nil, err
	}

	s := &renderer{
		tools:   t,
		font:    tf,
		folder:  o.Folder,
		now:     o.Now,
		log:     o.Log,
		timeout: timeout,
		queue:   make(chan *job, maxQueued),
		jobs:    map[provider.RemoteID]*job{},
	}
	if s.now == nil {
		s.now = time.Now
	}

	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}

	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	for range parallel {
		s.workers.Go(s.runWorker)
	}

	return s, nil
}

func readSettings(settings map[string]string) (parallel int, timeout time.Duration, err error) {
	parallel = max(1, runtime.NumCPU()/2)
	timeout = renderTimeout

	if v := settings["parallel"]; v != "" {
		if parallel, err = strconv.Atoi(v); err != nil || parallel < 1 || parallel > 256 {
			return 0, 0, fmt.Errorf("animatic's setting parallel is %q: give a number from 1 to 256", v)
		}
	}

	if v := settings["timeout"]; v != "" {
		if timeout, err = time.ParseDuration(v); err != nil || timeout <= 0 {
			return 0, 0, fmt.Errorf("animatic's setting timeout is %q: give a duration such as 10m", v)
		}
	}

	return parallel, timeout, nil
}

// emptyFolder creates the folder or removes everything in it.
func emptyFolder(folder string) error {
	if folder == "" {
		return errors.New("animatic needs a folder to write to")
	}

	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}

	list, err := os.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("empty folder: %w", err)
	}

	for _, e := range list {
		if err := os.RemoveAll(filepath.Join(folder, e.Name())); err != nil {
			return fmt.Errorf("empty folder: %w", err)
		}
	}

	return nil
}

// Submit puts a submission into the queue. If the queue is full, the failure is Throttled.
func (s *renderer) Submit(ctx context.Context, o provider.Submission) (provider.RemoteID, error) {
	if err := ctx.Err(); err != nil {
		return "", notAccepted(provider.Transient, err)
	}

	if f := validate(o); f != nil {
		return "", f
	}

	if err := provider.CheckSend(ctx); err != nil { // otherwise nobody would fetch the video
		return "", notAccepted(provider.Transient, err)
	}

	id := rand.Text()
	j := &job{
		remoteID:   provider.RemoteID(fmt.Sprintf("%s.%d.%s", o.TaskID, o.Attempt, id)),
		submission: o,
		folder:     filepath.Join(s.folder, id),
	}
	j.ctx, j.cancel = context.WithCancelCause(s.ctx)
	j.report = provider.Report{Phase: provider.Queued, Progress: 0}

	s.sweep()
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.closed {
		return "", notAccepted(provider.Transient, errClosed)
	}

	select {
	case s.queue <- j:
		s.jobs[j.remoteID] = j
		return j.remoteID, nil
	default:
		return "", notAccepted(provider.Throttled, errors.New("the queue is full"))
	}
}

func notAccepted(class provider.Class, err error) *provider.Failure {
	return &provider.Failure{
		Acceptance: provider.NotAccepted,
		Class:      class,
		RetryAfter: time.Second,
		Err:        err,
		Fault:      fault.New(fault.CodeSupplierFailed, "", "The preview renderer is busy at the moment. Nothing was charged; create the task again later.").WithCause(err),
	}
}

// Poll returns the report of a job.
func (s *renderer) Poll(ctx context.Context, t provider.RemoteID) (provider.Report, error) {
	if err := ctx.Err(); err != nil {
		return provider.Report{}, notAccepted(provider.Transient, err)
	}

	s.sweep()
	s.mu.Lock()
	defer s.mu.Unlock()

	j := s.jobs[t]
	if j == nil {
		return provider.Report{Phase: provider.Unknown, Progress: -1}, nil
	}

	return j.report, nil
}

// scheme is the scheme of a result's URL; the remote ID follows.
const scheme = "animatic:"

// Open opens a job's video, which is kept for an hour.
func (s *renderer) Open(ctx context.Context, result provider.Result) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, notAccepted(provider.Transient, err)
	}

	s.mu.Lock()

	path := ""
	if remoteID, ours := strings.CutPrefix(result.URL, scheme); ours && s.jobs[provider.RemoteID(remoteID)] != nil {
		path = s.jobs[provider.RemoteID(remoteID)].videoPath
	}
	s.mu.Unlock()

	f, err := os.Open(path)
	if err != nil {
		return nil, &provider.Failure{
			Class: provider.NotFound,
			Err:   err,
			Fault: fault.New(fault.CodeResultLost, "", "The preview's file no longer exists. Create the task again.").WithCause(err),
		}
	}

	return f, nil
}

// Cancel cancels a job: its processes are killed and its files removed. It has no effect
// on a job that has ended.
func (s *renderer) Cancel(ctx context.Context, t provider.RemoteID) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, notAccepted(provider.Transient, err)
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	j := s.jobs[t]
	if j == nil || !j.endedAt.IsZero() {
		return j != nil && j.report.Phase == provider.Cancelled, nil
	}

	j.cancel(errCancelled)
	j.endedAt = s.now()
	j.report = provider.Report{Phase: provider.Cancelled, Progress: -1}

	return true, nil
}

// Close cancels every render, waits for them and empties the folder.
func (s *renderer) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}

	s.closed = true
	clear(s.jobs)
	s.mu.Unlock()
	s.cancel(errClosed)
	s.workers.Wait()

	return errors.Join(s.font.close(), emptyFolder(s.folder))
}

// sweep removes jobs that ended more than an hour ago.
func (s *renderer) sweep() {
	now := s.now()
	s.mu.Lock()

	var folders []string

	for t, j := range s.jobs {
		if !j.endedAt.IsZero() && now.Sub(j.endedAt) > retention {
			delete(s.jobs, t)

			folders = append(folders, j.folder)
		}
	}
	s.mu.Unlock()

	for _, folder := range folders {
		_ = os.RemoveAll(folder)
	}
}

// videoSeed returns the submission's seed, or if there is none, one derived from the task.
func videoSeed(o provider.Submission) uint64 {
	if o.Seed >= 0 {
		return uint64(o.Seed)
	}

	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%s.%d", o.TaskID, o.Attempt)

	return h.Sum64()
}
