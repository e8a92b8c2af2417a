// Package script tests the real binary from outside, as customers and operators
// use it. Each *.txtar file is a sequence of commands with the output that they
// must have; each runs in a data folder of its own. `server` starts unireel serve,
// and `http` sends one HTTP request.
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

	_ "github.com/unireel/unireel/internal/cli" // the program's packages: a change to them invalidates the cached test result
	"github.com/unireel/unireel/internal/store/storetest"
)

// apiKey is the first key of every script's server.
const apiKey = "sk-script-0123456789abcdef"

// binary is the path of the program, built once with its fail points.
var binary string

// defaultParallel is how many scripts run in parallel unless the command line sets
// -parallel. Scripts spend most of their time waiting.
const defaultParallel = "5"

func TestMain(m *testing.M) {
	flag.Parse()

	explicit := false

	flag.Visit(func(f *flag.Flag) { explicit = explicit || f.Name == "test.parallel" })

	if !explicit {
		if err := flag.Set("test.parallel", defaultParallel); err != nil {
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

// TestScripts runs every script on both databases. A line that applies to only one
// of them begins with [sqlite] or [postgres].
func TestScripts(t *testing.T) {
	for _, tool := range []string{"ffmpeg", "ffprobe"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%s is missing; install it with: apt-get install ffmpeg", tool)
		}
	}

	for _, database := range databases {
		t.Run(database, func(t *testing.T) {
			t.Parallel()
			runScripts(t, database)
		})
	}
}

func runScripts(t *testing.T, database string) {
	testscript.Run(t, testscript.Params{
		Dir: ".",
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", filepath.Dir(binary)+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("UNIREEL_DATA", filepath.Join(env.WorkDir, "data"))
			env.Setenv("UNIREEL_ADDR", "127.0.0.1:0")
			env.Setenv("UNIREEL_BOOTSTRAP_KEY", apiKey)
			env.Setenv("KEY", apiKey)

			examples, err := filepath.Abs("../../internal/cli/testdata/demo")
			env.Setenv("EXAMPLES", examples) // the request bodies of UniAll's example page

			if err != nil || database == "sqlite" {
				return err
			}

			dsn, drop, err := storetest.NewDatabase(migrate)
			if err != nil {
				return err
			}

			env.Defer(func() { _ = drop() }) // servers that still use it lose their connections
			env.Setenv("UNIREEL_DATABASE", dsn)

			return nil
		},
		Condition: func(name string) (bool, error) {
			if name != "sqlite" && name != "postgres" {
				return false, fmt.Errorf("unknown condition %q: use [sqlite] or [postgres]", name)
			}

			return name == database, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"await":     awaitCmd,
			"emptydb":   emptyDatabaseCmd,
			"exitcode":  exitCodeCmd,
			"expire":    expireCmd,
			"http":      httpCmd,
			"json":      jsonCmd,
			"listener":  listenerCmd,
			"oneline":   oneLineCmd,
			"probe":     probeCmd,
			"rawhttp":   rawHTTPCmd,
			"s3":        s3Cmd,
			"save":      saveCmd,
			"server":    serverCmd,
			"shutdown":  shutdownCmd,
			"sigkill":   sigkillCmd,
			"sim":       simCmd,
			"waitempty": waitEmptyCmd,
			"waitlog":   waitLogCmd,
		},
	})
}

// process is a program that was started by a script.
type process struct {
	cmd     *exec.Cmd
	exited  chan struct{}
	exitErr error
	log     *os.File
}

// processes holds the processes of all running scripts, by the script's working
// folder and the process's name. The folder is part of the key because scripts run
// in parallel, and each script runs once for each database.
var processes sync.Map

func startProcess(ts *testscript.TestScript, name string, args ...string) *process {
	log, err := os.OpenFile(ts.MkAbs(name+".log"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	ts.Check(err)

	cmd := exec.Command(binary, args...)
	if kib := ts.Getenv("FILE_SIZE_LIMIT"); kib != "" { // the largest file that the process may write, in KiB
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

	p := &process{cmd: cmd, exited: make(chan struct{}), log: log}
	go func() { p.exitErr = cmd.Wait(); _ = log.Close(); close(p.exited) }()

	processes.Store(ts.Getenv("WORK")+" "+name, p)
	ts.Defer(func() {
		_ = cmd.Process.Kill()

		<-p.exited
	})

	return p
}

// serverCmd starts `unireel serve`, waits until it is ready, and sets $URL to its
// address. With `!` the server must fail to start; its log becomes stderr.
func serverCmd(ts *testscript.TestScript, neg bool, args []string) {
	profile := filepath.Join(ts.Getenv("UNIREEL_DATA"), "profile.json")
	p := startProcess(ts, "server", append([]string{"serve"}, args...)...)

	if neg {
		select {
		case <-p.exited:
		case <-time.After(20 * time.Second):
			ts.Fatalf("the server started; it must fail to start")
		}

		text := ts.ReadFile("server.log")

		_, _ = io.WriteString(ts.Stderr(), text)
		if p.exitErr == nil {
			ts.Fatalf("the server exited with code 0; it must fail to start")
		}

		return
	}

	waitFor(ts, p, "server", func() bool {
		text, err := os.ReadFile(profile)

		var parsed struct{ URL string }

		if !strings.Contains(ts.ReadFile("server.log"), " listens on ") { // the profile is still that of an earlier server
			return false
		}

		if err != nil || json.Unmarshal(text, &parsed) != nil || parsed.URL == "" {
			return false
		}

		resp, err := http.Get(parsed.URL + "/readyz")
		if err != nil {
			return false
		}

		_ = resp.Body.Close()

		ts.Setenv("URL", parsed.URL)

		return resp.StatusCode == http.StatusOK
	})
}

// simCmd starts `unireel sim dashscope` and sets $SIM to its address.
func simCmd(ts *testscript.TestScript, _ bool, args []string) {
	p := startProcess(ts, "sim", append([]string{"sim", "dashscope", "--addr", "127.0.0.1:0"}, args...)...)
	address := regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+`)

	waitFor(ts, p, "sim", func() bool {
		found := address.FindString(ts.ReadFile("sim.log"))
		ts.Setenv("SIM", found)

		return found != ""
	})
}

// waitFor polls ready every 20 ms until it reports true. It fails the script when
// the process exits or the time is over.
func waitFor(ts *testscript.TestScript, p *process, name string, ready func() bool) {
	deadline := time.After(150 * time.Second) // a killed server's claim of a delivery expires after a minute

	for !ready() {
		select {
		case <-p.exited:
			ts.Fatalf("%s exited: %v\n%s", name, p.exitErr, ts.ReadFile(name+".log"))
		case <-deadline:
			ts.Fatalf("%s was not ready in time\n%s", name, ts.ReadFile(name+".log"))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// runningProcess returns the process that args names; without args, the server.
func runningProcess(ts *testscript.TestScript, args []string) *process {
	name := "server"
	if len(args) > 0 {
		name = args[0]
	}

	p, ok := processes.Load(ts.Getenv("WORK") + " " + name)
	if !ok {
		ts.Fatalf("%s was not started", name)
	}

	return p.(*process)
}

// shutdownCmd sends SIGTERM to a process and expects exit code 0.
func shutdownCmd(ts *testscript.TestScript, _ bool, args []string) {
	p := runningProcess(ts, args)
	ts.Check(p.cmd.Process.Signal(syscall.SIGTERM))

	select {
	case <-p.exited:
	case <-time.After(30 * time.Second):
		ts.Fatalf("the process did not exit within 30 s of SIGTERM")
	}

	if p.exitErr != nil {
		ts.Fatalf("after SIGTERM the process exited with %v\n%s", p.exitErr, ts.ReadFile("server.log"))
	}
}

// sigkillCmd kills a process with SIGKILL, as kill -9 does.
func sigkillCmd(ts *testscript.TestScript, _ bool, args []string) {
	p := runningProcess(ts, args)
	ts.Check(p.cmd.Process.Kill())
	<-p.exited
}

// httpCmd sends a request and checks the status of the response:
//
//	http STATUS METHOD PATH [BODY | @FILE | -F FIELD ...] [Header:value ...]
//
// A FIELD of a form is name=value or name=@FILE. $KEY is sent as the API key. The
// body of the response becomes stdout and the file "response"; its headers become
// stderr.
func httpCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: http STATUS METHOD PATH [BODY | @FILE | -F FIELD ...] [Header:value ...]")
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

	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()

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
	ts.Check(os.WriteFile(ts.MkAbs("response"), text, 0o600))

	if mediaType := resp.Header.Get("Content-Type"); strings.Contains(mediaType, "json") || strings.HasPrefix(mediaType, "text/") {
		_, _ = ts.Stdout().Write(text)
	}

	_ = resp.Header.Write(ts.Stderr())
	if resp.StatusCode != want {
		ts.Fatalf("%s %s: status %s, want %d\n%s", args[1], args[2], resp.Status, want, text)
	}
}

// rawHTTPCmd sends a file as an HTTP request over a new connection:
//
//	rawhttp STATUS FILE
//
// In the headers it replaces $KEY and ends lines with CRLF; the body is sent
// unchanged. It reads the response without sending the rest of a body that is
// shorter than its Content-Length. The body of the response becomes stdout.
func rawHTTPCmd(ts *testscript.TestScript, _ bool, args []string) {
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
	ts.Check(os.WriteFile(ts.MkAbs("response"), text, 0o600))

	_, _ = ts.Stdout().Write(text)
	if got := strconv.Itoa(resp.StatusCode); got != args[0] {
		ts.Fatalf("status %s, want %s\n%s", resp.Status, args[0], text)
	}
}

// waitEmptyCmd waits until a sweep has deleted every file of a folder:
//
//	waitempty FOLDER
func waitEmptyCmd(ts *testscript.TestScript, _ bool, args []string) {
	waitFor(ts, runningProcess(ts, nil), "server", func() bool {
		files, err := filepath.Glob(filepath.Join(args[0], "*"))
		ts.Check(err)

		return len(files) == 0
	})
}

// exitCodeCmd runs a program and checks its exit code:
//
//	exitcode CODE PROGRAM [ARGUMENT ...]
func exitCodeCmd(ts *testscript.TestScript, _ bool, args []string) {
	code := 0
	err := ts.Exec(args[1], args[2:]...)

	var exitErr *exec.ExitError
	if errors.As(err, &exitErr) {
		code = exitErr.ExitCode()
	} else {
		ts.Check(err)
	}

	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// jsonValue returns the value at a path of the last response, for example
// "error.errors.0.param"; "" if there is none and "null" for null. The element
// "length" of a path is the length of an array.
func jsonValue(ts *testscript.TestScript, path string) string {
	var v any

	d := json.NewDecoder(strings.NewReader(ts.ReadFile("response")))
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

// jsonCmd matches the whole of a value of the last response:
//
//	json PATH REGEXP
func jsonCmd(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: json PATH REGEXP")
	}

	value := jsonValue(ts, args[0])
	if regexp.MustCompile("^(?s:"+args[1]+")$").MatchString(value) == neg {
		ts.Fatalf("%s is %q, want %s%s\n%s", args[0], value, map[bool]string{true: "not "}[neg], args[1], ts.ReadFile("response"))
	}
}

// saveCmd sets a variable to a value of the last response:
//
//	save VARIABLE PATH
func saveCmd(ts *testscript.TestScript, _ bool, args []string) {
	value := jsonValue(ts, args[1])
	if value == "" || value == "null" {
		ts.Fatalf("the response has no %s\n%s", args[1], ts.ReadFile("response"))
	}

	ts.Setenv(args[0], value)
}

// awaitCmd long-polls a task until it is final and checks its status. The last
// response stays for the commands that follow:
//
//	await STATUS ID
func awaitCmd(ts *testscript.TestScript, _ bool, args []string) {
	deadline := time.Now().Add(170 * time.Second)

	for {
		httpCmd(ts, false, []string{"200", "GET", "/v1/videos/" + args[1] + "?wait=30"})

		switch got := jsonValue(ts, "status"); got {
		case args[0]:
			return
		case "queued", "in_progress":
			if time.Now().After(deadline) {
				ts.Fatalf("the task is still %s\n%s\n%s", got, ts.ReadFile("response"), ts.ReadFile("server.log"))
			}
		default:
			ts.Fatalf("the task is %s, want %s\n%s\n%s", got, args[0], ts.ReadFile("response"), ts.ReadFile("server.log"))
		}
	}
}

// probeCmd checks a video with ffprobe. AUDIO is the codec's name, or "silent":
//
//	probe FILE WIDTH HEIGHT SECONDS AUDIO
func probeCmd(ts *testscript.TestScript, _ bool, args []string) {
	var out bytes.Buffer

	const entries = "stream=codec_type,codec_name,width,height,nb_read_frames,r_frame_rate"

	cmd := exec.Command("ffprobe", "-v", "error", "-count_frames", "-show_entries", entries, "-of", "json", ts.MkAbs(args[0]))
	cmd.Stdout = &out
	cmd.Stderr = ts.Stderr()
	ts.Check(cmd.Run())

	var parsed struct {
		Streams []struct {
			Type   string `json:"codec_type"`
			Codec  string `json:"codec_name"`
			Width  int
			Height int
			Frames string `json:"nb_read_frames"`
			Rate   string `json:"r_frame_rate"`
		}
	}
	ts.Check(json.Unmarshal(out.Bytes(), &parsed))

	video := ""
	audio := "silent"
	seconds, err := strconv.Atoi(args[3])
	ts.Check(err)

	for _, s := range parsed.Streams {
		frames, _ := strconv.Atoi(s.Frames)
		switch s.Type {
		case "video":
			if frames < seconds*30-1 || frames > seconds*30+1 || s.Rate != "30/1" {
				ts.Fatalf("%d frames at %s, want %d +-1 at 30/1", frames, s.Rate, seconds*30)
			}

			video = fmt.Sprintf("%s %d*%d", s.Codec, s.Width, s.Height)
		case "audio":
			audio = s.Codec
		}
	}

	if want := "h264 " + args[1] + "*" + args[2]; video != want || audio != args[4] {
		ts.Fatalf("the file has video %s and audio %s, want video %s and audio %s", video, audio, want, args[4])
	}
}
