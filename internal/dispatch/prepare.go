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
	fetchTries   = 3
	prepareTime  = 15 * time.Minute // all references of one task
	maxReference = 256 << 20        // bytes; the model's own bounds are judged after
)

// prepared is what preparing made of a request's references: kept as JSON beside
// the request.
type prepared struct {
	References []preparedReference `json:"references,omitempty"`
	Audio      *preparedReference  `json:"audio,omitempty"`
}

// preparedReference is a reference whose bytes are ours (or, with
// references_check "trust", are not) and measured.
type preparedReference struct {
	Kind   string `json:"kind"`
	Param  string `json:"param"`
	URL    string `json:"url,omitempty"` // where the supplier can read it by itself
	Name   string `json:"name"`
	Blob   string `json:"blob,omitempty"`
	Type   string `json:"type,omitempty"`
	Bytes  int64  `json:"bytes,omitempty"`
	Millis int64  `json:"millis,omitempty"`
	Width  int64  `json:"width,omitempty"`
	Height int64  `json:"height,omitempty"`
	Sound  bool   `json:"sound,omitempty"`
}

// inputMillis lists the lengths of the reference videos, as they are billed.
func (p prepared) inputMillis() []int64 {
	var list []int64

	for _, r := range p.References {
		if r.Kind == string(catalog.Video) {
			list = append(list, r.Millis)
		}
	}

	return list
}

// prepare fetches and measures what a task refers to, and puts the task into its
// lane; or ends it with what is wrong.
func (d *Dispatch) prepare(ctx context.Context, id string) {
	t, err := d.Store.Task(ctx, id)
	if err != nil || t.State != task.Preparing || !d.mayPrepare(ctx, id) {
		return
	}

	d.Point("preparing")
	err = d.prepareTask(ctx, t)

	var f *fault.Fault
	switch {
	case err == nil || errors.Is(err, errDecided):
	case ctx.Err() != nil: // it is prepared again at the next start
	case errors.As(err, &f) && f.Kind != fault.Internal && f.Kind != fault.Unavailable:
		_ = d.insist(ctx, "bad reference", id, func() error { return d.fail(ctx, t, f, step{note: "preparing: " + fmt.Sprint(f.Unwrap())}) })
		d.dropReferences(ctx, id)
	case d.tooOld(t):
		_ = d.insist(ctx, "never prepared", id, func() error {
			return d.fail(ctx, t, fault.New(fault.CodeTimedOut, "", "The references could not be kept in time. Nothing was charged; create the task again."), step{note: err.Error()})
		})
	default: // ours to get over: a full disk, a database that does not answer
		d.Log.Error("cannot prepare, trying again", "task", id, "error", err)
		time.AfterFunc(retryLast/4, func() { d.prepares.add(id) })
	}
}

// takePreparing has a task prepared by the next free worker.
func (d *Dispatch) takePreparing(_ context.Context, t task.Task) error {
	d.prepares.add(t.ID)
	return nil
}

// mayPrepare says whether this replica is the one that prepares a task: the first
// that has a worker free for it, and another only when that one is dead.
func (d *Dispatch) mayPrepare(ctx context.Context, id string) (mine bool) {
	if d.Alone {
		return true
	}

	err := d.write(ctx, func(tx *store.Tx) (err error) {
		mine, err = tx.TakePreparing(ctx, id, d.owner, d.millis())
		return err
	})
	if err != nil && ctx.Err() == nil {
		d.Log.Error("cannot take a task to prepare, looking again later", "task", id, "error", err)
	}

	return err == nil && mine
}

func (d *Dispatch) prepareTask(ctx context.Context, t task.Task) error {
	ctx, cancel := context.WithTimeout(ctx, prepareTime)
	defer cancel()

	r, _, err := d.read(ctx, t.ID)
	if err != nil {
		return err
	}

	ready, measured, err := d.fetchAll(ctx, t, r)
	if err != nil {
		return err
	}

	if f := d.Catalog.Judge(r, measured); f != nil {
		return f
	}

	for i := range min(len(r.References), len(ready.References)) { // what was not said is known now
		r.References[i].Kind = catalog.Kind(ready.References[i].Kind)
	}

	lane, f := d.Route(r)
	if f != nil {
		return f
	}

	made, err := json.Marshal(ready)
	if err != nil {
		return err
	}

	_, err = d.advance(ctx, t.ID, step{
		from: task.Preparing, note: "prepared",
		with: func(ctx context.Context, tx *store.Tx) error { return tx.SavePrepared(ctx, t.ID, made) },
		edit: func(t *task.Task) {
			t.State = task.Queued
			t.Lane = lane
			t.QueuedAt = d.millis()
		},
	})

	return err
}

// fetchAll brings every reference here; what is wrong with any is reported with
// the rest.
func (d *Dispatch) fetchAll(ctx context.Context, t task.Task, r catalog.Request) (prepared, []catalog.Measured, error) {
	var (
		ready    prepared
		measured []catalog.Measured
		faults   []fault.Fault
	)

	all := r.References
	if r.Audio != nil {
		all = append(all[:len(all):len(all)], *r.Audio)
	}

	for i, ref := range all {
		p, m, err := d.fetchOne(ctx, t, r, ref, i)

		var f *fault.Fault
		if errors.As(err, &f) && f.Kind != fault.Internal && f.Kind != fault.Unavailable {
			f.Param = ref.Param
			faults = append(faults, *f)

			continue
		}

		if err != nil {
			return ready, nil, err
		}

		if m != nil {
			measured = append(measured, *m)
		}

		if i < len(r.References) {
			ready.References = append(ready.References, p)
		} else {
			ready.Audio = &p
		}
	}

	if f := fault.Join(faults); f != nil {
		return ready, nil, f
	}

	return ready, measured, nil
}

// fetchOne brings one reference here and measures it. With references_check
// "trust" what we cannot reach is handed on by its address, unmeasured.
func (d *Dispatch) fetchOne(ctx context.Context, t task.Task, r catalog.Request, ref catalog.Reference, n int) (preparedReference, *catalog.Measured, error) {
	p := preparedReference{Kind: string(ref.Kind), Param: ref.Param}

	file, err := os.CreateTemp(d.Scratch, "reference-*")
	if err != nil {
		return p, nil, fmt.Errorf("scratch: %w", err)
	}

	defer func() { _ = os.Remove(file.Name()) }()
	defer func() { _ = file.Close() }()

	if err := d.bring(ctx, t, ref, &p, file); err != nil {
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

	p.Name = named(p.Name, media.Type)
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return p, nil, err
	}

	p.Blob = fmt.Sprintf("%s/ref-%d-%s", t.ID, n, random())
	if _, err := d.Blobs.Put(ctx, p.Blob, file); err != nil {
		return p, nil, fmt.Errorf("keep %s: %w", ref.Param, err)
	}

	return p, &catalog.Measured{
		Param: ref.Param, Asked: ref.Kind, Kind: catalog.Kind(media.Kind), Type: media.Type, Bytes: media.Bytes,
		Width: media.Width, Height: media.Height, Millis: media.Millis, MilliFPS: media.FPS, Alpha: media.Alpha,
	}, nil
}

// bring copies a reference's bytes into the file: a sample, a customer's file,
// or what a URL answers, asked again when the trouble may pass.
func (d *Dispatch) bring(ctx context.Context, t task.Task, ref catalog.Reference, p *preparedReference, into io.Writer) error {
	if strings.HasPrefix(ref.Input, "file_") {
		return d.copyFile(ctx, t, ref, p, into)
	}

	p.Name = path.Base(strings.SplitN(ref.Input, "?", 2)[0])
	if d.Fetch.Public(ref.Input) {
		p.URL = ref.Input
	}

	seek, _ := into.(*os.File)
	for try := 1; ; try++ {
		got, err := d.Fetch.Download(ctx, ref.Input, into, fetch.Bounds{MaxBytes: maxReference})
		if err == nil && !got.Public {
			p.URL = "" // its host has a private address: the supplier cannot go there
		}

		if err == nil || try == fetchTries || !fetch.Passing(err) {
			return err
		}

		if !wait(ctx, time.Duration(try)*retryFirst) {
			return ctx.Err()
		}

		if seek != nil {
			if err := errors.Join(seek.Truncate(0), second(seek.Seek(0, io.SeekStart))); err != nil {
				return err
			}
		}
	}
}

func second(_ int64, err error) error { return err }

func (d *Dispatch) copyFile(ctx context.Context, t task.Task, ref catalog.Reference, p *preparedReference, into io.Writer) error {
	name, open, ok := d.Samples.Sample(ref.Input)
	if !ok {
		f, err := d.Store.FileOf(ctx, t.Account, ref.Input)
		if errors.Is(err, store.ErrNotFound) {
			return fault.New(fault.CodeUnreachable, ref.Param, "The file "+ref.Input+" was deleted before the task could read it.")
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
		return fault.New(fault.CodeUnreachable, ref.Param, "The file "+ref.Input+" is not kept any more.")
	}

	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()

	_, err = io.Copy(into, r)

	return err
}

// dropReferences deletes what was fetched for a task that needs it no more. What
// is missed, the sweep takes.
func (d *Dispatch) dropReferences(ctx context.Context, id string) {
	_, ready, err := d.read(ctx, id)
	if err != nil {
		return
	}

	all := ready.References
	if ready.Audio != nil {
		all = append(all, *ready.Audio)
	}

	for _, p := range all {
		if p.Blob != "" {
			_ = d.Blobs.Delete(ctx, p.Blob)
		}
	}
}

// named gives a file name the ending of its real type: suppliers look at it.
func named(name, mediaType string) string {
	ending := map[string]string{
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

	return clean[:min(len(clean), 80)] + ending
}

// random is what makes a blob's name new.
func random() string {
	var b [8]byte

	_, _ = rand.Read(b[:])

	return hex.EncodeToString(b[:])
}
