package cli

import (
	"context"
	"fmt"
	"os"

	"github.com/alecthomas/kong"

	"github.com/unireel/unireel/internal/config"
)

type serveCmd struct {
	config.Config `embed:""`
}

// Help returns a description and examples.
func (serveCmd) Help() string {
	return `Without any configuration it listens on 127.0.0.1:8080, stores everything in the data folder, creates a first account with credit and shows its key once.

Every flag can also be an environment variable or a key of unireel.yaml (docs/config.md).

Examples:

  unireel serve

  DASHSCOPE_API_KEY=sk-... unireel serve --addr :8080 --public-url https://video.example.com

  unireel serve --fetch-allow 192.168.7.0/24 --retention 240h`
}

// Run serves until ctx ends.
func (c *serveCmd) Run(ctx context.Context, env *Env, parser *kong.Kong) error {
	if err := c.warnMistyped(env, parser); err != nil {
		return err
	}

	return env.App.Serve(ctx, c.Config, env.Out)
}

// warnMistyped warns about environment variables whose names are probably mistyped. The
// variables of other commands, and those that the file names for keys, are known names.
func (c *serveCmd) warnMistyped(env *Env, parser *kong.Kong) error {
	var others []string

	_ = kong.Visit(parser.Model, func(node kong.Visitable, next kong.Next) error {
		if flag, ok := node.(*kong.Flag); ok {
			others = append(others, flag.Envs...)
		}

		return next(nil)
	})

	for _, u := range c.Upstreams {
		others = append(others, u.KeyEnv)
	}

	warnings, err := config.MistypedEnv(os.Environ(), others...)
	for _, line := range warnings {
		fmt.Fprintln(env.Err, "warning:", line)
	}

	return err
}
