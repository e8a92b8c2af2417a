package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// operation sends one request of a load: the i-th, counted from 1.
type operation func(ctx context.Context, c *apiClient, i int64) error

// result is the outcome of a load.
type result struct {
	succeeded   int64
	failed      int64
	firstErr    error // the error of the first failed request
	elapsed     time.Duration
	latencies   []time.Duration // of the requests that succeeded, sorted
	serverCores float64         // cores that the server used on average
	dbCores     float64         // cores that the database server used
	selfCores   float64         // cores that this process used: the load and the simulated supplier
	otherCores  float64         // cores that the rest of the machine used
}

func (r result) rate() float64 { return float64(r.succeeded) / r.elapsed.Seconds() }

// quantile returns the latency that permille of 1000 requests did not exceed.
func (r result) quantile(permille int) time.Duration { return quantile(r.latencies, permille) }

func quantile(sorted []time.Duration, permille int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}

	return sorted[min(len(sorted)-1, len(sorted)*permille/1000)]
}

// coresText says which processes used how many cores.
func (r result) coresText() string {
	text := fmt.Sprintf("server %.2f cores", r.serverCores)
	if r.dbCores > 0 {
		text += fmt.Sprintf(", database %.2f", r.dbCores)
	}

	text += fmt.Sprintf(", load and supplier %.2f", r.selfCores)
	if r.otherCores > 0.1 {
		text += fmt.Sprintf(", others %.2f", r.otherCores)
	}

	return text
}

// checkFailures returns an error if a request of one of the loads failed.
func checkFailures(all ...result) error {
	for _, r := range all {
		if r.failed > 0 {
			return fmt.Errorf("%d of %d requests failed, the first with: %w", r.failed, r.succeeded+r.failed, r.firstErr)
		}
	}

	return nil
}

// closedLoop runs clients for duration. Each sends its next request as soon as the
// previous one is answered.
func (s *server) closedLoop(ctx context.Context, clients int, duration time.Duration, do operation) result {
	var n atomic.Int64

	start := time.Now()

	return s.runClients(clients, func(c *apiClient, record func(time.Duration, error)) {
		for time.Since(start) < duration && ctx.Err() == nil {
			sent := time.Now()
			err := do(ctx, c, n.Add(1))
			record(time.Since(sent), err)
		}
	})
}

// openLoop sends requests at a steady rate, whether earlier ones are answered or
// not. The latency of a request counts from the time at which it was due, so that a
// request that is sent late because all clients are busy counts its wait too.
func (s *server) openLoop(ctx context.Context, rate int, duration time.Duration, do operation) result {
	total := int64(float64(rate) * duration.Seconds())

	var n atomic.Int64

	start := time.Now()

	return s.runClients(min(256, rate), func(c *apiClient, record func(time.Duration, error)) {
		for ctx.Err() == nil {
			i := n.Add(1)
			if i > total {
				return
			}

			due := start.Add(time.Duration(i) * time.Second / time.Duration(rate))
			if !sleep(ctx, time.Until(due)) {
				return
			}

			err := do(ctx, c, i)
			record(time.Since(due), err)
		}
	})
}

// runTotal runs clients until they have sent total requests together.
func (s *server) runTotal(ctx context.Context, clients int, total int64, do operation) result {
	var n atomic.Int64

	return s.runClients(clients, func(c *apiClient, record func(time.Duration, error)) {
		for i := n.Add(1); i <= total && ctx.Err() == nil; i = n.Add(1) {
			sent := time.Now()
			err := do(ctx, c, i)
			record(time.Since(sent), err)
		}
	})
}

// runClients runs loop once for each client, concurrently, and merges what they
// record.
func (s *server) runClients(clients int, loop func(c *apiClient, record func(time.Duration, error))) result {
	var (
		mu sync.Mutex
		r  result
	)

	usage := s.measureUsage(func() {
		var wg sync.WaitGroup

		for range clients {
			wg.Go(func() {
				var latencies []time.Duration

				c := s.newClient()
				defer c.close()

				loop(c, func(elapsed time.Duration, err error) {
					if err == nil {
						latencies = append(latencies, elapsed)
						return
					}

					mu.Lock()
					defer mu.Unlock()

					if r.failed++; r.firstErr == nil {
						r.firstErr = err
					}
				})

				mu.Lock()
				defer mu.Unlock()

				r.latencies = append(r.latencies, latencies...)
			})
		}

		wg.Wait()
	})

	usage.failed = r.failed
	usage.firstErr = r.firstErr
	usage.latencies = r.latencies

	r = usage
	r.succeeded = int64(len(r.latencies))
	slices.Sort(r.latencies)

	return r
}

// measureUsage runs do, and returns how long it took and how many cores each process
// used.
func (s *server) measureUsage(do func()) (r result) {
	start := time.Now()
	serverUsed := cpu(s.pid())
	dbUsed := s.db.cpu()
	selfUsed := selfCPU()
	totalUsed := totalCPU()

	do()

	r.elapsed = time.Since(start)
	serverUsed = cpu(s.pid()) - serverUsed
	dbUsed = s.db.cpu() - dbUsed
	selfUsed = selfCPU() - selfUsed
	totalUsed = totalCPU() - totalUsed
	seconds := r.elapsed.Seconds()
	r.serverCores = serverUsed / seconds
	r.dbCores = dbUsed / seconds
	r.selfCores = selfUsed / seconds
	r.otherCores = (totalUsed - selfUsed - dbUsed - serverUsed) / seconds

	return r
}

// inMillis returns a duration in milliseconds.
func inMillis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func formatMillis(d time.Duration) string { return fmt.Sprintf("%.1f ms", inMillis(d)) }
