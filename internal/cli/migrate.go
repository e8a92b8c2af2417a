package cli

import (
	"context"
	"fmt"
)

type migrateCmd struct{ host }

// Help teaches by examples.
func (migrateCmd) Help() string {
	return `Brings the tables of the configured database up to this program's version. On PostgreSQL that is yours to do, before the first start and before each upgrade; a server refuses tables that are older or newer than itself. On SQLite serve does it by itself. It may be run at any time, and twice.

Examples:

  unireel migrate --database postgres://unireel:secret@db.example.com/unireel

  UNIREEL_DATABASE=postgres://... unireel migrate`
}

// Run migrates.
func (c *migrateCmd) Run(ctx context.Context, w *World) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}

	from, to, err := w.House.Migrate(ctx, cfg)
	if err != nil {
		return err
	}

	if c.JSON {
		return w.printJSON(struct {
			From int64 `json:"from"`
			To   int64 `json:"to"`
		}{from, to})
	}

	text := fmt.Sprintf("The database is at schema %d already.", to)
	if from != to {
		text = fmt.Sprintf("The database went from schema %d to %d.", from, to)
	}

	_, err = fmt.Fprintln(w.Out, text)

	return err
}
