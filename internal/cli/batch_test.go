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

// complete asks a real bash.
func complete(t *testing.T, script string, words ...string) string {
	t.Helper()

	ask := fmt.Sprintf("%s\nCOMP_WORDS=(%s); COMP_CWORD=%d; _unireel; echo -n \"${COMPREPLY[*]}\"", script, strings.Join(words, " "), len(words)-1)

	out, err := exec.Command("bash", "-c", ask).CombinedOutput()
	if err != nil {
		t.Fatalf("bash is needed (apt-get install bash): %v\n%s", err, out)
	}

	return string(out)
}

func shots(t *testing.T, lines ...string) {
	t.Helper()

	if err := os.WriteFile("shots.jsonl", []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestBatchGoesOnAfterItWasKilled(t *testing.T) {
	clean(t)
	f := newFake(t)
	shots(t, `{"model":"m","prompt":"a"}`, "", `{"model":"m","prompt":"b"}`, `{"model":"m","prompt":"a"}`)

	ctx, cancel := context.WithCancel(context.Background())
	f.onGet = func(string) { // killed while all three are under way
		if f.made() == 3 {
			cancel()
		}
	}

	f.end = func(string) string { return `"status":"in_progress","progress":10` }
	if got := f.run(ctx, t, "batch", "shots.jsonl", "-o", "out"); got.code != exitNo || !strings.Contains(got.err, "nothing is lost") {
		t.Fatalf("%+v", got)
	}

	f.become(newFake(t).end, nil)
	// A kill between a create and its record: the line's key finds the task again.
	forget(t)

	got := f.run(context.Background(), t, "batch", "shots.jsonl", "-o", "out")
	if got.code != exitOK || f.made() != 3 {
		t.Fatalf("%d tasks made: %+v", f.made(), got)
	}

	for _, n := range []string{"0001", "0003", "0004"} {
		if _, err := os.Stat(filepath.Join("out", n+".mp4")); err != nil {
			t.Error(err)
		}
	}

	if !strings.Contains(got.out, "1.50") {
		t.Errorf("the table does not add up:\n%s", got.out)
	}

	before := strings.Count(f.called(), "POST")
	if got = f.run(context.Background(), t, "batch", "shots.jsonl", "-o", "out"); got.code != exitOK || strings.Count(f.called(), "POST") != before {
		t.Fatalf("a third run orders again: %+v", got)
	}

	if left, _ := filepath.Glob("out/*.json.*"); len(left) > 0 {
		t.Fatalf("left behind: %v", left)
	}
}

// forget takes one line's record away.
func forget(t *testing.T) {
	t.Helper()

	state, err := openState("out")
	if err != nil {
		t.Fatal(err)
	}

	if len(state.records) < 2 { // the kill may have come between a create and its record
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

func TestBatchKeepsItsPurse(t *testing.T) {
	clean(t)
	f := newFake(t)
	shots(t, `{"model":"m","prompt":"a"}`, `{"model":"m","prompt":"b"}`, `{"model":"m","prompt":"c"}`)

	got := f.run(context.Background(), t, "batch", "shots.jsonl", "-o", "out", "--max-cost", "1.20", "--parallel", "1")
	if got.code != exitNo || f.made() != 2 || !strings.Contains(got.out, "--max-cost") {
		t.Fatalf("%d tasks: %+v", f.made(), got)
	}
	// What was spent counts in the next run too.
	if got = f.run(context.Background(), t, "batch", "shots.jsonl", "-o", "out", "--max-cost", "1.20", "--parallel", "1"); got.code != exitNo || f.made() != 2 {
		t.Fatalf("%d tasks: %+v", f.made(), got)
	}

	if got = f.run(context.Background(), t, "batch", "shots.jsonl", "-o", "out", "--max-cost", "1.50"); got.code != exitOK || f.made() != 3 {
		t.Fatalf("%d tasks: %+v", f.made(), got)
	}
}

func TestBatchKeepsWhatIsWrongWithItsLine(t *testing.T) {
	clean(t)
	f := newFake(t)
	shots(t, `{"model":"wrong","prompt":"a"}`, `{"model":"m","prompt":"b"}`)

	if got := f.run(context.Background(), t, "batch", "shots.jsonl", "-o", "out"); got.code != exitNo || !strings.Contains(got.out, "No such model") || !strings.Contains(got.out, "0002.mp4") {
		t.Fatalf("%+v", got)
	}

	f.become(func(string) string { return `"status":"failed","error":{"code":"c","message":"Broke."}` }, nil)
	shots(t, `{"model":"m","prompt":"x"}`)

	for i, args := range [][]string{{}, {}, {"--again"}} {
		got := f.run(context.Background(), t, append([]string{"batch", "shots.jsonl", "-o", "out2"}, args...)...)
		if want := []int{2, 2, 3}[i]; got.code != exitNo || f.made() != want || !strings.Contains(got.out, "Broke.") {
			t.Fatalf("run %d made %d tasks: %+v", i, f.made(), got)
		}
	}
}

func TestLinesKeepTheirKeysWhenOthersCome(t *testing.T) {
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
				t.Fatalf("line %d: key twice, or not an object", l.number)
			}

			seen[l.key] = true
		}
	})
}

func FuzzProbe(f *testing.F) {
	f.Add([]byte(`{"streams":[{"codec_type":"video","codec_name":"h264","width":1280,"height":720,"avg_frame_rate":"30/1","nb_read_frames":"150"}]}`))
	f.Fuzz(func(_ *testing.T, text []byte) {
		if streams, err := parseProbe(text); err == nil {
			_ = look{1280, 720, 5, true}.check(streams)
		}
	})
}
