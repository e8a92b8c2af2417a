package store

import (
	"net/url"
	"strings"
	"testing"

	"github.com/unireel/unireel/internal/store/storetest"
)

// TestConnectErrorIsOneLine checks that the error of a database is one line that
// names it and contains no password, and that a role without rights leaves no
// tables behind.
func TestConnectErrorIsOneLine(t *testing.T) {
	good := storetest.Database(t)

	db, _, err := Options{Database: good}.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	defer func() { _ = db.Close() }()

	address := func(edit func(*url.URL)) string {
		u, err := url.Parse(good)
		if err != nil {
			t.Fatal(err)
		}

		u.User = url.UserPassword(u.User.Username(), "a-secret-word")
		edit(u)

		return u.String()
	}
	for want, dsn := range map[string]string{
		"GRANT CREATE": address(func(u *url.URL) { // a schema in which nobody may create tables
			query := u.Query()
			query.Set("search_path", "pg_catalog")
			u.RawQuery = query.Encode()
		}),
		"no-such-base":   address(func(u *url.URL) { u.Path = "/no-such-base" }),
		"no-such-role":   address(func(u *url.URL) { u.User = url.UserPassword("no-such-role", "a-secret-word") }),
		"postgres://use": "postgres://weak_role:a-secret-word@127.0.0.1:5432/x?sslmode=banana",
		"127.0.0.1:1":    "postgres://weak_role:a-secret-word@127.0.0.1:1/x?sslmode=disable",
	} {
		_, _, err := Migrate(t.Context(), Options{Database: dsn})
		if err == nil {
			t.Errorf("%s: migrated", want)
			continue
		}

		if text := err.Error(); !strings.Contains(text, want) || strings.Contains(text, "\n") || strings.Contains(text, "a-secret-word") {
			t.Errorf("%s: it says %q", want, text)
		}
	}

	var tables int
	if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM pg_tables WHERE schemaname = 'public'").Scan(&tables); err != nil || tables != 0 {
		t.Errorf("%d tables are left, %v", tables, err)
	}
}
