package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"text/tabwriter"

	"golang.org/x/sync/errgroup"

	"github.com/unireel/unireel/client"
	"github.com/unireel/unireel/internal/money"
)

type batchCmd struct {
	serverFlags
	Shots       string `arg:"" type:"path" help:"A file with one JSON body per line, as for POST /v1/video/generations."`
	Out         string `short:"o" name:"output" required:"" type:"path" placeholder:"DIR" help:"The folder for the videos: 0001.mp4 for line 1, and so on."`
	MaxCost     string `name:"max-cost" placeholder:"AMOUNT" help:"Create no more tasks when all of them together could cost more than this."`
	Parallel    int    `name:"parallel" default:"4" placeholder:"N" help:"The number of lines that are processed at the same time."`
	RetryFailed bool   `name:"again" help:"Create new tasks for failed and cancelled lines."`
}

// Help returns a description and examples.
func (batchCmd) Help() string {
	return `If it is stopped or killed, the same command continues: the file batch.state.json in the output folder records the progress, and every line has its own idempotency key, so that no line is paid twice. Empty lines are skipped. The exit code is 1 if a line has no video.

Examples:

  unireel batch shots.jsonl -o out/ --max-cost 20

  unireel batch shots.jsonl -o out/ --again`
}

// Run processes the file.
func (c *batchCmd) Run(ctx context.Context, env *Env) error {
	limit := money.Amount(-1)

	if c.MaxCost != "" {
		var err error
		if limit, err = money.Parse(c.MaxCost); err != nil || limit < 0 {
			return usagef("--max-cost: %q is not an amount; write it like 20 or 12.50", c.MaxCost)
		}
	}

	if c.Parallel < 1 || c.Parallel > 64 {
		return usagef("--parallel must be 1 to 64")
	}

	lines, err := readLines(c.Shots)
	if err != nil {
		return usagef("%s", err)
	}

	server, err := c.connect()
	if err != nil {
		return err
	}
	defer server.Close()

	if err := os.MkdirAll(c.Out, 0o755); err != nil {
		return fmt.Errorf("create the output folder: %w", err)
	}

	state, err := openState(c.Out)
	if err != nil {
		return err
	}

	b := &batch{
		server:      server,
		state:       state,
		out:         c.Out,
		retryFailed: c.RetryFailed,
		budget:      costBudget{limit: limit},
		progress:    &progressDisplay{out: env.Err},
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(c.Parallel)

	for _, l := range lines {
		group.Go(func() error { return b.processLine(groupCtx, l) })
	}

	err = group.Wait()

	if ctx.Err() != nil {
		fmt.Fprintf(env.Err, "\nStopped. Nothing is lost: the tasks continue. Continue with the same command.\n")
		return exitError(exitFailure)
	}

	if err != nil {
		return err
	}

	if c.JSON {
		err = env.printJSON(b.state.rows(lines))
	} else {
		err = b.table(env, lines)
	}

	if err == nil && !b.state.complete(lines) {
		return exitError(exitFailure)
	}

	return err
}

// batch is one run of the command.
type batch struct {
	server      *client.Client
	state       *batchState
	out         string
	retryFailed bool
	budget      costBudget
	progress    *progressDisplay
}

// processLine creates a line's task, waits for it and downloads its video. It returns an
// error only if that must stop the whole batch; errors of the line are stored in its
// record.
func (b *batch) processLine(ctx context.Context, l line) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}

	key := l.key
	record := b.state.get(key)

	record.Line = l.number
	if b.retryFailed && (record.Status == string(client.Failed) || record.Status == string(client.Cancelled)) {
		record = record.retry()
	}

	if record.done() {
		b.budget.add(record.Cost)
		return b.state.put(key, record)
	}

	r := b.progress.addRow(fmt.Sprintf("line %d", l.number))
	if record.Task == "" {
		t, err := b.createTask(ctx, l, record)
		if err != nil {
			return b.recordFailure(ctx, key, record, r, err)
		}

		record.Task = t.ID
		record.Status = string(t.Status)
		record.Error = ""

		if err := b.state.put(key, record); err != nil {
			return err
		}
	}

	// The task's id is stored, so another run finds the task from here on.
	t, err := b.server.Wait(ctx, record.Task, r.showTask)
	if err != nil {
		return b.recordFailure(ctx, key, record, r, err)
	}

	record.Status = string(t.Status)
	if t.Usage != nil {
		record.Cost = t.Usage.Cost
	}

	b.budget.commit(key, record.Cost)

	if t.Error != nil {
		record.Error = t.Error.Message
	}

	if t.Status == client.Completed {
		path := filepath.Join(b.out, fmt.Sprintf("%04d.mp4", l.number))
		if err := b.server.Download(ctx, t.ID, path, nil); err != nil {
			return b.recordFailure(ctx, key, record, r, err)
		}

		record.File = path
		r.update(100, "saved to "+path)
	}

	return b.state.put(key, record)
}

// createTask creates a line's task. If there is a cost limit, it first asks for the price
// and reserves it.
func (b *batch) createTask(ctx context.Context, l line, record record) (client.Task, error) {
	if b.budget.enabled() {
		quote, err := b.server.EstimateRaw(ctx, l.body)
		if err != nil {
			return client.Task{}, err
		}

		if err := b.budget.reserve(l.key, quote.Hold); err != nil {
			return client.Task{}, err
		}
	}

	key := l.key
	if record.Tries > 0 {
		key = fmt.Sprintf("%s-%d", l.key, record.Tries)
	}

	t, err := b.server.CreateRaw(ctx, l.body, client.WithIdempotencyKey(key))
	if err != nil {
		b.budget.commit(l.key, "")
	}

	return t, err
}

// recordFailure records why a line failed. An error response concerns only the line and
// is recorded; an unreachable server or an invalid key stops the batch.
func (b *batch) recordFailure(ctx context.Context, key string, record record, r *progressRow, err error) error {
	var apiErr *client.Error
	if ctx.Err() != nil || (!errors.As(err, &apiErr) && !errors.Is(err, errCostLimit)) || (apiErr != nil && apiErr.Status == 401) {
		return err
	}

	record.Error = err.Error()
	if record.Task == "" {
		record.Status = "not created"
	}

	r.update(0, record.Status+": "+record.Error)

	return b.state.put(key, record)
}

func (b *batch) table(env *Env, lines []line) error {
	table := tabwriter.NewWriter(env.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "LINE\tSTATUS\tCOST\tTASK\tVIDEO OR ERROR")

	for _, r := range b.state.rows(lines) {
		end := r.File
		if r.Error != "" {
			end = r.Error
		}

		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\n", r.Line, r.Status, r.Cost, r.Task, end)
	}

	fmt.Fprintf(table, "\t\t%s\ttotal\t\n", b.budget.total())

	return table.Flush()
}

// errCostLimit reports that a line would exceed --max-cost.
var errCostLimit = errors.New("not created: all tasks together could cost more than --max-cost")

// costBudget keeps the batch below its limit. It counts what was spent and, for lines in
// progress, the most that they can cost.
type costBudget struct {
	limit    money.Amount // a negative limit means none
	mu       sync.Mutex
	spent    money.Amount
	reserved map[string]money.Amount
}

func (b *costBudget) enabled() bool { return b.limit >= 0 }

// reserve reserves the most that a line can cost, or returns errCostLimit.
func (b *costBudget) reserve(key, cost string) error {
	amount, err := money.Parse(cost)
	if err != nil {
		return fmt.Errorf("the server's estimate: %w", err)
	}

	b.mu.Lock()
	defer b.mu.Unlock()

	sum := b.spent + amount
	for _, reserved := range b.reserved {
		sum += reserved
	}

	if sum > b.limit {
		return errCostLimit
	}

	if b.reserved == nil {
		b.reserved = map[string]money.Amount{}
	}

	b.reserved[key] = amount

	return nil
}

// commit replaces a line's reservation by its cost.
func (b *costBudget) commit(key, cost string) {
	b.mu.Lock()
	delete(b.reserved, key)
	b.mu.Unlock()
	b.add(cost)
}

func (b *costBudget) add(cost string) {
	amount, err := money.Parse(cost)
	if err != nil {
		return // nothing was charged
	}

	b.mu.Lock()
	defer b.mu.Unlock()

	b.spent += amount
}

func (b *costBudget) total() string {
	b.mu.Lock()
	defer b.mu.Unlock()

	return b.spent.String()
}
