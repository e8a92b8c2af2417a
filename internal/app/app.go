// Package app builds the program and runs it: it takes a Config, opens the data folder,
// constructs every package's parts with their dependencies, serves, and closes everything
// in reverse order. Only package cli calls it. It has no rules of its own.
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

// version is set by the linker.
var version = ""

// Version returns the program's version: the one set by the linker, else that of the
// module, else "dev".
func Version() string {
	if version != "" {
		return version
	}

	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}

	return "dev"
}

// Timeouts of the HTTP server for a request's header and for an idle connection. Package
// api has its own limits for bodies.
const (
	readHeaderTimeout = 15 * time.Second
	idleTimeout       = 2 * time.Minute
)

// Run serves until ctx ends. Then it lets open requests and requests to suppliers finish
// within the shutdown grace period, and closes everything. The log goes to out and, at
// the first start, the first API key.
func Run(ctx context.Context, cfg config.Config, out io.Writer) error {
	a, err := build(ctx, cfg, out, true)
	switch {
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return nil // stopped before the server was ready
	case err != nil:
		return err
	}

	return errors.Join(a.run(ctx, out), a.close())
}

func (a *app) run(ctx context.Context, out io.Writer) error {
	publicListener, err := new(net.ListenConfig).Listen(ctx, "tcp", a.cfg.Addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w; choose another with --addr or UNIREEL_ADDR", a.cfg.Addr, err)
	}

	adminListener, err := listenSocket(ctx, a.folder.socket())
	if err != nil {
		return errors.Join(err, publicListener.Close())
	}

	defer func() { _ = os.Remove(a.folder.socket()) }()

	if err := a.writeProfile(ctx, publicListener.Addr()); err != nil {
		return errors.Join(err, publicListener.Close(), adminListener.Close())
	}

	a.printBanner(out, publicListener.Addr())
	debug.FreeOSMemory() // return the memory that only the start needed: API description, models, tables

	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.dispatch.Run(groupCtx) })
	group.Go(func() error { return a.webhookDispatcher(a.baseURL(publicListener.Addr())).Run(groupCtx) })
	group.Go(func() error { return a.serve(groupCtx, publicListener, a.api.Handler()) })
	group.Go(func() error { return a.serve(groupCtx, adminListener, a.api.Admin()) })
	err = group.Wait()

	a.log.Info("stopped; unfinished tasks continue at the next start")

	return err
}

// webhookDispatcher returns the dispatcher that delivers events to customers. Links in
// the events begin with root.
func (a *app) webhookDispatcher(root string) *webhook.Dispatcher {
	return webhook.New(webhook.Options{
		Store:    a.store,
		Client:   a.fetch.Client(webhook.SendTimeout),
		Now:      time.Now,
		Log:      a.log,
		Registry: a.registry,
		Version:  Version(),
		Body:     func(ctx context.Context, d store.Delivery) ([]byte, error) { return a.api.DeliveryBody(ctx, root, d) },
	})
}

// serve serves HTTP until ctx ends, then lets open requests finish.
func (a *app) serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}

	serveErr := make(chan error, 1)
	go func() { serveErr <- server.Serve(listener) }()

	select {
	case err := <-serveErr:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}

	// Shutdown would wait for long polls, so Drain ends them first. Event streams are
	// hijacked connections for which Shutdown does not wait; Ended does.
	a.api.Drain()

	shutdownCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.cfg.ShutdownGrace)
	defer cancel()

	a.api.WaitStreams(shutdownCtx)

	if err := server.Shutdown(shutdownCtx); err != nil {
		a.log.Warn("some requests did not finish in time", "error", err)
		return server.Close()
	}

	return nil
}

// listenSocket creates the operator's socket. Only the owner of the folder may use it.
func listenSocket(ctx context.Context, path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove the old socket: %w", err)
	}

	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("the operator's socket %s: %w; a shorter path of the data folder may help", path, err)
	}

	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}

	return l, nil
}

// baseURL returns the URL at which clients reach the server: the public URL if one is
// configured, else the address on this host.
func (a *app) baseURL(addr net.Addr) string {
	if a.cfg.PublicURL != "" {
		return strings.TrimRight(a.cfg.PublicURL, "/")
	}

	host, port, err := net.SplitHostPort(addr.String())
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}

	return "http://" + net.JoinHostPort(host, port)
}

// writeProfile writes the file in which the command line on this host finds the server's
// address and key. The key is known only at the first start; later starts keep the key
// that the file already has.
func (a *app) writeProfile(_ context.Context, addr net.Addr) error {
	key := config.NewSecret(a.firstKeySecret)
	if a.firstKeySecret == "" {
		if previous, err := config.ReadProfile(a.folder.path); err == nil {
			key = previous.Key
		}
	}

	localOnly := *a
	localOnly.cfg.PublicURL = ""

	return config.WriteProfile(a.folder.path, config.Profile{URL: localOnly.baseURL(addr), Key: key, Data: a.folder.path})
}

// describeSuppliers returns a sentence that names the suppliers of videos.
func (a *app) describeSuppliers() string {
	var names []string
	for _, u := range a.cfg.Upstreams {
		names = append(names, fmt.Sprintf("%s (%s at %s)", u.Name, u.Provider, u.BaseURL))
	}

	names = append(names, a.runtimeUpstreams...)
	switch {
	case a.previewFallback:
		return previewFallbackNote
	case len(names) == 0:
		return "No supplier is configured any more: only previews are rendered, and tasks that wait for a supplier keep waiting. Set DASHSCOPE_API_KEY again."
	}

	return "Videos are made by " + strings.Join(names, ", ") + "."
}

// printBanner prints what a person at the terminal needs to know.
func (a *app) printBanner(out io.Writer, addr net.Addr) {
	url := a.baseURL(addr)

	var b strings.Builder
	fmt.Fprintf(&b, "Unireel %s listens on %s (data in %s)\n", Version(), url, a.folder.path)
	fmt.Fprintf(&b, "%s\n", a.describeSuppliers())

	if a.firstKeySecret != "" {
		shown := a.firstKeySecret
		if a.cfg.BootstrapKey.Set() {
			shown = "$UNIREEL_BOOTSTRAP_KEY"
		} else {
			fmt.Fprintf(&b, "\nYour API key, shown this once: %s\n", a.firstKeySecret)
		}

		fmt.Fprintf(&b, `
Try it:

  curl %s/v1/video/generations -H "Authorization: Bearer %s" -H "Content-Type: application/json" \
    -d '{"model":"wan2.6-r2v-flash-720p-audio","prompt":"character1 turns in warm light, slow and calm.","images":["file_sample_ref_1"],"size":"1280*720","duration":5}'

`, url, shown)
	}

	_, _ = io.WriteString(out, b.String())
}
