package dispatch

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/clock"
	"github.com/unireel/unireel/internal/dispatch/upstream"
	"github.com/unireel/unireel/internal/provider"
)

// The engine replays: two runs from one seed, with the same troubles at the suppliers, make
// the same calls at the same instants and leave the same tasks. Another seed makes another
// run, so that the comparison could fail.
func TestEngineReplaysFromSeed(t *testing.T) {
	t.Parallel()

	for seed := range uint64(seeds(6)) {
		first := replay(t, seed)
		second := replay(t, seed)

		if i := firstDifference(first, second); i >= 0 {
			t.Errorf("two runs from seed %d differ at event %d of %d:\n%s", seed, i, len(first), strings.Join(around(first, i), "\n")+"\n-- and --\n"+strings.Join(around(second, i), "\n"))
		}

		if other := replay(t, seed+1000); firstDifference(first, other) < 0 {
			t.Errorf("the seeds %d and %d make the same run", seed, seed+1000)
		}
	}
}

func firstDifference(a, b []string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}

	if len(a) != len(b) {
		return min(len(a), len(b))
	}

	return -1
}

func around(trace []string, i int) []string {
	return trace[max(0, i-3):min(len(trace), i+3)]
}

// replay runs the engine with two unreliable suppliers and the tasks of three accounts, and
// returns the trace: every call to a supplier with its instant, and every task at its end.
func replay(t *testing.T, seed uint64) (trace []string) {
	t.Helper()
	withHarness(t, func(h *harness) {
		h.seed = seed
		h.addUpstream("wave", func(u *upstream.Config) { u.Weight = 2 })

		log := &callLog{begin: time.Now()}

		for i := range h.upstreams {
			u := &h.upstreams[i]
			supplier := u.Provider.(*fakeSupplier)
			supplier.renderIn = 20 * time.Second
			supplier.onSubmit = unreliable(seed, u.Name)
			u.Provider = tracedSupplier{fakeSupplier: supplier, name: u.Name, log: log}
		}

		for _, account := range []string{"acct_a", "acct_b", "acct_c"} {
			h.addAccount(account, 1, 0)
		}

		h.start()

		customer := clock.New(time.Now, seed).Actor("customer")
		random := customer.Rand()

		var ids []string

		for i := range 12 {
			customer.Sleep(context.Background(), time.Duration(random.Int64N(int64(10*time.Second))))

			r := textRequest(fmt.Sprint("boat ", i))
			if i%4 == 3 {
				r = referenceRequest(fmt.Sprint("face ", i), "https://example.com/face.png")
			}

			ids = append(ids, h.createTask("acct_"+string("abc"[random.IntN(3)]), r))
		}

		for _, id := range ids {
			h.waitForFinal(id)
		}

		h.checkInvariants()
		h.shutdown()

		trace = log.events

		for _, id := range ids {
			end := h.task(id)
			trace = append(trace, fmt.Sprintf("%s %s at %s, attempt %d, %d retries, queued %d, submitted %d, started %d, rendered %d, completed %d, cost %d",
				id, end.State, end.Upstream, end.Attempt, end.Retries, end.QueuedAt, end.SubmittedAt, end.StartedAt, end.RenderedAt, end.CompletedAt, end.Cost))
		}
	})

	return trace
}

// unreliable returns the troubles of a supplier. They depend on the seed and on what is
// submitted, never on the order of the calls.
func unreliable(seed uint64, name string) func(int, provider.Submission) (bool, error) {
	return func(_ int, o provider.Submission) (bool, error) {
		h := fnv.New64a()
		_, _ = fmt.Fprint(h, name, o.Prompt, o.Attempt)

		switch rand.New(rand.NewPCG(seed, h.Sum64())).IntN(8) {
		case 0:
			return false, notAcceptedErr(provider.Transient)
		case 1:
			return false, notAcceptedErr(provider.Throttled)
		case 2:
			return true, lostResponseErr()
		}

		return true, nil
	}
}

// callLog is the trace of the calls to suppliers.
type callLog struct {
	begin time.Time

	mu     sync.Mutex
	events []string
}

func (l *callLog) add(supplier, call string, detail any) {
	l.mu.Lock()
	defer l.mu.Unlock()

	l.events = append(l.events, fmt.Sprintf("%v %s %s %v", time.Since(l.begin), supplier, call, detail))
}

// tracedSupplier logs the calls to a supplier.
type tracedSupplier struct {
	*fakeSupplier
	name string
	log  *callLog
}

func (s tracedSupplier) Submit(ctx context.Context, o provider.Submission) (provider.RemoteID, error) {
	s.log.add(s.name, "submit", fmt.Sprintf("%s attempt %d", o.TaskID, o.Attempt))
	return s.fakeSupplier.Submit(ctx, o)
}

func (s tracedSupplier) Poll(ctx context.Context, id provider.RemoteID) (provider.Report, error) {
	s.log.add(s.name, "poll", id)
	return s.fakeSupplier.Poll(ctx, id)
}

func (s tracedSupplier) Open(ctx context.Context, result provider.Result) (io.ReadCloser, error) {
	s.log.add(s.name, "open", result.URL)
	return s.fakeSupplier.Open(ctx, result)
}

func (s tracedSupplier) Find(ctx context.Context, model string, since time.Time) ([]provider.RemoteTask, error) {
	s.log.add(s.name, "list", model)
	return s.fakeSupplier.Find(ctx, model, since)
}
