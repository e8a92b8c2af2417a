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

// Proxy stands between a store and its database and breaks what a network can
// break. It reads the protocol as far as it must to know a COMMIT and its answer.
type Proxy struct {
	socket  string
	address *url.URL
	door    net.Listener
	running sync.WaitGroup

	mu     sync.Mutex
	lines  map[*line]struct{}
	down   bool
	losing loss
}

// loss is what becomes of the next COMMIT.
type loss int

const (
	lossNone   loss = iota
	lossCommit      // it never reaches the server
	lossAnswer      // it is carried out, and nobody is told
)

// line is a connection with its two ends.
type line struct{ client, server net.Conn }

func (l *line) cut() { _ = errors.Join(l.client.Close(), l.server.Close()) }

// NewProxy starts a proxy before the database of one of this package's DSNs. It
// ends with the test.
func NewProxy(t testing.TB, dsn string) *Proxy {
	t.Helper()

	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}

	p := &Proxy{socket: filepath.Join(u.Query().Get("host"), ".s.PGSQL.5432"), lines: map[*line]struct{}{}}
	if p.door, err = new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}

	u.Host = p.door.Addr().String()
	u.RawQuery = url.Values{"sslmode": {"disable"}}.Encode()
	p.address = u
	p.running.Go(p.serve)
	t.Cleanup(func() {
		p.Down()
		_ = p.door.Close()
		p.running.Wait()
	})

	return p
}

// DSN is the database behind the proxy.
func (p *Proxy) DSN() string { return p.address.String() }

// Cut breaks every connection; new ones are let through.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()

	for l := range p.lines {
		l.cut()
	}
}

// Down breaks every connection and lets none through until Up.
func (p *Proxy) Down() {
	p.mu.Lock()
	p.down = true
	p.mu.Unlock()
	p.Cut()
}

// Up lets connections through again.
func (p *Proxy) Up() {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.down = false
}

// LoseCommit breaks the connection that sends the next COMMIT, before the server
// sees it: nothing was committed.
func (p *Proxy) LoseCommit() { p.lose(lossCommit) }

// LoseAnswer breaks the connection of the next COMMIT when the server has answered
// it, before the answer arrives: it was committed.
func (p *Proxy) LoseAnswer() { p.lose(lossAnswer) }

func (p *Proxy) lose(what loss) {
	p.mu.Lock()
	defer p.mu.Unlock()

	p.losing = what
}

// takes says whether the loss is due, and that it is done then.
func (p *Proxy) takes(what loss) bool {
	p.mu.Lock()
	defer p.mu.Unlock()

	if p.losing != what {
		return false
	}

	p.losing = lossNone

	return true
}

func (p *Proxy) serve() {
	for {
		client, err := p.door.Accept()
		if err != nil {
			return
		}

		server, err := new(net.Dialer).DialContext(context.Background(), "unix", p.socket)
		if err != nil { // the server is stopped
			_ = client.Close()
			continue
		}

		l := &line{client, server}

		p.mu.Lock()

		down := p.down
		if !down {
			p.lines[l] = struct{}{}
			p.running.Go(func() { p.carry(l) })
		}
		p.mu.Unlock()

		if down {
			l.cut()
		}
	}
}

// carry passes messages both ways until either end is closed.
func (p *Proxy) carry(l *line) {
	var both sync.WaitGroup
	both.Go(func() { defer l.cut(); _ = p.ask(l) })
	both.Go(func() { defer l.cut(); _ = p.answer(l) })
	both.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()

	delete(p.lines, l)
}

func (p *Proxy) ask(l *line) error {
	if err := pass(l.server, l.client, 0, func(byte, []byte) bool { return true }); err != nil { // the start-up message has no kind
		return err
	}

	for {
		err := pass(l.server, l.client, 1, func(kind byte, body []byte) bool {
			return (kind != 'Q' && kind != 'P') || !commits(body) || !p.takes(lossCommit)
		})
		if err != nil {
			return err
		}
	}
}

func (p *Proxy) answer(l *line) error {
	for {
		err := pass(l.client, l.server, 1, func(kind byte, body []byte) bool {
			return kind != 'C' || !commits(body) || !p.takes(lossAnswer)
		})
		if err != nil {
			return err
		}
	}
}

// commits says whether a query, a statement or an answer is a COMMIT.
func commits(body []byte) bool {
	text := bytes.ToUpper(bytes.Trim(body, "\x00 ;"))
	return bytes.Equal(text, []byte("COMMIT")) || bytes.HasPrefix(text, []byte("COMMIT\x00"))
}

// pass hands on one message: a kind of so many bytes, a length that counts itself,
// a body. It is kept back, and the line ends, if pass is not allowed.
func pass(to io.Writer, from io.Reader, kind int, allowed func(kind byte, body []byte) bool) error {
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
