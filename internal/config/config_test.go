package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write the golden files anew")

// isolateEnv hides the host's own configuration from the test.
func isolateEnv(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	t.Chdir(folder)
	t.Setenv("XDG_DATA_HOME", filepath.Join(folder, "xdg"))

	for _, name := range []string{"DASHSCOPE_API_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		t.Setenv(name, "")
	}

	for _, line := range os.Environ() {
		if name, _, _ := strings.Cut(line, "="); strings.HasPrefix(name, "UNIREEL_") {
			t.Setenv(name, "")
		}
	}

	return folder
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()

	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}

	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDefaultsAreValid(t *testing.T) {
	folder := isolateEnv(t)

	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}

	want := Config{
		Data: filepath.Join(folder, "xdg", "unireel"), Addr: "127.0.0.1:8080", CORSOrigins: []string{"*"}, MaxUpload: 512 << 20,
		Metrics: true, Admin: true, ShutdownGrace: 15 * time.Second, LogLevel: "info", LogFormat: "text", BootstrapCredit: "100.00",
		Currency: "USD", Markup: "1", Retention: 720 * time.Hour, FileRetention: 720 * time.Hour, History: 2160 * time.Hour, TaskTimeout: 24 * time.Hour,
		SubmitsPerSecond: 5, InProgress: 5, QueriesPerSecond: 20, Renders: 2, FFmpeg: "ffmpeg",
		DashScope: DashScope{Region: "ap-southeast-1"}, S3: S3{Addressing: "auto"},
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Fatal(diff)
	}
}

func TestPrecedenceFlagsEnvironmentFile(t *testing.T) {
	folder := isolateEnv(t)
	writeFile(t, filepath.Join(folder, "unireel.yaml"), "addr: 1.1.1.1:1\nretention: 1h\nin_progress: 7\nmetrics: false\n")
	t.Setenv("UNIREEL_ADDR", "2.2.2.2:2")
	t.Setenv("UNIREEL_RETENTION", "2h")
	t.Setenv("UNIREEL_MARKUP", "") // an empty value counts as not set

	c, err := Load("--addr=3.3.3.3:3")
	if err != nil {
		t.Fatal(err)
	}

	got := fmt.Sprint(c.Addr, " ", c.Retention, " ", c.InProgress, " ", c.Metrics, " ", c.Markup)
	if want := "3.3.3.3:3 2h0m0s 7 false 1"; got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
}

func TestFirstExistingFileIsRead(t *testing.T) {
	folder := isolateEnv(t)
	writeFile(t, filepath.Join(folder, "data", "unireel.yaml"), "addr: :1\n")

	c, err := Load("--data=" + filepath.Join(folder, "data"))
	if err != nil || c.Addr != ":1" {
		t.Fatalf("the data folder's file: %q, %v", c.Addr, err)
	}

	writeFile(t, filepath.Join(folder, "unireel.yaml"), "addr: :2\n")

	if c, err = Load("--data=" + filepath.Join(folder, "data")); err != nil || c.Addr != ":2" {
		t.Fatalf("./unireel.yaml: %q, %v", c.Addr, err)
	}

	writeFile(t, filepath.Join(folder, "other.yaml"), "addr: :3\n")

	if c, err = Load("--config=other.yaml"); err != nil || c.Addr != ":3" {
		t.Fatalf("--config: %q, %v", c.Addr, err)
	}

	if _, err = Load("--config=missing.yaml"); err == nil {
		t.Fatal("an explicitly named file that is missing is no error")
	}
}

func TestLoadFlagsOnlyIgnoresEnvironmentAndFiles(t *testing.T) {
	folder := isolateEnv(t)
	writeFile(t, filepath.Join(folder, "unireel.yaml"), "addr: :1\n")
	t.Setenv("DASHSCOPE_API_KEY", "sk-real-money")
	t.Setenv("UNIREEL_RETENTION", "2h")

	c, err := LoadFlagsOnly("--data=" + folder)
	if err != nil || len(c.Upstreams) > 0 || c.Addr != "127.0.0.1:8080" || c.Retention != 720*time.Hour || c.File != "" {
		t.Fatalf("%+v, %v", c, err)
	}
}

func TestFileSetsEveryKindOfValue(t *testing.T) {
	folder := isolateEnv(t)
	t.Setenv("SOME_KEY", "sk-env-1234567890")
	writeFile(t, filepath.Join(folder, "key"), "sk-file-1234567890\n")
	writeFile(t, filepath.Join(folder, "unireel.yaml"), `
fetch_allow: [10.0.0.8, "192.168.7.9/24:9000"]
fetch_map: {"https://example.com/": ./samples}
cors_origins: https://a.example
max_upload: 2GB
dashscope:
  api_key: sk-section-123
  region: cn-beijing
upstreams:
  - {name: one, provider: dashscope, api_key_env: SOME_KEY, workspace: ws1, limits: {in_progress: 9}}
  - {name: two, provider: dashscope, api_key_file: key, base_url: "http://127.0.0.1:9/api/v1/", models: [m]}
  - {name: gpu, provider: openai, base_url: "http://10.0.0.8:8000", order: 2, weight: 3, routes: [{models: [wan2.6-video-720p], supplier_model: Wan-AI/T2V, seconds: [5], images: 0, unsupported: [multi]}]}
`)

	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}

	if got := fmt.Sprint(c.FetchAllow, c.FetchMap, c.CORSOrigins, c.MaxUpload); got != "[10.0.0.8/32 192.168.7.0/24:9000] [https://example.com/=./samples] [https://a.example] 2GB" {
		t.Errorf("got %s", got)
	}

	want := []Upstream{
		{
			Name: "one", Provider: "dashscope", BaseURL: "https://ws1.ap-southeast-1.maas.aliyuncs.com", APIKey: NewSecret("sk-env-1234567890"), KeyEnv: "SOME_KEY",
			Settings: map[string]string{"workspace": "ws1"}, Limits: Limits{5, 9, 20}, Order: 1, Weight: 1, Source: "unireel.yaml:10",
		},
		{
			Name: "two", Provider: "dashscope", BaseURL: "http://127.0.0.1:9", APIKey: NewSecret("sk-file-1234567890"),
			Settings: map[string]string{}, Models: []string{"m"}, Limits: Limits{5, 5, 20}, Order: 1, Weight: 1, Source: "unireel.yaml:11",
		},
		{
			Name: "gpu", Provider: "openai", BaseURL: "http://10.0.0.8:8000", Settings: map[string]string{}, Limits: Limits{5, 5, 20}, Order: 2, Weight: 3, Source: "unireel.yaml:12",
			Routes: []Route{{Models: []string{"wan2.6-video-720p"}, SupplierModel: "Wan-AI/T2V", Seconds: []int{5}, Images: new(int), Unsupported: []string{"multi"}}},
		},
		{
			Name: "dashscope", Provider: "dashscope", BaseURL: "https://dashscope.aliyuncs.com", APIKey: NewSecret("sk-section-123"),
			Region: "cn-beijing", Settings: map[string]string{}, Limits: Limits{5, 5, 20}, Order: 1, Weight: 1, Source: "DASHSCOPE_API_KEY",
		},
	}
	if diff := cmp.Diff(want, c.Upstreams); diff != "" {
		t.Fatal(diff)
	}
}

func TestErrorsNamePlaceAndFix(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"adr: :1\n", "unireel.yaml:1: unknown key adr; did you mean addr?"},
		{"\ndashscope:\n  api_kye: x\n", "unireel.yaml:3: unknown key api_kye; did you mean api_key?"},
		{"upstreams:\n  - nam: x\n", "unireel.yaml:2: unknown key nam; did you mean name?"},
		{"upstreams:\n  - name: x\n    limits: {in_progres: 1}\n", "unireel.yaml:3: unknown key in_progres; did you mean in_progress?"},
		{"addr: :1\naddr: :2\n", "unireel.yaml:2: addr is set twice"},
		{"dashscope_region: a\ndashscope: {region: b}\n", "region is already set in line 1"},
		{"in_progress: many\n", "unireel.yaml:1: --in-progress"},
		{"config: x\n", ""},
		{"addr: nonsense\n", `addr: "nonsense" is not HOST:PORT`},
		{"markup: -1\n", "markup:"},
		{"currency: dollars\n", "currency:"},
		{"bootstrap_credit: lots\n", "bootstrap_credit:"},
		{"bootstrap_key: short\n", "bootstrap_key: must have at least 16"},
		{"retention: 1s\n", "retention: 1s is too short"},
		{"renders: 0\n", "renders: must be 1 to 64"},
		{"submits_per_second: 0\n", "submits_per_second: must be above 0"},
		{"submits_per_second: .nan\n", "submits"},
		{"public_url: example.com\n", "public_url:"},
		{"log_level: loud\n", "--log-level must be one of"},
		{"fetch_allow: everything\n", "is not a network"},
		{"fetch_map: nothing\n", "is not a mapping"},
		{"max_upload: 0\n", "max_upload:"},
		{"upstreams: {a: b}\n", "upstreams is a list"},
		{"upstreams:\n  - {name: a, provider: dashscope}\n", "unireel.yaml:2: upstream a: has no key"},
		{"upstreams:\n  - {name: A, provider: fal}\n", "unireel.yaml:2: upstream A: the name must consist"},
		{"upstreams:\n  - {name: a, provider: fal}\n  - {name: a, provider: fal}\n", "unireel.yaml:3: upstream a: exists twice"},
		{"upstreams:\n  - name: a\n    routes:\n      - {model: b}\n", "unireel.yaml:4: unknown key model; did you mean models?"},
		{"upstreams:\n  - name: a\n    routes: b\n", "unireel.yaml:3: routes is a list"},
		{"upstreams:\n  - {name: a, provider: fal, weight: -1}\n", "weight must be 1 to 1000"},
		{"upstreams:\n  - {name: a, provider: fal, routes: [{order: 101}]}\n", "routes[0]: order must be 1 to 100"},
		{"upstreams:\n  - {name: a, provider: dashscope, api_key: sk-hidden-0123, region: mars}\n", "unireel.yaml:2: upstream a"},
		{"upstreams:\n  - {name: a, api_key: sk-hidden-0123}\n", "has no provider"},
		{"upstreams:\n  - {name: a, provider: dashscope, api_key_env: NOT_SET_AT_ALL}\n", "NOT_SET_AT_ALL, which is not set"},
		{"upstreams:\n  - {name: a, provider: dashscope, api_key: [sk-hidden-0123]}\n", "upstream:"},
		{"dashscope: {region: eu-central-1, api_key: sk-hidden-0123}\n", "needs the workspace id"},
		{"- a\n", "want keys and values"},
		{"addr: &a :1\npublic_url: *a\n", "aliases are not supported"},
	} {
		folder := isolateEnv(t)
		writeFile(t, filepath.Join(folder, "unireel.yaml"), c.text)

		_, err := Load()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			if c.want != "" {
				t.Errorf("%q: got %v, want %q", c.text, err, c.want)
			}

			continue
		}

		if strings.Contains(err.Error(), "sk-hidden") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: the error shows a secret or has several lines: %v", c.text, err)
		}
	}
}

func TestDataFolderFileCannotSetData(t *testing.T) {
	folder := isolateEnv(t)
	writeFile(t, filepath.Join(folder, "data", "unireel.yaml"), "data: /elsewhere\n")

	if _, err := Load("--data=" + filepath.Join(folder, "data")); err == nil || !strings.Contains(err.Error(), "--data") {
		t.Fatalf("got %v", err)
	}
}

func TestSecretsAreRedacted(t *testing.T) {
	isolateEnv(t)

	const secret = "sk-very-secret-value"
	t.Setenv("UNIREEL_BOOTSTRAP_KEY", secret)
	t.Setenv("DASHSCOPE_API_KEY", secret)

	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}

	if c.BootstrapKey.Reveal() != secret || c.Upstreams[0].APIKey.Reveal() != secret {
		t.Fatal("the secret was lost")
	}

	var out bytes.Buffer

	hidden := struct{ c Config }{c}
	fmt.Fprintf(&out, "%v %+v %#v %s %q %x %v %+v %#v\n", c, c, c, c.BootstrapKey, c.BootstrapKey, c.BootstrapKey, hidden, hidden, &hidden)
	slog.New(slog.NewTextHandler(&out, nil)).Info("config", "c", c, "key", c.BootstrapKey)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("config", "c", c, "key", c.BootstrapKey)

	for _, marshal := range []func(any) ([]byte, error){json.Marshal, yaml.Marshal} {
		text, err := marshal(c)
		if err != nil {
			t.Fatal(err)
		}

		out.Write(text)
	}

	fmt.Fprint(&out, fmt.Sprint(json.Marshal(Profile{Key: c.BootstrapKey})))

	asNumbers := fmt.Sprintf("%d", []byte(secret)) // as %v formats bytes
	for _, trace := range []string{secret, fmt.Sprintf("%x", secret), asNumbers} {
		if strings.Contains(out.String(), trace) {
			t.Fatalf("the output shows the secret as %s", trace)
		}
	}
}

func TestProfileRoundTripAndMode(t *testing.T) {
	folder := t.TempDir()

	want := Profile{URL: "http://127.0.0.1:8080", Key: NewSecret("sk-ur-1"), Data: folder}
	for range 2 { // the second start overwrites the first profile
		if err := WriteProfile(folder, want); err != nil {
			t.Fatal(err)
		}
	}

	got, err := ReadProfile(folder)
	if err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}

	info, err := os.Stat(filepath.Join(folder, ProfileName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}

	if left, _ := os.ReadDir(folder); len(left) != 1 {
		t.Fatalf("left behind: %v", left)
	}
}

func TestBytesRoundTrip(t *testing.T) {
	for text, want := range map[string]Bytes{"512MiB": 512 << 20, "2GB": 2e9, "1048577": 1048577, "0B": 0, "7 kB": 7000} {
		var b, again Bytes
		if err := b.UnmarshalText([]byte(text)); err != nil || b != want {
			t.Errorf("%s: %d, %v", text, b, err)
		}

		if err := again.UnmarshalText([]byte(b.String())); err != nil || again != b {
			t.Errorf("%s came back as %s", b, again)
		}
	}

	for _, text := range []string{"", "many", "-1", "99999999999GiB", "1.5GB"} {
		if err := new(Bytes).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}

func TestDocumentIsUpToDate(t *testing.T) {
	got, err := Document()
	if err != nil {
		t.Fatal(err)
	}

	path := filepath.Join("..", "..", "docs", "config.md")
	if *update {
		writeFile(t, path, got)
	}

	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Fatalf("run: go test ./internal/config -update\n%s", diff)
	}
}

func FuzzFile(f *testing.F) {
	f.Add([]byte("addr: :1\ndashscope: {api_key: x}\nupstreams: [{name: a, provider: dashscope, api_key: b, limits: {in_progress: 1}}]\n"))
	f.Add([]byte("fetch_map: {a: b}\nfetch_allow: [1.2.3.4/8:9]\n"))
	f.Add([]byte("a: &a [*a]\n"))

	list, err := allOptions()
	if err != nil {
		f.Fatal(err)
	}

	f.Fuzz(func(t *testing.T, text []byte) {
		read, err := parseFile("fuzz.yaml", text, list)
		if err == nil && read == nil {
			t.Fatal("parseFile returned neither a file nor an error")
		}

		if err == nil {
			for _, option := range list {
				_, _ = read.Resolve(nil, nil, option)
			}
		}
	})
}

func FuzzProfile(f *testing.F) {
	f.Add([]byte(`{"url":"http://127.0.0.1:1","key":"sk","data":"/d"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, err := parseProfile(text); err != nil && bytes.Contains(text, []byte("sk-secret")) && strings.Contains(err.Error(), "sk-secret") {
			t.Fatal("the error shows the key")
		}
	})
}

// An upstream that is added while the server runs is parsed like an entry of the file.
func TestParseUpstreamMatchesFile(t *testing.T) {
	t.Setenv("SOME_KEY", "sk-env-1234567890")

	c := Config{SubmitsPerSecond: 5, InProgress: 5, QueriesPerSecond: 20}
	u, err := c.ParseUpstream([]byte(`{"name":"wave","provider":"wavespeed","api_key_env":"SOME_KEY","limits":{"in_progress":9},"order":2}`), "upstream add")

	want := Upstream{
		Name: "wave", Provider: "wavespeed", APIKey: NewSecret("sk-env-1234567890"), KeyEnv: "SOME_KEY", Settings: map[string]string{},
		Limits: Limits{5, 9, 20}, Order: 2, Weight: 1, Source: "upstream add",
	}
	if diff := cmp.Diff(want, u); err != nil || diff != "" {
		t.Fatal(err, diff)
	}

	for text, want := range map[string]string{
		"":                                   "not an upstream",
		"[]":                                 "want keys and values",
		`{"name":"x","api_key":"sk-hidden"}`: "has no provider",
		`{"name":"x","provide":"fal"}`:       "unknown key provide; did you mean provider?",
		`{"name":"x/y","provider":"fal"}`:    "the name must consist",
		`{"name":"x","provider":"fal","api_key_env":"NOT_SET_AT_ALL"}`: "NOT_SET_AT_ALL, which is not set",
	} {
		if _, err := c.ParseUpstream([]byte(text), "upstream add"); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "sk-hidden") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
