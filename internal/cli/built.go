package cli

import (
	"github.com/unireel/unireel/internal/app"
	"github.com/unireel/unireel/internal/sample"
)

// Built is the real house.
func Built() House {
	return House{Serve: app.Run, Operator: app.Operator, Migrate: app.Migrate, Samples: sample.Files()}
}
