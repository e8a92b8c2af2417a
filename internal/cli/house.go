package cli

import (
	"context"
	"io"
	"io/fs"
	"net/http"

	"github.com/unireel/unireel/internal/config"
)

// House is what the command line needs of the program behind it; tests give
// their own.
type House struct {
	// Serve runs the server until ctx ends.
	Serve func(ctx context.Context, cfg config.Config, out io.Writer) error
	// Operator reaches the operator's API: the running server's socket, or the
	// data folder itself when none runs. closer gives it back.
	Operator func(ctx context.Context, cfg config.Config) (rt http.RoundTripper, closer func() error, err error)
	// Migrate brings the database's schema up to date, from one version to another.
	Migrate func(ctx context.Context, cfg config.Config) (from, to int64, err error)
	// Samples are the demo's references.
	Samples fs.FS
}
