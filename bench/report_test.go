package main

import (
	"strings"
	"testing"
	"time"
)

// TestReport checks that each figure is in the column of its database, and that
// targets that differ are written with the database's name.
func TestReport(t *testing.T) {
	lines := []measurement{
		{name: "disk", unit: "/s", measured: 6413, limitedBy: "the disk"},
		{database: sqlite, name: "creates", unit: "/s", target: 6000, measured: 9000, note: "p50 7 ms", limitedBy: "cores"},
		{database: sqlite, name: "idle", unit: "MiB", target: 40, atMost: true, measured: 20, limitedBy: "pages"},
		{database: postgres, name: "creates", unit: "/s", target: 4000, measured: 2000, note: "p50 9 ms", limitedBy: "cores"},
		{database: postgres, name: "idle", unit: "MiB", target: 40, atMost: true, measured: 80, limitedBy: "pages"},
		{database: postgres, name: "failover", unit: "s", target: 12, atMost: true, measured: 11.5, limitedBy: "a lease"},
	}

	text := report([]string{"Machine: one."}, lines, &bench{lifecycleTime: time.Minute, loadTime: time.Second, rows: 1000})
	for _, want := range []string{
		"\n- Machine: one.\n",
		"\n| creates | SQLite: >= 6,000 /s; PostgreSQL: >= 4,000 /s | 9,000 /s | 1.50 | 2,000 /s | 0.50 |\n",
		"\n| idle | <= 40 MiB | 20 MiB | 2.00 | 80 MiB | 0.50 |\n",
		"\n| failover | <= 12 s |  |  | 11.5 s | 1.04 |\n",
		"\n| disk |  | 6,413 /s |  | the disk |\n",
		"\n| creates | p50 7 ms | p50 9 ms | cores |\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the report does not contain %q", want)
		}
	}

	if t.Failed() {
		t.Log(text)
	}
}

func TestParseDatabases(t *testing.T) {
	if _, err := parseDatabases("sqlite,mysql"); err == nil {
		t.Error("parseDatabases accepts mysql, which is not supported")
	}

	if names, err := parseDatabases("postgres,sqlite"); err != nil || len(names) != 2 || names[0] != postgres {
		t.Errorf("parseDatabases returns %v, %v", names, err)
	}
}

func TestSelectScenarios(t *testing.T) {
	if _, err := selectScenarios("creates,nothing"); err == nil {
		t.Error("selectScenarios accepts the name of a scenario that does not exist")
	}

	if list, err := selectScenarios("backlog,creates"); err != nil || len(list) != 2 || list[0].name != "backlog" {
		t.Errorf("selectScenarios returns %v, %v", list, err)
	}
}
