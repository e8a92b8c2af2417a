// Package webhook tells customers what happened to their tasks: it works the table
// of deliveries that task.Advance's transaction has filled, after everything else on
// a task's path. A delivery is signed (Standard Webhooks), sent, tried again with
// growing pauses for a day, and given up. An endpoint that fails is parked, so that it
// costs nobody else. It writes nothing but deliveries and how endpoints are, and
// never says what an event looks like: api does.
package webhook

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/unireel/unireel/internal/store"
)

// Options is what a Courier is made of.
type Options struct {
	Store  *store.Store
	Client *http.Client // that a customer's address cannot turn against us: fetch's
	// Body is the JSON of a delivery's event as it is now.
	Body func(context.Context, store.Delivery) ([]byte, error)

	Now      func() time.Time
	Log      *slog.Logger
	Registry *prometheus.Registry // nil: no metrics
	Version  string               // of the program, for User-Agent
	// LookEvery is how often it looks for what no change told of, such as pauses that
	// ended; 0 is every second.
	LookEvery time.Duration
}

// How much is sent at a time. Endpoints that failed last have their own few, so that
// waiting for them keeps nobody.
const (
	healthyAtOnce  = 48
	doubtfulAtOnce = 16
	healthyEach    = 4 // to one endpoint
	doubtfulEach   = 1

	lookMost  = 100                   // endpoints in one look
	ringEvery = 20 * time.Millisecond // the most often that changes have it look: most set nothing off
	graceTime = 5 * time.Second       // that what is on its way may take when we are asked to stop
)

// Courier works the deliveries.
type Courier struct {
	Options
	outcomes *prometheus.CounterVec
}

// New makes a Courier.
func New(o Options) *Courier {
	if o.LookEvery <= 0 {
		o.LookEvery = time.Second
	}

	c := &Courier{Options: o, outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "unireel_webhook_tries_total", Help: "Tries to deliver an event to a customer's endpoint, by outcome: delivered, again, failed.",
	}, []string{"outcome"})}
	if o.Registry != nil {
		o.Registry.MustRegister(c.outcomes)
	}

	return c
}

// Run delivers until ctx ends. What is being sent then has a few seconds; what is not
// delivered by then somebody sends again, with the same id.
func (c *Courier) Run(ctx context.Context) error {
	changes, stop := c.Store.WatchAll(256)
	defer stop()

	sending, hurry := context.WithCancel(context.WithoutCancel(ctx))
	defer hurry()

	pools := []*pool{
		{c: c, each: healthyEach, most: healthyAtOnce, sending: sending},
		{c: c, each: doubtfulEach, most: doubtfulAtOnce, sending: sending, doubtful: true},
	}

	var all sync.WaitGroup

	for _, p := range pools {
		p.bell = make(chan struct{}, 1)
		p.busy = map[string]int{}

		all.Go(func() { p.run(ctx) })
	}

	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-changes:
			for len(changes) > 0 { // of many at once one look tells
				<-changes
			}

			pools[0].ring()
			wait(ctx, ringEvery)
		}
	}

	defer time.AfterFunc(graceTime, hurry).Stop()

	all.Wait()

	return nil
}

// pool sends to endpoints of one kind, so many at a time.
type pool struct {
	c        *Courier
	doubtful bool
	each     int // sends to one endpoint at a time
	most     int
	sending  context.Context //nolint:containedctx // outlives the one that run is given
	bell     chan struct{}

	mu   sync.Mutex
	busy map[string]int // sends on their way, by endpoint
	n    int
	sent sync.WaitGroup
}

func (p *pool) ring() {
	select {
	case p.bell <- struct{}{}:
	default:
	}
}

// run looks for what is due when it is rung, and now and then.
func (p *pool) run(ctx context.Context) {
	defer p.sent.Wait()

	tick := time.NewTicker(p.c.LookEvery)
	defer tick.Stop()

	for {
		if err := p.look(ctx); err != nil && ctx.Err() == nil {
			p.c.Log.Warn("cannot look for webhooks to deliver", "error", err)
		}

		select {
		case <-ctx.Done():
			return
		case <-p.bell:
		case <-tick.C:
		}
	}
}

// look begins to send what is due, as far as there is room.
func (p *pool) look(ctx context.Context) error {
	if p.room("") == 0 {
		return nil
	}

	due, err := p.c.Store.DueEndpoints(ctx, p.c.millis(), p.doubtful, lookMost)
	if err != nil {
		return err
	}

	for _, e := range due {
		room := p.room(e.ID)
		if room == 0 || ctx.Err() != nil {
			continue
		}

		var list []store.Delivery

		if err := p.c.Store.WriteBackground(ctx, func(tx *store.Tx) (err error) {
			list, err = tx.ClaimDeliveries(ctx, e.ID, p.c.millis(), room)
			return err
		}); err != nil {
			return err
		}

		for _, d := range list {
			p.take(e.ID)
			p.sent.Go(func() {
				defer p.give(e.ID)

				p.c.deliver(p.sending, e, d)
			})
		}
	}

	return nil
}

// room is how many sends may begin to an endpoint, or to any ("").
func (p *pool) room(endpoint string) int {
	p.mu.Lock()
	defer p.mu.Unlock()

	room := p.most - p.n
	if endpoint != "" {
		room = min(room, p.each-p.busy[endpoint])
	}

	return room
}

func (p *pool) take(endpoint string) {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.n++
	p.busy[endpoint]++
}

// give ends a send: the next of the same task may follow it, and what was left.
func (p *pool) give(endpoint string) {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.n--
	if p.busy[endpoint]--; p.busy[endpoint] == 0 {
		delete(p.busy, endpoint)
	}

	p.ring()
}

// wait sleeps, or until ctx ends.
func wait(ctx context.Context, t time.Duration) {
	timer := time.NewTimer(t)
	defer timer.Stop()

	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func (c *Courier) millis() int64 { return c.Now().UnixMilli() }

// Pauses after a try that failed; the last one repeats. With a fifth more or less by
// chance, so that what failed together does not come again together.
func pauseAfter(tries int64) time.Duration {
	pauses := []time.Duration{
		5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute,
		time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour,
	}
	pause := pauses[min(max(tries, 1), int64(len(pauses)))-1]

	return pause*4/5 + rand.N(pause*2/5)
}

// parkedFor is how long an endpoint is left alone after so many failures on end.
func parkedFor(failures int64) time.Duration {
	const patience, first, longest = 3, 30 * time.Second, 30 * time.Minute
	if failures < patience {
		return 0
	}

	return min(longest, first<<min(failures-patience, 10))
}
