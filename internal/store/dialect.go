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

// dialect is all that differs between databases: how migrations are named and
// written, how rows are locked, whose clock leases run by. SQLite has one writer:
// it locks nothing, and its process' clock is the only one.
type dialect struct {
	name       string
	goose      goose.Dialect
	forUpdate  string // after a SELECT of a row that the transaction will change
	forShare   string // after a SELECT of a row that must stay as it is until the commit
	skipLocked string // after a SELECT of a row that others may be changing too
	arrays     bool   // a parameter may be a list
	clock      string // an expression for the time in unix milliseconds; "" is the caller's
	// queuedFirst is a query for the first $2 queued tasks of each ready turn of the
	// lane $1, turn by turn in claim order, at most $3 in all: the databases are
	// quick at it in different words.
	queuedFirst string
	// place is the xid and n of an event that is written now; horizon is the xid
	// before which nothing can be written any more. Serial numbers alone would pass
	// over what is committed late.
	place, horizon string
	versions       string // a query for 1 when the table of schema versions is there
	limit          string // what a bound LIMIT is written as; "" leaves it
}

var sqlite = dialect{
	name: "sqlite", goose: goose.DialectSQLite3,
	queuedFirst: `SELECT q.account, q.id, q.seconds FROM turn AS t CROSS JOIN task AS q WHERE t.lane = $1 AND t.ready = 1
		AND q.id IN (SELECT id FROM task WHERE lane = $1 AND account = t.account AND state = 'queued' ORDER BY id LIMIT $2) ORDER BY t.rank, t.account LIMIT $3`,
	// Not MAX(n), which no index has, nor the rowid itself, which VACUUM changes: the
	// last row's. A task's last event is never deleted.
	place:    "0, (SELECT COALESCE(MAX(n), 0) + 1 FROM event WHERE rowid = (SELECT MAX(rowid) FROM event))",
	horizon:  "1",
	versions: "SELECT COUNT(*) FROM sqlite_master WHERE name = 'goose_db_version'",
	// SQLite plans by the number that is bound to a bare LIMIT, and so reads the
	// statement anew each time one is bound, which is each use. A sum it takes as it is.
	limit: "LIMIT $1 + 0",
}

var boundLimit = regexp.MustCompile(`\bLIMIT (\$\d+)`)

// spell is a statement as the database is quickest with it.
func (d *dialect) spell(text string) string {
	if d.limit == "" {
		return text
	}

	return boundLimit.ReplaceAllString(text, d.limit)
}

var postgres = dialect{
	name: "postgres", goose: goose.DialectPostgres,
	forUpdate: " FOR UPDATE", forShare: " FOR SHARE", skipLocked: " FOR UPDATE SKIP LOCKED",
	arrays: true, clock: "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
	queuedFirst: `SELECT t.account, q.id, q.seconds FROM turn AS t
		CROSS JOIN LATERAL (SELECT id, seconds FROM task WHERE lane = $1 AND account = t.account AND state = 'queued' ORDER BY id LIMIT $2) AS q
		WHERE t.lane = $1 AND t.ready = 1 ORDER BY t.rank, t.account LIMIT $3`,
	place:    "CAST(CAST(pg_current_xact_id() AS text) AS bigint), nextval('event_n')",
	horizon:  "CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)",
	versions: "SELECT COUNT(*) FROM pg_class WHERE oid = to_regclass('goose_db_version')",
}

// givenClock is the dialect with leases by the caller's clock.
func (d dialect) givenClock() dialect {
	d.clock = ""
	return d
}

// clock is the time by which leases run out, in unix milliseconds: the database's
// own where there are several processes, else given.
func (r Reader) clock(ctx context.Context, given int64) (int64, error) {
	if r.d.clock == "" {
		return given, nil
	}

	return one(ctx, r.q, func(s scanner) (now int64, err error) { return now, s.Scan(&now) }, "SELECT "+r.d.clock)
}

// openSQLite opens the file with the pragmas that durability and speed need:
// a write-ahead log, an fsync at every commit, no checkpoints by the writer.
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

// How connections to PostgreSQL behave: nothing waits for ever.
const (
	connectTime   = 5 * time.Second
	statementTime = "15s"
	lockTime      = "10s"
	idleInTxTime  = "30s"
	leastPostgres = 150000
)

// postgresConfig reads a DSN. Its own words win over ours.
func postgresConfig(dsn string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, errors.New("the database address is not one: write it like postgres://user:password@host:5432/name?sslmode=require")
	}

	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTime
	}

	for name, value := range map[string]string{
		"application_name": "unireel", "statement_timeout": statementTime, "lock_timeout": lockTime,
		"idle_in_transaction_session_timeout": idleInTxTime, "timezone": "UTC",
	} {
		if _, given := config.RuntimeParams[name]; !given {
			config.RuntimeParams[name] = value
		}
	}

	return config, nil
}

// openPostgres opens connections to a PostgreSQL database and sees that it is one
// that serves. Errors never carry the DSN, which has a password.
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
		err = &tersely{fmt.Sprintf("cannot use the database %s at %s:%d as %s", config.Database, config.Host, config.Port, config.User), explain(err)}
	case version < leastPostgres:
		err = fmt.Errorf("the database at %s is PostgreSQL %d; Unireel needs 15 or newer", config.Host, version/10000)
	case encoding != "UTF8":
		err = fmt.Errorf("the database %s is encoded in %s; make one WITH ENCODING 'UTF8'", config.Database, encoding)
	default:
		return db, nil
	}

	return nil, errors.Join(err, db.Close())
}

// tersely is an error in one line, for people at a terminal: a connection that
// fails has many, one for each way that was tried.
type tersely struct {
	what string
	err  error
}

// Error is one line.
func (e *tersely) Error() string {
	reason := e.err.Error()

	var said *pgconn.PgError
	if errors.As(e.err, &said) {
		reason = said.Message
	}

	lines := strings.Split(strings.TrimSpace(reason), "\n")

	return e.what + ": " + strings.TrimSpace(lines[len(lines)-1])
}

// Unwrap is the error in all its words.
func (e *tersely) Unwrap() error { return e.err }

// explain turns the database's own words for "no room" and "not there" into
// ErrFull and ErrUnavailable.
func explain(err error) error {
	var lite *driver.Error
	if errors.As(err, &lite) && (lite.Code()&0xff == lib.SQLITE_FULL || lite.Code() == lib.SQLITE_IOERR_WRITE || lite.Code() == lib.SQLITE_IOERR_FSYNC) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}

	var said *pgconn.PgError
	if errors.As(err, &said) {
		switch {
		case said.Code == "53100":
			return fmt.Errorf("%w: %w", ErrFull, err)
		case outOfReach(said.Code):
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}

		return err
	}

	var (
		broken  *pgconn.ConnectError
		network net.Error
	)
	if errors.As(err, &broken) || errors.As(err, &network) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, errLost) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}

	return err
}

// outOfReach says whether a SQLSTATE is about the server or the connection, not
// about the statement: it goes away by itself.
func outOfReach(code string) bool {
	switch code {
	case "53300", "53400", "57P01", "57P02", "57P03", "57P05", "57014", "55P03", "25P03", "25006":
		return true
	}

	return strings.HasPrefix(code, "08")
}
