package cli

import (
	"context"
	"io"
	"io/fs"
	"net/http"

	"github.com/unireel/unireel/internal/config"
)

// App holds the functions that the command line needs of the program. Tests supply their
// own.
type App struct {
	// Serve runs the server until ctx ends.
	Serve func(ctx context.Context, cfg config.Config, out io.Writer) error
	// AdminTransport returns a transport to the operator's API: through the running
	// server's socket, or on the data folder itself if no server runs. closer releases it.
	AdminTransport func(ctx context.Context, cfg config.Config) (rt http.RoundTripper, closer func() error, err error)
	// Migrate migrates the database's schema and returns the versions before and after.
	Migrate func(ctx context.Context, cfg config.Config) (from, to int64, err error)
	// Samples holds the demo's references.
	Samples fs.FS
}
