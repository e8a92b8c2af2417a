package dispatch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
)

// supplier is a supplier in memory, driven by the clock of the test's bubble. It
// can do everything that a provider may; only wraps hide some of it.
type supplier struct {
	mu       sync.Mutex
	renders  map[provider.Ticket]*render
	order    []provider.Ticket
	orders   []provider.Order
	asked    map[provider.Ticket]int
	uploads  []string
	cancels  int
	renderIn time.Duration
	video    []byte
	down     bool          // the process that asks is dead: nothing is answered
	lag      time.Duration // how old a ticket is before the list shows it
	blind    bool          // lists come without anything
	key      string        // the id of our key in lists

	// What a test bends; each may be nil. submit says whether the order is taken
	// and what is answered; poll and open may answer instead.
	submit func(n int, o provider.Order) (taken bool, err error)
	poll   func(ctx context.Context, r *render, n int) (*provider.Report, error)
	open   func(n int) (io.ReadCloser, error)
	upload func() error
	cancel func(*render) (bool, error)
	opens  int
	// opening says whether a link is alive.
	opening func(provider.Result) error
}

// render is one video at the supplier.
type render struct {
	order   provider.Order
	prompt  string
	ticket  provider.Ticket
	key     string
	request string
	made    time.Time
	stopped bool
	foreign bool
	waits   bool // in the supplier's own queue
	usage   *provider.Usage
	early   int // questions before it was rendered
}

func newSupplier(video []byte) *supplier {
	return &supplier{renders: map[provider.Ticket]*render{}, asked: map[provider.Ticket]int{}, renderIn: 40 * time.Second, video: video, key: "key-ours"}
}

var errDown = errors.New("the supplier is out of reach")

// taken says which tickets the supplier holds for a task of ours.
func (s *supplier) taken(task string) (list []provider.Ticket) {
	s.mu.Lock()
	defer s.mu.Unlock()

	for _, ticket := range s.order {
		if r := s.renders[ticket]; !r.foreign && r.order.Task == task {
			list = append(list, ticket)
		}
	}

	return list
}

// add makes a render, as Submit or as somebody else's hand does.
func (s *supplier) add(o provider.Order, key string) *render {
	seconds := int64(o.Seconds) * 1000
	n := len(s.order) + 1
	r := &render{
		order: o, prompt: string([]rune(o.Prompt)[:min(len([]rune(o.Prompt)), 1500)]), key: key, made: time.Now(), ticket: provider.Ticket(fmt.Sprintf("ticket-%d", n)),
		request: fmt.Sprintf("request-%d", n), usage: &provider.Usage{Billed: seconds, Output: seconds},
	}
	s.renders[r.ticket] = r
	s.order = append(s.order, r.ticket)

	return r
}

// foreign is a task that somebody else ordered of the same supplier account.
func (s *supplier) foreign(o provider.Order, key string) *render {
	s.mu.Lock()
	defer s.mu.Unlock()

	r := s.add(o, key)
	r.foreign = true

	return r
}

func (s *supplier) Submit(_ context.Context, o provider.Order) (provider.Ticket, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.down {
		return "", &provider.Failure{Taken: provider.NotTaken, Err: errDown}
	}

	s.orders = append(s.orders, o)
	taken := true

	err := error(nil)
	if s.submit != nil {
		taken, err = s.submit(len(s.orders), o)
	}

	if !taken {
		return "", err
	}

	r := s.add(o, s.key)

	if err != nil {
		return "", err
	}

	return r.ticket, nil
}

func (s *supplier) Poll(ctx context.Context, ticket provider.Ticket) (provider.Report, error) {
	s.mu.Lock()
	s.asked[ticket]++
	n := s.asked[ticket]
	r := s.renders[ticket]
	bend := s.poll
	down := s.down
	s.mu.Unlock()

	if down {
		return provider.Report{}, &provider.Failure{Err: errDown}
	}

	if r == nil {
		return provider.Report{Phase: provider.Unknown}, nil
	}

	if bend != nil {
		if report, err := bend(ctx, r, n); report != nil || err != nil {
			if err != nil {
				return provider.Report{}, err
			}

			return *report, nil
		}
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	switch age := time.Since(r.made); {
	case r.stopped:
		return provider.Report{Phase: provider.Stopped}, nil
	case age < s.renderIn:
		return provider.Report{Phase: provider.Rendering, Progress: -1}, nil
	}

	return provider.Report{Phase: provider.Rendered, Prompt: r.prompt, Result: &provider.Result{
		URL: "fake://" + string(ticket), Size: r.order.Size,
		ExpiresAt: r.made.Add(s.renderIn + 24*time.Hour).UnixMilli(), Usage: r.usage,
	}}, nil
}

func (s *supplier) Open(_ context.Context, result provider.Result) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.opens++
	if s.down {
		return nil, &provider.Failure{Err: errDown}
	}

	if s.opening != nil {
		if err := s.opening(result); err != nil {
			return nil, err
		}
	}

	if s.open != nil {
		if r, err := s.open(s.opens); r != nil || err != nil {
			return r, err
		}
	}

	return io.NopCloser(bytes.NewReader(s.video)), nil
}

func (s *supplier) Cancel(_ context.Context, ticket provider.Ticket) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.cancels++

	r := s.renders[ticket]
	if r == nil {
		return false, nil
	}

	ok := true

	err := error(nil)
	if s.cancel != nil {
		ok, err = s.cancel(r)
	}

	r.stopped = r.stopped || ok

	return ok, err
}

func (s *supplier) Find(_ context.Context, model string, since time.Time) ([]provider.Found, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.down {
		return nil, &provider.Failure{Err: errDown}
	}

	var list []provider.Found

	for i := len(s.order) - 1; i >= 0 && !s.blind; i-- {
		r := s.renders[s.order[i]]
		if r.order.Model != model || r.made.Before(since) || time.Since(r.made) < s.lag {
			continue
		}

		phase := provider.Rendering

		switch {
		case r.stopped:
			phase = provider.Stopped
		case r.waits:
			phase = provider.Waiting
		}

		list = append(list, provider.Found{Ticket: r.ticket, Model: model, KeyID: r.key, RequestID: r.request, Phase: phase, MadeAt: r.made})
	}

	return list, nil
}

func (s *supplier) Upload(_ context.Context, model, name string, size int64, r io.Reader) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.upload != nil {
		if err := s.upload(); err != nil {
			return "", err
		}
	}

	n, err := io.Copy(io.Discard, r)
	if err != nil || n != size {
		return "", fmt.Errorf("%d of %d bytes: %w", n, size, err)
	}

	s.uploads = append(s.uploads, name)

	return "oss://" + model + "/" + name, nil
}

// plain hides a supplier's rare abilities.
type plain struct{ provider.Provider }

// throttled, refused, ... are what a supplier says no with; nothing was taken.
func saysNo(class provider.Class) error {
	return &provider.Failure{Taken: provider.NotTaken, Class: class, Code: "Fake." + class.String(), Fault: fault.New(fault.CodeRefused, "", "The supplier refused it.")}
}

// lost is an answer that never came.
func lost() error { return &provider.Failure{Taken: provider.Unsure, Err: io.ErrUnexpectedEOF} }
