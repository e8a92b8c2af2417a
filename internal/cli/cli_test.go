package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"github.com/unireel/unireel/internal/app"
	"github.com/unireel/unireel/internal/config"
)

func TestEveryCommandHasHelpAndExample(t *testing.T) {
	isolateEnv(t)

	parser, err := newParser(Env{Out: io.Discard, Err: io.Discard})
	if err != nil {
		t.Fatal(err)
	}

	for _, leaf := range parser.Model.Leaves(true) {
		if leaf.Help == "" || !strings.Contains(leaf.Detail, "Example") {
			t.Errorf("%s has no example in its help", leaf.FullPath())
		}

		for _, flag := range leaf.Flags {
			if flag.Help == "" {
				t.Errorf("%s --%s has no help", leaf.FullPath(), flag.Name)
			}
		}

		got := run(context.Background(), t, Env{}, append(path(leaf), "--help")...)
		if got.code != exitOK || !strings.Contains(got.out, "Usage: "+leaf.FullPath()) {
			t.Errorf("%s --help: %+v", leaf.FullPath(), got)
		}
	}
}

func TestHelpHasTitlesAndDefaults(t *testing.T) {
	isolateEnv(t)

	for command, wants := range map[string][]string{
		"":              {"Your account:", "For operators:"},
		"batch":         {"Default: 4"},
		"serve":         {"The server:", "Default: 127.0.0.1:8080"},
		"sim dashscope": {"Default: 127.0.0.1:8090"},
	} {
		got := run(context.Background(), t, Env{}, append(strings.Fields(command), "--help")...)
		for _, want := range wants {
			if !strings.Contains(strings.Join(strings.Fields(got.out), " "), want) {
				t.Errorf("%s --help does not contain %q:\n%s", command, want, got.out)
			}
		}
	}
}

func path(node *kong.Node) []string {
	if node.Parent == nil || node.Type == kong.ApplicationNode {
		return nil
	}

	return append(path(node.Parent), node.Name)
}

func TestUsageErrorExitsTwo(t *testing.T) {
	isolateEnv(t)

	for _, c := range []struct{ args, want string }{
		{"", "expected one of"},
		{"nonsense", "unexpected argument nonsense"},
		{"get", "expected \"<id>\""},
		{"get x --nonsense", "unknown flag --nonsense"},
		{"get x", "unireel serve"},
		{"create --url http://x --key k", "--model is missing"},
		{"create --url http://x --key k --model m", "--prompt is missing"},
		{"create --url http://x --key k --model m --prompt p --video missing.mp4", "missing.mp4 is neither a file"},
		{"create --url http://x --key k --model m --from b.json", "leave out the other flags"},
		{"create --url http://x --key k --preview --from b.json", "leave out the other flags"},
		{"create --url http://x --key k --model m --prompt x -o .", "is a folder"},
		{"watch --url http://x --key k task_1 -o .", "is a folder"},
		{"create --url http://x --key k --model m --prompt p --no-wait -o v.mp4", "--no-wait"},
		{"balance --url ftp://x --key k", "is not an address"},
		{"balance --url http://x", "no API key"},
		{"batch missing.jsonl -o out --url http://x --key k", "missing.jsonl"},
		{"credit grant a lots", "is not an amount"},
		{"serve --addr nonsense", "is not HOST:PORT"},
		{"sim dashscope --in-progress 0", "must be above 0"},
	} {
		got := run(context.Background(), t, Env{}, strings.Fields(c.args)...)
		if got.code != exitUsage || !strings.HasPrefix(got.err, "error: ") || !strings.Contains(got.err, c.want) {
			t.Errorf("%s: code %d\n%s", c.args, got.code, got.err)
		}
	}
}

// Run only recovers from the panic with which kong exits. Any other panic is a bug and
// must not be hidden.
func TestPanicPropagates(t *testing.T) {
	isolateEnv(t)

	defer func() {
		if got := recover(); got != "broken" {
			t.Errorf("recovered %v, want the command's own panic", got)
		}
	}()

	Run(context.Background(), []string{"version"}, Env{Out: panicWriter{}, Err: io.Discard})
}

// panicWriter panics on every write.
type panicWriter struct{}

func (panicWriter) Write([]byte) (int, error) { panic("broken") }

func TestVersion(t *testing.T) {
	isolateEnv(t)

	if got := run(context.Background(), t, Env{}, "version"); got.code != exitOK || !strings.HasPrefix(got.out, "unireel "+app.Version()+" ") {
		t.Errorf("%+v, want version %s", got, app.Version())
	}
}

func TestProfileSuppliesURLAndKey(t *testing.T) {
	folder := isolateEnv(t)
	f := newFakeServer(t)

	data := filepath.Join(folder, "xdg", "unireel")
	if err := os.MkdirAll(data, 0o700); err != nil {
		t.Fatal(err)
	}

	if err := config.WriteProfile(data, config.Profile{URL: f.URL, Key: config.NewSecret(testKey), Data: data}); err != nil {
		t.Fatal(err)
	}

	if got := run(context.Background(), t, Env{}, "balance"); got.code != exitOK || !strings.Contains(got.out, "98.50") {
		t.Fatalf("%+v", got)
	}

	other := newFakeServer(t)
	if got := run(context.Background(), t, Env{}, "balance", "--url", other.URL); got.code != exitUsage || other.callLog() != "" {
		t.Fatalf("the local key was sent to another server: %+v, %s", got, other.callLog())
	}

	if got := run(context.Background(), t, Env{}, "balance", "--key", "sk-wrong-key"); got.code != exitFailure || !strings.Contains(got.err, "error: The API key is unknown.\n  Set the key with --key") || strings.Contains(got.err, "sk-wrong") {
		t.Fatalf("%+v", got)
	}
}

func TestServerErrorNamesFields(t *testing.T) {
	isolateEnv(t)
	got := newFakeServer(t).run(context.Background(), t, "create", "--model", "wrong", "--prompt", "p")

	want := result{exitFailure, "", "error: model: No such model.\nerror: size: Not a size.\n  See: unireel models\n"}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(result{})); diff != "" {
		t.Fatal(diff)
	}

	got = run(context.Background(), t, Env{}, "balance", "--url", "http://127.0.0.1:1", "--key", "k", "--json")
	if got.code != exitFailure || !strings.Contains(got.err, "unireel serve") {
		t.Fatalf("%+v", got)
	}
}

func TestCreateSendsEveryFlagAndDownloads(t *testing.T) {
	folder := isolateEnv(t)
	f := newFakeServer(t)

	for _, name := range []string{"shot.mp4", "a.mp3"} {
		if err := os.WriteFile(name, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	got := f.run(context.Background(), t, "create", "--model", "wan2.6-r2v-720p", "--prompt", "p", "--video", "shot.mp4", "--video", "https://example.com/a,b.mp4",
		"--image", "file_9", "--audio", "a.mp3", "--size", "1280*720", "--duration", "5", "--seed", "-1", "--shot-type", "multi", "--negative-prompt", "n",
		"--no-expand", "--watermark", "--preview", "--metadata", "shot=7", "--metadata", "take=a;b", "--start-by", "17", "--webhook-url", "https://h", "--trust-references", "-o", "v.mp4")
	if got.code != exitOK {
		t.Fatalf("%+v", got)
	}

	want := `{"model":"wan2.6-r2v-720p","prompt":"p","videos":["file_shot.mp4","https://example.com/a,b.mp4"],"images":["file_9"],"size":"1280*720","duration":5,"watermark":true,"webhook_url":"https://h","metadata":{"shot":"7","take":"a;b"},"preview":true,"start_by":17,"references_check":"trust","extra_body":{"negative_prompt":"n","audio":"file_a.mp3","shot_type":"multi","enable_prompt_expansion":false,"seed":-1}}`
	if diff := cmp.Diff([]string{want}, f.bodies); diff != "" {
		t.Fatal(diff)
	}

	video, err := os.ReadFile(filepath.Join(folder, "v.mp4"))
	if err != nil || !strings.HasPrefix(string(video), "video of task_") || string(f.uploads["file_shot.mp4"]) != "shot.mp4" {
		t.Fatalf("%q, %v", video, err)
	}

	if !strings.HasSuffix(strings.TrimSpace(got.out), "v.mp4") || !strings.Contains(got.err, "0.50 USD") || !strings.Contains(got.err, "warning: Mind the gap.") || strings.Contains(got.err, "\x1b") {
		t.Fatalf("%+v", got)
	}
}

func TestCreateSendsRawBodyUnchanged(t *testing.T) {
	isolateEnv(t)
	f := newFakeServer(t)
	t.Setenv("UNIREEL_URL", f.URL)
	t.Setenv("UNIREEL_API_KEY", testKey)

	const body = "{ \"model\" : \"m\",\n \"prompt\":\"镜头\" }\n"

	got := run(context.Background(), t, Env{In: strings.NewReader(body)}, "create", "--from", "-", "--no-wait", "--json")
	if got.code != exitOK || !strings.HasPrefix(got.out, `{"id":"task_`) || f.bodies[0] != body {
		t.Fatalf("%+v sent %q", got, f.bodies)
	}
}

func TestImageToVideoUsesImageField(t *testing.T) {
	isolateEnv(t)
	f := newFakeServer(t)
	f.run(context.Background(), t, "create", "--model", "wan2.6-i2v-flash", "--prompt", "p", "--image", "file_1", "--no-wait")

	if diff := cmp.Diff([]string{`{"model":"wan2.6-i2v-flash","prompt":"p","image":"file_1"}`}, f.bodies); diff != "" {
		t.Fatal(diff)
	}
}

func TestFailedTaskExitsOne(t *testing.T) {
	isolateEnv(t)
	f := newFakeServer(t)
	f.taskJSON = func(string) string {
		return `"status":"failed","error":{"code":"reference_unreachable","message":"No answer.","param":"videos[0]"}`
	}

	got := f.run(context.Background(), t, "watch", "task_1")
	if got.code != exitFailure || !strings.Contains(got.err, "error: videos[0]: No answer. (reference_unreachable)") {
		t.Fatalf("%+v", got)
	}

	if got = f.run(context.Background(), t, "get", "task_1"); got.code != exitOK {
		t.Fatalf("showing a failed task is not a failure: %+v", got)
	}
}

func TestInterruptDoesNotCancelTask(t *testing.T) {
	isolateEnv(t)
	f := newFakeServer(t)
	ctx, cancel := context.WithCancel(context.Background())
	f.taskJSON = func(string) string { return `"status":"in_progress","progress":10` }
	f.onGet = func(string) { cancel() }

	got := f.run(ctx, t, "create", "--model", "m", "--prompt", "p")
	if got.code != exitFailure || !strings.Contains(got.err, "unireel watch task_") || !strings.Contains(got.err, "Nothing is lost") {
		t.Fatalf("%+v", got)
	}

	if strings.Contains(f.callLog(), "cancel") {
		t.Fatal("Ctrl-C cancelled the task")
	}
}

func TestCustomerCommands(t *testing.T) {
	isolateEnv(t)

	f := newFakeServer(t)
	if err := os.WriteFile("a.png", []byte("a"), 0o600); err != nil {
		t.Fatal(err)
	}

	for _, c := range []struct{ args, want string }{
		{"get task_1", "completed, 100 %"},
		{"get task_1 --json", `{"id":"task_1","status":"completed"`},
		{"list", "task_2  queued"},
		{"list --limit 1 --json", "{\"id\":\"task_1\",\"status\":\"queued\",\"model\":\"m\"}\n"},
		{"cancel task_1 task_2", "task_2 is cancelled"},
		{"delete task_1", "task_1 is deleted"},
		{"models", "m1     r2v   2-10     0.10 USD  1280*720"},
		{"balance --json", `"free": "98.50"`},
		{"upload a.png", "file_a.png\n"},
		{"watch task_1", "http://x/v.mp4"},
		{"version", "unireel "},
	} {
		got := f.run(context.Background(), t, strings.Fields(c.args)...)
		if got.code != exitOK || !strings.Contains(got.out, c.want) {
			t.Errorf("%s: %+v", c.args, got)
		}
	}
}

func TestOperatorCommands(t *testing.T) {
	folder := isolateEnv(t)
	a := &fakeAdmin{answer: map[string]string{
		"POST /admin/v1/accounts":               `{"id":"acct_1","name":"studio"}`,
		"GET /admin/v1/accounts":                `{"data":[{"id":"acct_1","name":"studio","weight":1,"balance":{"free":"5.00","held":"0.00","spent":"0.00","currency":"USD"}}]}`,
		"POST /admin/v1/accounts/studio/keys":   `{"id":"key_1","account":"acct_1","secret":"sk-ur-1"}`,
		"GET /admin/v1/accounts/studio/keys":    `{"data":[{"id":"key_1","name":"k","hint":"sk-ur-1234****","scopes":["read"],"expires_at":0}]}`,
		"DELETE /admin/v1/keys/key_1":           `{}`,
		"POST /admin/v1/accounts/studio/credit": `{"free":"10.00","currency":"USD"}`,
		"GET /admin/v1/accounts/studio/entries": `{"data":[{"kind":"grant","amount":"10.00","ref":"r","at":1700000000}]}`,
		"GET /admin/v1/upstreams":               `{"data":[{"name":"dashscope","provider":"dashscope","in_progress":2,"limits":{"in_progress":5},"submissions":"open"}]}`,
		"POST /admin/v1/upstreams/bad/test":     `{"name":"bad","ok":false,"detail":"401","fix":"Change the key."}`,
		"GET /admin/v1/doctor":                  `{"ok":false,"checks":[{"name":"ledger","ok":false,"detail":"off by 1","fix":"Call."}]}`,
	}}

	absent := filepath.Join(t.TempDir(), "absent")
	if got := run(context.Background(), t, Env{App: a.app()}, "doctor", "--data", absent); !strings.Contains(got.out, "does not exist yet") || len(a.calls) > 0 {
		t.Errorf("doctor without a data folder: %+v, requests %q", got, a.calls)
	}

	if err := os.MkdirAll(filepath.Join(folder, "xdg", "unireel"), 0o700); err != nil {
		t.Fatal(err)
	}

	for _, c := range []struct {
		args, want, call string
		code             int
	}{
		{"account create studio --credit 5.00", "acct_1\n", `POST /admin/v1/accounts {"name":"studio","weight":1,"credit":"5.00"}`, 0},
		{"account list", "5.00 USD", "GET /admin/v1/accounts", 0},
		{"key create studio --scope read", "sk-ur-1\n", `POST /admin/v1/accounts/studio/keys {"name":"key","scopes":["read"]}`, 0},
		{"key list studio", "sk-ur-1234****", "GET /admin/v1/accounts/studio/keys", 0},
		{"key revoke key_1", "key_1 is revoked", "DELETE /admin/v1/keys/key_1", 0},
		{"credit grant studio 10.00 --ref r", "10.00", `POST /admin/v1/accounts/studio/credit {"amount":"10.00","ref":"r"}`, 0},
		{"credit show studio", "2023-11-", "GET /admin/v1/accounts", 0},
		{"upstream list", "2 of 5", "GET /admin/v1/upstreams", 0},
		{"upstream test bad", "FAIL   bad: 401\n       Change the key.", "POST /admin/v1/upstreams/bad/test", 1},
		{"doctor", "FAIL   ledger: off by 1", "GET /admin/v1/doctor", 1},
		{"doctor --json", `"ok": false`, "GET /admin/v1/doctor", 1},
		{"key list nobody", "", "GET /admin/v1/accounts/nobody/keys", 1},
	} {
		a.closed = false

		got := run(context.Background(), t, Env{App: a.app()}, strings.Fields(c.args)...)
		if got.code != c.code || !strings.Contains(got.out, c.want) || a.calls[len(a.calls)-1] != c.call || !a.closed {
			t.Errorf("%s: %+v, called %q, closed %t", c.args, got, a.calls[len(a.calls)-1], a.closed)
		}
	}
}

func TestOperatorCommandsOverNetwork(t *testing.T) {
	isolateEnv(t)

	a := &fakeAdmin{answer: map[string]string{
		"GET /admin/v1/accounts": `{"data":[{"id":"acct_1","name":"studio","balance":{}}]}`,
		"GET /admin/v1/audit":    `{"data":[{"id":"audit_1","at":1700000000,"actor":"key_1","action":"credit.grant","object":"acct_1","detail":{"ref":"r","amount":"5.00"}}],"has_more":true}`,
		"GET /admin/v1/doctor":   `{"ok":true,"checks":[{"name":"ledger","ok":true}]}`,
	}}

	var keys []string

	remote := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		keys = append(keys, r.Header.Get("Authorization"))

		answer, _ := a.RoundTrip(r)
		defer func() { _ = answer.Body.Close() }()

		w.WriteHeader(answer.StatusCode)
		_, _ = io.Copy(w, answer.Body)
	}))
	t.Cleanup(remote.Close)

	local := &fakeAdmin{}
	for _, c := range []struct {
		args, want string
		code       int
	}{
		{"account list --url " + remote.URL + " --key " + testKey, "studio", 0},
		{"audit --url " + remote.URL + " --key " + testKey, "key_1  credit.grant  acct_1  amount=5.00 ref=r", 0},
		{"doctor --url " + remote.URL + " --key " + testKey, "ok     ledger\n", 0},
		{"key list nobody --url " + remote.URL + " --key " + testKey, "", 1},
		{"account list --url " + remote.URL, "", exitUsage},
		{"account list --url nowhere --key " + testKey, "", exitUsage},
	} {
		got := run(context.Background(), t, Env{App: local.app()}, strings.Fields(c.args)...)
		if got.code != c.code || !strings.Contains(got.out, c.want) || strings.Contains(got.out, "ffmpeg") {
			t.Errorf("%s: %+v", c.args, got)
		}
	}

	if len(local.calls) > 0 || len(keys) != 4 || keys[0] != "Bearer "+testKey {
		t.Errorf("requests to the local folder: %q; keys sent to the server: %q", local.calls, keys)
	}

	t.Setenv("UNIREEL_URL", remote.URL)
	t.Setenv("UNIREEL_API_KEY", testKey)

	if got := run(context.Background(), t, Env{App: local.app()}, "account", "list"); got.code != exitOK || len(local.calls) > 0 {
		t.Errorf("%+v, requests to the local folder: %q", got, local.calls)
	}

	t.Setenv("UNIREEL_URL", "") // a key without a URL does not make the command remote
	run(context.Background(), t, Env{App: local.app()}, "account", "list")

	if len(local.calls) != 1 || len(keys) != 5 {
		t.Errorf("requests to the local folder: %q; to the server: %d", local.calls, len(keys))
	}
}

func TestServeLoadsConfiguration(t *testing.T) {
	folder := isolateEnv(t)
	if err := os.WriteFile("unireel.yaml", []byte("retention: 1h\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	var got config.Config

	testApp := App{Serve: func(_ context.Context, cfg config.Config, out io.Writer) error {
		got = cfg
		_, err := fmt.Fprintln(out, "served")

		return err
	}}

	s := run(context.Background(), t, Env{App: testApp}, "serve", "--addr", ":0", "--fetch-map", "https://example.com/=x", "--no-metrics")
	if s.code != exitOK || s.out != "served\n" {
		t.Fatalf("%+v", s)
	}

	if got.Addr != ":0" || got.Retention.Hours() != 1 || got.Metrics || got.FetchMap[0].Dir != "x" || got.Data != filepath.Join(folder, "xdg", "unireel") {
		t.Fatalf("%+v", got)
	}
}

func TestCompletion(t *testing.T) {
	isolateEnv(t)

	bash := run(context.Background(), t, Env{}, "completion", "bash").out
	for _, want := range []string{`"key create") offer="`, "--max-cost", "--no-expand", `"completion") offer="`, "bash zsh fish", `"") offer="create get`} {
		if !strings.Contains(bash, want) {
			t.Errorf("bash does not offer %s", want)
		}
	}

	if zsh := run(context.Background(), t, Env{}, "completion", "zsh").out; !strings.HasPrefix(zsh, "#compdef unireel\n") || !strings.HasSuffix(zsh, bash) {
		t.Error("the zsh script does not contain the bash script")
	}

	fish := run(context.Background(), t, Env{}, "completion", "fish").out
	if !strings.Contains(fish, "-n '__fish_seen_subcommand_from key; and __fish_seen_subcommand_from create' -l scope") || strings.Contains(fish, "<no value>") {
		t.Error("fish does not offer key create --scope")
	}

	if got := completeInBash(t, bash, "unireel", "key", "cr"); got != "create" {
		t.Errorf("bash completes key cr to %q", got)
	}

	if got := completeInBash(t, bash, "unireel", "batch", "--max"); got != "--max-cost" {
		t.Errorf("bash completes batch --max to %q", got)
	}
}
