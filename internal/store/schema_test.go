package store

import (
	"database/sql"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/unireel/unireel/internal/store/storetest"
)

// schema is what both databases must have in common: for each table one line for
// each of its columns, indexes and checks.
type schema map[string][]string

// readSchema runs queries whose rows are the name of a table and one line about
// it.
func readSchema(t *testing.T, db *sql.DB, queries ...string) schema {
	t.Helper()

	found := schema{}

	for _, text := range queries {
		rows, err := db.QueryContext(t.Context(), text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}

		for rows.Next() {
			var name, property string
			if err := rows.Scan(&name, &property); err != nil {
				t.Fatal(err)
			}

			found[name] = append(found[name], normalize(property))
		}

		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}

		_ = rows.Close()
	}

	for name := range found {
		slices.Sort(found[name])
	}

	return found
}

var (
	casts       = regexp.MustCompile(`::\w+`)
	anyArray    = regexp.MustCompile(`= ANY \(ARRAY\[([^\]]*)\]\)`)
	punctuation = strings.NewReplacer("(", "", ")", "", `"`, "")
)

// normalize writes an expression in a form that is the same for both databases.
func normalize(text string) string {
	text = casts.ReplaceAllString(text, "")
	text = anyArray.ReplaceAllString(text, "IN ($1)")

	return strings.Join(strings.Fields(punctuation.Replace(text)), " ")
}

// An index is described by its table, its name if we gave it one, and its
// columns.
const sqliteIndexes = `SELECT m.name, 'index ' || CASE WHEN l.origin = 'c' THEN l.name ELSE '' END || CASE WHEN l."unique" THEN ' unique ' ELSE ' ' END
	|| (SELECT GROUP_CONCAT(i.name, ',') FROM (SELECT name FROM pragma_index_info(l.name) ORDER BY seqno) AS i)
	|| COALESCE(' where ' || (SELECT CASE WHEN INSTR(x.sql, ' WHERE ') > 0 THEN SUBSTR(x.sql, INSTR(x.sql, ' WHERE ') + 7) END FROM sqlite_master AS x WHERE x.name = l.name), '')
	FROM sqlite_master AS m, pragma_index_list(m.name) AS l WHERE m.type = 'table' AND m.name NOT LIKE 'goose%' AND m.name NOT LIKE 'sqlite%'`

const sqliteColumns = `SELECT m.name, 'column ' || c.name || ' ' || LOWER(c.type) || CASE WHEN c."notnull" THEN ' not null' ELSE '' END || COALESCE(' default ' || c.dflt_value, '')
	FROM sqlite_master AS m, pragma_table_info(m.name) AS c WHERE m.type = 'table' AND m.name NOT LIKE 'goose%' AND m.name NOT LIKE 'sqlite%'`

const postgresIndexes = `SELECT c.relname, 'index ' || CASE WHEN k.oid IS NULL THEN i.relname ELSE '' END || CASE WHEN x.indisunique THEN ' unique ' ELSE ' ' END
	|| (SELECT STRING_AGG(pg_get_indexdef(x.indexrelid, n, true), ',' ORDER BY n) FROM generate_series(1, x.indnkeyatts) AS n)
	|| COALESCE(' where ' || pg_get_expr(x.indpred, x.indrelid), '')
	FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid JOIN pg_class AS c ON c.oid = x.indrelid
	LEFT JOIN pg_constraint AS k ON k.conindid = x.indexrelid
	WHERE c.relnamespace = 'public'::regnamespace AND c.relname NOT LIKE 'goose%'`

const postgresColumns = `SELECT table_name, 'column ' || column_name || ' ' || data_type || CASE WHEN is_nullable = 'NO' THEN ' not null' ELSE '' END || COALESCE(' default ' || column_default, '')
	FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE 'goose%'`

const postgresChecks = `SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint
	WHERE contype NOT IN ('p', 'u') AND connamespace = 'public'::regnamespace AND conrelid::regclass::text NOT LIKE 'goose%'`

// readSQLiteChecks parses the CHECKs out of the CREATE TABLE statements, since
// SQLite stores them nowhere else. Ours contain no parentheses.
func readSQLiteChecks(t *testing.T, db *sql.DB, into schema) {
	t.Helper()

	rows, err := db.QueryContext(t.Context(), "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'goose%' AND name NOT LIKE 'sqlite%'")
	if err != nil {
		t.Fatal(err)
	}

	defer func() { _ = rows.Close() }()

	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			t.Fatal(err)
		}

		for _, check := range regexp.MustCompile(`CHECK \([^)]*\)`).FindAllString(text, -1) {
			into[name] = append(into[name], normalize(check))
		}

		slices.Sort(into[name])
	}

	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

// TestSchemasMatch checks that both databases end with the same schema, so that
// a statement that is correct on one is correct on the other.
func TestSchemasMatch(t *testing.T) {
	lite := openStore(t, storetest.SQLiteFile(t))
	full := openStore(t, storetest.Location{Database: storetest.MigratedDatabase(t, migrateDatabase)})
	want := readSchema(t, lite.reads, sqliteColumns, sqliteIndexes)
	readSQLiteChecks(t, lite.reads, want)

	got := readSchema(t, full.reads, postgresColumns, postgresIndexes, postgresChecks)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the schemas (-sqlite +postgres):\n%s", diff)
	}

	if len(want) < 10 || len(want["balance"]) < 6 || !slices.ContainsFunc(want["task"], func(s string) bool { return strings.Contains(s, "where") }) {
		t.Errorf("the test reads too little of the schema: %v", want)
	}
}

// TestTextColumnsUseCCollation checks that ids and keys are compared by bytes,
// as on SQLite. On PostgreSQL each column must say so, because a database sorts
// by the rules of its language.
func TestTextColumnsUseCCollation(t *testing.T) {
	s := openStore(t, storetest.Location{Database: storetest.MigratedDatabase(t, migrateDatabase)})

	found := readSchema(t, s.reads, `SELECT table_name || '.' || column_name, COALESCE(collation_name, 'the default') FROM information_schema.columns
		WHERE table_schema = 'public' AND table_name NOT LIKE 'goose%' AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'`)
	for column, collation := range found {
		t.Errorf("%s has collation %v", column, collation)
	}
}
