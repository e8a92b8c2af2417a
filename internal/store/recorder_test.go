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

// statementRecorder records the statements that a method would run.
type statementRecorder struct{ texts []string }

var errRecorded = errors.New("recorded")

func (r *statementRecorder) query(_ context.Context, text string, _ ...any) (*sql.Rows, error) {
	r.texts = append(r.texts, text)
	return nil, errRecorded
}

func (r *statementRecorder) row(_ context.Context, text string, _ ...any) *sql.Row {
	r.texts = append(r.texts, text)
	return failingRow()
}

func (r *statementRecorder) exec(_ context.Context, text string, _ ...any) (sql.Result, error) {
	r.texts = append(r.texts, text)
	return nil, errRecorded
}

// failingRow returns a row whose Scan fails.
func failingRow() *sql.Row {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		panic(err)
	}

	_ = db.Close()

	return db.QueryRow("SELECT 1")
}

// rapidTB adapts a *rapid.T for functions that need a testing.TB: their failures
// fail the property.
type rapidTB struct {
	testing.TB
	t *rapid.T
}

func asTB(t *rapid.T) testing.TB                { return rapidTB{t: t} }
func (b rapidTB) Helper()                       { b.t.Helper() }
func (b rapidTB) Fatal(args ...any)             { b.t.Fatal(args...) }
func (b rapidTB) Fatalf(f string, args ...any)  { b.t.Fatalf(f, args...) }
func (b rapidTB) Errorf(f string, args ...any)  { b.t.Errorf(f, args...) }
func (b rapidTB) Context() context.Context      { return context.Background() }
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
