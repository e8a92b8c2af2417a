// Package script drives the real binary, as a customer and an operator do: each
// *.txtar file is a story of commands and what they answer, on a data folder of
// its own. `server` starts unireel serve, `http` is curl without being curl.
package script

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	_ "github.com/unireel/unireel/internal/cli" // what the program is made of: a result is kept only while it is the same
	"github.com/unireel/unireel/internal/store/storetest"
)

// apiKey is the first key of every script's server.
const apiKey = "sk-script-0123456789abcdef"

// binary is the program with its fail points, built once.
var binary string

// atOnce is how many scripts run side by side, where the command line does not say:
// they wait far more than they work.
const atOnce = "5"

func TestMain(m *testing.M) {
	flag.Parse()

	given := false

	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })

	if !given {
		if err := flag.Set("test.parallel", atOnce); err != nil {
			panic(err)
		}
	}

	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "unireel-script-*")
		if err != nil {
			panic(err)
		}
		defer func() { _ = os.RemoveAll(dir) }()

		binary = filepath.Join(dir, "unireel")
		build := exec.Command("go", "build", "-tags", "failpoint", "-o", binary, "../../cmd/unireel")

		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "cannot build the program:", err)
			return 1
		}

		return m.Run()
	}())
}

// Every script is told on both databases; a line that is about one of them begins
// with [sqlite] or [postgres].
func TestScripts(t *testing.T) {
	for _, tool := range []string{"ffmpeg", "ffprobe"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%s is missing; install it with: apt-get install ffmpeg", tool)
		}
	}

	for _, database := range databases {
		t.Run(database, func(t *testing.T) {
			t.Parallel()
			scripts(t, database)
		})
	}
}

func scripts(t *testing.T, database string) {
	testscript.Run(t, testscript.Params{
		Dir: ".",
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", filepath.Dir(binary)+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("UNIREEL_DATA", filepath.Join(env.WorkDir, "data"))
			env.Setenv("UNIREEL_ADDR", "127.0.0.1:0")
			env.Setenv("UNIREEL_BOOTSTRAP_KEY", apiKey)
			env.Setenv("KEY", apiKey)

			page, err := filepath.Abs("../../internal/cli/testdata/demo")
			env.Setenv("PAGE", page) // the bodies of the seed page

			if err != nil || database == "sqlite" {
				return err
			}

			dsn, drop, err := storetest.Make(migrate)
			if err != nil {
				return err
			}

			env.Defer(func() { _ = drop() }) // the servers that use it are gone by then or lose it now
			env.Setenv("UNIREEL_DATABASE", dsn)

			return nil
		},
		Condition: func(name string) (bool, error) {
			if name != "sqlite" && name != "postgres" {
				return false, fmt.Errorf("no database is called %q", name)
			}

			return name == database, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"server": serverCmd, "sim": simCmd, "halt": haltCmd, "slay": slayCmd, "died": diedCmd,
			"http": httpCmd, "json": jsonCmd, "keep": keepCmd, "await": awaitCmd, "probe": probeCmd,
			"raw": rawCmd, "exits": exitsCmd, "elapse": elapseCmd, "blank": blankCmd, "gone": goneCmd,
			"listener": listenerCmd, "s3": s3Cmd, "says": saysCmd, "oneline": onelineCmd,
		},
	})
}

// process is a program that a script started.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error
	log  *os.File
}

// processes are those of every script under way, by its folder: scripts run side by
// side, one of a name on each database.
var processes sync.Map

func start(ts *testscript.TestScript, name string, args ...string) *process {
	log, err := os.OpenFile(ts.MkAbs(name+".log"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	ts.Check(err)

	cmd := exec.Command(binary, args...)
	if kib := ts.Getenv("FILEBOUND"); kib != "" { // no file may grow beyond it
		cmd = exec.Command("bash", append([]string{"-c", `ulimit -f "$0" && exec "$@"`, kib, binary}, args...)...)
	}

	cmd.Dir = ts.Getenv("WORK")

	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "UNIREEL_") && !strings.HasPrefix(v, "DASHSCOPE_") && !strings.HasPrefix(v, "HOME=") {
			cmd.Env = append(cmd.Env, v)
		}
	}

	for _, v := range []string{
		"HOME", "UNIREEL_DATA", "UNIREEL_ADDR", "UNIREEL_BOOTSTRAP_KEY", "UNIREEL_BOOTSTRAP_CREDIT", "UNIREEL_FETCH_MAP", "UNIREEL_FETCH_ALLOW",
		"UNIREEL_FAILPOINT", "UNIREEL_DATABASE", "DASHSCOPE_API_KEY", "UNIREEL_DASHSCOPE_BASE_URL", "UNIREEL_RETENTION", "UNIREEL_FFMPEG",
	} {
		if value := ts.Getenv(v); value != "" {
			cmd.Env = append(cmd.Env, v+"="+value)
		}
	}

	cmd.Stdout = log
	cmd.Stderr = log
	ts.Check(cmd.Start())

	p := &process{cmd: cmd, done: make(chan struct{}), log: log}
	go func() { p.err = cmd.Wait(); _ = log.Close(); close(p.done) }()

	processes.Store(ts.Getenv("WORK")+" "+name, p)
	ts.Defer(func() {
		_ = cmd.Process.Kill()

		<-p.done
	})

	return p
}

// serverCmd starts `unireel serve` and waits until it is ready; $URL is its
// address afterwards.
func serverCmd(ts *testscript.TestScript, neg bool, args []string) {
	profile := filepath.Join(ts.Getenv("UNIREEL_DATA"), "profile.json")
	p := start(ts, "server", append([]string{"serve"}, args...)...)

	if neg {
		select {
		case <-p.done:
		case <-time.After(20 * time.Second):
			ts.Fatalf("the server did not refuse to start")
		}

		text := ts.ReadFile("server.log")

		_, _ = io.WriteString(ts.Stderr(), text)
		if p.err == nil {
			ts.Fatalf("the server ended without an error")
		}

		return
	}

	await(ts, p, "server", func() bool {
		text, err := os.ReadFile(profile)

		var seen struct{ URL string }

		if !strings.Contains(ts.ReadFile("server.log"), " listens on ") { // until then the profile is an earlier server's
			return false
		}

		if err != nil || json.Unmarshal(text, &seen) != nil || seen.URL == "" {
			return false
		}

		resp, err := http.Get(seen.URL + "/readyz")
		if err != nil {
			return false
		}

		_ = resp.Body.Close()

		ts.Setenv("URL", seen.URL)

		return resp.StatusCode == http.StatusOK
	})
}

// simCmd starts `unireel sim dashscope`; $SIM is its address, and $SIMPORT its
// port, afterwards.
func simCmd(ts *testscript.TestScript, _ bool, args []string) {
	p := start(ts, "sim", append([]string{"sim", "dashscope", "--addr", "127.0.0.1:0"}, args...)...)
	address := regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+`)

	await(ts, p, "sim", func() bool {
		found := address.FindString(ts.ReadFile("sim.log"))
		ts.Setenv("SIM", found)

		return found != ""
	})
}

// await waits for a process to be as wanted; it looks again after each pause, and
// gives up when the process ends.
func await(ts *testscript.TestScript, p *process, name string, ready func() bool) {
	deadline := time.After(150 * time.Second) // a killed server's claim of a delivery lasts a minute

	for !ready() {
		select {
		case <-p.done:
			ts.Fatalf("%s ended: %v\n%s", name, p.err, ts.ReadFile(name+".log"))
		case <-deadline:
			ts.Fatalf("%s was not ready in time\n%s", name, ts.ReadFile(name+".log"))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func running(ts *testscript.TestScript, args []string) *process {
	name := "server"
	if len(args) > 0 {
		name = args[0]
	}

	p, ok := processes.Load(ts.Getenv("WORK") + " " + name)
	if !ok {
		ts.Fatalf("no %s was started", name)
	}

	return p.(*process)
}

// haltCmd ends a process with SIGTERM and wants exit code 0.
func haltCmd(ts *testscript.TestScript, _ bool, args []string) {
	p := running(ts, args)
	ts.Check(p.cmd.Process.Signal(syscall.SIGTERM))

	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		ts.Fatalf("it did not stop in time")
	}

	if p.err != nil {
		ts.Fatalf("it stopped with %v\n%s", p.err, ts.ReadFile("server.log"))
	}
}

// slayCmd is kill -9.
func slayCmd(ts *testscript.TestScript, _ bool, args []string) {
	p := running(ts, args)
	ts.Check(p.cmd.Process.Kill())
	<-p.done
}

// diedCmd waits until a process killed itself at its fail point.
func diedCmd(ts *testscript.TestScript, _ bool, args []string) {
	p := running(ts, args)
	select {
	case <-p.done:
	case <-time.After(120 * time.Second):
		ts.Fatalf("it did not die at its fail point\n%s", ts.ReadFile("server.log"))
	}

	if p.cmd.ProcessState.ExitCode() != -1 {
		ts.Fatalf("it ended with %v instead of being killed\n%s", p.err, ts.ReadFile("server.log"))
	}
}

// httpCmd is: http STATUS METHOD PATH [BODY | @FILE | -F FIELD ...] [Header: value
// ...], where a FIELD of a form is name=value or name=@FILE. The answer's body is stdout, its head stderr. $KEY is the key.
func httpCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: http STATUS METHOD PATH [BODY | @FILE] [Header:value ...]")
	}

	want, err := strconv.Atoi(args[0])
	ts.Check(err)

	body := ""

	headers := args[3:]
	if len(headers) > 0 && (strings.HasPrefix(headers[0], "{") || strings.HasPrefix(headers[0], "@") || headers[0] == "-") {
		body = headers[0]
		headers = headers[1:]
	}

	if file, ok := strings.CutPrefix(body, "@"); ok {
		body = ts.ReadFile(file)
	}

	contentType := "application/json"
	if len(headers) > 0 && headers[0] == "-F" {
		body, contentType, headers = formBody(ts, headers)
	}

	url := args[2]
	if strings.HasPrefix(url, "/") {
		url = ts.Getenv("URL") + url
	}

	ctx, done := context.WithTimeout(context.Background(), 90*time.Second)
	defer done()

	req, err := http.NewRequestWithContext(ctx, args[1], url, strings.NewReader(body))
	ts.Check(err)

	if key := ts.Getenv("KEY"); key != "" && !strings.Contains(url, "signature=") {
		req.Header.Set("Authorization", "Bearer "+key)
	}

	if body != "" {
		req.Header.Set("Content-Type", contentType)
	}

	for _, h := range headers {
		name, value, _ := strings.Cut(h, ":")
		req.Header.Set(name, strings.TrimSpace(value))
	}

	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)

	defer func() { _ = resp.Body.Close() }()

	text, err := io.ReadAll(resp.Body)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("answer"), text, 0o600))

	if kind := resp.Header.Get("Content-Type"); strings.Contains(kind, "json") || strings.HasPrefix(kind, "text/") {
		_, _ = ts.Stdout().Write(text)
	}

	_ = resp.Header.Write(ts.Stderr())
	if resp.StatusCode != want {
		ts.Fatalf("%s %s answered %s, want %d\n%s", args[1], args[2], resp.Status, want, text)
	}
}

// rawCmd is: raw STATUS FILE: sends the file as it is, with CRLF for line ends of
// its head and $KEY put in, over a connection of its own, and reads the answer
// while the rest of the request never comes. The answer is stdout.
func rawCmd(ts *testscript.TestScript, _ bool, args []string) {
	head, body, _ := strings.Cut(ts.ReadFile(args[1]), "\n\n")
	head = strings.ReplaceAll(strings.ReplaceAll(head, "$KEY", ts.Getenv("KEY")), "\n", "\r\n")
	conn, err := net.Dial("tcp", strings.TrimPrefix(ts.Getenv("URL"), "http://"))
	ts.Check(err)

	defer func() { _ = conn.Close() }()

	ts.Check(conn.SetDeadline(time.Now().Add(20 * time.Second)))
	_, err = io.WriteString(conn, head+"\r\n\r\n"+body)
	ts.Check(err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	ts.Check(err)

	defer func() { _ = resp.Body.Close() }()

	text, err := io.ReadAll(resp.Body)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("answer"), text, 0o600))

	_, _ = ts.Stdout().Write(text)
	if got := strconv.Itoa(resp.StatusCode); got != args[0] {
		ts.Fatalf("it answered %s, want %s\n%s", resp.Status, args[0], text)
	}
}

// goneCmd is: gone FOLDER: waits until a sweep has left no file in it.
func goneCmd(ts *testscript.TestScript, _ bool, args []string) {
	await(ts, running(ts, nil), "server", func() bool {
		found, err := filepath.Glob(filepath.Join(args[0], "*"))
		ts.Check(err)

		return len(found) == 0
	})
}

// exitsCmd is: exits CODE PROGRAM [ARGUMENT ...].
func exitsCmd(ts *testscript.TestScript, _ bool, args []string) {
	code := 0
	err := ts.Exec(args[1], args[2:]...)

	var ended *exec.ExitError
	if errors.As(err, &ended) {
		code = ended.ExitCode()
	} else {
		ts.Check(err)
	}

	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// at finds a value in the last answer: "error.errors.0.param".
func at(ts *testscript.TestScript, path string) string {
	var v any

	d := json.NewDecoder(strings.NewReader(ts.ReadFile("answer")))
	d.UseNumber()
	ts.Check(d.Decode(&v))

	for part := range strings.SplitSeq(path, ".") {
		switch node := v.(type) {
		case map[string]any:
			v = node[part]
		case []any:
			if part == "length" {
				v = len(node)
				continue
			}

			i, err := strconv.Atoi(part)
			if err != nil || i >= len(node) {
				return ""
			}

			v = node[i]
		default:
			return ""
		}
	}

	switch node := v.(type) {
	case nil:
		return "null"
	case string:
		return node
	case map[string]any, []any:
		text, err := json.Marshal(node)
		ts.Check(err)

		return string(text)
	default:
		return fmt.Sprint(node)
	}
}

// jsonCmd is: json PATH REGEXP, over the last answer.
func jsonCmd(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: json PATH REGEXP")
	}

	got := at(ts, args[0])
	if regexp.MustCompile("^(?s:"+args[1]+")$").MatchString(got) == neg {
		ts.Fatalf("%s is %q, want %s%s\n%s", args[0], got, map[bool]string{true: "not "}[neg], args[1], ts.ReadFile("answer"))
	}
}

// keepCmd is: keep VARIABLE PATH, from the last answer.
func keepCmd(ts *testscript.TestScript, _ bool, args []string) {
	got := at(ts, args[1])
	if got == "" || got == "null" {
		ts.Fatalf("the answer has no %s\n%s", args[1], ts.ReadFile("answer"))
	}

	ts.Setenv(args[0], got)
}

// awaitCmd is: await STATUS ID: long-polls until the task is final and wants it
// to be so; the answer is the last one.
func awaitCmd(ts *testscript.TestScript, _ bool, args []string) {
	deadline := time.Now().Add(170 * time.Second)

	for {
		httpCmd(ts, false, []string{"200", "GET", "/v1/videos/" + args[1] + "?wait=30"})

		switch got := at(ts, "status"); got {
		case args[0]:
			return
		case "queued", "in_progress":
			if time.Now().After(deadline) {
				ts.Fatalf("still %s\n%s\n%s", got, ts.ReadFile("answer"), ts.ReadFile("server.log"))
			}
		default:
			ts.Fatalf("it is %s, want %s\n%s\n%s", got, args[0], ts.ReadFile("answer"), ts.ReadFile("server.log"))
		}
	}
}

// probeCmd is: probe FILE WIDTH HEIGHT SECONDS SOUND, by ffprobe.
func probeCmd(ts *testscript.TestScript, _ bool, args []string) {
	var out bytes.Buffer

	cmd := exec.Command("ffprobe", "-v", "error", "-count_frames", "-show_entries", "stream=codec_type,codec_name,width,height,nb_read_frames,r_frame_rate", "-of", "json", ts.MkAbs(args[0]))
	cmd.Stdout = &out
	cmd.Stderr = ts.Stderr()
	ts.Check(cmd.Run())

	var seen struct {
		Streams []struct {
			Type   string `json:"codec_type"`
			Codec  string `json:"codec_name"`
			Width  int
			Height int
			Frames string `json:"nb_read_frames"`
			Rate   string `json:"r_frame_rate"`
		}
	}
	ts.Check(json.Unmarshal(out.Bytes(), &seen))

	video := ""
	sound := "silent"
	seconds, err := strconv.Atoi(args[3])
	ts.Check(err)

	for _, s := range seen.Streams {
		frames, _ := strconv.Atoi(s.Frames)
		switch s.Type {
		case "video":
			if frames < seconds*30-1 || frames > seconds*30+1 || s.Rate != "30/1" {
				ts.Fatalf("%d frames at %s, want %d +-1 at 30/1", frames, s.Rate, seconds*30)
			}

			video = fmt.Sprintf("%s %d*%d", s.Codec, s.Width, s.Height)
		case "audio":
			sound = s.Codec
		}
	}

	if want := "h264 " + args[1] + "*" + args[2]; video != want || sound != args[4] {
		ts.Fatalf("it is %s with %s, want %s with %s", video, sound, want, args[4])
	}
}
