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

// Whichever of a write and NothingSent comes first: if NothingSent reports true,
// not a byte is sent.
func TestNothingSentAndWriteNeverBothWin(t *testing.T) {
	for range 500 {
		client, server := net.Pipe()

		got := make(chan int, 1)
		go func() {
			n, _ := server.Read(make([]byte, 8))
			got <- n
		}()

		w := &WriteTracker{}
		conn := &trackedConn{Conn: client}
		conn.tracker.Store(w)

		var wg sync.WaitGroup
		wg.Go(func() { _, _ = conn.Write([]byte("x")) })

		nothingSent := w.NothingSent()

		wg.Wait()
		client.Close()

		if n := <-got; nothingSent && n > 0 {
			t.Fatalf("%d bytes were sent after NothingSent reported true", n)
		}

		server.Close()
	}
}

func TestSendCheckRunsBeforeFirstByteOnly(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()

	go func() {
		b := make([]byte, 8)
		for {
			if _, err := server.Read(b); err != nil {
				return
			}
		}
	}()

	checks := 0
	errLeaseLost := errors.New("lost")
	w := &WriteTracker{sendCheck: func() error { checks++; return nil }}

	conn := &trackedConn{Conn: client}
	if _, err := conn.Write([]byte("handshake")); err != nil || checks != 0 {
		t.Fatalf("before a request: %d checks, %v", checks, err)
	}

	conn.tracker.Store(w)

	for range 2 {
		if _, err := conn.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}

	if checks != 1 || w.NothingSent() {
		t.Errorf("%d checks, nothing sent: %v", checks, w.NothingSent())
	}

	rejecting := &WriteTracker{sendCheck: func() error { return errLeaseLost }}
	conn.tracker.Store(rejecting)

	if _, err := conn.Write([]byte("x")); !errors.Is(err, ErrNotSent) || !errors.Is(err, errLeaseLost) || !rejecting.NothingSent() {
		t.Errorf("write after a failed check: %v", err)
	}
}

// earlyResponseConn is a connection to a server that responds to the first bytes
// of a request and then closes: later writes fail, but the response can still be
// read.
type earlyResponseConn struct {
	net.Conn
	responded chan struct{}
	once      sync.Once
	response  *strings.Reader
}

func (c *earlyResponseConn) Write(b []byte) (int, error) {
	first := false

	c.once.Do(func() { first = true })

	if first {
		return len(b), nil
	}

	select {
	case <-c.responded:
	default:
		close(c.responded)
	}

	return 0, &net.OpError{Op: "write", Err: syscall.EPIPE}
}

func (c *earlyResponseConn) Read(b []byte) (int, error) {
	<-c.responded
	return c.response.Read(b)
}

// A server may respond before it has read everything (429, 413, 401) and close at
// once. That is a response, not an unknown outcome that has to be recovered.
func TestResponseBeforeBodyIsSentIsReturned(t *testing.T) {
	for response, want := range map[string]int{
		"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}": 429,
		"": 0,
	} {
		client, server := net.Pipe()
		defer client.Close()
		defer server.Close()

		_, submit := NewHTTPClients(func(context.Context, string, string) (net.Conn, error) {
			return &earlyResponseConn{Conn: client, responded: make(chan struct{}), response: strings.NewReader(response)}, nil
		})
		ctx, tracker := TrackWrites(t.Context())

		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://supplier.example/", strings.NewReader(strings.Repeat("x", 1<<20)))
		if err != nil {
			t.Fatal(err)
		}

		got, err := submit.Do(req)
		switch {
		case want == 0 && err == nil:
			t.Errorf("got response %s where there was none", got.Status)
		case want != 0 && err != nil:
			t.Errorf("the response was not returned: %v", err)
		case want != 0 && got.StatusCode != want:
			t.Errorf("response %s, want %d", got.Status, want)
		}

		if tracker.NothingSent() {
			t.Error("bytes were sent, but NothingSent reports true")
		}

		if got != nil {
			got.Body.Close()
		}
	}
}
