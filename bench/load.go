package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// call is one request of a load, the i-th from 1.
type call func(ctx context.Context, c *caller, i int64) error

// result is what a load found.
type result struct {
	done   int64
	failed int64
	first  error // the first failure
	took   time.Duration
	all    []time.Duration // of each call, sorted
	server float64         // cores that the server had
	db     float64         // cores that a database server had
	own    float64         // cores that the load and the supplier had
	others float64         // cores that the rest of the machine had
}

func (r result) rate() float64 { return float64(r.done) / r.took.Seconds() }

// share is the time within which n of 1000 calls were answered.
func (r result) share(n int) time.Duration { return share(r.all, n) }

func share(sorted []time.Duration, n int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}

	return sorted[min(len(sorted)-1, len(sorted)*n/1000)]
}

// cores says who had the processor meanwhile.
func (r result) cores() string {
	text := fmt.Sprintf("server %.2f cores", r.server)
	if r.db > 0 {
		text += fmt.Sprintf(", database %.2f", r.db)
	}

	text += fmt.Sprintf(", load and supplier %.2f", r.own)
	if r.others > 0.1 {
		text += fmt.Sprintf(", others %.2f", r.others)
	}

	return text
}

func check(all ...result) error {
	for _, r := range all {
		if r.failed > 0 {
			return fmt.Errorf("%d of %d calls failed, the first with: %w", r.failed, r.done+r.failed, r.first)
		}
	}

	return nil
}

// closed has clients that each call again as soon as they are answered.
func (s *server) closed(ctx context.Context, clients int, during time.Duration, do call) result {
	var n atomic.Int64

	begin := time.Now()

	return s.gather(clients, func(c *caller, keep func(time.Duration, error)) {
		for time.Since(begin) < during && ctx.Err() == nil {
			at := time.Now()
			err := do(ctx, c, n.Add(1))
			keep(time.Since(at), err)
		}
	})
}

// offered has calls that begin at a steady rate, answered or not: a call that
// must wait for its turn has waited since its turn.
func (s *server) offered(ctx context.Context, rate int, during time.Duration, do call) result {
	total := int64(float64(rate) * during.Seconds())

	var n atomic.Int64

	begin := time.Now()

	return s.gather(min(256, rate), func(c *caller, keep func(time.Duration, error)) {
		for ctx.Err() == nil {
			i := n.Add(1)
			if i > total {
				return
			}

			due := begin.Add(time.Duration(i) * time.Second / time.Duration(rate))
			if !pause(ctx, time.Until(due)) {
				return
			}

			err := do(ctx, c, i)
			keep(time.Since(due), err)
		}
	})
}

// each has clients that make total calls together, and then end.
func (s *server) each(ctx context.Context, clients int, total int64, do call) result {
	var n atomic.Int64

	return s.gather(clients, func(c *caller, keep func(time.Duration, error)) {
		for i := n.Add(1); i <= total && ctx.Err() == nil; i = n.Add(1) {
			at := time.Now()
			err := do(ctx, c, i)
			keep(time.Since(at), err)
		}
	})
}

// gather runs the clients and adds up what they keep.
func (s *server) gather(clients int, client func(c *caller, keep func(time.Duration, error))) result {
	var (
		mu sync.Mutex
		r  result
	)

	times := s.meanwhile(func() {
		var wg sync.WaitGroup
		for range clients {
			wg.Go(func() {
				var mine []time.Duration

				c := s.caller()
				defer c.close()

				client(c, func(took time.Duration, err error) {
					if err == nil {
						mine = append(mine, took)
						return
					}

					mu.Lock()
					defer mu.Unlock()

					if r.failed++; r.first == nil {
						r.first = err
					}
				})
				mu.Lock()
				defer mu.Unlock()

				r.all = append(r.all, mine...)
			})
		}

		wg.Wait()
	})
	times.failed = r.failed
	times.first = r.first
	times.all = r.all
	r = times
	r.done = int64(len(r.all))
	slices.Sort(r.all)

	return r
}

// meanwhile says how long something took, and who had the cores.
func (s *server) meanwhile(do func()) (r result) {
	begin := time.Now()
	server := cpu(s.pid())
	db := s.on.cpu()
	own := ownCPU()
	all := allCPU()

	do()

	r.took = time.Since(begin)
	server = cpu(s.pid()) - server
	db = s.on.cpu() - db
	own = ownCPU() - own
	all = allCPU() - all
	took := r.took.Seconds()
	r.server = server / took
	r.db = db / took
	r.own = own / took
	r.others = (all - own - db - server) / took

	return r
}

// in is a time in milliseconds.
func in(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func millis(d time.Duration) string { return fmt.Sprintf("%.1f ms", in(d)) }
