package cli

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// completeInBash returns the completions of a real bash.
func completeInBash(t *testing.T, script string, words ...string) string {
	t.Helper()

	program := fmt.Sprintf("%s\nCOMP_WORDS=(%s); COMP_CWORD=%d; _unireel; echo -n \"${COMPREPLY[*]}\"", script, strings.Join(words, " "), len(words)-1)

	out, err := exec.Command("bash", "-c", program).CombinedOutput()
	if err != nil {
		t.Fatalf("bash is needed (apt-get install bash): %v\n%s", err, out)
	}

	return string(out)
}

func writeBatchFile(t *testing.T, lines ...string) {
	t.Helper()

	if err := os.WriteFile("shots.jsonl", []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestBatchResumesAfterInterrupt(t *testing.T) {
	isolateEnv(t)
	f := newFakeServer(t)
	writeBatchFile(t, `{"model":"m","prompt":"a"}`, "", `{"model":"m","prompt":"b"}`, `{"model":"m","prompt":"a"}`)

	ctx, cancel := context.WithCancel(context.Background())
	f.onGet = func(string) { // stop the batch while all three tasks are in progress
		if f.taskCount() == 3 {
			cancel()
		}
	}

	f.taskJSON = func(string) string { return `"status":"in_progress","progress":10` }
	if got := f.run(ctx, t, "batch", "shots.jsonl", "-o", "out"); got.code != exitFailure || !strings.Contains(got.err, "Nothing is lost") {
		t.Fatalf("%+v", got)
	}

	f.setTask(newFakeServer(t).taskJSON, nil)
	// This is the state after a kill between a create and the write of its record. The
	// line's idempotency key finds the task again.
	deleteRecord(t)

	got := f.run(context.Background(), t, "batch", "shots.jsonl", "-o", "out")
	if got.code != exitOK || f.taskCount() != 3 {
		t.Fatalf("%d tasks were created: %+v", f.taskCount(), got)
	}

	for _, n := range []string{"0001", "0003", "0004"} {
		if _, err := os.Stat(filepath.Join("out", n+".mp4")); err != nil {
			t.Error(err)
		}
	}

	if !strings.Contains(got.out, "1.50") {
		t.Errorf("the table's total is wrong:\n%s", got.out)
	}

	before := strings.Count(f.callLog(), "POST")
	if got = f.run(context.Background(), t, "batch", "shots.jsonl", "-o", "out"); got.code != exitOK || strings.Count(f.callLog(), "POST") != before {
		t.Fatalf("a third run created tasks again: %+v", got)
	}

	if left, _ := filepath.Glob("out/*.json.*"); len(left) > 0 {
		t.Fatalf("temporary files were left behind: %v", left)
	}
}

// deleteRecord deletes the record of line 3.
func deleteRecord(t *testing.T) {
	t.Helper()

	state, err := openState("out")
	if err != nil {
		t.Fatal(err)
	}

	if len(state.records) < 2 { // the batch may have stopped between a create and its record
		t.Fatalf("%d records", len(state.records))
	}

	for key, r := range state.records {
		if r.Line == 3 {
			delete(state.records, key)
		}
	}

	for key, r := range state.records {
		if err := state.put(key, r); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBatchHonorsMaxCost(t *testing.T) {
	isolateEnv(t)
	f := newFakeServer(t)
	writeBatchFile(t, `{"model":"m","prompt":"a"}`, `{"model":"m","prompt":"b"}`, `{"model":"m","prompt":"c"}`)

	got := f.run(context.Background(), t, "batch", "shots.jsonl", "-o", "out", "--max-cost", "1.20", "--parallel", "1")
	if got.code != exitFailure || f.taskCount() != 2 || !strings.Contains(got.out, "--max-cost") {
		t.Fatalf("%d tasks: %+v", f.taskCount(), got)
	}
	// What was spent before also counts in the next run.
	if got = f.run(context.Background(), t, "batch", "shots.jsonl", "-o", "out", "--max-cost", "1.20", "--parallel", "1"); got.code != exitFailure || f.taskCount() != 2 {
		t.Fatalf("%d tasks: %+v", f.taskCount(), got)
	}

	if got = f.run(context.Background(), t, "batch", "shots.jsonl", "-o", "out", "--max-cost", "1.50"); got.code != exitOK || f.taskCount() != 3 {
		t.Fatalf("%d tasks: %+v", f.taskCount(), got)
	}
}

func TestBatchRecordsLineErrors(t *testing.T) {
	isolateEnv(t)
	f := newFakeServer(t)
	writeBatchFile(t, `{"model":"wrong","prompt":"a"}`, `{"model":"m","prompt":"b"}`)

	if got := f.run(context.Background(), t, "batch", "shots.jsonl", "-o", "out"); got.code != exitFailure || !strings.Contains(got.out, "No such model") || !strings.Contains(got.out, "0002.mp4") {
		t.Fatalf("%+v", got)
	}

	f.setTask(func(string) string { return `"status":"failed","error":{"code":"c","message":"Broke."}` }, nil)
	writeBatchFile(t, `{"model":"m","prompt":"x"}`)

	for i, args := range [][]string{{}, {}, {"--again"}} {
		got := f.run(context.Background(), t, append([]string{"batch", "shots.jsonl", "-o", "out2"}, args...)...)
		if want := []int{2, 2, 3}[i]; got.code != exitFailure || f.taskCount() != want || !strings.Contains(got.out, "Broke.") {
			t.Fatalf("after run %d there are %d tasks: %+v", i, f.taskCount(), got)
		}
	}
}

func TestLineKeysAreStable(t *testing.T) {
	read := func(text string) map[string]string {
		lines, err := parseLines("shots.jsonl", strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}

		keys := map[string]string{}
		for _, l := range lines {
			keys[l.key] = string(l.body)
		}

		return keys
	}
	before := read("{\"a\":1}\n{\"a\":1}\n{\"b\":2}")

	after := read("{\"c\":3}\n\n{\"b\":2}\n{\"a\":1}\n  {\"a\":1}\r\n")
	if len(before) != 3 || len(after) != 4 {
		t.Fatalf("%d and %d keys", len(before), len(after))
	}

	for key, body := range before {
		if diff := cmp.Diff(body, after[key]); diff != "" {
			t.Error(diff)
		}
	}

	for _, text := range []string{"[1]", "nonsense", "{\"a\":1} {\"b\":2}", "null"} {
		if _, err := parseLines("s", strings.NewReader("{}\n"+text)); err == nil || !strings.Contains(err.Error(), "s:2:") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func FuzzLines(f *testing.F) {
	f.Add("{\"a\":1}\n{\"a\":1}\n\n")
	f.Add("\ufeff{}\r\n[]")
	f.Fuzz(func(t *testing.T, text string) {
		lines, err := parseLines("f", strings.NewReader(text))
		if err != nil {
			return
		}

		seen := map[string]bool{}
		for _, l := range lines {
			if seen[l.key] || l.body[0] != '{' {
				t.Fatalf("line %d: duplicate key, or not an object", l.number)
			}

			seen[l.key] = true
		}
	})
}

func FuzzProbe(f *testing.F) {
	f.Add([]byte(`{"streams":[{"codec_type":"video","codec_name":"h264","width":1280,"height":720,"avg_frame_rate":"30/1","nb_read_frames":"150"}]}`))
	f.Fuzz(func(_ *testing.T, text []byte) {
		if streams, err := parseProbe(text); err == nil {
			_ = videoSpec{1280, 720, 5, true}.check(streams)
		}
	})
}
