package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// caller is one customer's kept-alive connection. It speaks just the HTTP/1.1
// that the server answers with, since a whole client would take as much of the
// shared cores as the server does.
type caller struct {
	addr string
	key  string
	conn net.Conn
	in   *bufio.Reader
	out  []byte
	body []byte
}

func (s *server) caller() *caller { return &caller{addr: s.addr, key: apiKey} }

func (c *caller) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// do makes one request and returns the body of a 200, which is valid until the
// next call. Anything else is an error, and the connection is opened anew.
func (c *caller) do(ctx context.Context, method, path, body string) ([]byte, error) {
	answer, err := c.exchange(ctx, method, path, body)
	if err != nil {
		c.close()
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}

	return answer, nil
}

func (c *caller) exchange(ctx context.Context, method, path, body string) ([]byte, error) {
	if c.conn == nil {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.addr)
		if err != nil {
			return nil, err
		}

		c.conn = conn
		c.in = bufio.NewReader(conn)
	}

	if err := c.conn.SetDeadline(time.Now().Add(90 * time.Second)); err != nil {
		return nil, err
	}

	conn := c.conn

	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()

	c.out = fmt.Appendf(c.out[:0], "%s %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n", method, path, c.addr, c.key)
	if body != "" {
		c.out = fmt.Appendf(c.out, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}

	c.out = append(append(c.out, "\r\n"...), body...)
	if _, err := c.conn.Write(c.out); err != nil {
		return nil, err
	}

	return c.answer()
}

// answer reads a status, the headers and as many bytes as they announce.
func (c *caller) answer() ([]byte, error) {
	status, err := c.in.ReadString('\n')
	if err != nil {
		return nil, err
	}

	length := -1

	for {
		l, err := c.in.ReadSlice('\n')
		if err != nil {
			return nil, err
		}

		if len(l) <= 2 {
			break
		}

		if name, value, ok := strings.Cut(string(l), ":"); ok && strings.EqualFold(name, "Content-Length") {
			if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
				return nil, err
			}
		}
	}

	if length < 0 {
		return nil, fmt.Errorf("no length: %w", errCut)
	}

	if cap(c.body) < length {
		c.body = make([]byte, length)
	}

	c.body = c.body[:length]
	if _, err := io.ReadFull(c.in, c.body); err != nil {
		return nil, err
	}

	if !strings.HasPrefix(status, "HTTP/1.1 200 ") {
		return nil, fmt.Errorf("%s: %s", strings.TrimSpace(status), c.body)
	}

	return c.body, nil
}
