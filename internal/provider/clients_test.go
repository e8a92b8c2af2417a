package provider

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// However a write and the question race: if the wire says untouched, not a byte
// goes out.
func TestUntouchedAndWriteNeverBothWin(t *testing.T) {
	for range 500 {
		near, far := net.Pipe()

		got := make(chan int, 1)
		go func() {
			n, _ := far.Read(make([]byte, 8))
			got <- n
		}()

		w := &Wire{}
		conn := &watchedConn{Conn: near}
		conn.wire.Store(w)

		var all sync.WaitGroup
		all.Go(func() { _, _ = conn.Write([]byte("x")) })

		untouched := w.Untouched()

		all.Wait()
		near.Close()

		if n := <-got; untouched && n > 0 {
			t.Fatalf("%d bytes went out after the wire was called untouched", n)
		}

		far.Close()
	}
}

func TestAGuardIsAskedBeforeTheFirstByteOnly(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()

	go func() {
		b := make([]byte, 8)
		for {
			if _, err := far.Read(b); err != nil {
				return
			}
		}
	}()

	asked := 0
	lost := errors.New("lost")
	w := &Wire{may: func() error { asked++; return nil }}

	conn := &watchedConn{Conn: near}
	if _, err := conn.Write([]byte("handshake")); err != nil || asked != 0 {
		t.Fatalf("before a request: asked %d times, %v", asked, err)
	}

	conn.wire.Store(w)

	for range 2 {
		if _, err := conn.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}

	if asked != 1 || w.Untouched() {
		t.Errorf("asked %d times, untouched %v", asked, w.Untouched())
	}

	refused := &Wire{may: func() error { return lost }}
	conn.wire.Store(refused)

	if _, err := conn.Write([]byte("x")); !errors.Is(err, ErrUnsent) || !errors.Is(err, lost) || !refused.Untouched() {
		t.Errorf("a guard that refuses: %v", err)
	}
}

// hastyConn is a connection to a server that answers an order's first bytes, then
// closes: what is written after them breaks, the answer can still be read.
type hastyConn struct {
	net.Conn
	answered chan struct{}
	once     sync.Once
	answer   *strings.Reader
}

func (c *hastyConn) Write(b []byte) (int, error) {
	first := false

	c.once.Do(func() { first = true })

	if first {
		return len(b), nil
	}

	select {
	case <-c.answered:
	default:
		close(c.answered)
	}

	return 0, &net.OpError{Op: "write", Err: syscall.EPIPE}
}

func (c *hastyConn) Read(b []byte) (int, error) {
	<-c.answered
	return c.answer.Read(b)
}

// A server may answer before it has read all (429, 413, 401) and close at once.
// That is an answer, not an unsure end that costs a rescue.
func TestAnAnswerBeforeTheOrderWasAllSentIsHeard(t *testing.T) {
	for answer, want := range map[string]int{
		"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}": 429,
		"": 0,
	} {
		near, far := net.Pipe()
		defer near.Close()
		defer far.Close()

		_, submit := NewClients(func(context.Context, string, string) (net.Conn, error) {
			return &hastyConn{Conn: near, answered: make(chan struct{}), answer: strings.NewReader(answer)}, nil
		})
		ctx, wire := Watch(t.Context())

		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://supplier.example/", strings.NewReader(strings.Repeat("x", 1<<20)))
		if err != nil {
			t.Fatal(err)
		}

		got, err := submit.Do(req)
		switch {
		case want == 0 && err == nil:
			t.Errorf("no answer, but heard one: %s", got.Status)
		case want != 0 && err != nil:
			t.Errorf("an answer was not heard: %v", err)
		case want != 0 && got.StatusCode != want:
			t.Errorf("heard %s, want %d", got.Status, want)
		}

		if wire.Untouched() {
			t.Error("the order was touched, and is said not to be")
		}

		if got != nil {
			got.Body.Close()
		}
	}
}
