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
	Addr   string   `name:"addr" default:"127.0.0.1:9980" placeholder:"HOST:PORT" help:"The address on which to listen."`
	Secret []string `name:"secret" env:"UNIREEL_WEBHOOK_SECRET" required:"" placeholder:"WHSEC" help:"The signing secret, or several of them."`
	Count  int      `name:"count" placeholder:"N" help:"Exit after this number of events."`
	JSON   bool     `name:"json" help:"Print each event as received, one per line."`
}

// Help returns a description and examples.
func (webhookListenCmd) Help() string {
	return "Use it to try out webhooks. A server sends to this host only if its operator allows the address: unireel serve --fetch-allow 127.0.0.1/32:9980.\n\n" +
		"Examples:\n\n  unireel webhook listen --secret \"$(unireel webhook secret default)\""
}

// webhookListener prints the events that it receives.
type webhookListener struct {
	cmd   *webhookListenCmd
	env   *Env
	mu    sync.Mutex
	count int
	done  chan error
}

// Run listens until ctx ends or --count events have arrived.
func (c *webhookListenCmd) Run(ctx context.Context, env *Env) error {
	tcpListener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Addr)
	if err != nil {
		return fmt.Errorf("listen on %s: %w; choose another with --addr", c.Addr, err)
	}

	l := &webhookListener{cmd: c, env: env, done: make(chan error, 1)}

	s := &http.Server{Handler: l, ReadTimeout: 15 * time.Second, WriteTimeout: 15 * time.Second}
	go func() { l.stop(s.Serve(tcpListener)) }()

	fmt.Fprintf(env.Err, "Listening on http://%s\n", tcpListener.Addr())

	select {
	case <-ctx.Done():
		err = nil
	case err = <-l.done:
	}

	shutdownCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()

	if shutdownErr := s.Shutdown(shutdownCtx); err == nil || errors.Is(err, http.ErrServerClosed) {
		err = shutdownErr
	}

	return err
}

func (l *webhookListener) stop(err error) {
	select {
	case l.done <- err:
	default:
	}
}

// ServeHTTP receives one event.
func (l *webhookListener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		http.Error(w, "the body cannot be read", http.StatusBadRequest)
		return
	}

	event, err := client.VerifyWebhook(r.Header, body, time.Now(), l.cmd.Secret...)
	if err != nil {
		fmt.Fprintf(l.env.Err, "refused: %s\n", err)
		http.Error(w, err.Error(), http.StatusUnauthorized)

		return
	}

	w.WriteHeader(http.StatusNoContent)
	l.print(event, body)
}

func (l *webhookListener) print(event client.Event, body []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()

	if l.cmd.Count > 0 && l.count >= l.cmd.Count {
		return
	}

	if l.cmd.JSON {
		_ = l.env.printJSON(json.RawMessage(body))
	} else {
		fmt.Fprintf(l.env.Out, "%s %s %s %s\n", formatTime(event.CreatedAt), event.Type, event.Task.ID, event.Task.VideoURL)
	}

	if l.count++; l.count == l.cmd.Count {
		l.stop(nil)
	}
}
