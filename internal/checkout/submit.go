package checkout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/unireel/unireel/internal/account"
	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/credit"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/fetch"
	"github.com/unireel/unireel/internal/money"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// Order is one request for a video.
type Order struct {
	Ask            catalog.Ask
	Object         string // what the answer calls the task: "video.generation.job" or "video"
	IdempotencyKey string // "" is none
	BodyHash       string // hex SHA-256 of the canonical body
	// Files came with the order, by ReceiveFile; the Ask names their ids. They become
	// the account's with the task, and are gone when Submit makes none.
	Files []store.File
}

// Submit makes a task of an order: validated, priced, its hold taken, written
// with its first event. replayed says that the order's Idempotency-Key already
// stood for this task. What is wrong with the order is a *fault.Fault, and then
// nothing was written or held.
func (c *Checkout) Submit(ctx context.Context, who Caller, o Order) (t task.Task, replayed bool, err error) {
	defer func() {
		if err != nil || replayed {
			c.DropFiles(ctx, o.Files)
		}
	}()

	if o.IdempotencyKey == "" {
		return c.submit(ctx, who, o)
	}

	if len(o.IdempotencyKey) > maxKey || !catalog.IsText(o.IdempotencyKey) {
		return t, false, wrong("Idempotency-Key", "An Idempotency-Key has at most %d bytes, of UTF-8 and none of them NUL.", maxKey)
	}

	leave, err := c.board(ctx, flight{who.Account, o.IdempotencyKey})
	if err != nil {
		return t, false, err
	}
	defer leave()

	if t, replayed, err = c.replay(ctx, who, o); replayed || err != nil {
		return t, replayed && err == nil, explain(err)
	}

	return c.submit(ctx, who, o)
}

// Estimate is what an order would be and cost. Nothing is written.
func (c *Checkout) Estimate(ctx context.Context, who Caller, ask catalog.Ask) (catalog.Request, catalog.Quote, error) {
	return c.quote(ctx, who, Order{Ask: ask})
}

func (c *Checkout) quote(ctx context.Context, who Caller, o Order) (catalog.Request, catalog.Quote, error) {
	ask := o.Ask
	ask.Now = c.Now().Unix()

	var broken error

	ask.Look = func(ref catalog.Reference) *fault.Fault {
		f, err := c.look(ctx, who, o.Files, ref)
		if err != nil {
			broken = err
		}

		return f
	}
	ask.LookHook = func(address string) *fault.Fault { return c.checkHook("webhook_url", address) }

	r, err := c.Catalog.Validate(ask)
	if broken != nil {
		return r, catalog.Quote{}, explain(broken)
	}

	if err != nil {
		return r, catalog.Quote{}, err
	}

	if m, ok := c.Catalog.Model(r.Resolved); ok && !account.MayAsk(who.Models, m.Names()...) {
		return r, catalog.Quote{}, fault.New(fault.CodeModelForbidden, "model", fmt.Sprintf("This API key may not ask for %s; it may for %s.", r.Resolved, strings.Join(who.Models, ", ")))
	}

	q, err := c.Catalog.Price(r)

	return r, q, err
}

func (c *Checkout) submit(ctx context.Context, who Caller, o Order) (t task.Task, replayed bool, err error) {
	r, q, err := c.quote(ctx, who, o)
	if err != nil {
		return t, false, err
	}

	lane, refused := c.Route(r)
	if refused != nil {
		return t, false, refused
	}

	kept, err := c.keepInline(ctx, who, &r)
	if err != nil {
		return t, false, explain(err)
	}

	if t, replayed, err = c.write(ctx, who, o, c.draft(who, o, r, q, lane), &draftFiles{request: r, files: slices.Concat(o.Files, kept)}); err != nil || replayed {
		c.DropFiles(ctx, kept)
	}

	return t, replayed, explain(err)
}

// draft is the task as it will be written first. It shows the customer's own prompt.
func (c *Checkout) draft(who Caller, o Order, r catalog.Request, q catalog.Quote, lane string) task.Task {
	now := c.millis()

	t := task.Task{
		ID: c.NewID("task"), Account: who.Account, Key: who.Key, Version: 1, State: task.Preparing,
		Model: r.Model, Resolved: r.Resolved, Prompt: o.Ask.Prompt.Value, Size: r.SizeAsked, Seconds: int64(r.Seconds),
		Preview: r.Preview || c.StandIn(r), Metadata: r.Metadata,
		Hold: q.Hold, UnitPrice: q.UnitPrice, Billing: string(q.Billing), CreatedAt: now, StartBy: r.StartBy * 1000,
	}
	if len(r.References) == 0 && r.Audio == nil {
		t.State = task.Queued
		t.Lane = lane
		t.QueuedAt = now
	}

	for _, w := range r.Warnings {
		t.Warnings = append(t.Warnings, task.Warning(w))
	}

	return t
}

// draftFiles is what stands beside a draft: its request, and the files that came
// inside it.
type draftFiles struct {
	request catalog.Request
	files   []store.File
}

// write puts everything into one transaction: the key, the files, the hold, the
// task and its event.
func (c *Checkout) write(ctx context.Context, who Caller, o Order, t task.Task, with *draftFiles) (task.Task, bool, error) {
	t.Object = o.Object

	body, err := json.Marshal(with.request)
	if err != nil {
		return t, false, fmt.Errorf("write request: %w", err)
	}

	hook, err := c.hook(who, with.request.WebhookURL)
	if err != nil {
		return t, false, err
	}

	taken, err := c.Store.Create(ctx, &store.Creation{
		Task: t, Request: body, Files: with.files, Hook: hook,
		Key:          store.Idempotency{Account: who.Account, Key: o.IdempotencyKey, BodyHash: o.BodyHash, Task: t.ID, Expires: t.CreatedAt + keyLife.Milliseconds()},
		Hold:         credit.Entry{ID: c.NewID("entry"), Account: who.Account, Task: t.ID, Kind: credit.KindHold, Amount: t.Hold, At: t.CreatedAt},
		BeforeCommit: func() { c.Point("before-create-commit") },
	})

	var (
		poor *store.InsufficientError
		over *store.BudgetError
	)
	switch {
	case errors.As(err, &over):
		return t, false, c.overBudget(t.Hold, over)
	case errors.As(err, &poor):
		return t, false, c.tooPoor(t.Hold, poor.Balance)
	case err != nil:
		return t, false, err
	case taken != nil:
		t, err = c.same(ctx, *taken, o)
		return t, err == nil, err
	}

	c.Point("after-create-commit")

	return t, false, nil
}

func (c *Checkout) tooPoor(hold money.Amount, b credit.Balance) *fault.Fault {
	currency := c.Catalog.Currency()

	return fault.New(fault.CodeCredit, "", fmt.Sprintf("This video can cost up to %s %s; the account has %s %s free. Ask the operator for credit, or ask for a shorter or smaller video.",
		hold, currency, b.Free(), currency))
}

func (c *Checkout) overBudget(hold money.Amount, b *store.BudgetError) *fault.Fault {
	currency := c.Catalog.Currency()

	return fault.New(fault.CodeBudget, "", fmt.Sprintf("This video can cost up to %s %s; of this API key's budget of %s %s a %s, %s is left until %s. Wait until then, ask the operator for a larger budget, or ask for a shorter or smaller video.",
		hold, currency, b.Budget, currency, b.Period, max(0, b.Left), time.UnixMilli(b.Renews).UTC().Format("2006-01-02 15:04 UTC")))
}

// look examines a reference as far as it can be without a network: a file id must
// be the account's own, a sample's or of a file that came along, a data URI what it
// says, a URL possible.
func (c *Checkout) look(ctx context.Context, who Caller, along []store.File, ref catalog.Reference) (*fault.Fault, error) {
	switch {
	case strings.HasPrefix(ref.Input, "file_"):
		f, err := c.fileAmong(ctx, who, along, ref.Input)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return wrong(ref.Param, "This account has no file %s. POST /v1/files uploads one and answers with its id.", ref.Input), nil
		case err != nil:
			return nil, fmt.Errorf("look up file: %w", err)
		case ref.Kind != "" && string(ref.Kind) != f.Kind:
			return wrong(ref.Param, "This should be %s; the file %s is %s.", article(string(ref.Kind)), ref.Input, article(f.Kind)), nil
		}

		return nil, nil
	case fetch.IsDataURI(ref.Input):
		return lookInside(ref)
	}

	return c.Fetch.Check(ref.Input), nil
}

func (c *Checkout) fileAmong(ctx context.Context, who Caller, along []store.File, id string) (store.File, error) {
	if i := slices.IndexFunc(along, func(f store.File) bool { return f.ID == id }); i >= 0 {
		return along[i], nil
	}

	return c.File(ctx, who.Account, id)
}

func article(kind string) string {
	return map[string]string{"image": "a picture", "video": "a video", "audio": "a sound"}[kind]
}

// inputs points at every reference of a request, guide audio last.
func inputs(r *catalog.Request) []*catalog.Reference {
	var list []*catalog.Reference
	for i := range r.References {
		list = append(list, &r.References[i])
	}

	if r.Audio != nil {
		list = append(list, r.Audio)
	}

	return list
}
