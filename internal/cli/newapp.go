package cli

import (
	"github.com/unireel/unireel/internal/app"
	"github.com/unireel/unireel/internal/sample"
)

// NewApp returns the functions of the real program.
func NewApp() App {
	return App{Serve: app.Run, AdminTransport: app.AdminTransport, Migrate: app.Migrate, Samples: sample.Files()}
}
