package app

import (
	"context"
	"errors"

	"github.com/unireel/unireel/internal/config"
	"github.com/unireel/unireel/internal/store"
)

// Migrate migrates the schema of the configured database to the version of this program
// and returns the versions before and after. For SQLite it locks the data folder.
func Migrate(ctx context.Context, cfg config.Config) (from, to int64, err error) {
	o := store.Options{Database: cfg.Database.Reveal()}
	if o.Database == "" {
		f, err := lockFolder(cfg.Data)
		if err != nil {
			return 0, 0, err
		}

		o.Path = f.database()
		defer func() { err = errors.Join(err, f.unlock()) }()
	}

	return store.Migrate(ctx, o)
}
