package main

import (
	"context"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"
)

// listeners: what each idle listener of an account's events takes.
func listeners(ctx context.Context, b *bench) ([]line, error) {
	n := min(10_000, b.rows)

	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return nil, err
	}

	files.Cur = files.Max // the server inherits it
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return nil, err
	}

	if files.Max < uint64(n+500) {
		n = int(files.Max) - 500
	}

	s, err := b.newServer(ctx, "listeners", "")
	if err != nil {
		return nil, err
	}
	defer s.stop()

	pause(ctx, 2*time.Second)

	before := rss(s.pid())

	conns := make([]net.Conn, 0, n)
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()

	for range n {
		c, err := s.listener(ctx)
		if err != nil {
			return nil, fmt.Errorf("listener %d: %w", len(conns)+1, err)
		}

		conns = append(conns, c)
	}

	pause(ctx, 20*time.Second) // over the first beat

	after := rss(s.pid())

	return []line{{
		name: fmt.Sprintf("memory (RSS) of each of %s idle listeners", thousands(int64(n))), unit: "kB", target: 25, most: true,
		measured: (after - before) * (1 << 20) / 1000 / float64(n), also: fmt.Sprintf("the server %s MiB before, %s MiB with them", figure(before), figure(after)),
		bounds: "two goroutines and the buffers of a connection of Go's HTTP server",
	}}, nil
}

// listener is a connection on which events begin to come.
func (s *server) listener(ctx context.Context) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.addr)
	if err != nil {
		return nil, err
	}

	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err = fmt.Fprintf(conn, "GET /v1/events HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", s.addr, apiKey); err == nil {
		var n int

		head := make([]byte, 4096)
		if n, err = conn.Read(head); err == nil && !strings.HasPrefix(string(head[:n]), "HTTP/1.1 200 ") {
			err = fmt.Errorf("it was answered %.200s", head[:n])
		}
	}

	if err != nil {
		_ = conn.Close()
		return nil, err
	}

	return conn, nil
}
