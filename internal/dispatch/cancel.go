package dispatch

import (
	"context"
	"errors"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/task"
)

// askCancel passes a customer's wish on. It says whether that ended the ticket.
func (p *polls) askCancel(ctx context.Context, r *running) bool {
	d := p.d
	canceler, ok := p.up.Provider.(provider.Canceler)
	agreed := false

	if ok {
		asking, done := context.WithTimeout(ctx, pollTime)

		var err error

		agreed, err = canceler.Cancel(asking, provider.Ticket(r.task.Ticket))

		done()

		if err != nil { // not answered: the wish stays, the next poll asks again
			p.up.note(provider.FailureOf(err))
			return false
		}
	}

	p.mu.Lock()
	r.cancel = false
	r.answered = true
	p.mu.Unlock()

	if agreed {
		if err := d.insist(ctx, "cancel", r.task.ID, func() error { return p.cancelled(ctx, r) }); errors.Is(err, errDecided) {
			p.leave(r)
		}

		return true
	}

	_, err := d.advance(ctx, r.task.ID, step{from: task.Running, attempt: r.task.Attempt, note: "cancel refused", edit: func(t *task.Task) {
		warn(t, fault.CodeCancelRefused, "", "The supplier has begun and cannot stop this task; it runs on and is charged.")
	}})
	if err != nil && !errors.Is(err, errDecided) {
		d.Log.Error("cannot note a refused cancel", "task", r.task.ID, "error", err)
	}

	return false
}

// warn adds a warning once.
func warn(t *task.Task, code fault.Code, param, message string) {
	for _, w := range t.Warnings {
		if w.Code == string(code) && w.Message == message {
			return
		}
	}

	t.Warnings = append(t.Warnings[:len(t.Warnings):len(t.Warnings)], task.Warning{Code: string(code), Param: param, Message: message})
}

// heedCancel passes on the wish of a running task's customer.
func (d *Dispatch) heedCancel(ctx context.Context, id string) {
	for _, t := range d.keeper.tenures() {
		if !t.polls.has(id) {
			continue
		}

		if fresh, err := d.Store.Task(ctx, id); err == nil && fresh.CancelRequestedAt > 0 && !refused(fresh) {
			t.polls.hurry(id)
		}
	}
}

func (p *polls) has(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()

	return p.all[id] != nil
}

func refused(t task.Task) bool {
	for _, w := range t.Warnings {
		if w.Code == string(fault.CodeCancelRefused) {
			return true
		}
	}

	return false
}
