package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/unireel/unireel/internal/blob"
	"github.com/unireel/unireel/internal/blob/s3test"
)

// interceptor is a transport that counts requests and can answer or change them.
type interceptor struct {
	next      http.RoundTripper
	intercept func(*http.Request, http.RoundTripper) (*http.Response, error)
	requests  atomic.Int32
}

func (w *interceptor) RoundTrip(r *http.Request) (*http.Response, error) {
	w.requests.Add(1)

	if w.intercept == nil {
		return w.next.RoundTrip(r)
	}

	return w.intercept(r, w.next)
}

func openIntercepted(t *testing.T, server *s3test.Server) (*Store, *interceptor) {
	t.Helper()

	transport := newTransport()
	t.Cleanup(transport.CloseIdleConnections)
	w := &interceptor{next: transport}
	o := testOptions(server, "wired")
	o.Transport = w

	return openStore(t, o), w
}

// isCommit reports whether a request is the one that gives a blob its key.
func isCommit(r *http.Request) bool {
	q := r.URL.Query()
	return r.Method == http.MethodPut && !q.Has("partNumber") || r.Method == http.MethodPost && q.Has("uploadId")
}

func testBytes(n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i * i >> 3)
	}

	return data
}

// sizes are blob sizes around the limits of a part: one request, and several parts.
var sizes = []int{0, 1, partSize - 1, partSize, partSize + 1, 2 * partSize, 2*partSize + 7}

func TestRoundTripSizes(t *testing.T) {
	server := s3test.Start(t)
	s, _ := openIntercepted(t, server)

	for i, n := range sizes {
		key := fmt.Sprintf("size/%d", i)
		data := testBytes(n)

		put, err := s.Put(t.Context(), key, bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}

		r, err := s.Open(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}

		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data) || r.Size() != int64(n) {
			t.Errorf("%d bytes: got %d, %v", n, len(got), err)
		}

		r.Close()

		stat, err := s.Stat(t.Context(), key)
		if err != nil || stat.Bytes != int64(n) || (n < partSize) != (stat.SHA256 == put.SHA256) {
			t.Errorf("%d bytes: stat returned %+v, %v", n, stat, err)
		}
	}
}

// TestPutSurvivesLostResponse loses the response to the request that gives the blob its
// key: the server has done it, and the client repeats it.
func TestPutSurvivesLostResponse(t *testing.T) {
	server := s3test.Start(t)
	s, w := openIntercepted(t, server)

	for _, n := range []int{1000, partSize + 1000} {
		lost := 0
		w.intercept = func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
			resp, err := next.RoundTrip(r)
			if isCommit(r) && lost == 0 && err == nil {
				lost++

				resp.Body.Close()

				return nil, errors.New("the response was lost")
			}

			return resp, err
		}
		key := fmt.Sprintf("lost/%d", n)

		info, err := s.Put(t.Context(), key, bytes.NewReader(testBytes(n)))
		if err != nil || info.Bytes != int64(n) || lost != 1 {
			t.Fatalf("%d bytes, %d lost: %+v, %v", n, lost, info, err)
		}

		if _, err := s.Put(t.Context(), key, strings.NewReader("other")); !errors.Is(err, blob.ErrExists) {
			t.Errorf("a second put: %v", err)
		}
	}
}

// TestFailedPutLeavesNothing fails the first request, then the second, and so on, until a
// Put succeeds. Each Put before that returns an error and leaves nothing, not even a part
// of an upload.
func TestFailedPutLeavesNothing(t *testing.T) {
	server := s3test.Start(t)
	s, w := openIntercepted(t, server)

	for _, n := range []int{1000, 2*partSize + 1000} {
		for at := int32(1); ; at++ {
			if at > 20 {
				t.Fatal("no put succeeds")
			}

			w.requests.Store(0)
			w.intercept = func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
				if w.requests.Load() == at {
					return errorResponse(r, http.StatusBadRequest, "BadRequest"), nil // an error that the client does not retry
				}

				return next.RoundTrip(r)
			}
			_, err := s.Put(t.Context(), "broken/one", bytes.NewReader(testBytes(n)))
			w.intercept = nil

			if err == nil {
				break
			}

			if !errors.Is(err, blob.ErrUnavailable) {
				t.Errorf("request %d: %v", at, err)
			}

			checkBucketEmpty(t, server)
		}

		if err := s.Delete(t.Context(), "broken/one"); err != nil {
			t.Fatal(err)
		}
	}
}

func checkBucketEmpty(t *testing.T, server *s3test.Server) {
	t.Helper()

	left, err := server.Files(server.Bucket)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestFullStore(t *testing.T) {
	server := s3test.Start(t)

	s, w := openIntercepted(t, server)
	for _, c := range []struct {
		status int
		code   string
		want   error
	}{
		{507, "InsufficientStorage", blob.ErrFull},
		{403, "QuotaExceeded", blob.ErrFull},
		{507, "", blob.ErrFull},
		{403, "AccessDenied", blob.ErrUnavailable},
		{503, "SlowDown", blob.ErrUnavailable},
		{404, "NoSuchBucket", blob.ErrUnavailable},
	} {
		w.intercept = func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
			if !isCommit(r) {
				return next.RoundTrip(r)
			}

			return errorResponse(r, c.status, c.code), nil
		}

		for _, n := range []int{10, partSize + 10} {
			if _, err := s.Put(t.Context(), "full/one", bytes.NewReader(testBytes(n))); !errors.Is(err, c.want) {
				t.Errorf("%d %s: got %v", c.status, c.code, err)
			}

			checkBucketEmpty(t, server)
		}
	}
}

// errorResponse is an error response of an S3 store; without a code it has no body.
func errorResponse(r *http.Request, status int, code string) *http.Response {
	body := "<Error><Code>" + code + "</Code></Error>"
	if code == "" {
		body = ""
	}

	return &http.Response{StatusCode: status, Status: fmt.Sprint(status), Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}
}

// TestCorruptedBytesAreRejected changes a byte on the way to the server, which must notice.
func TestCorruptedBytesAreRejected(t *testing.T) {
	server := s3test.Start(t)
	s, w := openIntercepted(t, server)
	w.intercept = func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
		if r.Method == http.MethodPut && r.Body != nil {
			data, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}

			data[len(data)/2] ^= 1
			r.Body = io.NopCloser(bytes.NewReader(data))
		}

		return next.RoundTrip(r)
	}

	for _, n := range []int{1000, partSize + 1000} {
		if _, err := s.Put(t.Context(), "changed/one", bytes.NewReader(testBytes(n))); !errors.Is(err, blob.ErrUnavailable) {
			t.Errorf("%d bytes: %v", n, err)
		}

		checkBucketEmpty(t, server)
	}
}

// TestCancelledPutLeavesNothing cancels a multipart Put at random bytes.
func TestCancelledPutLeavesNothing(t *testing.T) {
	server := s3test.Start(t)
	s, _ := openIntercepted(t, server)

	data := testBytes(3 * partSize)
	for _, at := range []int{0, partSize / 2, partSize, partSize + 1, 2*partSize + partSize/2} {
		ctx, cancel := context.WithCancel(t.Context())

		r := io.MultiReader(bytes.NewReader(data[:at]), readerFunc(func(p []byte) (int, error) {
			cancel()
			return copy(p, "more"), nil
		}))
		if _, err := s.Put(ctx, "cancelled/one", r); !errors.Is(err, context.Canceled) {
			t.Errorf("at %d: %v", at, err)
		}

		checkBucketEmpty(t, server)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestReaderMatchesBytesReader compares random sequences of seeks and reads with those of
// a bytes.Reader.
func TestReaderMatchesBytesReader(t *testing.T) {
	server := s3test.Start(t)
	s, _ := openIntercepted(t, server)

	data := testBytes(3 << 20)
	if _, err := s.Put(t.Context(), "read/one", bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}

	rapid.Check(t, func(t *rapid.T) {
		r, err := s.Open(context.Background(), "read/one")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()

		want := bytes.NewReader(data)

		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "seek") {
				offset := rapid.Int64Range(-1<<20, 4<<20).Draw(t, "offset")
				whence := rapid.IntRange(io.SeekStart, io.SeekEnd).Draw(t, "whence")
				got, err := r.Seek(offset, whence)

				at, failed := want.Seek(offset, whence)
				if got != at || (err == nil) != (failed == nil) {
					t.Fatalf("seek %d from %d: %d, %v; want %d, %v", offset, whence, got, err, at, failed)
				}

				continue
			}

			n := rapid.Int64Range(0, 2<<20).Draw(t, "bytes")
			got, err := io.ReadAll(io.LimitReader(r, n))

			mem, _ := io.ReadAll(io.LimitReader(want, n))
			if err != nil || !bytes.Equal(got, mem) {
				t.Fatalf("read %d: %d bytes, %v; want %d", n, len(got), err, len(mem))
			}
		}
	})
}
