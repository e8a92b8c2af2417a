// Package providertest is the contract of internal/provider as one suite that
// every provider runs over its own supplier, real, simulated or embedded. It
// drives a provider only through the socket, as dispatch does, and never looks
// inside. It is imported by tests alone.
package providertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/provider"
)

// Harness is one provider and what the suite needs to drive its supplier. Every
// test of the suite builds its own and closes the provider (when it is a
// provider.Closer) at its end.
type Harness struct {
	Provider provider.Provider
	// Order is one that works; the suite varies its Task and Prompt. The smaller
	// its video, the faster the suite.
	Order provider.Order
	// Next lets the supplier go on between two polls: moves its clock, or waits
	// until something moved. After at most 2000 calls a render must have ended.
	Next func(*testing.T)
	// Unknown is a ticket of the supplier's form that it never gave.
	Unknown provider.Ticket

	// What follows may be absent; the suite then leaves its tests out.

	// Secret must stand in no failure.
	Secret string
	// Refused is an order that the supplier refuses, at once or in the ticket.
	Refused *provider.Order
	// Kill lets a result's link or file die.
	Kill func(*testing.T, provider.Result)
	// Break makes every further call fail; Stall makes every further call hang
	// until the test ends.
	Break func(*testing.T)
	Stall func(*testing.T)
	// At is the provider over another address, giving a Submit up soon; nil where
	// orders go over no wire.
	At func(t *testing.T, address string) provider.Provider
	// Kept reads back what was uploaded to an address.
	Kept func(t *testing.T, address string) []byte
}

// patience is how long anything of the suite may wait in real time.
const patience = 90 * time.Second

// Run holds a provider to the contract.
func Run(t *testing.T, build func(*testing.T) Harness) {
	for _, one := range []struct {
		name string
		test func(*testing.T, Harness)
	}{
		{"an order becomes a video", becomesVideo},
		{"an unknown ticket is unknown", unknownTicket},
		{"a cancel stops or is too late", cancelled},
		{"a cancel after the end is too late", cancelledLate},
		{"orders at the same time", together},
		{"a dead context ends every call", deadContext},
		{"a hanging supplier holds nobody", hanging},
		{"a refused order says why", refused},
		{"a broken connection tells whether an order was taken", taken},
		{"trouble comes as a failure", trouble},
		{"a dead result is gone", deadResult},
		{"what was made can be found", found},
		{"an upload arrives whole", uploaded},
	} {
		t.Run(one.name, func(t *testing.T) {
			h := build(t)
			if c, ok := h.Provider.(provider.Closer); ok {
				t.Cleanup(func() {
					if err := c.Close(); err != nil {
						t.Errorf("Close: %v", err)
					}
				})
			}

			one.test(t, h)
		})
	}
}

func becomesVideo(t *testing.T, h Harness) {
	ctx := patient(t)
	o := h.order(1)
	ticket := h.submit(ctx, t, o)

	result := h.render(ctx, t, ticket)
	if result.Usage != nil && (result.Usage.Billed < 0 || result.Usage.Output <= 0) {
		t.Errorf("usage %+v: want milliseconds above 0", *result.Usage)
	}

	first := h.read(ctx, t, result)
	checkVideo(t, first, o)

	if again := h.read(ctx, t, result); !bytes.Equal(first, again) {
		t.Errorf("a second Open gave %d other bytes than the first's %d: collecting cannot go on after a restart", len(again), len(first))
	}

	report, err := h.Provider.Poll(ctx, ticket)
	if err != nil || report.Phase != provider.Rendered || report.Result == nil {
		t.Errorf("Poll after the end = %+v, %v; want the same result again", report, err)
	}
}

func unknownTicket(t *testing.T, h Harness) {
	ctx := patient(t)

	report, err := h.Provider.Poll(ctx, h.Unknown)
	if err != nil || report.Phase != provider.Unknown {
		t.Errorf("Poll of a ticket never given = %+v, %v; want phase unknown", report, err)
	}

	if c, ok := h.Provider.(provider.Canceler); ok {
		if stopped, err := c.Cancel(ctx, h.Unknown); err != nil || stopped {
			t.Errorf("Cancel of a ticket never given = %v, %v; want false", stopped, err)
		}
	}
}

func cancelled(t *testing.T, h Harness) {
	c, ok := h.Provider.(provider.Canceler)
	if !ok {
		t.Log("it cannot cancel")
		return
	}

	ctx := patient(t)
	ticket := h.submit(ctx, t, h.order(1))

	stopped, err := c.Cancel(ctx, ticket)
	if err != nil {
		t.Fatalf("Cancel: %v", err)
	}

	want := provider.Rendered
	if stopped {
		want = provider.Stopped
	}

	if got := h.end(ctx, t, ticket); got.Phase != want {
		t.Errorf("Cancel said %v and the ticket ended %s; want %s", stopped, got.Phase, want)
	}

	if again, err := c.Cancel(ctx, ticket); err != nil || (again && !stopped) {
		t.Errorf("a second Cancel = %v, %v", again, err)
	}
}

func cancelledLate(t *testing.T, h Harness) {
	c, ok := h.Provider.(provider.Canceler)
	if !ok {
		t.Log("it cannot cancel")
		return
	}

	ctx := patient(t)
	ticket := h.submit(ctx, t, h.order(1))
	h.render(ctx, t, ticket)

	if stopped, err := c.Cancel(ctx, ticket); err != nil || stopped {
		t.Errorf("Cancel after the end = %v, %v; want false", stopped, err)
	}

	if report, err := h.Provider.Poll(ctx, ticket); err != nil || report.Phase != provider.Rendered {
		t.Errorf("Poll after a late Cancel = %+v, %v; want rendered", report, err)
	}
}

func refused(t *testing.T, h Harness) {
	if h.Refused == nil {
		t.Log("its supplier refuses nothing")
		return
	}

	ctx := patient(t)

	ticket, err := h.Provider.Submit(ctx, *h.Refused)
	if err != nil {
		if f := h.failure(t, err); f.Taken != provider.NotTaken || f.Class != provider.Refused {
			t.Errorf("a refused order: taken %d, class %s; want not taken, refused", f.Taken, f.Class)
		}

		return
	}

	report := h.end(ctx, t, ticket)
	if report.Phase != provider.Broken || report.Failure == nil {
		t.Fatalf("a refused order ended %s; want broken with a failure", report.Phase)
	}

	h.checkFailure(t, report.Failure)

	if report.Failure.Class != provider.Refused {
		t.Errorf("class %s, want refused", report.Failure.Class)
	}
}

func deadResult(t *testing.T, h Harness) {
	if h.Kill == nil {
		t.Log("its results do not die")
		return
	}

	ctx := patient(t)
	result := h.render(ctx, t, h.submit(ctx, t, h.order(1)))
	h.Kill(t, result)

	body, err := h.Provider.Open(ctx, result)
	if err == nil {
		body.Close()
		t.Fatal("Open of a dead result gave a body")
	}

	if f := h.failure(t, err); f.Class != provider.Gone {
		t.Errorf("Open of a dead result: class %s, want gone", f.Class)
	}
}

func found(t *testing.T, h Harness) {
	f, ok := h.Provider.(provider.Finder)
	if !ok {
		t.Log("it cannot list")
		return
	}

	ctx := patient(t)

	want := map[provider.Ticket]bool{}
	for n := range 3 {
		want[h.submit(ctx, t, h.order(n))] = true
		h.Next(t)
	}

	list, err := f.Find(ctx, h.Order.Model, time.Unix(0, 0))
	if err != nil {
		t.Fatalf("Find: %v", err)
	}

	for n, one := range list {
		if one.Model != h.Order.Model || one.Ticket == "" || one.KeyID == "" || one.MadeAt.IsZero() {
			t.Errorf("found %+v: want model, ticket, key and time", one)
		}

		if n > 0 && one.MadeAt.After(list[n-1].MadeAt) {
			t.Errorf("%s at %s stands after an older one: want the newest first", one.Ticket, one.MadeAt)
		}

		delete(want, one.Ticket)
	}

	if len(want) > 0 {
		t.Errorf("not found: %v in %+v", want, list)
	}

	if list, err := f.Find(ctx, h.Order.Model+"-other", time.Unix(0, 0)); err != nil || len(list) > 0 {
		t.Errorf("Find of another model = %+v, %v; want none", list, err)
	}

	if len(list) > 0 {
		newest := list[0].MadeAt.Add(time.Millisecond)
		if list, err := f.Find(ctx, h.Order.Model, newest); err != nil || len(list) > 0 {
			t.Errorf("Find since after the newest = %+v, %v; want none", list, err)
		}
	}
}

func uploaded(t *testing.T, h Harness) {
	u, ok := h.Provider.(provider.Uploader)
	if !ok {
		t.Log("it takes no uploads")
		return
	}

	ctx := patient(t)
	sent := bytes.Repeat([]byte("a picture's bytes \x00\r\n--"), 5000)

	address, err := u.Upload(ctx, h.Order.Model, "角色 one.png", int64(len(sent)), bytes.NewReader(sent))
	if err != nil || address == "" {
		t.Fatalf("Upload = %q, %v", address, err)
	}

	if h.Kept != nil {
		if got := h.Kept(t, address); !bytes.Equal(got, sent) {
			t.Errorf("kept %d bytes, sent %d", len(got), len(sent))
		}
	}

	o := h.order(1)
	if len(o.References) > 0 {
		o.References[0] = provider.Reference{Kind: "image", Param: "images[0]", URL: address, Name: "one.png", Type: "image/png"}
		h.render(ctx, t, h.submit(ctx, t, o))
	}

	if _, err := u.Upload(ctx, h.Order.Model, "short.png", 10, bytes.NewReader([]byte("five!"))); err == nil {
		t.Error("Upload of fewer bytes than announced succeeded")
	}
}

// order is the n-th variation of the harness's order.
func (h Harness) order(n int) provider.Order {
	o := h.Order
	o.Task = fmt.Sprintf("task_suite%d", n)
	o.Attempt = 1
	o.Prompt = fmt.Sprintf("%s (%d)", o.Prompt, n)
	o.References = append([]provider.Reference(nil), o.References...)

	return o
}

func (h Harness) submit(ctx context.Context, t *testing.T, o provider.Order) provider.Ticket {
	t.Helper()

	ticket, err := h.Provider.Submit(ctx, o)
	if err != nil || ticket == "" {
		t.Fatalf("Submit = %q, %v", ticket, err)
	}

	return ticket
}

// patient is a context that ends before the test binary would.
func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeoutCause(context.Background(), patience, errors.New("the suite's patience is at its end"))
	t.Cleanup(cancel)

	return ctx
}
