package storetest

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
)

// written runs an INSERT in a transaction through a proxy and says what its COMMIT
// returned, and how many rows there are in truth.
func written(t *testing.T, lose func(*Proxy)) (rows int64, err error) {
	t.Helper()
	dsn := Database(t)
	tell(t, dsn, "CREATE TABLE x (n BIGINT)")
	p := NewProxy(t, dsn)

	ctx := context.Background()

	conn, err := pgx.Connect(ctx, p.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()

	for _, text := range []string{"BEGIN", "INSERT INTO x VALUES (1)"} {
		if _, err := conn.Exec(ctx, text); err != nil {
			t.Fatal(err)
		}
	}

	lose(p)

	_, failed := conn.Exec(ctx, "COMMIT")

	if n, err := ask(t, p.DSN(), "SELECT COUNT(*) FROM x"); err != nil {
		t.Errorf("afterwards the proxy lets nobody through: %v", err)
	} else {
		rows = n
	}

	return rows, failed
}

func TestAProxyPassesEverything(t *testing.T) {
	if rows, err := written(t, func(*Proxy) {}); rows != 1 || err != nil {
		t.Errorf("%d rows, %v", rows, err)
	}
}

func TestAProxyLosesACommit(t *testing.T) {
	if rows, err := written(t, (*Proxy).LoseCommit); rows != 0 || err == nil {
		t.Errorf("%d rows, %v", rows, err)
	}
}

func TestAProxyLosesAnAnswer(t *testing.T) {
	if rows, err := written(t, (*Proxy).LoseAnswer); rows != 1 || err == nil {
		t.Errorf("%d rows, %v", rows, err)
	}
}

func TestAProxyCutsAndIsDown(t *testing.T) {
	dsn := Database(t)
	p := NewProxy(t, dsn)

	conn, err := pgx.Connect(t.Context(), p.DSN())
	if err != nil {
		t.Fatal(err)
	}

	defer func() { _ = conn.Close(context.Background()) }()

	p.Cut()

	if _, err := conn.Exec(t.Context(), "SELECT 1"); err == nil {
		t.Error("a cut connection answers")
	}

	if _, err := ask(t, p.DSN(), "SELECT 1"); err != nil {
		t.Errorf("after a cut: %v", err)
	}

	p.Down()

	if _, err := ask(t, p.DSN(), "SELECT 1"); err == nil {
		t.Error("it is down and lets somebody through")
	}

	p.Up()

	if _, err := ask(t, p.DSN(), "SELECT 1"); err != nil {
		t.Errorf("it is up again: %v", err)
	}
}
