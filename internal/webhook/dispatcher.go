// Package webhook sends events to customers' endpoints. It is the last step on a task's
// path: it works through the deliveries that task.Advance inserts in its transaction. A
// delivery is signed (Standard Webhooks), sent, retried for a day with growing delays,
// and then given up. An endpoint that keeps failing is suspended, so that it does not
// delay other endpoints. The package writes only deliveries and the health of endpoints,
// and it does not define what an event looks like: api does.
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

// Options is what a Dispatcher needs.
type Options struct {
	Store  *store.Store
	Client *http.Client // fetch's client: it cannot be made to call addresses inside the network
	// Body returns the JSON of a delivery's event as it is now.
	Body func(context.Context, store.Delivery) ([]byte, error)

	Now      func() time.Time
	Log      *slog.Logger
	Registry *prometheus.Registry // nil: no metrics
	Version  string               // of the program, for User-Agent
	// PollInterval is how often the dispatcher looks for deliveries that no change
	// notification announces, such as those whose delay has ended. 0 means every second.
	PollInterval time.Duration
}

// Limits on concurrent sends. Endpoints that failed last time have a small pool of their
// own, so that waiting for them does not delay the healthy ones.
const (
	healthyConcurrency = 48
	failingConcurrency = 16
	healthyPerEndpoint = 4 // sends to one endpoint at a time
	failingPerEndpoint = 1

	maxEndpointsPerPoll = 100                   // endpoints that one query returns
	minWakeInterval     = 20 * time.Millisecond // between queries caused by changes: most changes make nothing due
	shutdownGrace       = 5 * time.Second       // for sends in flight at shutdown
)

// Dispatcher sends the deliveries that are due.
type Dispatcher struct {
	Options
	outcomes *prometheus.CounterVec
}

// New returns a Dispatcher.
func New(o Options) *Dispatcher {
	if o.PollInterval <= 0 {
		o.PollInterval = time.Second
	}

	w := &Dispatcher{Options: o, outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "unireel_webhook_tries_total",
		Help: "Tries to deliver an event to a customer's endpoint, by outcome: delivered, retry, failed.",
	}, []string{"outcome"})}
	if o.Registry != nil {
		o.Registry.MustRegister(w.outcomes)
	}

	return w
}

// Run sends deliveries until ctx ends. Sends that are in flight then have shutdownGrace to
// end; a delivery that was not recorded by then is sent again later, with the same id.
func (w *Dispatcher) Run(ctx context.Context) error {
	changes, stop := w.Store.WatchAll(256)
	defer stop()

	// Sends outlive ctx by shutdownGrace, so that a restart repeats few of them.
	sendCtx, cancelSends := context.WithCancel(context.WithoutCancel(ctx))
	defer cancelSends()

	pools := []*pool{
		{dispatcher: w, perEndpoint: healthyPerEndpoint, concurrency: healthyConcurrency, sendCtx: sendCtx},
		{dispatcher: w, perEndpoint: failingPerEndpoint, concurrency: failingConcurrency, sendCtx: sendCtx, failing: true},
	}

	var running sync.WaitGroup

	for _, p := range pools {
		p.wakeups = make(chan struct{}, 1)
		p.inFlight = map[string]int{}

		running.Go(func() { p.run(ctx) })
	}

	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-changes:
			for len(changes) > 0 { // one query serves all changes that are waiting
				<-changes
			}

			// Only the healthy pool is woken: deliveries to failing endpoints can wait for the ticker.
			pools[0].notify()
			sleep(ctx, minWakeInterval)
		}
	}

	defer time.AfterFunc(shutdownGrace, cancelSends).Stop()

	running.Wait()

	return nil
}

// pool sends to either the healthy or the failing endpoints, within its own limits.
type pool struct {
	dispatcher  *Dispatcher
	failing     bool
	perEndpoint int             // sends to one endpoint at a time
	concurrency int             // sends at a time
	sendCtx     context.Context //nolint:containedctx // it outlives the context of run
	wakeups     chan struct{}

	mu       sync.Mutex
	inFlight map[string]int // sends in flight, by endpoint
	total    int            // sends in flight
	sends    sync.WaitGroup
}

func (p *pool) notify() {
	select {
	case p.wakeups <- struct{}{}:
	default:
	}
}

// run starts the sends that are due, after each wake-up and each poll interval.
func (p *pool) run(ctx context.Context) {
	defer p.sends.Wait()

	tick := time.NewTicker(p.dispatcher.PollInterval)
	defer tick.Stop()

	for {
		if err := p.sendDue(ctx); err != nil && ctx.Err() == nil {
			p.dispatcher.Log.Warn("cannot query due webhook deliveries", "error", err)
		}

		select {
		case <-ctx.Done():
			return
		case <-p.wakeups:
		case <-tick.C:
		}
	}
}

// sendDue starts to send what is due, as far as the pool's limits allow.
//
// A delivery is claimed in the database before it is sent, so that two instances do not
// send it at the same time. A claim expires by itself: when the process dies between the
// claim and the record of the outcome, the delivery becomes due again and is sent with
// the same id. Only run calls sendDue, so the capacity can only grow between the check
// and acquire.
func (p *pool) sendDue(ctx context.Context) error {
	if p.capacity("") == 0 {
		return nil
	}

	endpoints, err := p.dispatcher.Store.DueEndpoints(ctx, p.dispatcher.millis(), p.failing, maxEndpointsPerPoll)
	if err != nil {
		return err
	}

	for _, e := range endpoints {
		free := p.capacity(e.ID)
		if free == 0 || ctx.Err() != nil {
			continue
		}

		var deliveries []store.Delivery

		if err := p.dispatcher.Store.WriteBackground(ctx, func(tx *store.Tx) (err error) {
			deliveries, err = tx.ClaimDeliveries(ctx, e.ID, p.dispatcher.millis(), free)
			return err
		}); err != nil {
			return err
		}

		for _, d := range deliveries {
			p.acquire(e.ID)
			p.sends.Go(func() {
				defer p.release(e.ID)

				p.dispatcher.deliver(p.sendCtx, e, d)
			})
		}
	}

	return nil
}

// capacity returns how many more sends may start to an endpoint, or in total ("").
func (p *pool) capacity(endpoint string) int {
	p.mu.Lock()
	defer p.mu.Unlock()

	free := p.concurrency - p.total
	if endpoint != "" {
		free = min(free, p.perEndpoint-p.inFlight[endpoint])
	}

	return free
}

func (p *pool) acquire(endpoint string) {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.total++
	p.inFlight[endpoint]++
}

// release ends a send and wakes the pool: the task's next event or a delivery that found
// no free capacity may follow.
func (p *pool) release(endpoint string) {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.total--
	if p.inFlight[endpoint]--; p.inFlight[endpoint] == 0 {
		delete(p.inFlight, endpoint)
	}

	p.notify()
}

// sleep waits for t or until ctx ends.
func sleep(ctx context.Context, t time.Duration) {
	timer := time.NewTimer(t)
	defer timer.Stop()

	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func (w *Dispatcher) millis() int64 { return w.Now().UnixMilli() }

// retryDelay returns the delay after a failed try; the last delay repeats. It varies at
// random by up to a fifth, so that deliveries that failed together are not retried together.
func retryDelay(tries int64) time.Duration {
	delays := []time.Duration{
		5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute,
		time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour,
	}
	delay := delays[min(max(tries, 1), int64(len(delays)))-1]

	return delay*4/5 + rand.N(delay*2/5)
}

// suspendFor returns how long an endpoint is suspended after so many consecutive failures.
func suspendFor(failures int64) time.Duration {
	const threshold, first, longest = 3, 30 * time.Second, 30 * time.Minute
	if failures < threshold {
		return 0
	}

	return min(longest, first<<min(failures-threshold, 10))
}
