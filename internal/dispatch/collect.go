package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/unireel/unireel/internal/blob"
	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/fetch"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

const (
	collectTime = 20 * time.Minute // one result, from its link to our blob
	maxResult   = 4 << 30          // bytes
)

// collect makes a rendered video ours and ends its task: bytes first, durable
// under a new key, then one transaction with the artifacts and the money. Who
// serves the upstream does it; what was rendered at one that is not configured any
// more is anybody's.
func (d *Dispatch) collect(ctx context.Context, id string) {
	t, err := d.Store.Task(ctx, id)
	if err != nil && !errors.Is(err, store.ErrNotFound) && ctx.Err() == nil {
		time.AfterFunc(retryFirst, func() { d.collects.add(id) })
	}

	if err != nil || t.State != task.Collecting {
		return
	}

	var served *tenure
	if d.upstream(t.Upstream) != nil {
		served = d.keeper.tenure(t.Upstream)
		if served == nil || !served.begin(&served.doing) {
			return
		}
		defer served.doing.Done()

		ctx = served.ctx
	}

	err = d.collectTask(ctx, t)
	if err == nil || errors.Is(err, errDecided) || ctx.Err() != nil {
		return
	}

	d.uncollected(ctx, t, served, err)
}

// uncollected decides what follows when a result did not become ours: another try
// after a pause, first with a fresh link where this one is dead, or the end.
func (d *Dispatch) uncollected(ctx context.Context, t task.Task, served *tenure, why error) {
	pause := min(retryLast, retryFirst<<min(d.live.failed(t.ID), 6))
	if provider.FailureOf(why).Class == provider.Gone || d.linkIsDead(t) {
		var by *lease

		lost := true

		if served != nil {
			by = served.lease
		}

		if served != nil && !served.up.Kind.Traits.Resubmit {
			lost, pause = d.relink(ctx, served, t, pause)
		}

		switch {
		case ctx.Err() != nil:
			return
		case lost:
			d.giveUpResult(ctx, t, by, why)
			return
		}
	}

	d.Log.Warn("cannot collect, trying again", "task", t.ID, "after", pause, "error", why)
	time.AfterFunc(pause, func() { d.collects.add(t.ID) })
}

// linkIsDead says whether a supplier's link is past its time (rules: 24 h where
// it does not tell).
func (d *Dispatch) linkIsDead(t task.Task) bool {
	var r provider.Result
	if json.Unmarshal([]byte(t.Result), &r) == nil && r.ExpiresAt > 0 {
		return d.millis() > r.ExpiresAt
	}

	return d.millis() > t.RenderedAt+upstreamForgets.Milliseconds()
}

// giveUpResult ends a task whose bytes cannot be had any more. A renderer of our
// own makes it again.
func (d *Dispatch) giveUpResult(ctx context.Context, t task.Task, by *lease, why error) {
	err := d.insist(ctx, "lost result", t.ID, func() error {
		if up := d.upstream(t.Upstream); up != nil && up.Kind.Traits.Resubmit && t.Retries < maxRefusal {
			_, err := d.advance(ctx, t.ID, step{
				from: task.Collecting, attempt: t.Attempt, fenced: by, note: "the renderer was restarted before its file was ours",
				edit: func(t *task.Task) { requeue(t, d.millis()) },
			})

			return err
		}

		err := d.fail(ctx, t, fault.New(fault.CodeResultLost, "", "The supplier's file could not be fetched before its link ended. Nothing was charged; create the task again."), step{note: why.Error(), fenced: by})
		if err == nil {
			d.stats.lost.WithLabelValues(plainName(t.Upstream)).Inc()
		}

		return err
	})
	if err == nil {
		d.Log.Error("ALERT: a rendered video could not be collected", "task", t.ID, "upstream", t.Upstream, "error", why)
	}
}

func (d *Dispatch) collectTask(ctx context.Context, t task.Task) error {
	ctx, cancel := context.WithTimeout(ctx, collectTime)
	defer cancel()

	up := d.upstream(t.Upstream)
	if up == nil {
		return fmt.Errorf("upstream %s is not configured any more", t.Upstream)
	}

	var result provider.Result
	if err := json.Unmarshal([]byte(t.Result), &result); err != nil {
		return fmt.Errorf("result of %s: %w", t.ID, err)
	}

	folder, err := os.MkdirTemp(d.Scratch, "collect-*")
	if err != nil {
		return fmt.Errorf("scratch: %w", err)
	}

	defer func() { _ = os.RemoveAll(folder) }()

	path := filepath.Join(folder, "video.mp4")
	if err := d.download(ctx, up, result, path); err != nil {
		return err
	}

	video, media, err := d.keepVideo(ctx, t, path)
	if err != nil {
		return err
	}

	d.Point("after-put")

	return d.complete(ctx, t, result, video, media)
}

// download copies the supplier's bytes to a file of ours.
func (d *Dispatch) download(ctx context.Context, up *upstream, result provider.Result, path string) error {
	from, err := up.Provider.Open(ctx, result)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()

	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("scratch: %w", err)
	}

	defer func() { _ = file.Close() }()

	d.Point("collecting")

	n, err := io.Copy(file, io.LimitReader(from, maxResult+1))
	if err != nil {
		return fmt.Errorf("read the result: %w", err)
	}

	if n > maxResult {
		return fmt.Errorf("the result has more than %d bytes", int64(maxResult))
	}

	return file.Close()
}

// keepVideo looks at what came, and puts it. What is no video at all is worth
// another try while the link lives.
func (d *Dispatch) keepVideo(ctx context.Context, t task.Task, path string) (task.Artifact, fetch.Media, error) {
	media, err := d.Fetch.ProbeResult(ctx, path)
	if err != nil {
		return task.Artifact{}, media, fmt.Errorf("the result is no video: %w", err)
	}

	if media.Kind != fetch.Video {
		return task.Artifact{}, media, fmt.Errorf("the result is %s, no video", media.Type)
	}

	path = d.fastStarting(ctx, t, path, media)
	a := task.Artifact{Task: t.ID, Kind: task.Video, Type: media.Type, Width: media.Width, Height: media.Height, Millis: media.Millis, Sound: media.Sound}

	return a, media, d.keep(ctx, t, path, ".mp4", &a)
}

// fastStarting gives the file that is kept: one whose index lies behind its media
// is written anew, so that it plays while it is loaded. Where that cannot be done
// safely the film stays as it came.
func (d *Dispatch) fastStarting(ctx context.Context, t task.Task, path string, media fetch.Media) string {
	if fast, err := fetch.FastStart(path); media.Type != "video/mp4" || fast || err != nil {
		return path
	}

	moved := path + ".moved"

	err := fetch.MoveIndex(ctx, path, moved)
	if err == nil {
		var now fetch.Media
		if now, err = d.Fetch.ProbeResult(ctx, moved); err == nil && now != media {
			err = fmt.Errorf("it measures %+v instead of %+v", now, media)
		}
	}

	if err != nil {
		d.Log.Warn("a video keeps its index behind its media: it plays only when all of it is loaded", "task", t.ID, "upstream", t.Upstream, "error", err)
		return path
	}

	return moved
}

// keep puts a file under a new key: a try that died half-way left another one,
// which nothing names and the sweep takes.
func (d *Dispatch) keep(ctx context.Context, t task.Task, path, ending string, a *task.Artifact) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("scratch: %w", err)
	}
	defer func() { _ = file.Close() }()

	a.Blob = fmt.Sprintf("%s/%d-%s%s", t.ID, t.Attempt, random(), ending)

	info, err := d.Blobs.Put(ctx, a.Blob, file)
	if errors.Is(err, blob.ErrFull) {
		d.Log.Error("ALERT: no room for videos; they are collected when there is", "task", t.ID)
	}

	if err != nil {
		return fmt.Errorf("keep %s: %w", a.Kind, err)
	}

	a.Bytes = info.Bytes
	a.SHA256 = info.SHA256

	return nil
}

// complete is the last transaction of a task that went well: what it made, what
// it cost, and what differs from what was asked.
func (d *Dispatch) complete(ctx context.Context, t task.Task, result provider.Result, video task.Artifact, media fetch.Media) error {
	r, ready, err := d.read(ctx, t.ID)
	if err != nil {
		return err
	}

	billed := d.Catalog.Billed(r, ready.inputMillis(), int64(r.Seconds)*1000)
	if up := d.upstream(t.Upstream); result.Usage != nil && result.Usage.Billed > 0 && up != nil && !up.Kind.Traits.Preview {
		billed = result.Usage.Billed
	}

	used, err := t.UnitPrice.For(billed)
	if err != nil {
		return fmt.Errorf("price of %s: %w", t.ID, err)
	}

	if used > t.Hold {
		d.stats.excess.Add(float64(used - t.Hold))
		d.Log.Error("ALERT: the supplier billed more than the most that was held; the customer pays the hold", "task", t.ID, "hold", t.Hold, "used", used)
		billed = min(billed, affordable(t))
	}

	differs := mismatches(r, media)

	_, err = d.advance(context.WithoutCancel(ctx), t.ID, step{
		from: task.Collecting, attempt: t.Attempt, note: "completed", used: used,
		with: func(ctx context.Context, tx *store.Tx) error { return tx.InsertArtifact(ctx, video) },
		edit: func(t *task.Task) {
			t.State = task.Completed
			t.Progress = 100
			t.Billed = billed

			t.ExpiresAt = d.millis() + d.Retention.Milliseconds()
			for _, m := range differs {
				warn(t, fault.CodeResultMismatch, "", m.says)
			}

			if t.CancelRequestedAt > 0 && !refused(*t) {
				warn(t, fault.CodeCancelRefused, "", "The cancel came too late: the video was already rendered, and is charged.")
			}
		},
	})
	if err != nil {
		return err
	}

	d.Point("after-final-commit")

	for _, m := range differs {
		d.stats.mismatches.WithLabelValues(plainName(t.Upstream), m.what).Inc()
	}

	d.stats.completed.WithLabelValues(plainName(t.Upstream)).Inc()
	d.dropReferences(ctx, t.ID)

	return nil
}

// affordable is how many milliseconds the hold pays for.
func affordable(t task.Task) int64 {
	if t.UnitPrice <= 0 {
		return 0
	}

	return int64(t.Hold/t.UnitPrice*1000) + int64(t.Hold%t.UnitPrice*1000/max(t.UnitPrice, 1))
}

// mismatch is one way in which a video differs from what was bought.
type mismatch struct {
	what string // for the metric
	says string // for the customer
}

// mismatches lists how a video differs from what was bought: an MP4 of H.264 with
// AAC or MP3 plays everywhere, and every model promises it.
func mismatches(r catalog.Request, m fetch.Media) []mismatch {
	var list []mismatch

	say := func(what, format string, args ...any) {
		list = append(list, mismatch{what, fmt.Sprintf(format, args...)})
	}
	if m.Type != "video/mp4" {
		say("container", "The video is %s instead of video/mp4.", m.Type)
	}

	if m.Codec != "h264" {
		say("codec", "The video's pictures are coded as %s instead of h264: some players do not show them.", plainCodec(m.Codec))
	}

	if r.Mode != catalog.I2V && (m.Width != int64(r.Width) || m.Height != int64(r.Height)) {
		say("size", "The video measures %d*%d pixels instead of %d*%d.", m.Width, m.Height, r.Width, r.Height)
	}

	if want := int64(r.Seconds) * 1000; m.Millis < want-300 || m.Millis > want+300 {
		say("seconds", "The video lasts %d.%02d s instead of %d s.", m.Millis/1000, m.Millis%1000/10, r.Seconds)
	}

	if m.Sound != r.Sound {
		say("sound", "The video %s a sound track, against what was asked.", map[bool]string{true: "has", false: "is without"}[m.Sound])
	}

	if m.Sound && m.SoundCodec != "aac" && m.SoundCodec != "mp3" {
		say("sound_codec", "The video's sound is coded as %s instead of aac: some players do not play it.", plainCodec(m.SoundCodec))
	}

	return list
}

// plainCodec is a codec's name as it may be shown: what a file says of itself is
// not trusted to be a name.
func plainCodec(name string) string {
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return "something unknown"
		}
	}

	if name == "" {
		return "something unknown"
	}

	return name
}

// takeCollecting goes on with a task whose bytes an earlier process did not
// finish.
func (d *Dispatch) takeCollecting(_ context.Context, t task.Task) error {
	d.collects.add(t.ID)
	return nil
}
