package dispatch

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/unireel/unireel/internal/blob"
	"github.com/unireel/unireel/internal/catalog"
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

// preparedRequest holds the prepared references of a request; it is stored as JSON beside
// the request.
type preparedRequest struct {
	References []preparedReference `json:"references,omitempty"`
	Audio      *preparedReference  `json:"audio,omitempty"`
}

// preparedReference is a reference that was fetched, stored and measured; with
// references_check "trust" it may be none of these.
type preparedReference struct {
	Kind   string `json:"kind"`
	Param  string `json:"param"`
	URL    string `json:"url,omitempty"` // where the supplier itself can read it
	Name   string `json:"name"`
	Blob   string `json:"blob,omitempty"`
	Type   string `json:"type,omitempty"`
	Bytes  int64  `json:"bytes,omitempty"`
	Millis int64  `json:"millis,omitempty"`
	Width  int64  `json:"width,omitempty"`
	Height int64  `json:"height,omitempty"`
	Sound  bool   `json:"sound,omitempty"`
}

// inputDurations lists the durations of the reference videos, which are billed, in milliseconds.
func (p preparedRequest) inputDurations() []int64 {
	var list []int64

	for _, r := range p.References {
		if r.Kind == string(catalog.Video) {
			list = append(list, r.Millis)
		}
	}

	return list
}

// prepare fetches and measures the references of a task and queues the task, or fails it
// with what is wrong with them.
func (d *Dispatch) prepare(ctx context.Context, id string) {
	t, err := d.Store.Task(ctx, id)
	if err != nil || t.State != task.Preparing || !d.claimPreparation(ctx, id) {
		return
	}

	d.FailPoint("preparing")
	err = d.prepareTask(ctx, t)

	var f *fault.Fault
	switch {
	case err == nil || errors.Is(err, errStateChanged):
	case ctx.Err() != nil: // the next process prepares it again
	case errors.As(err, &f) && f.Kind != fault.Internal && f.Kind != fault.Unavailable:
		_ = d.retryUntilDurable(ctx, "invalid reference", id, func() error {
			return d.fail(ctx, t, f, step{note: "preparing: " + fmt.Sprint(f.Unwrap())})
		})
		d.deleteReferences(ctx, id)
	case d.pastTaskTimeout(t):
		_ = d.retryUntilDurable(ctx, "preparation timeout", id, func() error {
			timedOut := fault.New(fault.CodeTaskTimedOut, "", "The references could not be stored in time. Nothing was charged; create the task again.")
			return d.fail(ctx, t, timedOut, step{note: err.Error()})
		})
	default: // a fault of the installation, such as a full disk: no reason to fail the task
		d.Log.Error("cannot prepare, trying again", "task", id, "error", err)
		time.AfterFunc(maxRetryDelay/4, func() { d.prepareQueue.add(id) })
	}
}

// resumePreparing queues a task for the next free prepare worker.
func (d *Dispatch) resumePreparing(_ context.Context, t task.Task) error {
	d.prepareQueue.add(t.ID)
	return nil
}

// claimPreparation reports whether this replica prepares a task: the first one that has a
// free worker does, and another one only when that replica is dead.
func (d *Dispatch) claimPreparation(ctx context.Context, id string) (claimed bool) {
	if d.SingleInstance {
		return true
	}

	err := d.write(ctx, func(tx *store.Tx) (err error) {
		claimed, err = tx.ClaimPreparation(ctx, id, d.owner, d.nowMillis())
		return err
	})
	if err != nil && ctx.Err() == nil {
		d.Log.Error("cannot claim a task to prepare, trying again later", "task", id, "error", err)
	}

	return err == nil && claimed
}

func (d *Dispatch) prepareTask(ctx context.Context, t task.Task) error {
	ctx, cancel := context.WithTimeout(ctx, prepareTimeout)
	defer cancel()

	r, _, err := d.loadRequest(ctx, t.ID)
	if err != nil {
		return err
	}

	prepared, measured, err := d.fetchReferences(ctx, t, r)
	if err != nil {
		return err
	}

	if f := d.Catalog.CheckReferences(r, measured); f != nil {
		return f
	}

	for i := range min(len(r.References), len(prepared.References)) { // the kinds that the request left open are known now
		r.References[i].Kind = catalog.Kind(prepared.References[i].Kind)
	}

	queue, f := d.QueueFor(r)
	if f != nil {
		return f
	}

	preparedJSON, err := json.Marshal(prepared)
	if err != nil {
		return err
	}

	_, err = d.advance(ctx, t.ID, step{
		from: task.Preparing, note: "prepared",
		inTx: func(ctx context.Context, tx *store.Tx) error { return tx.SavePrepared(ctx, t.ID, preparedJSON) },
		edit: func(t *task.Task) {
			t.State = task.Queued
			t.Queue = queue
			t.QueuedAt = d.nowMillis()
		},
	})

	return err
}

// fetchReferences fetches every reference. The faults of all of them are reported together.
func (d *Dispatch) fetchReferences(ctx context.Context, t task.Task, r catalog.Request) (preparedRequest, []catalog.MediaInfo, error) {
	var (
		prepared preparedRequest
		measured []catalog.MediaInfo
		faults   []fault.Fault
	)

	all := r.References
	if r.Audio != nil {
		all = append(all[:len(all):len(all)], *r.Audio)
	}

	for i, ref := range all {
		p, m, err := d.fetchReference(ctx, t, r, ref, i)

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
func (d *Dispatch) fetchReference(ctx context.Context, t task.Task, r catalog.Request, ref catalog.Reference, n int) (preparedReference, *catalog.MediaInfo, error) {
	p := preparedReference{Kind: string(ref.Kind), Param: ref.Param}

	file, err := os.CreateTemp(d.ScratchDir, "reference-*")
	if err != nil {
		return p, nil, fmt.Errorf("scratch: %w", err)
	}

	defer func() { _ = os.Remove(file.Name()) }()
	defer func() { _ = file.Close() }()

	if err := d.readReference(ctx, t, ref, &p, file); err != nil {
		if r.ReferencesCheck == "trust" && p.URL != "" {
			return p, nil, nil
		}

		return p, nil, err
	}

	media, err := d.Fetch.Probe(ctx, file.Name())
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

	p.Blob = blob.Key{Owner: t.ID, Name: fmt.Sprintf("ref-%d-%s", n, randomSuffix())}.String()
	if _, err := d.Blobs.Put(ctx, p.Blob, file); err != nil {
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
func (d *Dispatch) readReference(ctx context.Context, t task.Task, ref catalog.Reference, p *preparedReference, dst io.Writer) error {
	if strings.HasPrefix(ref.Input, "file_") {
		return d.copyStoredFile(ctx, t, ref, p, dst)
	}

	p.Name = path.Base(strings.SplitN(ref.Input, "?", 2)[0])
	if d.Fetch.Public(ref.Input) {
		p.URL = ref.Input
	}

	dstFile, _ := dst.(*os.File)
	for try := 1; ; try++ {
		info, err := d.Fetch.Download(ctx, ref.Input, dst, fetch.Limits{MaxBytes: maxReferenceBytes})
		if err == nil && !info.Public {
			p.URL = "" // its host has a private address, which the supplier cannot reach
		}

		if err == nil || try == maxFetchTries || !fetch.IsTransient(err) {
			return err
		}

		if !sleep(ctx, time.Duration(try)*minRetryDelay) {
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

func (d *Dispatch) copyStoredFile(ctx context.Context, t task.Task, ref catalog.Reference, p *preparedReference, dst io.Writer) error {
	name, open, ok := d.Samples.Sample(ref.Input)
	if !ok {
		f, err := d.Store.FileOf(ctx, t.Account, ref.Input)
		if errors.Is(err, store.ErrNotFound) {
			return fault.New(fault.CodeReferenceUnreachable, ref.Param, "The file "+ref.Input+" was deleted before the task could read it.")
		}

		if err != nil {
			return err
		}

		name = f.Name
		open = func() (blob.Reader, error) { return d.Blobs.Open(ctx, f.Blob) }
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

// deleteReferences deletes the stored references of a task that no longer needs them. The
// sweep deletes what this misses.
func (d *Dispatch) deleteReferences(ctx context.Context, id string) {
	_, prepared, err := d.loadRequest(ctx, id)
	if err != nil {
		return
	}

	all := prepared.References
	if prepared.Audio != nil {
		all = append(all, *prepared.Audio)
	}

	for _, p := range all {
		if p.Blob != "" {
			_ = d.Blobs.Delete(ctx, p.Blob)
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

// randomSuffix returns a random string that makes a blob's key unique.
func randomSuffix() string {
	var b [8]byte

	_, _ = rand.Read(b[:])

	return hex.EncodeToString(b[:])
}
