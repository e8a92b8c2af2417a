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

// script answers each try with the next line of it, and remembers the tries.
type script struct {
	answers []any // a status, an http.Header for the next status, or an error
	tries   []*http.Request
	at      []time.Time
	body    string
	ends    time.Time // from then on the task is completed
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	s.tries = append(s.tries, r)
	s.at = append(s.at, time.Now())

	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
	}

	header := http.Header{"X-Request-Id": {"req_1"}}

	for {
		next := s.answers[0]
		if len(s.answers) > 1 {
			s.answers = s.answers[1:]
		}

		switch v := next.(type) {
		case http.Header:
			header = v
			continue
		case error:
			return nil, v
		case int:
			body := s.body
			if !s.ends.IsZero() && time.Now().After(s.ends) {
				body = `{"id":"task_1","status":"completed","progress":100}`
			}

			if v >= 400 {
				body = `{"error":{"message":"Not now.","type":"t","param":null,"code":"c"}}`
			}

			return &http.Response{StatusCode: v, Header: header, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: r}, nil
		}
	}
}

func scripted(t *testing.T, answers ...any) (*Client, *script) {
	t.Helper()

	s := &script{answers: answers, body: `{"id":"task_1","status":"queued"}`}

	c, err := New("http://server", "sk-1", WithTransport(s))
	if err != nil {
		t.Fatal(err)
	}

	return c, s
}

func retryHeader(name, value string) http.Header { return http.Header{name: {value}} }

func TestWhatIsSafeIsSentAgain(t *testing.T) {
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
		{"a read after a break", get, []any{broken, 200}, 2, true},
		{"a read after 503", get, []any{503, 502, 500, 200}, 4, true},
		{"a read is given up", get, []any{503}, 5, false},
		{"a read that is refused", get, []any{404, 200}, 1, false},
		{"a create after a break", create, []any{broken, 200}, 2, true},
		{"a grant after a break", grant, []any{broken, 503, 200}, 3, true}, // its ref grants once
		{"a create after 500", create, []any{500, 200}, 2, true},
		{"a create after 429", create, []any{429, 200}, 2, true},
		{"a create that is wrong", create, []any{400, 200}, 1, false},
		{"a create without credit", create, []any{402, 200}, 1, false},
		{"the server says no more", get, []any{retryHeader("X-Should-Retry", "false"), 503, 200}, 1, false},
		{"the server says again", get, []any{retryHeader("X-Should-Retry", "true"), 409, 200}, 2, true},
		{"an unsafe call after a break", account, []any{broken, 200}, 1, false},
		{"an unsafe call after 500", account, []any{500, 200}, 1, false},
		{"an unsafe call is never forced", account, []any{retryHeader("X-Should-Retry", "true"), 500, 200}, 1, false},
		{"an unsafe call that was not taken", account, []any{429, 200}, 2, true},
		{"a wait that is too long", get, []any{retryHeader("Retry-After", "3600"), 503, 200}, 1, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			c, s := scripted(t, test.answers...)

			err := test.do(c)
			if (err == nil) != test.ok || len(s.tries) != test.tries {
				t.Errorf("%s: %d tries, %v", test.name, len(s.tries), err)
			}

			for _, r := range s.tries {
				if got, first := r.Header.Get("Idempotency-Key"), s.tries[0].Header.Get("Idempotency-Key"); got != first || (strings.Contains(test.name, "a create") && got == "") {
					t.Errorf("%s: idempotency keys %q, then %q", test.name, first, got)
				}
			}
		})
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := scripted(t, retryHeader("Retry-After", "7"), 429, retryHeader("Retry-After", time.Now().Add(20*time.Second).UTC().Format(http.TimeFormat)), 503, 200)
		if _, err := c.Get(context.Background(), "task_1"); err != nil {
			t.Fatal(err)
		}

		if first, second := s.at[1].Sub(s.at[0]), s.at[2].Sub(s.at[1]); first != 7*time.Second || second < 12*time.Second || second > 13*time.Second {
			t.Fatalf("waited %s and %s", first, second)
		}
	})
}

func TestBackoffIsBounded(t *testing.T) {
	for try := 1; try < 70; try++ {
		if pause := backoff(try); pause < firstPause/2 || pause > longestPause {
			t.Fatalf("try %d: %s", try, pause)
		}
	}
}

func TestAnEndedContextEndsTheTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s := scripted(t, 503)

		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		defer cancel()

		_, err := c.Get(ctx, "task_1")

		var no *Error
		if !errors.As(err, &no) || no.Status != 503 || no.RequestID != "req_1" || len(s.tries) > 2 {
			t.Fatalf("%v after %d tries", err, len(s.tries))
		}
	})
}

func TestWaitOutlastsAServerThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := errors.New("connection refused")

		answers := []any{200}
		for range 40 {
			answers = append(answers, away)
		}

		c, s := scripted(t, append(answers, 200)...)
		s.ends = time.Now().Add(20 * time.Second) // while the server is away

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
		c, _ := scripted(t, errors.New("connection refused"))

		begin := time.Now()
		if _, err := c.Wait(context.Background(), "task_1", nil); err == nil || time.Since(begin) > 2*patience {
			t.Fatalf("%v after %s", err, time.Since(begin))
		}
	})
	synctest.Test(t, func(t *testing.T) {
		c, _ := scripted(t, 404)
		if _, err := c.Wait(context.Background(), "task_1", nil); err == nil || err.Error() != "Not now." {
			t.Fatal(err)
		}
	})
}

// serve starts a real server on loopback and a client for it.
func serve(t *testing.T, handler http.Handler) *Client {
	t.Helper()

	server := httptest.NewServer(handler)

	c, err := New(server.URL, "sk-1", WithTries(3))
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { c.Close(); server.Close() })

	return c
}

func TestARequestIsWhatThePageShows(t *testing.T) {
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

func TestATaskIsReadWhole(t *testing.T) {
	const answer = `{"id":"task_1","task_id":"task_1","status":"completed","progress":100,"started_at":null,"video_url":null,"result":null,
"error":{"code":"c","message":"m","param":null},"queue_position":3,"eta":17,"metadata":{"shot":"7","total_time":1.5,"predict_time":null},
"usage":{"billed_seconds":6.65,"cost":"0.25","currency":"USD"},"warnings":[{"code":"w","message":"m","param":null}],"unheard_of":1}`

	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.String() != "/v1/videos/task_1?wait=60" || r.Header.Get("Authorization") != "Bearer sk-1" {
			t.Errorf("asked %s with %v", r.URL, r.Header)
		}

		_, _ = io.WriteString(w, answer)
	}))

	got, err := c.Get(context.Background(), "task_1", WithWait(5*time.Minute))
	if err != nil {
		t.Fatal(err)
	}

	place := int64(3)
	eta := int64(17)

	want := Task{
		ID: "task_1", TaskID: "task_1", Status: Completed, Progress: 100, Error: &Flaw{Code: "c", Message: "m"},
		QueuePosition: &place, ETA: &eta, Metadata: Metadata{Pairs: map[string]string{"shot": "7"}, TotalTime: 1.5},
		Usage: &Usage{BilledSeconds: "6.65", Cost: "0.25", Currency: "USD"}, Warnings: []Warning{{Code: "w", Message: "m"}}, Raw: json.RawMessage(answer),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
}

func TestAnErrorSaysAllThatIsWrong(t *testing.T) {
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Request-Id", "req_9")
		w.WriteHeader(400)
		_, _ = io.WriteString(w, `{"error":{"message":"a","type":"invalid_request_error","param":"size","code":"invalid_value","errors":[{"param":"size","code":"invalid_value","message":"a"},{"param":null,"code":"x","message":"b"}]}}`)
	}))
	_, err := c.Create(context.Background(), Request{})
	want := &Error{
		Status: 400, Code: "invalid_value", Type: "invalid_request_error", Param: "size", Message: "a", RequestID: "req_9",
		Errors: []Flaw{{"size", "invalid_value", "a"}, {"", "x", "b"}},
	}

	var got *Error
	if !errors.As(err, &got) || !cmp.Equal(want, got) || err.Error() != "size: a" {
		t.Fatal(err, cmp.Diff(want, got))
	}
}

func TestListGoesThroughThePages(t *testing.T) {
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pages := map[string]string{
			"":  `{"data":[{"id":"a"},{"id":"b"}],"last_id":"b","has_more":true}`,
			"b": `{"data":[{"id":"c"}],"last_id":"c","has_more":false}`,
		}

		if r.URL.Query().Get("status") != "failed" {
			t.Errorf("asked %s", r.URL)
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

func TestUploadIsStreamedWithItsLength(t *testing.T) {
	content := bytes.Repeat([]byte("x"), 300_000)
	tries := 0
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
		t.Fatalf("%+v, %v, told %d, %d tries", f, err, last, tries)
	}
}

// A try that is over takes no bytes from the next one, and nothing from a file that
// is its owner's again.
func TestATryThatIsOverReadsNoMore(t *testing.T) {
	of := &turns{r: strings.NewReader("0123456789"), size: 10}

	first, err := of.start()
	if err != nil {
		t.Fatal(err)
	}

	if n, err := first.Read(make([]byte, 4)); n != 4 || err != nil {
		t.Fatal(n, err)
	}

	second, err := of.start()
	if err != nil {
		t.Fatal(err)
	}

	if n, err := first.Read(make([]byte, 4)); n != 0 || err == nil {
		t.Errorf("the first try read %d bytes of the second's", n)
	}

	if all, err := io.ReadAll(second); string(all) != "0123456789" || err != nil {
		t.Errorf("the second try read %q, %v", all, err)
	}

	of.end()

	if n, err := second.Read(make([]byte, 4)); n != 0 || err == nil || errors.Is(err, io.EOF) {
		t.Errorf("after its end it read %d bytes, %v", n, err)
	}
}

func TestDownloadGoesOnWhereItBroke(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 50_000)
	tries := 0
	ranges := []string{}
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tries++

		ranges = append(ranges, r.Header.Get("Range"))

		if tries <= 2 { // half of what is left, then the line is cut
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
	told := int64(0)

	if err := c.Download(context.Background(), "task_1", path, func(done, _ int64) { told = done }); err != nil {
		t.Fatal(err)
	}

	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, content) || told != int64(len(content)) {
		t.Fatalf("%d bytes, told %d, %v", len(got), told, err)
	}

	if tries != 3 || ranges[0] != "" || ranges[1] == "" || ranges[2] == "" {
		t.Fatalf("asked for %q", ranges)
	}

	if left, _ := filepath.Glob(path + ".*"); len(left) > 0 {
		t.Fatalf("left behind: %v", left)
	}
}

func TestDownloadGoesOnInALaterCall(t *testing.T) {
	content := []byte("the whole film")

	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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

func TestDownloadKeepsNothingOfARefusal(t *testing.T) {
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(410)
		_, _ = io.WriteString(w, `{"error":{"message":"Gone.","code":"video_expired"}}`)
	}))
	folder := t.TempDir()

	err := c.Download(context.Background(), "task_1", filepath.Join(folder, "v.mp4"), nil)
	if left, _ := os.ReadDir(folder); err == nil || err.Error() != "Gone." || len(left) > 0 {
		t.Fatalf("%v, left %v", err, left)
	}
}

func TestAdminSpeaksOverASocket(t *testing.T) {
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
			t.Fatalf("an error without a sentence: %+v", e)
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

func TestDownloadAsksForTheRestOfAShortRange(t *testing.T) {
	content := []byte("the whole film")
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Range") == "bytes=3-" { // a cache in between gives less than was asked for
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
