package provider

import (
	"errors"
	"net"
	"sync"
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
	asked, lost := 0, errors.New("lost")
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
