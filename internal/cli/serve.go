package cli

import (
	"context"

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
func (c *serveCmd) Run(ctx context.Context, w *World) error {
	return w.House.Serve(ctx, c.Config, w.Out)
}
