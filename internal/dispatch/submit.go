package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/unireel/unireel/internal/blob"
	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

const (
	submitTime = 90 * time.Second // one Submit, from its call to its answer
	uploadTime = 10 * time.Minute // one reference to where the supplier reads it
	maxRefusal = 4                // new submissions after the supplier's own failure
)

// submit orders one claimed task. Whatever happens, the task has left
// submitting when it returns, or the gate is shut until rescue knows more.
func (g *gate) submit(ctx context.Context, t task.Task) {
	d := g.d
	if t.StartBy > 0 && d.millis() >= t.StartBy { // the sweep comes by only now and then
		g.settle(ctx, t, &provider.Failure{Taken: provider.NotTaken, Class: provider.Refused, Fault: expired()})
		return
	}

	order, err := d.order(ctx, g, t)
	if err != nil {
		g.settle(ctx, t, notTaken(err))
		return
	}

	d.Point("before-submit")
	// What is on the wire is answered, also when we are asked to stop.
	sending, cancel := context.WithTimeout(provider.WithGuard(context.WithoutCancel(ctx), g.t.trusted), submitTime)
	defer cancel()

	begin := d.Now()
	ticket, err := g.up.Provider.Submit(sending, order)
	d.stats.submitSeconds.WithLabelValues(g.up.Name).Observe(d.Now().Sub(begin).Seconds())
	d.Point("after-submit")

	ctx = context.WithoutCancel(ctx)

	if err == nil {
		g.calm()
		g.up.worked()
		g.taken(ctx, t, ticket, "taken", nil)

		return
	}

	f := provider.FailureOf(err)
	if f.Class == provider.Passing {
		d.failed(ctx, g.up, f)
	}

	g.settle(ctx, t, f)
}

// notTaken makes a failure of what went wrong before anything was ordered.
func notTaken(err error) *provider.Failure {
	f := *provider.FailureOf(err)
	f.Taken = provider.NotTaken

	return &f
}

// taken writes the ticket down: a fact, whoever owns the upstream by now. Only to
// adopt a ticket is a decision, and by is then the lease that it is made with. It is
// repeated until it is on disk, since nothing else knows the ticket.
func (g *gate) taken(ctx context.Context, t task.Task, ticket provider.Ticket, outcome string, by *lease) {
	d := g.d
	d.stats.submits.WithLabelValues(g.route, outcome).Inc()

	var next task.Task

	err := d.insist(ctx, "ticket", t.ID, func() (err error) {
		next, err = d.advance(ctx, t.ID, step{
			from: task.Submitting, attempt: t.Attempt, fenced: by, note: outcome + ": " + string(ticket),
			with: func(ctx context.Context, tx *store.Tx) error {
				return saveAttempt(ctx, tx, t, func(a *store.Attempt) {
					a.Ticket = string(ticket)
					a.Outcome = outcome
				})
			},
			edit: func(t *task.Task) {
				t.State = task.Running

				t.Ticket = string(ticket)
				if t.StartedAt == 0 {
					t.StartedAt = d.millis()
				}
			},
		})

		return err
	})
	if err != nil {
		if by == nil {
			g.late(ctx, t, ticket, err)
		}

		g.free(t.ID)

		return
	}

	if g.t.ctx.Err() != nil { // the next owner, perhaps a later tenure of our own, hears of it
		return
	}

	g.t.polls.add(next, g, false)
	d.heedCancel(ctx, t.ID) // a wish between the commit and now was heard by nobody
}

// late records an answer that came when its task had gone on: it is a fact, kept
// with its attempt, unless a rescue gave the attempt another ticket by then.
func (g *gate) late(ctx context.Context, t task.Task, ticket provider.Ticket, why error) {
	g.d.Log.Warn("a ticket came too late", "task", t.ID, "attempt", t.Attempt, "ticket", ticket, "error", why)

	err := g.d.write(ctx, func(tx *store.Tx) error {
		return saveAttempt(ctx, tx, t, func(a *store.Attempt) {
			switch a.Ticket {
			case "":
				a.Ticket = string(ticket)
				a.Outcome = "late"
			case string(ticket):
				a.Outcome = "taken" // what was adopted is proved by the answer itself
			}
		})
	})
	if err != nil {
		g.d.Log.Error("cannot record a late ticket", "task", t.ID, "attempt", t.Attempt, "ticket", ticket, "error", err)
	}
}

func saveAttempt(ctx context.Context, tx *store.Tx, t task.Task, edit func(*store.Attempt)) error {
	a, err := tx.Attempt(ctx, t.ID, t.Attempt)
	if err != nil {
		return err
	}

	edit(&a)

	return tx.SaveAttempt(ctx, a)
}

// settle decides what a failed submission means.
func (g *gate) settle(ctx context.Context, t task.Task, f *provider.Failure) {
	ctx = context.WithoutCancel(ctx)

	outcome := "not taken"
	if f.Taken == provider.Unsure {
		outcome = "unsure"
	}

	g.up.note(f)
	g.d.stats.submits.WithLabelValues(g.route, outcome+", "+f.Class.String()).Inc()
	g.d.Log.Warn("submission failed", "task", t.ID, "attempt", t.Attempt, "route", g.route, "outcome", outcome, "class", f.Class, "code", f.Code, "request", f.RequestID, "error", f.Err)

	if f.Taken == provider.Unsure && !g.up.Kind.Traits.Resubmit {
		g.lose(ctx, t, f)
		return
	}

	g.refused(ctx, t, f)
}

// lose shuts the gate: the submission may have been taken, and rescue finds out.
// When it was lost is a fact, but of no use once somebody has found out.
func (g *gate) lose(ctx context.Context, t task.Task, f *provider.Failure) {
	now := g.d.millis()
	_ = g.d.insist(ctx, "lost answer", t.ID, func() error {
		return g.d.write(ctx, func(tx *store.Tx) error {
			if fresh, err := tx.Task(ctx, t.ID); err != nil || fresh.State != task.Submitting || fresh.Attempt != t.Attempt {
				return err
			}

			return saveAttempt(ctx, tx, t, func(a *store.Attempt) {
				a.LostAt = now

				a.Outcome = "unsure"
				if f.RequestID != "" {
					a.RequestID = f.RequestID
				}
			})
		})
	})
	g.mu.Lock()
	defer g.mu.Unlock()

	g.unsure = append(g.unsure, t.ID)
	g.d.stats.shut.WithLabelValues(g.route).Set(1)
}

// refused handles what was certainly not taken: for good, or for now.
func (g *gate) refused(ctx context.Context, t task.Task, f *provider.Failure) {
	d := g.d

	switch f.Class {
	case provider.Throttled:
		g.t.slots.Halve(g.route, d.Now())
		g.trouble(f.After)
	case provider.Locked:
		g.locked(ctx, f)
	case provider.Passing:
		g.trouble(f.After)
	}

	countsAgainstTask := f.Class == provider.Passing && f.Code != ""
	final := f.Class == provider.Refused || f.Class == provider.Gone || (f.Class == provider.Passing && (countsAgainstTask && t.Retries >= maxRefusal || d.tooOld(t)))

	err := d.insist(ctx, "failed submission", t.ID, func() error {
		_, err := d.advance(ctx, t.ID, step{
			from: task.Submitting, attempt: t.Attempt, fenced: g.t.lease, note: "not taken: " + f.Class.String() + " " + f.Code,
			with: func(ctx context.Context, tx *store.Tx) error {
				return saveAttempt(ctx, tx, t, func(a *store.Attempt) { a.Outcome = "not taken" })
			},
			edit: func(t *task.Task) {
				switch {
				case t.CancelRequestedAt > 0:
					t.State = task.Cancelled
				case final:
					t.State = task.Failed
					t.Error = failureFor(f)
				default:
					t.State = task.Queued
					t.Upstream = ""

					t.QueuedAt = d.millis()
					if countsAgainstTask {
						t.Retries++
					}
				}
			},
		})

		return err
	})
	if errors.Is(err, store.ErrNotOwner) {
		d.Log.Warn("no longer ours to decide", "task", t.ID, "upstream", g.up.Name)
	}

	g.free(t.ID)
}

// tooOld says whether a task has waited longer than a task may take.
func (d *Dispatch) tooOld(t task.Task) bool {
	return d.millis()-t.CreatedAt > d.TaskTimeout.Milliseconds()
}

// failureFor is what the customer is told of a supplier's failure.
func failureFor(f *provider.Failure) *task.Error {
	told := f.Fault
	if told == nil {
		told = provider.FailureOf(nil).Fault
	}

	return &task.Error{Code: string(told.Code), Message: told.Detail, Param: told.Param}
}

// order makes the supplier's order of a task: its request, and the references as
// preparing left them, brought to where the supplier can read them.
func (d *Dispatch) order(ctx context.Context, g *gate, t task.Task) (provider.Order, error) {
	r, ready, err := d.read(ctx, t.ID)
	if err != nil {
		return provider.Order{}, err
	}

	o := provider.Order{
		Task: t.ID, Attempt: t.Attempt, Model: g.model, Mode: provider.Mode(r.Mode), Prompt: r.Prompt, NegativePrompt: r.NegativePrompt,
		Size: r.Size, Width: r.Width, Height: r.Height, Seconds: r.Seconds, Sound: r.Sound, ShotType: r.ShotType,
		PromptExpansion: r.PromptExpansion, Watermark: r.Watermark, Seed: r.Seed,
	}
	for _, p := range ready.References {
		ref, err := d.reference(ctx, g, t.ID, p)
		if err != nil {
			return o, err
		}

		o.References = append(o.References, ref)
	}

	if ready.Audio != nil {
		ref, err := d.reference(ctx, g, t.ID, *ready.Audio)
		if err != nil {
			return o, err
		}

		o.Audio = &ref
	}

	return o, nil
}

// read gives a task's request and what preparing made of its references.
func (d *Dispatch) read(ctx context.Context, id string) (catalog.Request, prepared, error) {
	var (
		r catalog.Request
		p prepared
	)

	body, made, err := d.Store.Request(ctx, id)
	if err != nil {
		return r, p, fmt.Errorf("read request of %s: %w", id, err)
	}

	if err := json.Unmarshal(body, &r); err != nil {
		return r, p, fmt.Errorf("request of %s: %w", id, err)
	}

	if len(made) > 0 {
		if err := json.Unmarshal(made, &p); err != nil {
			return r, p, fmt.Errorf("references of %s: %w", id, err)
		}
	}

	return r, p, nil
}

// reference gives a prepared reference to the supplier: by its own address when
// the supplier can read it there, else uploaded, else as bytes.
func (d *Dispatch) reference(ctx context.Context, g *gate, id string, p preparedReference) (provider.Reference, error) {
	ref := provider.Reference{Kind: p.Kind, Param: p.Param, URL: p.URL, Name: p.Name, Type: p.Type, Bytes: p.Bytes, Millis: p.Millis, Width: p.Width, Height: p.Height, Sound: p.Sound}
	if p.Blob == "" {
		return ref, nil
	}

	ref.Open = func(ctx context.Context) (io.ReadCloser, error) { return d.Blobs.Open(ctx, p.Blob) }

	up, ok := g.up.Provider.(provider.Uploader)
	if ref.URL != "" || !ok {
		return ref, nil
	}

	ctx, cancel := context.WithTimeout(ctx, uploadTime)
	defer cancel()

	bytes, err := ref.Open(ctx)
	if errors.Is(err, blob.ErrNotFound) { // it does not come back by waiting
		return ref, &provider.Failure{Class: provider.Refused, Err: err, Fault: fault.New(fault.CodeUnreachable, p.Param,
			"The reference that was kept for this task is lost. Nothing was charged; create the task again.")}
	}

	if err != nil {
		return ref, fmt.Errorf("reference %s of %s: %w", p.Param, id, err)
	}
	defer func() { _ = bytes.Close() }()

	ref.URL, err = up.Upload(ctx, g.model, p.Name, p.Bytes, bytes)
	if err != nil {
		return ref, fmt.Errorf("upload %s of %s: %w", p.Param, id, err)
	}

	return ref, nil
}

// lostBefore is what a customer hears when it stays unknown whether the supplier
// took the task.
func lostBefore() *fault.Fault {
	return fault.New(fault.CodeUpstreamUnknown, "", "It could not be found out whether the supplier took this task. Nothing was charged; create it again.")
}
