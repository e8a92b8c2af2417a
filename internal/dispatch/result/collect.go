package result

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
	"github.com/unireel/unireel/internal/dispatch/record"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/fetch"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

const (
	collectTimeout = 20 * time.Minute // one result, from its link to our blob
	maxResultBytes = 4 << 30          // bytes
)

// collect stores a rendered video and completes its task: first the bytes are made
// durable under a new key, then one transaction records the artifacts and settles the
// money. The replica that serves the upstream does it; if the upstream is no longer
// configured, any replica does.
func (c *Collector) collect(ctx context.Context, id string) {
	t, err := c.store.Task(ctx, id)
	if err != nil && !errors.Is(err, store.ErrNotFound) && ctx.Err() == nil {
		c.addAfter(id, record.MinRetryDelay)
	}

	if err != nil || t.State != task.Collecting {
		return
	}

	// The worker of the upstream keeps its lease until the video is stored. Only where the
	// upstream is no longer configured, nobody has one.
	up, configured := c.Upstreams.ResultUpstream(t.Upstream)

	var worker Worker

	if configured {
		var served bool
		if worker, served = c.Upstreams.ResultWorker(t.Upstream); !served {
			return
		}

		leaseCtx, release, ok := worker.Hold()
		if !ok {
			return
		}
		defer release()

		ctx = leaseCtx
	}

	err = c.collectTask(ctx, t)
	if err == nil || errors.Is(err, record.ErrStateChanged) || ctx.Err() != nil {
		return
	}

	c.handleError(ctx, t, source{up, worker}, err)
}

// source is where a result comes from.
type source struct {
	Upstream
	worker Worker // nil if the upstream is no longer configured
}

// handleError decides what follows when a result could not be collected: another try after
// a delay, first with a fresh link where the present one is dead, or the end.
func (c *Collector) handleError(ctx context.Context, t task.Task, from source, cause error) {
	delay := min(record.MaxRetryDelay, record.MinRetryDelay<<min(c.countFailure(t.ID), 6))

	if provider.FailureOf(cause).Class == provider.NotFound || c.linkExpired(t) {
		lost := true // unless the supplier can be asked for a fresh link

		if from.worker != nil && !from.Capabilities.SafeToResubmit {
			lost, delay = c.refreshLink(ctx, from.worker, t, delay)
		}

		switch {
		case ctx.Err() != nil:
			return
		case lost:
			c.failLost(ctx, t, from, cause)
			return
		}
	}

	c.Tasks.Log.Warn("cannot collect, trying again", "task", t.ID, "delay", delay, "error", cause)
	c.addAfter(t.ID, delay)
}

// linkExpired reports whether a supplier's link has expired: 24 hours after rendering,
// where the supplier does not say when.
func (c *Collector) linkExpired(t task.Task) bool {
	var r provider.Result
	if json.Unmarshal([]byte(t.Result), &r) == nil && r.ExpiresAt > 0 {
		return c.Tasks.Clock.Millis() > r.ExpiresAt
	}

	return c.Tasks.Clock.Millis() > t.RenderedAt+record.RemoteRetention.Milliseconds()
}

// failLost fails a task whose video can no longer be fetched. The embedded renderer
// renders it again instead.
func (c *Collector) failLost(ctx context.Context, t task.Task, from source, cause error) {
	var heldLease record.Lease
	if from.worker != nil {
		heldLease = from.worker
	}

	err := c.Tasks.UntilDurable(ctx, "lost result", t.ID, func() error {
		if from.Capabilities.SafeToResubmit && t.Retries < record.MaxResubmissions {
			_, err := c.Tasks.Advance(ctx, t.ID, record.Step{
				From:    task.Collecting,
				Attempt: t.Attempt,
				Lease:   heldLease,
				Note:    "the renderer was restarted before its file was stored",
				Edit:    func(t *task.Task) { record.Requeue(t, c.Tasks.Clock.Millis()) },
			})

			return err
		}

		lost := fault.New(fault.CodeResultLost, "", "The supplier's file could not be fetched before its link expired. Nothing was charged; create the task again.")

		err := c.Tasks.Fail(ctx, t, lost, record.Step{Note: cause.Error(), Lease: heldLease})
		if err == nil {
			c.metrics.lost.WithLabelValues(task.ParseUpstreamID(t.Upstream).Name).Inc()
		}

		return err
	})
	if err == nil {
		c.Tasks.Log.Error("ALERT: a rendered video could not be collected", "task", t.ID, "upstream", t.Upstream, "error", cause)
	}
}

func (c *Collector) collectTask(ctx context.Context, t task.Task) error {
	ctx, cancel := context.WithTimeout(ctx, collectTimeout)
	defer cancel()

	up, configured := c.Upstreams.ResultUpstream(t.Upstream)
	if !configured {
		return fmt.Errorf("upstream %s is no longer configured", t.Upstream)
	}

	var result provider.Result
	if err := json.Unmarshal([]byte(t.Result), &result); err != nil {
		return fmt.Errorf("result of %s: %w", t.ID, err)
	}

	folder, err := os.MkdirTemp(c.ScratchDir, "collect-*")
	if err != nil {
		return fmt.Errorf("scratch: %w", err)
	}

	defer func() { _ = os.RemoveAll(folder) }()

	path := filepath.Join(folder, "video.mp4")
	if err := c.download(ctx, up, result, path); err != nil {
		return err
	}

	video, media, err := c.storeVideo(ctx, t, path)
	if err != nil {
		return err
	}

	c.Tasks.FailPoint("after-blob-put")

	return c.complete(ctx, t, result, video, media)
}

// download copies the supplier's bytes to a local file.
func (c *Collector) download(ctx context.Context, up Upstream, result provider.Result, path string) error {
	src, err := up.Provider.Open(ctx, result)
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }()

	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("scratch: %w", err)
	}

	defer func() { _ = file.Close() }()

	c.Tasks.FailPoint("collecting")

	n, err := io.Copy(file, io.LimitReader(src, maxResultBytes+1))
	if err != nil {
		return fmt.Errorf("read the result: %w", err)
	}

	if n > maxResultBytes {
		return fmt.Errorf("the result has more than %d bytes", int64(maxResultBytes))
	}

	return file.Close()
}

// storeVideo probes the downloaded file and stores it. A file that is not a video is an
// error that is worth another try while the link is valid.
func (c *Collector) storeVideo(ctx context.Context, t task.Task, path string) (task.Artifact, fetch.Media, error) {
	media, err := c.Fetch.ProbeResult(ctx, path)
	if err != nil {
		return task.Artifact{}, media, fmt.Errorf("the result is not a video: %w", err)
	}

	if media.Kind != fetch.Video {
		return task.Artifact{}, media, fmt.Errorf("the result is %s, not a video", media.Type)
	}

	path = c.ensureFastStart(ctx, t, path, media)
	a := task.Artifact{
		Task:   t.ID,
		Kind:   task.Video,
		Type:   media.Type,
		Width:  media.Width,
		Height: media.Height,
		Millis: media.Millis,
		Sound:  media.Sound,
	}

	return a, media, c.storeFile(ctx, t, path, ".mp4", &a)
}

// ensureFastStart returns the path of the file to store: a video whose index follows its
// media is rewritten, so that it can play while it is downloaded. Where that cannot be
// done safely, the video stays as it came.
func (c *Collector) ensureFastStart(ctx context.Context, t task.Task, path string, media fetch.Media) string {
	if isFast, err := fetch.IsFastStart(path); media.Type != "video/mp4" || isFast || err != nil {
		return path
	}

	moved := path + ".moved"

	err := fetch.MakeFastStart(ctx, path, moved)
	if err == nil {
		var measured fetch.Media
		if measured, err = c.Fetch.ProbeResult(ctx, moved); err == nil && measured != media {
			err = fmt.Errorf("the rewritten file is %+v instead of %+v", measured, media)
		}
	}

	if err != nil {
		c.Tasks.Log.Warn("a video keeps its index behind its media: it plays only after a full download", "task", t.ID, "upstream", t.Upstream, "error", err)
		return path
	}

	return moved
}

// storeFile stores a file under a new key. A try that died half-way left a blob under
// another key; no row names that blob, and the sweep deletes it.
func (c *Collector) storeFile(ctx context.Context, t task.Task, path, ext string, a *task.Artifact) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("scratch: %w", err)
	}
	defer func() { _ = file.Close() }()

	a.Blob = blob.Key{Owner: t.ID, Name: fmt.Sprintf("%d-%s%s", t.Attempt, c.Tasks.NewID("blob"), ext)}.String()

	info, err := c.Blobs.Put(ctx, a.Blob, file)
	if errors.Is(err, blob.ErrFull) {
		c.Tasks.Log.Error("ALERT: there is no space to store videos; they are collected when there is", "task", t.ID)
	}

	if err != nil {
		return fmt.Errorf("store the %s: %w", a.Kind, err)
	}

	a.Bytes = info.Bytes
	a.SHA256 = info.SHA256

	return nil
}

// complete completes a task in one transaction: its video, what it cost, and warnings for
// what differs from the request. The customer pays for what the supplier billed, else
// for what the request lasts, but never more than the hold.
func (c *Collector) complete(ctx context.Context, t task.Task, result provider.Result, video task.Artifact, media fetch.Media) error {
	request, err := c.Tasks.Request(ctx, t.ID)
	if err != nil {
		return err
	}

	r := request.Request

	billed := c.Catalog.Billed(r, request.Prepared.VideoMillis(), int64(r.Seconds)*1000)
	if up, configured := c.Upstreams.ResultUpstream(t.Upstream); result.Usage != nil && result.Usage.Billed > 0 && configured && !up.Capabilities.Preview {
		billed = result.Usage.Billed
	}

	used, err := t.UnitPrice.ForMillis(billed)
	if err != nil {
		return fmt.Errorf("price of %s: %w", t.ID, err)
	}

	if used > t.Hold {
		c.metrics.overbilled.Add(float64(used - t.Hold))
		c.Tasks.Log.Error("ALERT: the supplier billed more than the hold; the customer pays the hold", "task", t.ID, "hold", t.Hold, "used", used)
		billed = min(billed, maxBilledMillis(t))
	}

	found := mismatches(r, media)

	_, err = c.Tasks.Advance(context.WithoutCancel(ctx), t.ID, record.Step{
		From: task.Collecting, Attempt: t.Attempt, Note: "completed", Used: used,
		InTx: func(ctx context.Context, tx *store.Tx) error { return tx.InsertArtifact(ctx, video) },
		Edit: func(t *task.Task) {
			t.State = task.Completed
			t.Progress = 100
			t.Billed = billed
			t.ExpiresAt = c.Tasks.Clock.Millis() + c.Retention.Milliseconds()

			for _, m := range found {
				record.AddWarning(t, fault.CodeResultMismatch, m.message)
			}

			if t.CancelRequestedAt > 0 && t.CancelRefusedAt == 0 {
				record.AddWarning(t, fault.CodeCancelRefused, "The cancellation came too late: the video was already rendered and is charged.")
			}
		},
	})
	if err != nil {
		return err
	}

	c.Tasks.FailPoint("after-final-commit")

	for _, m := range found {
		c.metrics.mismatches.WithLabelValues(task.ParseUpstreamID(t.Upstream).Name, m.property).Inc()
	}

	c.metrics.completed.WithLabelValues(task.ParseUpstreamID(t.Upstream).Name).Inc()
	c.DeleteReferences(ctx, t.ID)

	return nil
}

// maxBilledMillis returns how many milliseconds the hold pays for.
func maxBilledMillis(t task.Task) int64 {
	if t.UnitPrice <= 0 {
		return 0
	}

	return int64(t.Hold/t.UnitPrice*1000) + int64(t.Hold%t.UnitPrice*1000/max(t.UnitPrice, 1))
}

// mismatch is one way in which a video differs from the request.
type mismatch struct {
	property string // for the metric
	message  string // for the customer
}

// mismatches lists how a video differs from the request, and from an MP4 of H.264 with AAC
// or MP3: that plays everywhere, and every model promises it.
func mismatches(r catalog.Request, m fetch.Media) []mismatch {
	var list []mismatch

	add := func(property, format string, args ...any) {
		list = append(list, mismatch{property: property, message: fmt.Sprintf(format, args...)})
	}

	if m.Type != "video/mp4" {
		add("container", "The video is %s instead of video/mp4.", m.Type)
	}

	if m.Codec != "h264" {
		add("codec", "The video is encoded with %s instead of h264: some players cannot show it.", displayCodec(m.Codec))
	}

	if r.Mode != catalog.I2V && (m.Width != int64(r.Width) || m.Height != int64(r.Height)) {
		add("size", "The video has %d*%d pixels instead of %d*%d.", m.Width, m.Height, r.Width, r.Height)
	}

	if want := int64(r.Seconds) * 1000; m.Millis < want-300 || m.Millis > want+300 {
		add("seconds", "The video lasts %d.%02d s instead of %d s.", m.Millis/1000, m.Millis%1000/10, r.Seconds)
	}

	switch {
	case m.Sound && !r.Sound:
		add("sound", "The video has a sound track, although none was requested.")
	case !m.Sound && r.Sound:
		add("sound", "The video has no sound track, although one was requested.")
	}

	if m.Sound && m.SoundCodec != "aac" && m.SoundCodec != "mp3" {
		add("sound_codec", "The sound track is encoded with %s instead of aac: some players cannot play it.", displayCodec(m.SoundCodec))
	}

	return list
}

// displayCodec returns the name of a codec as it may be shown. The name comes from the
// file, so that it is not trusted.
func displayCodec(name string) string {
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return "an unknown codec"
		}
	}

	if name == "" {
		return "an unknown codec"
	}

	return name
}
