package dashscopesim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// fixture is a simulated supplier with a clock that only a test moves.
type fixture struct {
	*Sim
	mu  sync.Mutex
	now time.Time
}

func newFixture(o Options) *fixture {
	w := &fixture{now: time.Date(2026, 3, 1, 20, 30, 0, 5e6, time.UTC)}

	o.Now = func() time.Time {
		w.mu.Lock()
		defer w.mu.Unlock()

		return w.now
	}
	if o.Video == nil {
		o.Video = func(s Spec) ([]byte, error) { return fmt.Append(nil, s), nil }
	}

	w.Sim = New(o)

	return w
}

func (w *fixture) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()

	w.now = w.now.Add(d)
}

// request sends a request with a key and decodes the response.
func (w *fixture) request(key, method, path, body string, headers ...string) (int, map[string]any) {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}

	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}

	a := httptest.NewRecorder()
	w.ServeHTTP(a, r)

	var v map[string]any

	_ = json.Unmarshal(a.Body.Bytes(), &v)

	return a.Code, v
}

const createPath = "/api/v1/services/aigc/video-generation/video-synthesis"

func (w *fixture) create(key, body string) (int, map[string]any) {
	return w.request(key, "POST", createPath, body, "X-DashScope-Async", "enable")
}

const validBody = `{"model":"wan2.6-r2v-flash","input":{"prompt":"a","reference_urls":["https://x.org/1.png"],"extend_prompt":true},"parameters":{"size":"1280*720","duration":2}}`

// mustCreate creates a task and returns its ID.
func (w *fixture) mustCreate(t *testing.T, body string) string {
	t.Helper()

	status, v := w.create("k", body)
	if status != 200 {
		t.Fatalf("create: %d %v", status, v)
	}

	return v["output"].(map[string]any)["task_id"].(string)
}

func (w *fixture) task(id string) (output, usage map[string]any) {
	_, v := w.request("k", "GET", "/api/v1/tasks/"+id, "")
	output, _ = v["output"].(map[string]any)
	usage, _ = v["usage"].(map[string]any)

	return output, usage
}

func TestPrecheck(t *testing.T) {
	w := newFixture(Options{Keys: []Key{{Secret: "k", ID: "1", Account: "a"}}})
	for name, c := range map[string]struct {
		key, body, async string
		status           int
		code, message    string
	}{
		"no key":        {"", validBody, "enable", 401, "InvalidApiKey", "No API-key provided."},
		"wrong key":     {"x", validBody, "enable", 401, "InvalidApiKey", "Invalid API-key provided."},
		"synchronous":   {"k", validBody, "", 403, "AccessDenied", "current user api does not support synchronous calls."},
		"no JSON":       {"k", "{", "enable", 400, "BadRequest.IllegalInput", "The input parameter requires json format."},
		"no model":      {"k", "{}", "enable", 400, "BadRequest.EmptyModel", `Required parameter "model" missing from request.`},
		"unknown model": {"k", `{"model":"m"}`, "enable", 404, "ModelNotFound", "The model m does not exist."},
		"no input":      {"k", `{"model":"wan2.6-t2v"}`, "enable", 400, "BadRequest.EmptyInput", "Required input parameter missing from request."},
		"oss without the header": {
			"k", strings.Replace(validBody, "https://x.org", "oss://a", 1), "enable", 400, "InvalidParameter.DataInspection",
			"Unable to download the media resource during the data inspection process.",
		},
	} {
		status, v := w.request(c.key, "POST", createPath, c.body, "X-DashScope-Async", c.async)
		if status != c.status || v["code"] != c.code || v["message"] != c.message || len(fmt.Sprint(v["request_id"])) != 36 {
			t.Errorf("%s: %d %v", name, status, v)
		}
	}

	for _, s := range w.Submissions() {
		if s.Accepted {
			t.Errorf("it accepted %+v", s)
		}
	}
}

func TestInvalidParametersFailLateOrAtOnce(t *testing.T) {
	for message, body := range map[string]string{
		"The size is not match":           strings.Replace(validBody, "1280*720", "720P", 1),
		"(duration)":                      strings.Replace(validBody, `"duration":2`, `"duration":11`, 1),
		"(reference_urls)":                strings.Replace(validBody, `"https://x.org/1.png"`, `"1.mp4","2.mp4","3.mp4","4.mov"`, 1),
		"Field required: input.reference": strings.Replace(validBody, `["https://x.org/1.png"]`, `[]`, 1),
		"prompt must contain words":       strings.Replace(validBody, `"prompt":"a"`, `"prompt":" "`, 1),
		"Field required: input.img_url":   `{"model":"wan2.6-i2v","input":{}}`,
		"(seed)":                          strings.Replace(validBody, `"duration":2`, `"seed":-1`, 1),
		"at most 5":                       strings.Replace(validBody, `"https://x.org/1.png"`, `"1","2","3","4","5","6"`, 1),
		"Required parameter(shot_type)":   strings.Replace(validBody, `"duration":2`, `"shot_type":"many"`, 1),
		"Required parameter(resolution)":  `{"model":"wan2.6-i2v","input":{"img_url":"x"},"parameters":{"resolution":"4K"}}`,
	} {
		lenient := newFixture(Options{})
		id := lenient.mustCreate(t, body)
		lenient.advance(time.Second)

		if o, _ := lenient.task(id); o["task_status"] != failed || o["code"] != "InvalidParameter" || !strings.Contains(o["message"].(string), message) {
			t.Errorf("%s: %v", message, o)
		}

		status, v := newFixture(Options{Strict: true}).create("k", body)
		if status != 400 || v["code"] != "InvalidParameter" || !strings.Contains(v["message"].(string), message) {
			t.Errorf("strict %s: %d %v", message, status, v)
		}
	}
}

func TestTaskLifecycle(t *testing.T) {
	w := newFixture(Options{RenderMin: 4 * time.Second, RenderMax: 4 * time.Second})
	id := w.mustCreate(t, validBody)

	o, u := w.task(id)
	if diff := cmp.Diff(map[string]any{"task_id": id, "task_status": pending, "submit_time": "2026-03-02 04:30:00.005"}, o); diff != "" || u != nil {
		t.Errorf("pending: %s %v", diff, u)
	}

	w.advance(time.Second)

	if o, _ := w.task(id); o["task_status"] != running || o["scheduled_time"] != "2026-03-02 04:30:00.035" || o["end_time"] != nil {
		t.Errorf("running: %v", o)
	}

	w.advance(4 * time.Second)

	o, u = w.task(id)
	if o["task_status"] != succeeded || o["end_time"] != "2026-03-02 04:30:04.035" || o["orig_prompt"] != "a" {
		t.Errorf("succeeded: %v", o)
	}

	if diff := cmp.Diff(map[string]any{"duration": 2.0, "size": "1280*720", "input_video_duration": 0.0, "output_video_duration": 2.0, "video_count": 1.0, "SR": 720.0}, u); diff != "" {
		t.Errorf("usage: %s", diff)
	}

	link := o["video_url"].(string)

	fetch := func(link string) *httptest.ResponseRecorder {
		a := httptest.NewRecorder()
		w.ServeHTTP(a, httptest.NewRequest("GET", link, nil))

		return a
	}
	if a := fetch(link); a.Code != 200 || a.Body.String() != "{1280 720 2 true}" {
		t.Errorf("download: %d %s", a.Code, a.Body)
	}

	if a := fetch(link + "0"); a.Code != 403 || !strings.Contains(a.Body.String(), "SignatureDoesNotMatch") {
		t.Errorf("forged link: %d %s", a.Code, a.Body)
	}

	w.advance(24 * time.Hour)

	if a := fetch(link); a.Code != 403 || !strings.Contains(a.Body.String(), "<Message>Request has expired.</Message>") {
		t.Errorf("a day later: %d %s", a.Code, a.Body)
	}

	if o, _ := w.task(id); o["task_status"] != "UNKNOWN" || o["task_id"] != id || len(o) != 2 {
		t.Errorf("a day later: %v", o)
	}
}

func TestBilledSeconds(t *testing.T) {
	w := newFixture(Options{Limits: Limits{Submits: Unlimited, InProgress: Unlimited, Queries: Unlimited}, ReferenceLength: func(u string) (float64, bool) { return 1.5, strings.Contains(u, "short") }})
	for refs, want := range map[string]float64{
		`"1.png"`:                 0,
		`"1.mp4"`:                 5,
		`"1.mp4?a=b","2.png"`:     2.5,
		`"1.mp4","2.mov"`:         5,
		`"1.mp4","2.mp4","3.png"`: 3.3,
		`"1.mp4","2.png","3.png","4.png","5.png"`: 1,
		`"short.mp4"`:                     1.5,
		`"short.mp4","2.mp4"`:             4,
		`"1.mp4","2.mp4","3.mp4","4.png"`: 3.75,
	} {
		id := w.mustCreate(t, strings.Replace(validBody, `"https://x.org/1.png"`, refs, 1))
		w.advance(time.Minute)

		if _, u := w.task(id); u["input_video_duration"] != want || u["duration"] != want+2 {
			t.Errorf("%s: %v, want input %v", refs, u, want)
		}
	}

	w.Inject(StringNumbers())
	id := w.mustCreate(t, `{"model":"wan2.6-t2v","input":{"prompt":"a"}}`)
	w.advance(time.Minute)

	if _, u := w.task(id); u["SR"] != "1080" || u["duration"] != "5" || u["size"] != "1920*1080" {
		t.Errorf("defaults, as text: %v", u)
	}
}

func TestCancelStopsPendingTasksOnly(t *testing.T) {
	w := newFixture(Options{Limits: Limits{InProgress: 1}})
	first := w.mustCreate(t, validBody)
	second := w.mustCreate(t, validBody)
	w.advance(time.Second)

	if status, v := w.request("k", "POST", "/api/v1/tasks/"+first+"/cancel", ""); status != 400 || v["code"] != "UnsupportedOperation" {
		t.Errorf("cancel of a running task: %d %v", status, v)
	}

	if status, _ := w.request("k", "POST", "/api/v1/tasks/"+second+"/cancel", ""); status != 200 {
		t.Errorf("cancel of a pending task: %d", status)
	}

	w.advance(time.Minute)

	if w.Status(first) != succeeded || w.Status(second) != canceled {
		t.Errorf("ended %s and %s", w.Status(first), w.Status(second))
	}
}

func TestLimitsArePerAccount(t *testing.T) {
	w := newFixture(Options{Keys: []Key{{"k", "1", "a"}, {"k2", "2", "a"}, {"other", "3", "b"}}})
	for n := range 5 {
		if status, v := w.create([]string{"k", "k2"}[n%2], validBody); status != 200 {
			t.Fatalf("submission %d: %d %v", n, status, v)
		}
	}

	if status, v := w.create("k2", validBody); status != 429 || v["code"] != "Throttling.RateQuota" {
		t.Errorf("sixth submission within a second: %d %v", status, v)
	}

	if status, _ := w.create("other", validBody); status != 200 {
		t.Errorf("another account: %d", status)
	}

	if status, _ := w.create("k", strings.Replace(validBody, "-flash", "", 1)); status != 200 {
		t.Errorf("another model: %d", status)
	}

	w.advance(time.Second)

	if status, _ := w.create("k", validBody); status != 200 {
		t.Errorf("a second later: %d", status)
	}

	for n := range 21 {
		want := 200
		if n == 20 {
			want = 429
		}

		if status, _ := w.request("k", "GET", "/api/v1/tasks/x", ""); status != want {
			t.Errorf("query %d: %d, want %d", n, status, want)
		}
	}
}

// However the clock moves and whenever the tasks are observed: no more than the
// limit run at the same time, they start in order, and each takes its render time.
func TestQueueInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 4).Draw(t, "limit")

		w := newFixture(Options{
			Seed: rapid.Uint64().Draw(t, "seed"), RenderMin: time.Second, RenderMax: 5 * time.Second,
			Limits: Limits{Submits: Unlimited, InProgress: limit, Queries: Unlimited},
		})
		for _, ms := range rapid.SliceOfN(rapid.IntRange(0, 3000), 1, 20).Draw(t, "gaps") {
			if status, v := w.create("k", validBody); status != 200 {
				t.Fatal(v)
			}

			w.advance(time.Duration(ms) * time.Millisecond)

			if rapid.Bool().Draw(t, "look") {
				w.Status("")
			}
		}

		w.advance(time.Hour)
		w.Status("")

		for i, one := range w.created {
			if one.status != succeeded || one.endedAt.Sub(one.startedAt) != one.renderTime || one.startedAt.Sub(one.createdAt) < 30*time.Millisecond {
				t.Fatalf("task %d: %s, made %v, %v to %v, takes %v", i, one.status, one.createdAt, one.startedAt, one.endedAt, one.renderTime)
			}

			concurrent := 0

			for j, other := range w.created {
				if j < i && other.startedAt.After(one.startedAt) {
					t.Fatalf("task %d started before task %d", i, j)
				}

				if !other.startedAt.After(one.startedAt) && other.endedAt.After(one.startedAt) {
					concurrent++
				}
			}

			if concurrent > limit {
				t.Fatalf("%d ran at the same time, limit %d", concurrent, limit)
			}

			if wait := one.startedAt.Sub(one.createdAt); concurrent < limit && wait > 30*time.Millisecond && i >= limit {
				if !anyEndedAt(w.created, one.startedAt) {
					t.Fatalf("task %d waited %v while %d were running", i, wait, concurrent)
				}
			}
		}
	})
}

func anyEndedAt(tasks []*task, at time.Time) bool {
	for _, t := range tasks {
		if t.endedAt.Equal(at) {
			return true
		}
	}

	return false
}

func TestListPagination(t *testing.T) {
	w := newFixture(Options{Limits: Limits{Submits: Unlimited, Queries: Unlimited}})
	for range 12 {
		w.mustCreate(t, validBody)
		w.advance(time.Second)
	}

	_, v := w.request("k", "GET", "/api/v1/tasks?page_no=2&page_size=5&model_name=wan2.6-r2v-flash", "")
	if rows := v["data"].([]any); v["total"] != 12.0 || v["total_page"] != 3.0 || len(rows) != 5 {
		t.Fatalf("page 2: %v", v)
	}

	row := v["data"].([]any)[0].(map[string]any)
	if made := time.Date(2026, 3, 1, 20, 30, 6, 5e6, time.UTC); row["gmt_create"] != float64(made.UnixMilli()) || row["api_key_id"] == "" {
		t.Errorf("the sixth newest: %v, want made at %d", row, made.UnixMilli())
	}

	_, v = w.request("k", "GET", "/api/v1/tasks/?start_time=20260302043003&end_time=20260302043004", "")
	if v["total"] != 2.0 {
		t.Errorf("a window of two seconds in UTC+8: %v", v["total"])
	}

	if status, _ := w.request("k", "GET", "/api/v1/tasks/?start_time=20260228043003&end_time=20260302043004", ""); status != 400 {
		t.Errorf("a window of two days: %d", status)
	}
}

// One real render. All other tests use fixed bytes instead.
func TestRenderedVideoIsMP4(t *testing.T) {
	b, err := renderVideo(Spec{Width: 1280, Height: 720, Seconds: 2, Sound: true})
	if err != nil {
		t.Fatal(err)
	}

	if len(b) < 1000 || !bytes.Contains(b[:64], []byte("ftyp")) || bytes.Index(b, []byte("moov")) > bytes.Index(b, []byte("mdat")) {
		t.Errorf("%d bytes, not an MP4 with the index at its start", len(b))
	}
}

func FuzzCreate(f *testing.F) {
	f.Add([]byte(validBody))
	f.Add([]byte(`{"model":"wan2.6-i2v","input":{"img_url":"data:image/png;base64,AAAA"},"parameters":{"duration":1e300}}`))
	f.Add([]byte(`{"model":"wan2.6-t2v","input":{"reference_urls":["a","b","c","d","e","f"]}}`))

	w := newFixture(Options{Limits: Limits{Submits: Unlimited, InProgress: Unlimited, Queries: Unlimited}})

	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequest("POST", createPath, bytes.NewReader(body))
		r.Header.Set("Authorization", "Bearer k")
		r.Header.Set("X-DashScope-Async", "enable")

		a := httptest.NewRecorder()
		w.ServeHTTP(a, r)

		if answer, _ := io.ReadAll(a.Body); a.Code >= 500 || !json.Valid(answer) {
			t.Fatalf("%d %s", a.Code, answer)
		}

		if a.Code == http.StatusOK {
			w.advance(time.Minute)

			made := w.Submissions()
			if o, _ := w.task(made[len(made)-1].TaskID); o["task_status"] != succeeded && o["task_status"] != failed {
				t.Fatalf("ended %v", o)
			}
		}
	})
}
