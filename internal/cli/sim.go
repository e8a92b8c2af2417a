package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/unireel/unireel/internal/config"
	"github.com/unireel/unireel/internal/provider/dashscope/dashscopesim"
)

type simCmd struct {
	DashScope simDashScopeCmd `cmd:"" name:"dashscope" help:"Run a simulated DashScope: a free local Wan API."`
}

type simDashScopeCmd struct {
	Addr             string        `name:"addr" default:"127.0.0.1:8090" placeholder:"HOST:PORT" help:"The address on which it listens."`
	APIKey           config.Secret `name:"api-key" placeholder:"KEY" help:"The only key that it accepts. Default: any key."`
	RenderTime       time.Duration `name:"render-time" default:"5s" placeholder:"TIME" help:"How long rendering a video takes."`
	SubmitsPerSecond int           `name:"submits-per-second" default:"5" placeholder:"N" help:"Submissions per second for one model."`
	InProgress       int           `name:"in-progress" default:"5" placeholder:"N" help:"Tasks in progress at the same time for one model."`
	QueriesPerSecond int           `name:"queries-per-second" default:"20" placeholder:"N" help:"Status queries per second."`
}

// Help returns a description and examples.
func (simDashScopeCmd) Help() string {
	return `It behaves like DashScope: limits, states, errors, links that expire. Its videos are test patterns of the requested size and length.

Examples:

  unireel sim dashscope --render-time 20s

  UNIREEL_DASHSCOPE_BASE_URL=http://127.0.0.1:8090 DASHSCOPE_API_KEY=sk-simulated unireel serve`
}

// Run serves the simulator until ctx ends.
func (c *simDashScopeCmd) Run(ctx context.Context, env *Env) error {
	if c.RenderTime <= 0 || min(c.SubmitsPerSecond, c.InProgress, c.QueriesPerSecond) < 1 {
		return usagef("--render-time and the limits must be above 0")
	}

	options := dashscopesim.Options{
		Seed:      uint64(time.Now().UnixNano()),
		RenderMin: c.RenderTime,
		RenderMax: c.RenderTime,
		Limits:    dashscopesim.Limits{Submits: c.SubmitsPerSecond, InProgress: c.InProgress, Queries: c.QueriesPerSecond},
	}
	if c.APIKey.Set() {
		options.Keys = []dashscopesim.Key{{Secret: c.APIKey.Reveal(), ID: "1", Account: "simulated"}}
	}

	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Addr)
	if err != nil {
		return fmt.Errorf("listen at %s: %w", c.Addr, err)
	}

	fmt.Fprintf(env.Out, "Simulating DashScope at http://%s until Ctrl-C\n", listener.Addr())

	server := &http.Server{Handler: dashscopesim.New(options), ReadHeaderTimeout: 10 * time.Second}
	serveCtx, stop := context.WithCancel(ctx)

	shutdownDone := make(chan struct{})
	go func() {
		defer close(shutdownDone)

		<-serveCtx.Done()

		shutdownCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()

		_ = server.Shutdown(shutdownCtx) // requests that are still open after the grace period end with the process
	}()

	err = server.Serve(listener)

	stop()
	<-shutdownDone

	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("simulate: %w", err)
	}

	return nil
}
