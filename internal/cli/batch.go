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
	server
	Shots    string `arg:"" type:"path" help:"A file with one JSON body a line, as for POST /v1/video/generations."`
	Out      string `short:"o" name:"output" required:"" type:"path" placeholder:"DIR" help:"The folder for the videos: 0001.mp4 for line 1, and so on."`
	MaxCost  string `name:"max-cost" placeholder:"AMOUNT" help:"Order nothing more when all together could cost more than this."`
	Parallel int    `name:"parallel" default:"4" placeholder:"N" help:"Lines under way at once."`
	Again    bool   `name:"again" help:"Order failed and cancelled lines anew."`
}

// Help teaches by examples.
func (batchCmd) Help() string {
	return `Stopped or killed, the same command goes on where it was: what was ordered is in batch.state.json in the output folder, and every line has an idempotency key of its own, so that no line is paid twice. Empty lines are passed over. The exit code is 1 when a line has no video.

Examples:

  unireel batch shots.jsonl -o out/ --max-cost 20

  unireel batch shots.jsonl -o out/ --again`
}

// Run works the file through.
func (c *batchCmd) Run(ctx context.Context, w *World) error {
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
		return fmt.Errorf("make the output folder: %w", err)
	}

	state, err := openState(c.Out)
	if err != nil {
		return err
	}

	b := &batch{server: server, state: state, out: c.Out, again: c.Again, purse: purse{limit: limit}, board: &board{out: w.Err}}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(c.Parallel)

	for _, l := range lines {
		group.Go(func() error { return b.work(groupCtx, l) })
	}

	err = group.Wait()

	if ctx.Err() != nil {
		fmt.Fprintf(w.Err, "\nStopped; nothing is lost, the tasks go on. Go on with the same command.\n")
		return said(exitNo)
	}

	if err != nil {
		return err
	}

	if c.JSON {
		err = w.printJSON(b.state.rows(lines))
	} else {
		err = b.table(w, lines)
	}

	if err == nil && !b.state.whole(lines) {
		return said(exitNo)
	}

	return err
}

// batch is one run over a file.
type batch struct {
	server *client.Client
	state  *batchState
	out    string
	again  bool
	purse  purse
	board  *board
}

// work brings one line to its end. Only what stops the whole batch is an error:
// what is wrong with the line is kept in its record.
func (b *batch) work(ctx context.Context, l line) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}

	key := l.key
	record := b.state.get(key)

	record.Line = l.number
	if b.again && (record.Status == string(client.Failed) || record.Status == string(client.Cancelled)) {
		record = record.anew()
	}

	if record.done() {
		b.purse.spend(record.Cost)
		return b.state.put(key, record)
	}

	r := b.board.row(fmt.Sprintf("line %d", l.number))
	if record.Task == "" {
		t, err := b.order(ctx, l, record)
		if err != nil {
			return b.refused(ctx, key, record, r, err)
		}

		record.Task = t.ID
		record.Status = string(t.Status)

		record.Error = ""
		if err := b.state.put(key, record); err != nil {
			return err
		}
	}

	t, err := b.server.Wait(ctx, record.Task, r.task)
	if err != nil {
		return b.refused(ctx, key, record, r, err)
	}

	record.Status = string(t.Status)
	if t.Usage != nil {
		record.Cost = t.Usage.Cost
	}

	b.purse.settle(key, record.Cost)

	if t.Error != nil {
		record.Error = t.Error.Message
	}

	if t.Status == client.Completed {
		path := filepath.Join(b.out, fmt.Sprintf("%04d.mp4", l.number))
		if err := b.server.Download(ctx, t.ID, path, nil); err != nil {
			return b.refused(ctx, key, record, r, err)
		}

		record.File = path
		r.show(100, "saved to "+path)
	}

	return b.state.put(key, record)
}

// order asks for the price, looks whether the purse allows it, and orders.
func (b *batch) order(ctx context.Context, l line, record record) (client.Task, error) {
	if b.purse.limited() {
		quote, err := b.server.EstimateRaw(ctx, l.body)
		if err != nil {
			return client.Task{}, err
		}

		if err := b.purse.hold(l.key, quote.Hold); err != nil {
			return client.Task{}, err
		}
	}

	key := l.key
	if record.Tries > 0 {
		key = fmt.Sprintf("%s-%d", l.key, record.Tries)
	}

	t, err := b.server.CreateRaw(ctx, l.body, client.WithIdempotencyKey(key))
	if err != nil {
		b.purse.settle(l.key, "")
	}

	return t, err
}

// refused keeps why a line did not end. The server's no concerns the line; a
// server that is gone stops the batch.
func (b *batch) refused(ctx context.Context, key string, record record, r *row, err error) error {
	var no *client.Error
	if ctx.Err() != nil || (!errors.As(err, &no) && !errors.Is(err, errOverCost)) || (no != nil && no.Status == 401) {
		return err
	}

	record.Error = err.Error()
	if record.Task == "" {
		record.Status = "not ordered"
	}

	r.show(0, record.Status+": "+record.Error)

	return b.state.put(key, record)
}

func (b *batch) table(w *World, lines []line) error {
	table := tabwriter.NewWriter(w.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "LINE\tSTATUS\tCOST\tTASK\tVIDEO OR ERROR")

	for _, r := range b.state.rows(lines) {
		end := r.File
		if r.Error != "" {
			end = r.Error
		}

		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\n", r.Line, r.Status, r.Cost, r.Task, end)
	}

	fmt.Fprintf(table, "\t\t%s\tin all\t\n", b.purse.total())

	return table.Flush()
}

// errOverCost says that a line would go over --max-cost.
var errOverCost = errors.New("not ordered: all together could cost more than --max-cost")

// purse keeps the batch under its limit: what was spent, and the most that the
// lines under way can cost.
type purse struct {
	limit money.Amount // below 0 is none
	mu    sync.Mutex
	spent money.Amount
	held  map[string]money.Amount
}

func (p *purse) limited() bool { return p.limit >= 0 }

// hold sets the most that a line can cost aside, or says that it is too much.
func (p *purse) hold(key, cost string) error {
	amount, err := money.Parse(cost)
	if err != nil {
		return fmt.Errorf("the server's estimate: %w", err)
	}

	p.mu.Lock()
	defer p.mu.Unlock()

	all := p.spent + amount
	for _, other := range p.held {
		all += other
	}

	if all > p.limit {
		return errOverCost
	}

	if p.held == nil {
		p.held = map[string]money.Amount{}
	}

	p.held[key] = amount

	return nil
}

// settle replaces what a line could cost by what it did.
func (p *purse) settle(key, cost string) {
	p.mu.Lock()
	delete(p.held, key)
	p.mu.Unlock()
	p.spend(cost)
}

func (p *purse) spend(cost string) {
	amount, err := money.Parse(cost)
	if err != nil {
		return // nothing was charged
	}

	p.mu.Lock()
	defer p.mu.Unlock()

	p.spent += amount
}

func (p *purse) total() string {
	p.mu.Lock()
	defer p.mu.Unlock()

	return p.spent.String()
}
