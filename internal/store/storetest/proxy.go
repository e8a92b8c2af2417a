package storetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
)

// Proxy stands between a store and its database and causes the failures that a
// network can cause. It parses the protocol only as far as it must to recognize
// a COMMIT and its answer.
type Proxy struct {
	socket     string
	address    *url.URL
	listener   net.Listener
	goroutines sync.WaitGroup

	mu          sync.Mutex
	conns       map[*connPair]struct{}
	down        bool
	pendingLoss lossKind
}

// lossKind says what happens to the next COMMIT.
type lossKind int

const (
	lossNone     lossKind = iota
	lossCommit            // it does not reach the server
	lossResponse          // it is executed, but its answer does not arrive
)

// connPair is the two ends of a proxied connection.
type connPair struct{ client, server net.Conn }

func (pair *connPair) close() { _ = errors.Join(pair.client.Close(), pair.server.Close()) }

// NewProxy starts a proxy in front of the database of one of this package's
// DSNs. It ends with the test.
func NewProxy(t testing.TB, dsn string) *Proxy {
	t.Helper()

	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}

	p := &Proxy{socket: filepath.Join(u.Query().Get("host"), ".s.PGSQL.5432"), conns: map[*connPair]struct{}{}}
	if p.listener, err = new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}

	u.Host = p.listener.Addr().String()
	u.RawQuery = url.Values{"sslmode": {"disable"}}.Encode()
	p.address = u
	p.goroutines.Go(p.serve)
	t.Cleanup(func() {
		p.Down()
		_ = p.listener.Close()
		p.goroutines.Wait()
	})

	return p
}

// DSN returns the address of the database behind the proxy.
func (p *Proxy) DSN() string { return p.address.String() }

// Cut breaks every connection; new ones are accepted.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()

	for pair := range p.conns {
		pair.close()
	}
}

// Down breaks every connection and accepts no new ones until Up.
func (p *Proxy) Down() {
	p.mu.Lock()
	p.down = true
	p.mu.Unlock()
	p.Cut()
}

// Up accepts connections again.
func (p *Proxy) Up() {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.down = false
}

// LoseCommit breaks the connection that sends the next COMMIT before the server
// sees it: nothing is committed.
func (p *Proxy) LoseCommit() { p.setLoss(lossCommit) }

// LoseCommitResponse breaks the connection of the next COMMIT after the server
// has executed it, before the answer arrives: it is committed.
func (p *Proxy) LoseCommitResponse() { p.setLoss(lossResponse) }

func (p *Proxy) setLoss(what lossKind) {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.pendingLoss = what
}

// consumeLoss reports whether the given loss is pending, and clears it.
func (p *Proxy) consumeLoss(what lossKind) bool {
	p.mu.Lock()
	defer p.mu.Unlock()

	if p.pendingLoss != what {
		return false
	}

	p.pendingLoss = lossNone

	return true
}

func (p *Proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}

		server, err := new(net.Dialer).DialContext(context.Background(), "unix", p.socket)
		if err != nil { // the server is not running
			_ = client.Close()
			continue
		}

		pair := &connPair{client, server}

		p.mu.Lock()

		down := p.down
		if !down {
			p.conns[pair] = struct{}{}
			p.goroutines.Go(func() { p.forward(pair) })
		}
		p.mu.Unlock()

		if down {
			pair.close()
		}
	}
}

// forward passes messages in both directions until either end is closed.
func (p *Proxy) forward(pair *connPair) {
	var wg sync.WaitGroup
	wg.Go(func() { defer pair.close(); _ = p.forwardRequests(pair) })
	wg.Go(func() { defer pair.close(); _ = p.forwardResponses(pair) })
	wg.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()

	delete(p.conns, pair)
}

func (p *Proxy) forwardRequests(pair *connPair) error {
	if err := relayMessage(pair.server, pair.client, 0, func(byte, []byte) bool { return true }); err != nil { // the start-up message has no type byte
		return err
	}

	for {
		err := relayMessage(pair.server, pair.client, 1, func(kind byte, body []byte) bool {
			return (kind != 'Q' && kind != 'P') || !isCommit(body) || !p.consumeLoss(lossCommit)
		})
		if err != nil {
			return err
		}
	}
}

func (p *Proxy) forwardResponses(pair *connPair) error {
	for {
		err := relayMessage(pair.client, pair.server, 1, func(kind byte, body []byte) bool {
			return kind != 'C' || !isCommit(body) || !p.consumeLoss(lossResponse)
		})
		if err != nil {
			return err
		}
	}
}

// isCommit reports whether a query, a statement or an answer is a COMMIT.
func isCommit(body []byte) bool {
	text := bytes.ToUpper(bytes.Trim(body, "\x00 ;"))
	return bytes.Equal(text, []byte("COMMIT")) || bytes.HasPrefix(text, []byte("COMMIT\x00"))
}

// relayMessage passes on one message: kind bytes for its type, a length that
// includes itself, and a body. If allowed returns false, the message is dropped
// and the connection ends.
func relayMessage(to io.Writer, from io.Reader, kind int, allowed func(kind byte, body []byte) bool) error {
	head := make([]byte, kind+4)
	if _, err := io.ReadFull(from, head); err != nil {
		return err
	}

	length := binary.BigEndian.Uint32(head[kind:])
	if length < 4 || length > 1<<30 {
		return fmt.Errorf("a message of %d bytes", length)
	}

	message := make([]byte, len(head)+int(length)-4)
	copy(message, head)

	body := message[len(head):]
	if _, err := io.ReadFull(from, body); err != nil {
		return err
	}

	if !allowed(head[0], body) {
		return errors.New("lost")
	}

	_, err := to.Write(message)

	return err
}
