package storetest

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
)

// commitThroughProxy runs an INSERT in a transaction through a proxy. It returns
// the error of its COMMIT and the number of rows that are really there.
func commitThroughProxy(t *testing.T, lose func(*Proxy)) (rows int64, err error) {
	t.Helper()
	dsn := Database(t)
	execSQL(t, dsn, "CREATE TABLE x (n BIGINT)")
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

	_, commitErr := conn.Exec(ctx, "COMMIT")

	if n, err := queryInt(t, p.DSN(), "SELECT COUNT(*) FROM x"); err != nil {
		t.Errorf("the proxy accepts no connection afterwards: %v", err)
	} else {
		rows = n
	}

	return rows, commitErr
}

func TestProxyForwards(t *testing.T) {
	if rows, err := commitThroughProxy(t, func(*Proxy) {}); rows != 1 || err != nil {
		t.Errorf("%d rows, %v", rows, err)
	}
}

func TestProxyLoseCommit(t *testing.T) {
	if rows, err := commitThroughProxy(t, (*Proxy).LoseCommit); rows != 0 || err == nil {
		t.Errorf("%d rows, %v", rows, err)
	}
}

func TestProxyLoseCommitResponse(t *testing.T) {
	if rows, err := commitThroughProxy(t, (*Proxy).LoseCommitResponse); rows != 1 || err == nil {
		t.Errorf("%d rows, %v", rows, err)
	}
}

func TestProxyCutAndDown(t *testing.T) {
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

	if _, err := queryInt(t, p.DSN(), "SELECT 1"); err != nil {
		t.Errorf("after a cut: %v", err)
	}

	p.Down()

	if _, err := queryInt(t, p.DSN(), "SELECT 1"); err == nil {
		t.Error("the proxy accepts a connection while it is down")
	}

	p.Up()

	if _, err := queryInt(t, p.DSN(), "SELECT 1"); err != nil {
		t.Errorf("after Up: %v", err)
	}
}
