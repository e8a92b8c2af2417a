package main

import (
	"strings"
	"testing"
	"time"
)

// A figure stands in its database's column; a target that differs says where.
func TestPage(t *testing.T) {
	lines := []line{
		{name: "bare disk", unit: "/s", measured: 6413, bounds: "the disk"},
		{on: sqlite, name: "creates", unit: "/s", target: 6000, measured: 9000, also: "p50 7 ms", bounds: "cores"},
		{on: sqlite, name: "idle", unit: "MiB", target: 40, most: true, measured: 20, bounds: "pages"},
		{on: postgres, name: "creates", unit: "/s", target: 4000, measured: 2000, also: "p50 9 ms", bounds: "cores"},
		{on: postgres, name: "idle", unit: "MiB", target: 40, most: true, measured: 80, bounds: "pages"},
		{on: postgres, name: "take-over", unit: "s", target: 12, most: true, measured: 11.5, bounds: "a lease"},
	}

	text := page([]string{"Machine: one."}, lines, &bench{time: time.Minute, burst: time.Second, rows: 1000})
	for _, want := range []string{
		"\n- Machine: one.\n",
		"\n| creates | SQLite: >= 6,000 /s; PostgreSQL: >= 4,000 /s | 9,000 /s | 1.50 | 2,000 /s | 0.50 |\n",
		"\n| idle | <= 40 MiB | 20 MiB | 2.00 | 80 MiB | 0.50 |\n",
		"\n| take-over | <= 12 s |  |  | 11.5 s | 1.04 |\n",
		"\n| bare disk |  | 6,413 /s |  | the disk |\n",
		"\n| creates | p50 7 ms | p50 9 ms | cores |\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no%s", want)
		}
	}

	if t.Failed() {
		t.Log(text)
	}
}

func TestDatabasesAreChosenByName(t *testing.T) {
	if _, err := choose("sqlite,mysql"); err == nil {
		t.Error("mysql is taken")
	}

	if names, err := choose("postgres,sqlite"); err != nil || len(names) != 2 || names[0] != postgres {
		t.Errorf("%v, %v", names, err)
	}
}

func TestPartsAreChosenByName(t *testing.T) {
	if _, err := chosen("creates,nothing"); err == nil {
		t.Error("a part that is not there is taken")
	}

	if list, err := chosen("backlog,creates"); err != nil || len(list) != 2 || list[0].name != "backlog" {
		t.Errorf("%v, %v", list, err)
	}
}
