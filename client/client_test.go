package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scriptedTransport answers each attempt with the next of its responses and records the
// attempts.
type scriptedTransport struct {
	responses  []any // a status, an http.Header for the next status, or an error
	requests   []*http.Request
	times      []time.Time
	body       string
	completeAt time.Time // the task is completed from this time on
}

func (s *scriptedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	s.requests = append(s.requests, r)
	s.times = append(s.times, time.Now())

	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
	}

	header := http.Header{"X-Request-Id": {"req_1"}}

	for {
		next := s.responses[0]
		if len(s.responses) > 1 {
			s.responses = s.responses[1:]
		}

		switch v := next.(type) {
		case http.Header:
			header = v
			continue
		case error:
			return nil, v
		case int:
			body := s.body
			if !s.completeAt.IsZero() && time.Now().After(s.completeAt) {
				body = `{"id":"task_1","status":"completed","progress":100}`
			}

			if v >= 400 {
				body = `{"error":{"message":"Not now.","type":"t","param":null,"code":"c"}}`
			}

			return &http.Response{StatusCode: v, Header: header, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: r}, nil
		}
	}
}

func newScriptedClient(t *testing.T, responses ...any) (*Client, *scriptedTransport) {
	t.Helper()

	s := &scriptedTransport{responses: responses, body: `{"id":"task_1","status":"queued"}`}

	c, err := New("http://server", "sk-1", WithTransport(s))
	if err != nil {
		t.Fatal(err)
	}

	return c, s
}

func retryHeader(name, value string) http.Header { return http.Header{name: {value}} }

func TestOnlyIdempotentRequestsAreRetried(t *testing.T) {
	broken := errors.New("connection reset")
	get := func(c *Client) error { _, err := c.Get(context.Background(), "task_1"); return err }
	create := func(c *Client) error {
		_, err := c.Create(context.Background(), Request{Model: "m", Prompt: "p"})
		return err
	}
	account := func(c *Client) error {
		_, err := c.Admin().CreateAccount(context.Background(), NewAccount{Name: "a"})
		return err
	}

	grant := func(c *Client) error { _, err := c.Admin().Grant(context.Background(), "a", "1.00", ""); return err }
	for _, test := range []struct {
		name    string
		do      func(*Client) error
		answers []any
		tries   int
		ok      bool
	}{
		{"a read after a connection error", get, []any{broken, 200}, 2, true},
		{"a read after 503", get, []any{503, 502, 500, 200}, 4, true},
		{"a read after too many errors", get, []any{503}, 5, false},
		{"a read with a permanent error", get, []any{404, 200}, 1, false},
		{"a create after a connection error", create, []any{broken, 200}, 2, true},
		{"a grant after a connection error", grant, []any{broken, 503, 200}, 3, true}, // its ref makes it idempotent
		{"a create after 500", create, []any{500, 200}, 2, true},
		{"a create after 429", create, []any{429, 200}, 2, true},
		{"an invalid create", create, []any{400, 200}, 1, false},
		{"a create without credit", create, []any{402, 200}, 1, false},
		{"the server forbids a retry", get, []any{retryHeader("X-Should-Retry", "false"), 503, 200}, 1, false},
		{"the server requests a retry", get, []any{retryHeader("X-Should-Retry", "true"), 409, 200}, 2, true},
		{"a non-idempotent request after a connection error", account, []any{broken, 200}, 1, false},
		{"a non-idempotent request after 500", account, []any{500, 200}, 1, false},
		{"a non-idempotent request whose retry the server requests", account, []any{retryHeader("X-Should-Retry", "true"), 500, 200}, 1, false},
		{"a non-idempotent request after 429", account, []any{429, 200}, 2, true},
		{"a Retry-After that is too long", get, []any{retryHeader("Retry-After", "3600"), 503, 200}, 1, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			c, s := newScriptedClient(t, test.answers...)

			err := test.do(c)
			if (err == nil) != test.ok || len(s.requests) != test.tries {
				t.Errorf("%s: %d attempts, %v", test.name, len(s.requests), err)
			}

			for _, r := range s.requests {
				if got, first := r.Header.Get("Idempotency-Key"), s.requests[0].Header.Get("Idempotency-Key"); got != first || (strings.Contains(test.name, "a create") && got == "") {
					t.Errorf("%s: idempotency keys %q, then %q", test.name, first, got)
				}
			}
		})
	}
}

func TestRetryAfterIsHonored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := newScriptedClient(t, retryHeader("Retry-After", "7"), 429, retryHeader("Retry-After", time.Now().Add(20*time.Second).UTC().Format(http.TimeFormat)), 503, 200)
		if _, err := c.Get(context.Background(), "task_1"); err != nil {
			t.Fatal(err)
		}

		if first, second := s.times[1].Sub(s.times[0]), s.times[2].Sub(s.times[1]); first != 7*time.Second || second < 12*time.Second || second > 13*time.Second {
			t.Fatalf("waited %s and %s", first, second)
		}
	})
}

func TestBackoffIsBounded(t *testing.T) {
	for try := 1; try < 70; try++ {
		if pause := backoff(try); pause < minBackoff/2 || pause > maxBackoff {
			t.Fatalf("attempt %d: %s", try, pause)
		}
	}
}

func TestCancelledContextStopsRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := newScriptedClient(t, 503)

		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		defer cancel()

		_, err := c.Get(ctx, "task_1")

		var apiErr *Error
		if !errors.As(err, &apiErr) || apiErr.Status != 503 || apiErr.RequestID != "req_1" || len(s.requests) > 2 {
			t.Fatalf("%v after %d attempts", err, len(s.requests))
		}
	})
}

func TestWaitSurvivesServerOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := errors.New("connection refused")

		answers := []any{200}
		for range 40 {
			answers = append(answers, away)
		}

		c, s := newScriptedClient(t, append(answers, 200)...)
		s.completeAt = time.Now().Add(20 * time.Second) // while the server is unreachable

		var seen []Status

		got, err := c.Wait(context.Background(), "task_1", func(t Task) { seen = append(seen, t.Status) })
		if err != nil || got.Status != Completed {
			t.Fatalf("%+v, %v", got, err)
		}

		if diff := cmp.Diff([]Status{Queued, Completed}, seen); diff != "" {
			t.Fatal(diff)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		c, _ := newScriptedClient(t, errors.New("connection refused"))

		begin := time.Now()
		if _, err := c.Wait(context.Background(), "task_1", nil); err == nil || time.Since(begin) > 2*outageTimeout {
			t.Fatalf("%v after %s", err, time.Since(begin))
		}
	})
	synctest.Test(t, func(t *testing.T) {
		c, _ := newScriptedClient(t, 404)
		if _, err := c.Wait(context.Background(), "task_1", nil); err == nil || err.Error() != "Not now." {
			t.Fatal(err)
		}
	})
}

// newTestClient starts a real server on loopback and a client for it.
func newTestClient(t *testing.T, handler http.Handler) *Client {
	t.Helper()

	server := httptest.NewServer(handler)

	c, err := New(server.URL, "sk-1", WithMaxAttempts(3))
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { c.Close(); server.Close() })

	return c
}

func TestRequestJSON(t *testing.T) {
	expand := false
	seed := int64(-1)
	r := Request{
		Model: "wan2.6-r2v-flash-720p-audio", Prompt: "p", Videos: []string{"https://example.com/v.mp4"}, Size: "1280*720", Duration: 5,
		Extra: Extra{NegativePrompt: "blur", Audio: "https://example.com/a.mp3", ShotType: "single", EnablePromptExpansion: &expand, Seed: &seed},
	}

	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}

	want := `{"model":"wan2.6-r2v-flash-720p-audio","prompt":"p","videos":["https://example.com/v.mp4"],"size":"1280*720","duration":5,"extra_body":{"negative_prompt":"blur","audio":"https://example.com/a.mp3","shot_type":"single","enable_prompt_expansion":false,"seed":-1}}`
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Fatal(diff)
	}

	if text, err = json.Marshal(Request{Model: "m", Prompt: "p"}); err != nil || string(text) != `{"model":"m","prompt":"p"}` {
		t.Fatalf("empty fields are sent: %s", text)
	}
}

func TestTaskJSON(t *testing.T) {
	const answer = `{"id":"task_1","task_id":"task_1","status":"completed","progress":100,"started_at":null,"video_url":null,"result":null,
"error":{"code":"c","message":"m","param":null},"queue_position":3,"eta":17,"metadata":{"shot":"7","total_time":1.5,"predict_time":null},
"usage":{"billed_seconds":6.65,"cost":"0.25","currency":"USD"},"warnings":[{"code":"w","message":"m","param":null}],"unheard_of":1}`

	c := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.String() != "/v1/videos/task_1?wait=60" || r.Header.Get("Authorization") != "Bearer sk-1" {
			t.Errorf("requested %s with %v", r.URL, r.Header)
		}

		_, _ = io.WriteString(w, answer)
	}))

	got, err := c.Get(context.Background(), "task_1", WithWait(5*time.Minute))
	if err != nil {
		t.Fatal(err)
	}

	position := int64(3)
	eta := int64(17)

	want := Task{
		ID: "task_1", TaskID: "task_1", Status: Completed, Progress: 100, Error: &ErrorDetail{Code: "c", Message: "m"},
		QueuePosition: &position, ETA: &eta, Metadata: Metadata{Pairs: map[string]string{"shot": "7"}, TotalTime: 1.5},
		Usage: &Usage{BilledSeconds: "6.65", Cost: "0.25", Currency: "USD"}, Warnings: []Warning{{Code: "w", Message: "m"}}, Raw: json.RawMessage(answer),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
}

func TestErrorListsEveryField(t *testing.T) {
	c := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Request-Id", "req_9")
		w.WriteHeader(400)
		_, _ = io.WriteString(w, `{"error":{"message":"a","type":"invalid_request_error","param":"size","code":"invalid_value","errors":[{"param":"size","code":"invalid_value","message":"a"},{"param":null,"code":"x","message":"b"}]}}`)
	}))
	_, err := c.Create(context.Background(), Request{})
	want := &Error{
		Status: 400, Code: "invalid_value", Type: "invalid_request_error", Param: "size", Message: "a", RequestID: "req_9",
		Errors: []ErrorDetail{{"size", "invalid_value", "a"}, {"", "x", "b"}},
	}

	var got *Error
	if !errors.As(err, &got) || !cmp.Equal(want, got) || err.Error() != "size: a" {
		t.Fatal(err, cmp.Diff(want, got))
	}
}

func TestListPaginates(t *testing.T) {
	c := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pages := map[string]string{
			"":  `{"data":[{"id":"a"},{"id":"b"}],"last_id":"b","has_more":true}`,
			"b": `{"data":[{"id":"c"}],"last_id":"c","has_more":false}`,
		}

		if r.URL.Query().Get("status") != "failed" {
			t.Errorf("requested %s", r.URL)
		}

		_, _ = io.WriteString(w, pages[r.URL.Query().Get("after")])
	}))

	var ids []string

	for task, err := range c.List(context.Background(), Filter{Status: Failed}) {
		if err != nil {
			t.Fatal(err)
		}

		ids = append(ids, task.ID)
	}

	if diff := cmp.Diff([]string{"a", "b", "c"}, ids); diff != "" {
		t.Fatal(diff)
	}
}

func TestUploadStreamsWithContentLength(t *testing.T) {
	content := bytes.Repeat([]byte("x"), 300_000)
	tries := 0
	c := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if tries++; tries == 1 {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(503)

			return
		}

		file, header, err := r.FormFile("file")
		if err != nil {
			t.Error(err)
			return
		}

		got, _ := io.ReadAll(file)
		if !bytes.Equal(got, content) || header.Filename != "a b.png" || r.ContentLength <= int64(len(content)) {
			t.Errorf("%d bytes of %s, length %d", len(got), header.Filename, r.ContentLength)
		}

		_, _ = fmt.Fprintf(w, `{"id":"file_1","bytes":%d}`, len(got))
	}))
	last := int64(0)

	f, err := c.Upload(context.Background(), Upload{Name: "a b.png", Body: bytes.NewReader(content), Progress: func(sent, _ int64) { last = sent }})
	if err != nil || f.ID != "file_1" || last != int64(len(content)) || tries != 2 {
		t.Fatalf("%+v, %v, reported %d bytes, %d attempts", f, err, last, tries)
	}
}

// An earlier attempt must not read bytes of the next one. After close, no attempt may read
// from the file, which belongs to the caller again.
func TestStaleUploadReaderReadsNothing(t *testing.T) {
	source := &uploadSource{r: strings.NewReader("0123456789"), size: 10}

	first, err := source.open()
	if err != nil {
		t.Fatal(err)
	}

	if n, err := first.Read(make([]byte, 4)); n != 4 || err != nil {
		t.Fatal(n, err)
	}

	second, err := source.open()
	if err != nil {
		t.Fatal(err)
	}

	if n, err := first.Read(make([]byte, 4)); n != 0 || err == nil {
		t.Errorf("the first attempt read %d bytes of the second one", n)
	}

	if all, err := io.ReadAll(second); string(all) != "0123456789" || err != nil {
		t.Errorf("the second attempt read %q, %v", all, err)
	}

	source.close()

	if n, err := second.Read(make([]byte, 4)); n != 0 || err == nil || errors.Is(err, io.EOF) {
		t.Errorf("after close the second attempt read %d bytes, %v", n, err)
	}
}

func TestDownloadResumes(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 50_000)
	tries := 0
	ranges := []string{}
	c := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tries++

		ranges = append(ranges, r.Header.Get("Range"))

		if tries <= 2 { // send half of the rest, then cut the connection
			from := 0
			_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
			w.Header().Set("Content-Length", fmt.Sprint(len(content)-from))

			if from > 0 {
				w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(content)-1, len(content)))
				w.WriteHeader(206)
			}

			_, _ = w.Write(content[from : from+(len(content)-from)/2])

			panic(http.ErrAbortHandler)
		}

		http.ServeContent(w, r, "v.mp4", time.Time{}, bytes.NewReader(content))
	}))
	path := filepath.Join(t.TempDir(), "v.mp4")
	reported := int64(0)

	if err := c.Download(context.Background(), "task_1", path, func(done, _ int64) { reported = done }); err != nil {
		t.Fatal(err)
	}

	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, content) || reported != int64(len(content)) {
		t.Fatalf("%d bytes, reported %d, %v", len(got), reported, err)
	}

	if tries != 3 || ranges[0] != "" || ranges[1] == "" || ranges[2] == "" {
		t.Fatalf("requested the ranges %q", ranges)
	}

	if left, _ := filepath.Glob(path + ".*"); len(left) > 0 {
		t.Fatalf("files were left behind: %v", left)
	}
}

func TestDownloadResumesInLaterCall(t *testing.T) {
	content := []byte("the whole video")

	c := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "v.mp4", time.Time{}, bytes.NewReader(content))
	}))
	for _, before := range []string{"the who", string(content), string(content) + "and more"} {
		path := filepath.Join(t.TempDir(), "v.mp4")
		if err := os.WriteFile(path+".task_1.part", []byte(before), 0o600); err != nil {
			t.Fatal(err)
		}

		if err := c.Download(context.Background(), "task_1", path, nil); err != nil {
			t.Fatal(err)
		}

		if got, _ := os.ReadFile(path); !bytes.Equal(got, content) {
			t.Fatalf("after %q: %q", before, got)
		}
	}
}

func TestDownloadLeavesNoFileAfterError(t *testing.T) {
	c := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(410)
		_, _ = io.WriteString(w, `{"error":{"message":"Gone.","code":"video_expired"}}`)
	}))
	folder := t.TempDir()

	err := c.Download(context.Background(), "task_1", filepath.Join(folder, "v.mp4"), nil)
	if left, _ := os.ReadDir(folder); err == nil || err.Error() != "Gone." || len(left) > 0 {
		t.Fatalf("%v, files left: %v", err, left)
	}
}

func TestAdminOverUnixSocket(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" && r.URL.Path == "/admin/v1/accounts/studio a/credit" {
			_, _ = io.Copy(w, strings.NewReader(`{"free":"1.00"}`))
			return
		}

		t.Errorf("%s %s", r.Method, r.URL.Path)
	}))

	listener, err := listenUnix(socket)
	if err != nil {
		t.Fatal(err)
	}

	server.Listener = listener

	server.Start()
	defer server.Close()

	c, err := New("http://operator", "", WithUnixSocket(socket))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()

	b, err := c.Admin().Grant(context.Background(), "studio a", "1.00", "r")
	if err != nil || b.Free != "1.00" {
		t.Fatalf("%+v, %v", b, err)
	}
}

func FuzzError(f *testing.F) {
	f.Add([]byte(`{"error":{"message":"m","param":null,"errors":[{"param":"a"}]}}`))
	f.Add([]byte(`{"error":"text"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		e := readError(&http.Response{StatusCode: 500, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(text))})
		if e.Error() == "" || e.Status != 500 {
			t.Fatalf("an error without a message: %+v", e)
		}
	})
}

func FuzzTask(f *testing.F) {
	f.Add([]byte(`{"id":"task_1","metadata":{"a":"b","total_time":1.5},"usage":{"billed_seconds":5},"error":null}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		task, err := readTask(text)
		if err != nil {
			return
		}

		again, err := json.Marshal(task.Metadata)
		if err != nil {
			t.Fatal(err)
		}

		var back Metadata
		if err := json.Unmarshal(again, &back); err != nil || !cmp.Equal(task.Metadata, back) {
			t.Fatalf("%+v came back as %+v (%v)", task.Metadata, back, err)
		}
	})
}

func listenUnix(path string) (net.Listener, error) { return net.Listen("unix", path) }

func TestDownloadContinuesShortRange(t *testing.T) {
	content := []byte("the whole video")
	c := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Range") == "bytes=3-" { // a proxy's cache returns less than was requested
			r.Header.Set("Range", "bytes=3-5")
		}

		http.ServeContent(w, r, "v.mp4", time.Time{}, bytes.NewReader(content))
	}))

	path := filepath.Join(t.TempDir(), "v.mp4")
	if err := os.WriteFile(path+".task_1.part", content[:3], 0o600); err != nil {
		t.Fatal(err)
	}

	if err := c.Download(context.Background(), "task_1", path, nil); err != nil {
		t.Fatal(err)
	}

	if got, _ := os.ReadFile(path); !bytes.Equal(got, content) {
		t.Fatalf("got %q", got)
	}
}
