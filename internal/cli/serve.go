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

// Help teaches by examples.
func (serveCmd) Help() string {
	return `Without any configuration it listens on 127.0.0.1:8080, keeps everything in the data folder, makes a first account with credit and shows its key once.

Every flag can also be a variable of the environment or a key of unireel.yaml (docs/config.md).

Examples:

  unireel serve

  DASHSCOPE_API_KEY=sk-... unireel serve --addr :8080 --public-url https://video.example.com

  unireel serve --fetch-allow 192.168.7.0/24 --retention 240h`
}

// Run serves until ctx ends.
func (c *serveCmd) Run(ctx context.Context, w *World, parser *kong.Kong) error {
	if err := c.warn(w, parser); err != nil {
		return err
	}

	return w.House.Serve(ctx, c.Config, w.Out)
}

// warn tells of variables of the environment that are likely mistyped: those of
// other commands, and those that the file names for keys, are not.
func (c *serveCmd) warn(w *World, parser *kong.Kong) error {
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

	said, err := config.Mistyped(os.Environ(), others...)
	for _, line := range said {
		fmt.Fprintln(w.Err, "warning:", line)
	}

	return err
}
