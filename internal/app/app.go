// Package app builds the house and runs it: it reads a Config, opens the data
// folder, makes every room with what it needs, serves, and closes in reverse.
// cli calls it; nothing else does. It has no rule of its own.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/unireel/unireel/internal/config"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/webhook"
)

// version is stamped by the linker.
var version = ""

// Version is the program's version: stamped, else from the module, else "dev".
func Version() string {
	if version != "" {
		return version
	}

	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}

	return "dev"
}

// How long HTTP waits: a header, a silent connection. Bodies have their own
// bounds in api.
const (
	headerTime = 15 * time.Second
	idleTime   = 2 * time.Minute
)

// Run serves until ctx ends, then ends open requests within the grace time,
// lets what is on the wire be answered, and closes. out gets the log and, at the
// first start, the key.
func Run(ctx context.Context, cfg config.Config, out io.Writer) error {
	h, err := build(ctx, cfg, out, true)
	switch {
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return nil // stopped before it had begun
	case err != nil:
		return err
	}

	return errors.Join(h.run(ctx, out), h.close())
}

func (h *house) run(ctx context.Context, out io.Writer) error {
	customers, err := new(net.ListenConfig).Listen(ctx, "tcp", h.cfg.Addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w; choose another with --addr or UNIREEL_ADDR", h.cfg.Addr, err)
	}

	operator, err := listenSocket(ctx, h.folder.socket())
	if err != nil {
		return errors.Join(err, customers.Close())
	}

	defer func() { _ = os.Remove(h.folder.socket()) }()

	if err := h.writeProfile(ctx, customers.Addr()); err != nil {
		return errors.Join(err, customers.Close(), operator.Close())
	}

	h.greet(out, customers.Addr())
	debug.FreeOSMemory() // what building the house took once: contract, models, tables

	group, running := errgroup.WithContext(ctx)
	group.Go(func() error { return h.dispatch.Run(running) })
	group.Go(func() error { return h.courier(h.url(customers.Addr())).Run(running) })
	group.Go(func() error { return h.serve(running, customers, h.api.Handler()) })
	group.Go(func() error { return h.serve(running, operator, h.api.Admin()) })
	err = group.Wait()

	h.log.Info("stopped; unfinished tasks go on at the next start")

	return err
}

// courier tells customers what happens, with links that begin with root.
func (h *house) courier(root string) *webhook.Courier {
	return webhook.New(webhook.Options{
		Store: h.store, Client: h.fetch.Client(webhook.SendTime), Now: time.Now, Log: h.log, Registry: h.registry, Version: Version(),
		Body: func(ctx context.Context, d store.Delivery) ([]byte, error) { return h.api.DeliveryBody(ctx, root, d) },
	})
}

// serve answers HTTP until ctx ends, then lets open requests end.
func (h *house) serve(ctx context.Context, l net.Listener, handler http.Handler) error {
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTime, IdleTimeout: idleTime, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}

	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()

	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}

	h.api.Drain()

	ending, done := context.WithTimeout(context.WithoutCancel(ctx), h.cfg.ShutdownGrace)
	defer done()

	h.api.Ended(ending)

	if err := server.Shutdown(ending); err != nil {
		h.log.Warn("some requests did not end in time", "error", err)
		return server.Close()
	}

	return nil
}

// listenSocket makes the operator's socket, for the owner of the folder only.
func listenSocket(ctx context.Context, path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("old socket: %w", err)
	}

	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("the operator's socket %s: %w; a shorter data folder path may help", path, err)
	}

	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}

	return l, nil
}

// url is how clients on this host reach the server.
func (h *house) url(addr net.Addr) string {
	if h.cfg.PublicURL != "" {
		return strings.TrimRight(h.cfg.PublicURL, "/")
	}

	host, port, err := net.SplitHostPort(addr.String())
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}

	return "http://" + net.JoinHostPort(host, port)
}

// writeProfile lets the command line on this host find server and key. The key
// is known at the first start only; later starts keep the one that is there.
func (h *house) writeProfile(_ context.Context, addr net.Addr) error {
	key := config.NewSecret(h.secret)
	if h.secret == "" {
		if was, err := config.ReadProfile(h.folder.path); err == nil {
			key = was.Key
		}
	}

	local := *h
	local.cfg.PublicURL = ""

	return config.WriteProfile(h.folder.path, config.Profile{URL: local.url(addr), Key: key, Data: h.folder.path})
}

// suppliers says who makes the videos.
func (h *house) suppliers() string {
	var names []string
	for _, u := range h.cfg.Upstreams {
		names = append(names, fmt.Sprintf("%s (%s at %s)", u.Name, u.Provider, u.BaseURL))
	}

	names = append(names, h.added...)
	switch {
	case h.standIn:
		return standInNote
	case len(names) == 0:
		return "No supplier is configured any more: only previews are made, and tasks that wait for a supplier go on waiting. Set DASHSCOPE_API_KEY again."
	}

	return "The videos are made by " + strings.Join(names, ", ") + "."
}

// greet says what a person at the terminal needs to know.
func (h *house) greet(out io.Writer, addr net.Addr) {
	url := h.url(addr)

	var b strings.Builder
	fmt.Fprintf(&b, "Unireel %s listens on %s (data in %s)\n", Version(), url, h.folder.path)
	fmt.Fprintf(&b, "%s\n", h.suppliers())

	if h.secret != "" {
		shown := h.secret
		if h.cfg.BootstrapKey.Set() {
			shown = "$UNIREEL_BOOTSTRAP_KEY"
		} else {
			fmt.Fprintf(&b, "\nYour API key, shown this once: %s\n", h.secret)
		}

		fmt.Fprintf(&b, `
Try it:

  curl %s/v1/video/generations -H "Authorization: Bearer %s" -H "Content-Type: application/json" \
    -d '{"model":"wan2.6-r2v-flash-720p-audio","prompt":"character1 turns in warm light, slow and calm.","images":["file_sample_ref_1"],"size":"1280*720","duration":5}'

`, url, shown)
	}

	_, _ = io.WriteString(out, b.String())
}
