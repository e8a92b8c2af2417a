package main

import (
	"context"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"
)

// subscribers measures the memory of the server for each idle subscriber to an
// account's events.
func subscribers(ctx context.Context, b *bench) ([]measurement, error) {
	n := min(10_000, b.rows)

	var fileLimit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &fileLimit); err != nil {
		return nil, err
	}

	fileLimit.Cur = fileLimit.Max // the server inherits the limit
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &fileLimit); err != nil {
		return nil, err
	}

	if fileLimit.Max < uint64(n+500) {
		n = int(fileLimit.Max) - 500
	}

	s, err := b.newServer(ctx, "subscribers", "")
	if err != nil {
		return nil, err
	}
	defer s.stop()

	sleep(ctx, 2*time.Second)

	before := rss(s.pid())

	conns := make([]net.Conn, 0, n)
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()

	for range n {
		c, err := s.subscribe(ctx)
		if err != nil {
			return nil, fmt.Errorf("subscriber %d: %w", len(conns)+1, err)
		}

		conns = append(conns, c)
	}

	sleep(ctx, 20*time.Second) // longer than until the first heartbeat

	after := rss(s.pid())

	return []measurement{{
		name:      fmt.Sprintf("memory (RSS) of each of %s idle subscribers", groupThousands(int64(n))),
		unit:      "kB",
		target:    25,
		atMost:    true,
		measured:  (after - before) * (1 << 20) / 1000 / float64(n),
		note:      fmt.Sprintf("the server uses %s MiB without subscribers, %s MiB with them", formatNumber(before), formatNumber(after)),
		limitedBy: "two goroutines and the buffers of a connection of Go's HTTP server",
	}}, nil
}

// subscribe opens a connection to the event stream and waits for the response.
func (s *server) subscribe(ctx context.Context) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.addr)
	if err != nil {
		return nil, err
	}

	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err = fmt.Fprintf(conn, "GET /v1/events HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", s.addr, apiKey); err == nil {
		var n int

		buf := make([]byte, 4096)
		if n, err = conn.Read(buf); err == nil && !strings.HasPrefix(string(buf[:n]), "HTTP/1.1 200 ") {
			err = fmt.Errorf("unexpected response: %.200s", buf[:n])
		}
	}

	if err != nil {
		_ = conn.Close()
		return nil, err
	}

	return conn, nil
}
