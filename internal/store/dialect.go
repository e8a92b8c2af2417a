package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// dialect is everything that differs between the databases: how migrations are
// named and written, how rows are locked, and whose clock leases expire by.
// SQLite has one writer, so it locks nothing, and its process's clock is the
// only one.
type dialect struct {
	name       string
	goose      goose.Dialect
	forUpdate  string // appended to a SELECT of rows that the transaction will change
	forShare   string // appended to a SELECT of rows that must not change until the commit
	skipLocked string // appended to a SELECT that skips rows that other transactions have locked
	arrays     bool   // a parameter may be an array
	clockExpr  string // an expression for the time in unix milliseconds; "" is the caller's clock
	// queueHeads is a query for the first $2 queued tasks of each ready share of the
	// queue $1, share by share in the order of claims, at most $3 in all. The fastest
	// form differs between the databases.
	queueHeads string
	// eventPosition is the xid and n of an event that is written now; xidHorizon is
	// the xid below which no transaction is still running. Serial numbers alone are
	// not enough: a reader that has seen a later number would never see an earlier
	// one that is committed afterwards.
	eventPosition, xidHorizon string
	hasVersionTable           string // a query that returns 1 if the table of schema versions exists
	limitTemplate             string // how a LIMIT with a parameter is written; "" leaves it as it is
}

var sqlite = dialect{
	name:  "sqlite",
	goose: goose.DialectSQLite3,
	queueHeads: `SELECT q.account, q.id, q.seconds FROM share AS s CROSS JOIN task AS q WHERE s.queue = $1 AND s.ready = 1
		AND q.id IN (SELECT id FROM task WHERE queue = $1 AND account = s.account AND state = 'queued' ORDER BY id LIMIT $2) ORDER BY s.virtual_start, s.account LIMIT $3`,
	// Not MAX(n), which has no index, and not the rowid, which VACUUM changes, but the
	// n of the last row. It exists, since a task's last event is never deleted.
	eventPosition:   "0, (SELECT COALESCE(MAX(n), 0) + 1 FROM event WHERE rowid = (SELECT MAX(rowid) FROM event))",
	xidHorizon:      "1",
	hasVersionTable: "SELECT COUNT(*) FROM sqlite_master WHERE name = 'goose_db_version'",
	// SQLite plans a query by the number that is bound to a plain LIMIT, so it prepares
	// the statement again whenever one is bound, which is at each use. An expression
	// does not have that effect.
	limitTemplate: "LIMIT $1 + 0",
}

var boundLimit = regexp.MustCompile(`\bLIMIT (\$\d+)`)

// rewrite returns the statement in the form that is fastest on this database.
func (d *dialect) rewrite(text string) string {
	if d.limitTemplate == "" {
		return text
	}

	return boundLimit.ReplaceAllString(text, d.limitTemplate)
}

var postgres = dialect{
	name:       "postgres",
	goose:      goose.DialectPostgres,
	forUpdate:  " FOR UPDATE",
	forShare:   " FOR SHARE",
	skipLocked: " FOR UPDATE SKIP LOCKED",
	arrays:     true,
	clockExpr:  "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
	queueHeads: `SELECT s.account, q.id, q.seconds FROM share AS s
		CROSS JOIN LATERAL (SELECT id, seconds FROM task WHERE queue = $1 AND account = s.account AND state = 'queued' ORDER BY id LIMIT $2) AS q
		WHERE s.queue = $1 AND s.ready = 1 ORDER BY s.virtual_start, s.account LIMIT $3`,
	eventPosition:   "CAST(CAST(pg_current_xact_id() AS text) AS bigint), nextval('event_n')",
	xidHorizon:      "CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)",
	hasVersionTable: "SELECT COUNT(*) FROM pg_class WHERE oid = to_regclass('goose_db_version')",
}

// withCallerClock returns the dialect with leases that expire by the caller's
// clock.
func (d dialect) withCallerClock() dialect {
	d.clockExpr = ""
	return d
}

// leaseTime returns the time by which leases expire, in unix milliseconds: the
// database's clock where there are several processes, otherwise callerTime.
func (r Reader) leaseTime(ctx context.Context, callerTime int64) (int64, error) {
	if r.d.clockExpr == "" {
		return callerTime, nil
	}

	return queryOne(ctx, r.q, func(s scanner) (now int64, err error) { return now, s.Scan(&now) }, "SELECT "+r.d.clockExpr)
}

// openSQLite opens the file with the pragmas that durability and speed need: a
// write-ahead log, an fsync at every commit, and no checkpoints by the writer.
func openSQLite(path string, conns int, readOnly bool) (*sql.DB, error) {
	pragmas := []string{
		"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "wal_autocheckpoint(0)",
		"cache_size(-32768)", "temp_store(MEMORY)", "mmap_size(268435456)",
	}
	if readOnly {
		pragmas = append(pragmas, "query_only(1)")
	}

	query := url.Values{"_pragma": pragmas}

	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: query.Encode()}).String())
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}

	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)

	return db, nil
}

// Limits of connections to PostgreSQL, so that nothing waits forever.
const (
	connectTimeout     = 5 * time.Second
	statementTimeout   = "15s"
	lockTimeout        = "10s"
	idleInTxTimeout    = "30s"
	minPostgresVersion = 150000
)

// postgresConfig parses a DSN. Parameters that the DSN sets take precedence over
// ours.
func postgresConfig(dsn string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, errors.New("the database address is not valid: write it like postgres://user:password@host:5432/name?sslmode=require")
	}

	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}

	for name, value := range map[string]string{
		"application_name": "unireel", "statement_timeout": statementTimeout, "lock_timeout": lockTimeout,
		"idle_in_transaction_session_timeout": idleInTxTimeout, "timezone": "UTC",
	} {
		if _, isSet := config.RuntimeParams[name]; !isSet {
			config.RuntimeParams[name] = value
		}
	}

	return config, nil
}

// openPostgres opens connections to a PostgreSQL database and checks that
// Unireel can use it. Errors never contain the DSN, which has a password.
func openPostgres(ctx context.Context, dsn string, conns int) (*sql.DB, error) {
	config, err := postgresConfig(dsn)
	if err != nil {
		return nil, err
	}

	db := stdlib.OpenDB(*config)
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	db.SetConnMaxIdleTime(5 * time.Minute)

	var (
		version  int64
		encoding string
	)

	err = db.QueryRowContext(ctx, "SELECT CAST(current_setting('server_version_num') AS BIGINT), current_setting('server_encoding')").Scan(&version, &encoding)
	switch {
	case err != nil:
		err = &oneLineError{fmt.Sprintf("cannot use the database %s at %s:%d as %s", config.Database, config.Host, config.Port, config.User), classifyError(err)}
	case version < minPostgresVersion:
		err = fmt.Errorf("the database at %s is PostgreSQL %d; Unireel needs 15 or newer", config.Host, version/10000)
	case encoding != "UTF8":
		err = fmt.Errorf("the database %s has encoding %s; create one WITH ENCODING 'UTF8'", config.Database, encoding)
	default:
		return db, nil
	}

	return nil, errors.Join(err, db.Close())
}

// oneLineError shortens an error to one line for a terminal: the error of a
// failed connection has one line for each address that was tried.
type oneLineError struct {
	prefix string
	err    error
}

// Error returns one line.
func (e *oneLineError) Error() string {
	reason := e.err.Error()

	var pgErr *pgconn.PgError
	if errors.As(e.err, &pgErr) {
		reason = pgErr.Message
	}

	lines := strings.Split(strings.TrimSpace(reason), "\n")

	return e.prefix + ": " + strings.TrimSpace(lines[len(lines)-1])
}

// Unwrap returns the full error.
func (e *oneLineError) Unwrap() error { return e.err }

// classifyError wraps the database's errors for a full disk and for an
// unreachable server in ErrFull and ErrUnavailable.
func classifyError(err error) error {
	var sqliteErr *driver.Error
	if errors.As(err, &sqliteErr) {
		code := sqliteErr.Code()
		if code&0xff == lib.SQLITE_FULL || code == lib.SQLITE_IOERR_WRITE || code == lib.SQLITE_IOERR_FSYNC {
			return fmt.Errorf("%w: %w", ErrFull, err)
		}
	}

	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		switch {
		case pgErr.Code == "53100":
			return fmt.Errorf("%w: %w", ErrFull, err)
		case isUnavailableCode(pgErr.Code):
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}

		return err
	}

	var (
		connectErr *pgconn.ConnectError
		netErr     net.Error
	)
	if errors.As(err, &connectErr) || errors.As(err, &netErr) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, errConnectionLost) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}

	return err
}

// isUnavailableCode reports whether a SQLSTATE is about the server or the
// connection and not about the statement: such an error is temporary.
func isUnavailableCode(code string) bool {
	switch code {
	case "53300", "53400", "57P01", "57P02", "57P03", "57P05", "57014", "55P03", "25P03", "25006":
		return true
	}

	return strings.HasPrefix(code, "08")
}
