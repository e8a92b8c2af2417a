package store

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// recorder keeps the statements that a method would run.
type recorder struct{ texts []string }

var errRecorded = errors.New("recorded")

func (r *recorder) query(_ context.Context, text string, _ ...any) (*sql.Rows, error) {
	r.texts = append(r.texts, text)
	return nil, errRecorded
}

func (r *recorder) row(_ context.Context, text string, _ ...any) *sql.Row {
	r.texts = append(r.texts, text)
	return deadRow()
}

func (r *recorder) exec(_ context.Context, text string, _ ...any) (sql.Result, error) {
	r.texts = append(r.texts, text)
	return nil, errRecorded
}

// deadRow is a row that gives an error when it is scanned.
func deadRow() *sql.Row {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		panic(err)
	}

	_ = db.Close()

	return db.QueryRow("SELECT 1")
}

// tb lets a property test use what wants a testing.TB: the rapid one has the
// methods that count, and fails the property.
type tb struct {
	testing.TB
	t *rapid.T
}

func asTB(t *rapid.T) testing.TB          { return tb{t: t} }
func (b tb) Helper()                      { b.t.Helper() }
func (b tb) Fatal(args ...any)            { b.t.Fatal(args...) }
func (b tb) Fatalf(f string, args ...any) { b.t.Fatalf(f, args...) }
func (b tb) Errorf(f string, args ...any) { b.t.Errorf(f, args...) }
func (b tb) Context() context.Context     { return context.Background() }
func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
