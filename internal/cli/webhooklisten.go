package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/unireel/unireel/client"
)

type webhookListenCmd struct {
	Addr   string   `name:"addr" default:"127.0.0.1:9980" placeholder:"HOST:PORT" help:"Where to listen."`
	Secret []string `name:"secret" env:"UNIREEL_WEBHOOK_SECRET" required:"" placeholder:"WHSEC" help:"The signing secret, or several."`
	Count  int      `name:"count" placeholder:"N" help:"End after so many events."`
	JSON   bool     `name:"json" help:"Print each event as it came, a line each."`
}

// Help teaches by examples.
func (webhookListenCmd) Help() string {
	return "For trying webhooks out. A server sends to this machine only where its operator admits the address: unireel serve --fetch-allow 127.0.0.1/32:9980.\n\n" +
		"Examples:\n\n  unireel webhook listen --secret \"$(unireel webhook secret default)\""
}

// listener prints what comes.
type listener struct {
	c    *webhookListenCmd
	w    *World
	mu   sync.Mutex
	n    int
	over chan error
}

// Run listens until it is stopped.
func (c *webhookListenCmd) Run(ctx context.Context, w *World) error {
	at, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w; choose another with --addr", c.Addr, err)
	}

	l := &listener{c: c, w: w, over: make(chan error, 1)}

	s := &http.Server{Handler: l, ReadTimeout: 15 * time.Second, WriteTimeout: 15 * time.Second}
	go func() { l.end(s.Serve(at)) }()

	fmt.Fprintf(w.Err, "Listening on http://%s\n", at.Addr())

	select {
	case <-ctx.Done():
		err = nil
	case err = <-l.over:
	}

	ending, done := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer done()

	if stopped := s.Shutdown(ending); err == nil || errors.Is(err, http.ErrServerClosed) {
		err = stopped
	}

	return err
}

func (l *listener) end(err error) {
	select {
	case l.over <- err:
	default:
	}
}

// ServeHTTP takes one event.
func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		http.Error(w, "the body cannot be read", http.StatusBadRequest)
		return
	}

	event, err := client.VerifyWebhook(r.Header, body, time.Now(), l.c.Secret...)
	if err != nil {
		fmt.Fprintf(l.w.Err, "refused: %s\n", err)
		http.Error(w, err.Error(), http.StatusUnauthorized)

		return
	}

	w.WriteHeader(http.StatusNoContent)
	l.print(event, body)
}

func (l *listener) print(event client.Event, body []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()

	if l.c.Count > 0 && l.n >= l.c.Count {
		return
	}

	if l.c.JSON {
		_ = l.w.printJSON(json.RawMessage(body))
	} else {
		fmt.Fprintf(l.w.Out, "%s %s %s %s\n", clock(event.CreatedAt), event.Type, event.Task.ID, event.Task.VideoURL)
	}

	if l.n++; l.n == l.c.Count {
		l.end(nil)
	}
}
