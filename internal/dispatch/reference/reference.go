// Package reference prepares tasks: it fetches what their customers point at (a URL, an
// uploaded file, a sample), measures and stores it, judges it by the bounds of the model,
// and then queues the task. That comes after checkout and before a supplier is paid. It
// never submits anything.
package reference

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/unireel/unireel/internal/blob"
	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/clock"
	"github.com/unireel/unireel/internal/dispatch/record"
	"github.com/unireel/unireel/internal/dispatch/workqueue"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/fetch"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

const (
	maxFetchTries     = 3
	prepareTimeout    = 15 * time.Minute // all references of one task
	maxReferenceBytes = 256 << 20        // bytes; the model's own limits are checked afterwards
)

// SampleSource reads the sample references, which need no network.
type SampleSource interface {
	// Sample returns the name of a reference that is part of the program and how to open
	// it, or false.
	Sample(id string) (name string, open func() (blob.Reader, error), ok bool)
}

// Options are what a Preparer needs.
type Options struct {
	Tasks   *record.Tasks
	Blobs   blob.Store
	Fetch   *fetch.Fetcher
	Catalog *catalog.Catalog
	Samples SampleSource
	// QueueFor returns the queue of a request whose references are known.
	QueueFor   func(catalog.Request) (string, *fault.Fault)
	Replica    string // by which this process claims tasks; "": no other process prepares
	ScratchDir string // for temporary files
	NewID      func(prefix string) string
	Clock      clock.Clock
	Log        *slog.Logger
	FailPoint  func(name string)
}

// Preparer prepares tasks.
type Preparer struct {
	Options
	store *store.Store
	queue *workqueue.Queue
}

// New returns a preparer; Run runs one of its workers.
func New(o Options) *Preparer {
	return &Preparer{Options: o, store: o.Tasks.Store, queue: workqueue.New("prepare", o.Clock)}
}

// Add makes a worker prepare a task, unless another replica does.
func (prep *Preparer) Add(id string) { prep.queue.Add(id) }

// Waiting returns how many tasks wait for a worker.
func (prep *Preparer) Waiting() int { return prep.queue.Waiting() }

// Run is one worker. It prepares tasks until ctx ends.
func (prep *Preparer) Run(ctx context.Context) { prep.queue.Run(ctx, prep.prepare) }

// prepare fetches and measures the references of a task and queues the task, or fails it
// with what is wrong with them.
func (prep *Preparer) prepare(ctx context.Context, id string) {
	t, err := prep.store.Task(ctx, id)
	if err != nil || t.State != task.Preparing || !prep.claimPreparation(ctx, id) {
		return
	}

	prep.FailPoint("preparing")
	err = prep.prepareTask(ctx, t)

	var f *fault.Fault
	switch {
	case err == nil || errors.Is(err, record.ErrStateChanged):
	case ctx.Err() != nil: // the next process prepares it again
	case errors.As(err, &f) && f.Kind != fault.Internal && f.Kind != fault.Unavailable:
		_ = prep.Tasks.UntilDurable(ctx, "invalid reference", id, func() error {
			return prep.Tasks.Fail(ctx, t, f, record.Step{Note: "preparing: " + fmt.Sprint(f.Unwrap())})
		})
		prep.Delete(ctx, id)
	case prep.Tasks.TimedOut(t):
		_ = prep.Tasks.UntilDurable(ctx, "preparation timeout", id, func() error {
			timedOut := fault.New(fault.CodeTaskTimedOut, "", "The references could not be stored in time. Nothing was charged; create the task again.")
			return prep.Tasks.Fail(ctx, t, timedOut, record.Step{Note: err.Error()})
		})
	default: // a fault of the installation, such as a full disk: no reason to fail the task
		prep.Log.Error("cannot prepare, trying again", "task", id, "error", err)
		prep.Clock.Actor("prepare "+id).AfterFunc(record.MaxRetryDelay/4, func() { prep.Add(id) })
	}
}

// claimPreparation reports whether this replica prepares a task: the first one that has a
// free worker does, and another one only when that replica is dead.
func (prep *Preparer) claimPreparation(ctx context.Context, id string) (claimed bool) {
	if prep.Replica == "" {
		return true
	}

	err := prep.Tasks.Write(ctx, func(tx *store.Tx) (err error) {
		claimed, err = tx.ClaimPreparation(ctx, id, prep.Replica, prep.Clock.Millis())
		return err
	})
	if err != nil && ctx.Err() == nil {
		prep.Log.Error("cannot claim a task to prepare, trying again later", "task", id, "error", err)
	}

	return err == nil && claimed
}

func (prep *Preparer) prepareTask(ctx context.Context, t task.Task) error {
	ctx, cancel := context.WithTimeout(ctx, prepareTimeout)
	defer cancel()

	request, err := prep.Tasks.Request(ctx, t.ID)
	if err != nil {
		return err
	}

	r := request.Request

	prepared, measured, err := prep.fetchReferences(ctx, t, r)
	if err != nil {
		return err
	}

	if f := prep.Catalog.CheckReferences(r, measured); f != nil {
		return f
	}

	for i := range min(len(r.References), len(prepared.References)) { // the kinds that the request left open are known now
		r.References[i].Kind = catalog.Kind(prepared.References[i].Kind)
	}

	queue, f := prep.QueueFor(r)
	if f != nil {
		return f
	}

	preparedJSON, err := json.Marshal(prepared)
	if err != nil {
		return err
	}

	_, err = prep.Tasks.Advance(ctx, t.ID, record.Step{
		From: task.Preparing, Note: "prepared",
		InTx: func(ctx context.Context, tx *store.Tx) error { return tx.SavePrepared(ctx, t.ID, preparedJSON) },
		Edit: func(t *task.Task) {
			t.State = task.Queued
			t.Queue = queue
			t.QueuedAt = prep.Clock.Millis()
		},
	})

	return err
}

// fetchReferences fetches every reference. The faults of all of them are reported together.
func (prep *Preparer) fetchReferences(ctx context.Context, t task.Task, r catalog.Request) (record.Prepared, []catalog.MediaInfo, error) {
	var (
		prepared record.Prepared
		measured []catalog.MediaInfo
		faults   []fault.Fault
	)

	all := r.References
	if r.Audio != nil {
		all = append(all[:len(all):len(all)], *r.Audio)
	}

	for i, ref := range all {
		p, m, err := prep.fetchReference(ctx, t, r, ref, i)

		var f *fault.Fault
		if errors.As(err, &f) && f.Kind != fault.Internal && f.Kind != fault.Unavailable {
			f.Param = ref.Param
			faults = append(faults, *f)

			continue
		}

		if err != nil {
			return prepared, nil, err
		}

		if m != nil {
			measured = append(measured, *m)
		}

		if i < len(r.References) {
			prepared.References = append(prepared.References, p)
		} else {
			prepared.Audio = &p
		}
	}

	if f := fault.Join(faults); f != nil {
		return prepared, nil, f
	}

	return prepared, measured, nil
}

// fetchReference fetches, measures and stores one reference. With references_check "trust",
// a reference that cannot be fetched is passed on by its URL, unmeasured.
func (prep *Preparer) fetchReference(ctx context.Context, t task.Task, r catalog.Request, ref catalog.Reference, n int) (record.Reference, *catalog.MediaInfo, error) {
	p := record.Reference{Kind: string(ref.Kind), Param: ref.Param}

	file, err := os.CreateTemp(prep.ScratchDir, "reference-*")
	if err != nil {
		return p, nil, fmt.Errorf("scratch: %w", err)
	}

	defer func() { _ = os.Remove(file.Name()) }()
	defer func() { _ = file.Close() }()

	if err := prep.readReference(ctx, t, ref, &p, file); err != nil {
		if r.ReferencesCheck == "trust" && p.URL != "" {
			return p, nil, nil
		}

		return p, nil, err
	}

	media, err := prep.Fetch.Probe(ctx, file.Name())
	if err != nil {
		return p, nil, err
	}

	p.Kind = string(media.Kind)
	p.Type = media.Type
	p.Bytes = media.Bytes
	p.Millis = media.Millis
	p.Width = media.Width
	p.Height = media.Height
	p.Sound = media.Sound
	p.Name = fileNameFor(p.Name, media.Type)

	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return p, nil, err
	}

	p.Blob = blob.Key{Owner: t.ID, Name: fmt.Sprintf("ref-%d-%s", n, prep.NewID("blob"))}.String()
	if _, err := prep.Blobs.Put(ctx, p.Blob, file); err != nil {
		return p, nil, fmt.Errorf("store %s: %w", ref.Param, err)
	}

	return p, &catalog.MediaInfo{
		Param:        ref.Param,
		DeclaredKind: ref.Kind,
		Kind:         catalog.Kind(media.Kind),
		Type:         media.Type,
		Bytes:        media.Bytes,
		Width:        media.Width,
		Height:       media.Height,
		Millis:       media.Millis,
		MilliFPS:     media.MilliFPS,
		HasAlpha:     media.Alpha,
	}, nil
}

// readReference copies the bytes of a reference to dst: of a sample, of a customer's file, or
// of a URL, which is fetched again after a transient error.
func (prep *Preparer) readReference(ctx context.Context, t task.Task, ref catalog.Reference, p *record.Reference, dst io.Writer) error {
	if strings.HasPrefix(ref.Input, "file_") {
		return prep.copyStoredFile(ctx, t, ref, p, dst)
	}

	p.Name = path.Base(strings.SplitN(ref.Input, "?", 2)[0])
	if prep.Fetch.Public(ref.Input) {
		p.URL = ref.Input
	}

	dstFile, _ := dst.(*os.File)
	for try := 1; ; try++ {
		info, err := prep.Fetch.Download(ctx, ref.Input, dst, fetch.Limits{MaxBytes: maxReferenceBytes})
		if err == nil && !info.Public {
			p.URL = "" // its host has a private address, which the supplier cannot reach
		}

		if err == nil || try == maxFetchTries || !fetch.IsTransient(err) {
			return err
		}

		if !prep.Clock.Actor("fetch "+t.ID).Sleep(ctx, time.Duration(try)*record.MinRetryDelay) {
			return ctx.Err()
		}

		if dstFile != nil {
			if err := errors.Join(dstFile.Truncate(0), onlyErr(dstFile.Seek(0, io.SeekStart))); err != nil {
				return err
			}
		}
	}
}

func onlyErr(_ int64, err error) error { return err }

func (prep *Preparer) copyStoredFile(ctx context.Context, t task.Task, ref catalog.Reference, p *record.Reference, dst io.Writer) error {
	name, open, ok := prep.Samples.Sample(ref.Input)
	if !ok {
		f, err := prep.store.FileOf(ctx, t.Account, ref.Input)
		if errors.Is(err, store.ErrNotFound) {
			return fault.New(fault.CodeReferenceUnreachable, ref.Param, "The file "+ref.Input+" was deleted before the task could read it.")
		}

		if err != nil {
			return err
		}

		name = f.Name
		open = func() (blob.Reader, error) { return prep.Blobs.Open(ctx, f.Blob) }
	}

	p.Name = name

	r, err := open()
	if errors.Is(err, blob.ErrNotFound) {
		return fault.New(fault.CodeReferenceUnreachable, ref.Param, "The file "+ref.Input+" is no longer stored.")
	}

	if err != nil {
		return err
	}

	defer func() { _ = r.Close() }()

	_, err = io.Copy(dst, r)

	return err
}

// Delete deletes the stored references of a task that no longer needs them. Cleanup deletes
// what this misses.
func (prep *Preparer) Delete(ctx context.Context, id string) {
	request, err := prep.Tasks.Request(ctx, id)
	if err != nil {
		return
	}

	for _, ref := range request.Prepared.All() {
		if ref.Blob != "" {
			_ = prep.Blobs.Delete(ctx, ref.Blob)
		}
	}
}

// fileNameFor returns a file name with the extension of its real type, which suppliers check.
func fileNameFor(name, mediaType string) string {
	ext := map[string]string{
		"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp", "image/bmp": ".bmp", "video/mp4": ".mp4",
		"video/quicktime": ".mov", "audio/mpeg": ".mp3", "audio/wav": ".wav", "audio/mp4": ".m4a", "audio/aac": ".aac",
	}[mediaType]
	stem := strings.TrimSuffix(name, filepath.Ext(name))

	clean := strings.Map(func(r rune) rune {
		if r < 128 && (r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') {
			return r
		}

		return -1
	}, stem)
	if clean == "" {
		clean = "reference"
	}

	return clean[:min(len(clean), 80)] + ext
}
