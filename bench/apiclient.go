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

// apiClient is the keep-alive connection of one customer. It implements only the
// part of HTTP/1.1 that the server uses: net/http's client would use as much of the
// shared cores as the server does.
type apiClient struct {
	addr     string
	key      string
	conn     net.Conn
	reader   *bufio.Reader
	writeBuf []byte
	bodyBuf  []byte
}

func (s *server) newClient() *apiClient { return &apiClient{addr: s.addr, key: apiKey} }

func (c *apiClient) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// do sends one request and returns the body of a 200 response, which is valid until
// the next call. Any other status is an error; after an error the next call opens a
// new connection.
func (c *apiClient) do(ctx context.Context, method, path, body string) ([]byte, error) {
	response, err := c.roundTrip(ctx, method, path, body)
	if err != nil {
		c.close()
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}

	return response, nil
}

func (c *apiClient) roundTrip(ctx context.Context, method, path, body string) ([]byte, error) {
	if c.conn == nil {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.addr)
		if err != nil {
			return nil, err
		}

		c.conn = conn
		c.reader = bufio.NewReader(conn)
	}

	if err := c.conn.SetDeadline(time.Now().Add(90 * time.Second)); err != nil {
		return nil, err
	}

	conn := c.conn

	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()

	c.writeBuf = fmt.Appendf(c.writeBuf[:0], "%s %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n", method, path, c.addr, c.key)

	if body != "" {
		c.writeBuf = fmt.Appendf(c.writeBuf, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}

	c.writeBuf = append(append(c.writeBuf, "\r\n"...), body...)
	if _, err := c.conn.Write(c.writeBuf); err != nil {
		return nil, err
	}

	return c.readResponse()
}

// readResponse reads the status line, the headers and a body of Content-Length
// bytes.
func (c *apiClient) readResponse() ([]byte, error) {
	status, err := c.reader.ReadString('\n')
	if err != nil {
		return nil, err
	}

	length := -1

	for {
		header, err := c.reader.ReadSlice('\n')
		if err != nil {
			return nil, err
		}

		if len(header) <= 2 {
			break
		}

		if name, value, ok := strings.Cut(string(header), ":"); ok && strings.EqualFold(name, "Content-Length") {
			if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
				return nil, err
			}
		}
	}

	if length < 0 {
		return nil, fmt.Errorf("no Content-Length: %w", errTruncated)
	}

	if cap(c.bodyBuf) < length {
		c.bodyBuf = make([]byte, length)
	}

	c.bodyBuf = c.bodyBuf[:length]
	if _, err := io.ReadFull(c.reader, c.bodyBuf); err != nil {
		return nil, err
	}

	if !strings.HasPrefix(status, "HTTP/1.1 200 ") {
		return nil, fmt.Errorf("%s: %s", strings.TrimSpace(status), c.bodyBuf)
	}

	return c.bodyBuf, nil
}
