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

// schema is what both databases must agree on: for each table and each index of
// its own a line for each thing that is true of it.
type schema map[string][]string

// gather runs queries whose rows are a name and what is true of it.
func gather(t *testing.T, db *sql.DB, queries ...string) schema {
	t.Helper()

	found := schema{}

	for _, text := range queries {
		rows, err := db.QueryContext(t.Context(), text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}

		for rows.Next() {
			var name, said string
			if err := rows.Scan(&name, &said); err != nil {
				t.Fatal(err)
			}

			found[name] = append(found[name], plainly(said))
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
	casts = regexp.MustCompile(`::\w+`)
	anyOf = regexp.MustCompile(`= ANY \(ARRAY\[([^\]]*)\]\)`)
	marks = strings.NewReplacer("(", "", ")", "", `"`, "")
)

// plainly writes an expression as both databases can be read to say it.
func plainly(text string) string {
	text = casts.ReplaceAllString(text, "")
	text = anyOf.ReplaceAllString(text, "IN ($1)")

	return strings.Join(strings.Fields(marks.Replace(text)), " ")
}

// An index is named by its table, its own name where we gave it, and its columns.
const liteIndexes = `SELECT m.name, 'index ' || CASE WHEN l.origin = 'c' THEN l.name ELSE '' END || CASE WHEN l."unique" THEN ' unique ' ELSE ' ' END
	|| (SELECT GROUP_CONCAT(i.name, ',') FROM (SELECT name FROM pragma_index_info(l.name) ORDER BY seqno) AS i)
	|| COALESCE(' where ' || (SELECT CASE WHEN INSTR(x.sql, ' WHERE ') > 0 THEN SUBSTR(x.sql, INSTR(x.sql, ' WHERE ') + 7) END FROM sqlite_master AS x WHERE x.name = l.name), '')
	FROM sqlite_master AS m, pragma_index_list(m.name) AS l WHERE m.type = 'table' AND m.name NOT LIKE 'goose%' AND m.name NOT LIKE 'sqlite%'`

const liteColumns = `SELECT m.name, 'column ' || c.name || ' ' || LOWER(c.type) || CASE WHEN c."notnull" THEN ' not null' ELSE '' END || COALESCE(' default ' || c.dflt_value, '')
	FROM sqlite_master AS m, pragma_table_info(m.name) AS c WHERE m.type = 'table' AND m.name NOT LIKE 'goose%' AND m.name NOT LIKE 'sqlite%'`

const fullIndexes = `SELECT c.relname, 'index ' || CASE WHEN k.oid IS NULL THEN i.relname ELSE '' END || CASE WHEN x.indisunique THEN ' unique ' ELSE ' ' END
	|| (SELECT STRING_AGG(pg_get_indexdef(x.indexrelid, n, true), ',' ORDER BY n) FROM generate_series(1, x.indnkeyatts) AS n)
	|| COALESCE(' where ' || pg_get_expr(x.indpred, x.indrelid), '')
	FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid JOIN pg_class AS c ON c.oid = x.indrelid
	LEFT JOIN pg_constraint AS k ON k.conindid = x.indexrelid
	WHERE c.relnamespace = 'public'::regnamespace AND c.relname NOT LIKE 'goose%'`

const fullColumns = `SELECT table_name, 'column ' || column_name || ' ' || data_type || CASE WHEN is_nullable = 'NO' THEN ' not null' ELSE '' END || COALESCE(' default ' || column_default, '')
	FROM information_schema.columns WHERE table_schema = 'public' AND table_name NOT LIKE 'goose%'`

const fullChecks = `SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint
	WHERE contype NOT IN ('p', 'u') AND connamespace = 'public'::regnamespace AND conrelid::regclass::text NOT LIKE 'goose%'`

// liteChecks reads the checks out of the statements that made the tables: SQLite
// keeps them nowhere else. Ours have no parentheses inside.
func liteChecks(t *testing.T, db *sql.DB, into schema) {
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
			into[name] = append(into[name], plainly(check))
		}

		slices.Sort(into[name])
	}

	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

// Both databases end with the same schema, so that a statement that is right on
// one of them is right on the other.
func TestBothDatabasesHaveTheSameSchema(t *testing.T) {
	lite := openAt(t, storetest.File(t))
	full := openAt(t, storetest.Place{Database: storetest.Migrated(t, migrated)})
	want := gather(t, lite.reads, liteColumns, liteIndexes)
	liteChecks(t, lite.reads, want)

	got := gather(t, full.reads, fullColumns, fullIndexes, fullChecks)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the schemas (-sqlite +postgres):\n%s", diff)
	}

	if len(want) < 10 || len(want["balance"]) < 6 || !slices.ContainsFunc(want["task"], func(s string) bool { return strings.Contains(s, "where") }) {
		t.Errorf("the test sees too little: %v", want)
	}
}

// Ids and keys are compared by their bytes on SQLite. On PostgreSQL each column
// has to say so: a database sorts as its people do.
func TestTextIsComparedByItsBytes(t *testing.T) {
	s := openAt(t, storetest.Place{Database: storetest.Migrated(t, migrated)})

	found := gather(t, s.reads, `SELECT table_name || '.' || column_name, COALESCE(collation_name, 'the default') FROM information_schema.columns
		WHERE table_schema = 'public' AND table_name NOT LIKE 'goose%' AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'`)
	for column, collation := range found {
		t.Errorf("%s is compared by %v", column, collation)
	}
}
