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

// CreateRequest is a request for a new task.
type CreateRequest struct {
	Raw            catalog.RawRequest
	Object         string // the task's type in answers: "video.generation.job" or "video"
	IdempotencyKey string // "": none
	BodyHash       string // hex SHA-256 of the canonical body
	// Files were uploaded in the same request, with StageFile; Raw names their ids. Create
	// stores their rows with the task, and discards their bytes if it creates no task.
	Files []store.File
}

// Create creates a task: it validates and prices the request, takes the hold, and writes
// the task with its first event. replayed reports that the request's Idempotency-Key was
// used before; then t is the task that was created with it. If the request is rejected,
// err is a *fault.Fault, and nothing was written or held.
func (c *Checkout) Create(ctx context.Context, caller Caller, req CreateRequest) (t task.Task, replayed bool, err error) {
	defer func() {
		if err != nil || replayed {
			c.DiscardFiles(ctx, req.Files)
		}
	}()

	if req.IdempotencyKey == "" {
		return c.create(ctx, caller, req)
	}

	if len(req.IdempotencyKey) > maxIdempotencyKey || !catalog.IsText(req.IdempotencyKey) {
		return t, false, invalid("Idempotency-Key", "An Idempotency-Key has at most %d bytes of UTF-8 and no NUL character.", maxIdempotencyKey)
	}

	// The lock makes concurrent requests with one key wait for the first of them, so that
	// they do not store files for nothing. It covers this process only; the key's unique
	// row, written with the task, decides between processes.
	unlock, err := c.lockKey(ctx, accountKey{caller.Account, req.IdempotencyKey})
	if err != nil {
		return t, false, err
	}
	defer unlock()

	if t, replayed, err = c.replay(ctx, caller, req); replayed || err != nil {
		return t, replayed && err == nil, toFault(err)
	}

	return c.create(ctx, caller, req)
}

// Estimate validates and prices a request. Nothing is written.
func (c *Checkout) Estimate(ctx context.Context, caller Caller, raw catalog.RawRequest) (catalog.Request, catalog.Quote, error) {
	return c.validateAndPrice(ctx, caller, CreateRequest{Raw: raw})
}

func (c *Checkout) validateAndPrice(ctx context.Context, caller Caller, req CreateRequest) (catalog.Request, catalog.Quote, error) {
	raw := req.Raw
	raw.Now = c.Now().Unix()

	// CheckReference can only report faults. An error of the store must not reject the
	// request as invalid, so it is kept here and takes precedence.
	var lookupErr error

	raw.CheckReference = func(ref catalog.Reference) *fault.Fault {
		f, err := c.checkReference(ctx, caller, req.Files, ref)
		if err != nil {
			lookupErr = err
		}

		return f
	}
	raw.CheckWebhook = func(address string) *fault.Fault { return c.checkWebhookURL("webhook_url", address) }

	r, err := c.Catalog.Validate(raw)
	if lookupErr != nil {
		return r, catalog.Quote{}, toFault(lookupErr)
	}

	if err != nil {
		return r, catalog.Quote{}, err
	}

	if m, ok := c.Catalog.Model(r.Resolved); ok && !account.AllowsModel(caller.Models, m.Names()...) {
		return r, catalog.Quote{}, fault.New(fault.CodeModelNotAllowed, "model", fmt.Sprintf("This API key may not use %s; it may use %s.", r.Resolved, strings.Join(caller.Models, ", ")))
	}

	q, err := c.Catalog.Price(r)

	return r, q, err
}

// create is Create without the check of the Idempotency-Key before the transaction.
//
// Blobs are written before the transaction and rows only in it. So a row never names
// missing bytes; a crash in between leaves a blob without a row, which the sweep deletes.
func (c *Checkout) create(ctx context.Context, caller Caller, req CreateRequest) (t task.Task, replayed bool, err error) {
	r, q, err := c.validateAndPrice(ctx, caller, req)
	if err != nil {
		return t, false, err
	}

	queue, noRoute := c.QueueFor(r)
	if noRoute != nil {
		return t, false, noRoute
	}

	inline, err := c.storeInline(ctx, caller, &r)
	if err != nil {
		return t, false, toFault(err)
	}

	attached := &attachments{request: r, files: slices.Concat(req.Files, inline)}

	t, replayed, err = c.insert(ctx, caller, req, c.newTask(caller, req, r, q, queue), attached)
	if err != nil || replayed {
		c.DiscardFiles(ctx, inline)
	}

	return t, replayed, toFault(err)
}

// newTask returns the task as it is first written. It has the customer's own prompt, not
// the one that RewritePrompt returned. A task without references is queued at once.
func (c *Checkout) newTask(caller Caller, req CreateRequest, r catalog.Request, q catalog.Quote, queue string) task.Task {
	now := c.millis()

	t := task.Task{
		ID:            c.NewID("task"),
		Account:       caller.Account,
		Key:           caller.Key,
		Version:       1,
		State:         task.Preparing,
		Model:         r.Model,
		ResolvedModel: r.Resolved,
		Prompt:        req.Raw.Prompt.Value,
		Size:          r.RequestedSize,
		Seconds:       int64(r.Seconds),
		Preview:       r.Preview || c.PreviewFallback(r),
		Metadata:      r.Metadata,
		Hold:          q.Hold,
		UnitPrice:     q.UnitPrice,
		Billing:       string(q.Billing),
		CreatedAt:     now,
		StartBy:       r.StartBy * 1000,
	}
	if len(r.References) == 0 && r.Audio == nil {
		t.State = task.Queued
		t.Queue = queue
		t.QueuedAt = now
	}

	for _, warning := range r.Warnings {
		t.Warnings = append(t.Warnings, task.Warning(warning))
	}

	return t
}

// attachments are written with a new task: its request, and the files that came with it.
type attachments struct {
	request catalog.Request
	files   []store.File
}

// insert writes the idempotency key, the files, the hold, the task and its event in one
// transaction. The bool reports that the key was already used, and that the returned task
// is the one that was created with it.
func (c *Checkout) insert(ctx context.Context, caller Caller, req CreateRequest, t task.Task, attached *attachments) (task.Task, bool, error) {
	t.Object = req.Object

	body, err := json.Marshal(attached.request)
	if err != nil {
		return t, false, fmt.Errorf("encode request: %w", err)
	}

	hook, err := c.newHook(caller, attached.request.WebhookURL)
	if err != nil {
		return t, false, err
	}

	existing, err := c.Store.Create(ctx, &store.Creation{
		Task:    t,
		Request: body,
		Files:   attached.files,
		Webhook: hook,
		Key: store.Idempotency{
			Account:  caller.Account,
			Key:      req.IdempotencyKey,
			BodyHash: req.BodyHash,
			Task:     t.ID,
			Expires:  t.CreatedAt + idempotencyTTL.Milliseconds(),
		},
		Hold: credit.Entry{
			ID:      c.NewID("entry"),
			Account: caller.Account,
			Task:    t.ID,
			Kind:    credit.KindHold,
			Amount:  t.Hold,
			At:      t.CreatedAt,
		},
		BeforeCommit: func() { c.Failpoint("before-create-commit") },
	})

	var (
		insufficient *store.InsufficientCreditError
		budget       *store.BudgetError
	)
	switch {
	case errors.As(err, &budget):
		return t, false, c.budgetExceeded(t.Hold, budget)
	case errors.As(err, &insufficient):
		return t, false, c.insufficientCredit(t.Hold, insufficient.Balance)
	case err != nil:
		return t, false, err
	case existing != nil:
		t, err = c.taskForKey(ctx, *existing, req)
		return t, err == nil, err
	}

	c.Failpoint("after-create-commit")

	return t, false, nil
}

func (c *Checkout) insufficientCredit(hold money.Amount, b credit.Balance) *fault.Fault {
	currency := c.Catalog.Currency()

	return fault.New(fault.CodeInsufficientCredit, "", fmt.Sprintf("This video can cost up to %s %s; the account has %s %s free. Ask the operator for credit, or ask for a shorter or smaller video.",
		hold, currency, b.Free(), currency))
}

func (c *Checkout) budgetExceeded(hold money.Amount, b *store.BudgetError) *fault.Fault {
	currency := c.Catalog.Currency()

	return fault.New(fault.CodeBudgetExceeded, "", fmt.Sprintf("This video can cost up to %s %s; of this API key's budget of %s %s a %s, %s is left until %s. Wait until then, ask the operator for a larger budget, or ask for a shorter or smaller video.",
		hold, currency, b.Budget, currency, b.Period, max(0, b.Remaining), time.UnixMilli(b.RenewsAt).UTC().Format("2006-01-02 15:04 UTC")))
}

// checkReference checks a reference as far as that is possible without a network: a file
// id must belong to the account, to a sample or to a file that came with the request; a
// data URI must contain what it declares; a URL must be allowed by fetch.Check.
func (c *Checkout) checkReference(ctx context.Context, caller Caller, uploaded []store.File, ref catalog.Reference) (*fault.Fault, error) {
	switch {
	case strings.HasPrefix(ref.Input, "file_"):
		f, err := c.findFile(ctx, caller, uploaded, ref.Input)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return invalid(ref.Param, "This account has no file %s. POST /v1/files uploads one and returns its id.", ref.Input), nil
		case err != nil:
			return nil, fmt.Errorf("look up file: %w", err)
		case ref.Kind != "" && string(ref.Kind) != f.Kind:
			return invalid(ref.Param, "This should be %s; the file %s is %s.", withArticle(string(ref.Kind)), ref.Input, withArticle(f.Kind)), nil
		}

		return nil, nil
	case fetch.IsDataURI(ref.Input):
		return checkDataURI(ref)
	}

	return c.Fetch.Check(ref.Input), nil
}

func (c *Checkout) findFile(ctx context.Context, caller Caller, uploaded []store.File, id string) (store.File, error) {
	if i := slices.IndexFunc(uploaded, func(f store.File) bool { return f.ID == id }); i >= 0 {
		return uploaded[i], nil
	}

	return c.File(ctx, caller.Account, id)
}

func withArticle(kind string) string {
	return map[string]string{"image": "a picture", "video": "a video", "audio": "a sound"}[kind]
}

// allReferences returns pointers to every reference of a request, the guide audio last.
func allReferences(r *catalog.Request) []*catalog.Reference {
	var list []*catalog.Reference
	for i := range r.References {
		list = append(list, &r.References[i])
	}

	if r.Audio != nil {
		list = append(list, r.Audio)
	}

	return list
}
