package s3

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/unireel/unireel/internal/blob"
	"github.com/unireel/unireel/internal/blob/s3test"
)

// readStats counts the requests for bytes and the bytes that arrive.
type readStats struct {
	requests int
	bytes    int64
}

func (c *readStats) attach(w *interceptor) {
	w.intercept = func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		resp, err := next.RoundTrip(r)
		if r.Method == http.MethodGet && err == nil {
			c.requests++
			c.bytes += resp.ContentLength
		}

		return resp, err
	}
}

// TestServingRangeReadsLittle serves small ranges of a large blob with http.ServeContent,
// which seeks to the end and back.
func TestServingRangeReadsLittle(t *testing.T) {
	server := s3test.Start(t)
	s, w := openIntercepted(t, server)

	data := testBytes(40 << 20)
	if _, err := s.Put(t.Context(), "large/one", bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}

	for _, c := range []struct {
		name, header string
		want         []byte
		maxRequests  int
		maxBytes     int64
	}{
		{"the head", "bytes=0-99", data[:100], 1, 1 << 20},
		{"the middle", "bytes=20000000-20000099", data[20000000:20000100], 1, 1 << 20},
		{"the end", "bytes=-100", data[len(data)-100:], 1, 100},
		{"all", "", data, 5, 40 << 20},
	} {
		var stats readStats
		stats.attach(w)

		r, err := s.Open(t.Context(), "large/one")
		if err != nil {
			t.Fatal(err)
		}

		req := httptest.NewRequest(http.MethodGet, "/", nil)
		if c.header != "" {
			req.Header.Set("Range", c.header)
		}

		answer := httptest.NewRecorder()
		http.ServeContent(answer, req, "x.mp4", time.Time{}, r)
		r.Close()

		if !bytes.Equal(answer.Body.Bytes(), c.want) || stats.requests > c.maxRequests || stats.bytes > c.maxBytes {
			t.Errorf("%s: %d bytes with %d requests that transfer %d bytes", c.name, answer.Body.Len(), stats.requests, stats.bytes)
		}
	}

	var head readStats
	head.attach(w)

	r, err := s.Open(t.Context(), "large/one")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()

	http.ServeContent(httptest.NewRecorder(), httptest.NewRequest(http.MethodHead, "/", nil), "x.mp4", time.Time{}, r)

	if head.requests != 0 {
		t.Errorf("HEAD makes %d requests for bytes", head.requests)
	}
}

// TestReaderResumesAfterBreak closes connections in the middle of a body.
func TestReaderResumesAfterBreak(t *testing.T) {
	server := s3test.Start(t)
	s, w := openIntercepted(t, server)

	data := testBytes(5 << 20)
	if _, err := s.Put(t.Context(), "cut/one", bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}

	cuts := 0
	w.intercept = func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		resp, err := next.RoundTrip(r)
		if r.Method == http.MethodGet && err == nil && cuts < 4 {
			cuts++
			resp.Body = struct {
				io.Reader
				io.Closer
			}{io.MultiReader(io.LimitReader(resp.Body, 300_000), iotest.ErrReader(io.ErrUnexpectedEOF)), resp.Body}
		}

		return resp, err
	}

	r, err := s.Open(t.Context(), "cut/one")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()

	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data) || cuts != 4 {
		t.Fatalf("%d bytes after %d cuts, %v", len(got), cuts, err)
	}
}

func TestReaderDetectsReplacedBlob(t *testing.T) {
	server := s3test.Start(t)
	s, _ := openIntercepted(t, server)
	put := func(text string) {
		t.Helper()

		if _, err := s.Put(t.Context(), "again/one", strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	put("first")

	r, err := s.Open(t.Context(), "again/one")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()

	if err := s.Delete(t.Context(), "again/one"); err != nil {
		t.Fatal(err)
	}

	put("other")

	if got, err := io.ReadAll(r); !errors.Is(err, blob.ErrNotFound) || len(got) > 0 {
		t.Fatalf("got %q, %v", got, err)
	}
}

// TestOutage makes every call while the store is down, and again when it is back: nothing
// has to be opened again.
func TestOutage(t *testing.T) {
	server := s3test.Start(t)

	s := openStore(t, testOptions(server, ""))
	if _, err := s.Put(t.Context(), "out/one", strings.NewReader("bytes")); err != nil {
		t.Fatal(err)
	}

	r, err := s.Open(t.Context(), "out/one")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()

	server.Stop()

	var all sync.WaitGroup
	for what, call := range map[string]func() error{
		"put":    func() error { _, err := s.Put(t.Context(), "out/two", strings.NewReader("bytes")); return err },
		"open":   func() error { _, err := s.Open(t.Context(), "out/one"); return err },
		"stat":   func() error { _, err := s.Stat(t.Context(), "out/one"); return err },
		"delete": func() error { return s.Delete(t.Context(), "out/one") },
		"list":   func() error { return s.List(t.Context(), func(blob.Info) bool { return true }) },
		"read":   func() error { _, err := io.ReadAll(r); return err },
	} {
		all.Go(func() {
			if err := call(); !errors.Is(err, blob.ErrUnavailable) || strings.Contains(err.Error(), server.SecretKey) {
				t.Errorf("%s: %v", what, err)
			}
		})
	}

	all.Wait()

	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}

	if got, err := io.ReadAll(r); err != nil || string(got) != "bytes" {
		t.Errorf("the reader: %q, %v", got, err)
	}

	if _, err := s.Put(t.Context(), "out/two", strings.NewReader("bytes")); err != nil {
		t.Error(err)
	}
}

func TestPresignedURL(t *testing.T) {
	server := s3test.Start(t)

	o := testOptions(server, "links")
	if link, err := openStore(t, o).URL(t.Context(), "task_1/1-a.mp4", time.Minute); link != "" || err != nil {
		t.Fatalf("without Presign: %q, %v", link, err)
	}

	o.Presign = true
	s := openStore(t, o)

	video := append([]byte("\x00\x00\x00\x18ftypmp42"), testBytes(1000)...)
	for key, want := range map[string]string{"task_1/1-a.mp4": "video/mp4", "file_1/blob_2": "video/mp4", "file_2/page": "application/octet-stream"} {
		data := video
		if key == "file_2/page" {
			data = []byte("<html><script>alert(1)</script>")
		}

		if _, err := s.Put(t.Context(), key, bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}

		link, err := s.URL(t.Context(), key, time.Minute)
		if err != nil {
			t.Fatal(err)
		}

		status, got, body := getURL(t, link, "bytes=2-5")
		if status != http.StatusPartialContent || !bytes.Equal(body, data[2:6]) {
			t.Errorf("%s: %d, %d bytes", key, status, len(body))
		}

		name := strings.SplitN(key, "/", 2)[0]
		if got.Get("Content-Type") != want || !strings.Contains(got.Get("Content-Disposition"), name) || got.Get("Cache-Control") != "private, max-age=60" {
			t.Errorf("%s: %v", key, got)
		}

		u, err := url.Parse(link)
		if err != nil {
			t.Fatal(err)
		}

		q := u.Query()
		if strings.Contains(link, server.SecretKey) || q.Get("X-Amz-Expires") != "60" {
			t.Errorf("the link is %s", link)
		}

		q.Set("X-Amz-Expires", "6000")

		u.RawQuery = q.Encode()
		if status, _, _ := getURL(t, u.String(), ""); status != http.StatusForbidden {
			t.Errorf("a link with a changed expiry: %d", status)
		}
	}
}

func getURL(t *testing.T, link, byteRange string) (status int, header http.Header, body []byte) {
	t.Helper()

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, link, nil)
	if err != nil {
		t.Fatal(err)
	}

	if byteRange != "" {
		req.Header.Set("Range", byteRange)
	}

	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()

	if body, err = io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}

	return resp.StatusCode, resp.Header, body
}
