package cli

import (
	"context"
	"fmt"
)

type migrateCmd struct{ hostFlags }

// Help returns a description and examples.
func (migrateCmd) Help() string {
	return `Migrates the configured database to this program's version. On PostgreSQL you must run it before the first start and before each upgrade; a server refuses a database that is older or newer than itself. On SQLite "unireel serve" does it automatically. It is safe to run at any time and more than once.

Examples:

  unireel migrate --database postgres://unireel:secret@db.example.com/unireel

  UNIREEL_DATABASE=postgres://... unireel migrate`
}

// Run migrates the database.
func (c *migrateCmd) Run(ctx context.Context, env *Env) error {
	cfg, err := c.loadConfig()
	if err != nil {
		return err
	}

	from, to, err := env.App.Migrate(ctx, cfg)
	if err != nil {
		return err
	}

	if c.JSON {
		return env.printJSON(struct {
			From int64 `json:"from"`
			To   int64 `json:"to"`
		}{from, to})
	}

	text := fmt.Sprintf("The database is already at schema %d.", to)
	if from != to {
		text = fmt.Sprintf("The database was migrated from schema %d to %d.", from, to)
	}

	_, err = fmt.Fprintln(env.Out, text)

	return err
}
