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

// wire does something to requests on their way, and counts them.
type wire struct {
	next http.RoundTripper
	do   func(*http.Request, http.RoundTripper) (*http.Response, error)
	n    atomic.Int32
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.n.Add(1)

	if w.do == nil {
		return w.next.RoundTrip(r)
	}

	return w.do(r, w.next)
}

func wired(t *testing.T, server *s3test.Server) (*Store, *wire) {
	t.Helper()

	transport := newTransport()
	t.Cleanup(transport.CloseIdleConnections)
	w := &wire{next: transport}
	o := options(server, "wired")
	o.Transport = w

	return open(t, o), w
}

// isLast says whether a request is the one that gives a blob its key.
func isLast(r *http.Request) bool {
	q := r.URL.Query()
	return r.Method == http.MethodPut && !q.Has("partNumber") || r.Method == http.MethodPost && q.Has("uploadId")
}

func noise(n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i * i >> 3)
	}

	return data
}

// sizes of blobs about the borders of parts: by one request, and in several.
var sizes = []int{0, 1, partSize - 1, partSize, partSize + 1, 2 * partSize, 2*partSize + 7}

func TestEverySizeComesBack(t *testing.T) {
	server := s3test.Start(t)
	s, _ := wired(t, server)

	for i, n := range sizes {
		key := fmt.Sprintf("size/%d", i)
		data := noise(n)

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
			t.Errorf("%d bytes: stat says %+v, %v", n, stat, err)
		}
	}
}

// TestALostAnswerIsNoLoss loses the answer of the request that gives the blob
// its key: it was done, and is asked for again.
func TestALostAnswerIsNoLoss(t *testing.T) {
	server := s3test.Start(t)
	s, w := wired(t, server)

	for _, n := range []int{1000, partSize + 1000} {
		lost := 0
		w.do = func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
			resp, err := next.RoundTrip(r)
			if isLast(r) && lost == 0 && err == nil {
				lost++

				resp.Body.Close()

				return nil, errors.New("the answer was lost")
			}

			return resp, err
		}
		key := fmt.Sprintf("lost/%d", n)

		info, err := s.Put(t.Context(), key, bytes.NewReader(noise(n)))
		if err != nil || info.Bytes != int64(n) || lost != 1 {
			t.Fatalf("%d bytes, %d lost: %+v, %v", n, lost, info, err)
		}

		if _, err := s.Put(t.Context(), key, strings.NewReader("other")); !errors.Is(err, blob.ErrExists) {
			t.Errorf("another one: %v", err)
		}
	}
}

// TestWhatBreaksLeavesNothing breaks the way to the store at one request after
// the other, until a Put goes through: each Put before it says so and leaves
// nothing, no part of an upload either.
func TestWhatBreaksLeavesNothing(t *testing.T) {
	server := s3test.Start(t)
	s, w := wired(t, server)

	for _, n := range []int{1000, 2*partSize + 1000} {
		for at := int32(1); ; at++ {
			if at > 20 {
				t.Fatal("no Put goes through")
			}

			w.n.Store(0)
			w.do = func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
				if w.n.Load() == at {
					return refused(r, http.StatusBadRequest, "BadRequest"), nil // which nobody repeats
				}

				return next.RoundTrip(r)
			}
			_, err := s.Put(t.Context(), "broken/one", bytes.NewReader(noise(n)))
			w.do = nil

			if err == nil {
				break
			}

			if !errors.Is(err, blob.ErrUnavailable) {
				t.Errorf("request %d: %v", at, err)
			}

			nothingLeft(t, server)
		}

		if err := s.Delete(t.Context(), "broken/one"); err != nil {
			t.Fatal(err)
		}
	}
}

func nothingLeft(t *testing.T, server *s3test.Server) {
	t.Helper()

	left, err := server.Files(server.Bucket)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestAStoreThatIsFullSaysSo(t *testing.T) {
	server := s3test.Start(t)

	s, w := wired(t, server)
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
		w.do = func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
			if !isLast(r) {
				return next.RoundTrip(r)
			}

			return refused(r, c.status, c.code), nil
		}

		for _, n := range []int{10, partSize + 10} {
			if _, err := s.Put(t.Context(), "full/one", bytes.NewReader(noise(n))); !errors.Is(err, c.want) {
				t.Errorf("%d %s: got %v", c.status, c.code, err)
			}

			nothingLeft(t, server)
		}
	}
}

// refused is an error as S3 stores answer it, without a body when it has no code.
func refused(r *http.Request, status int, code string) *http.Response {
	body := "<Error><Code>" + code + "</Code></Error>"
	if code == "" {
		body = ""
	}

	return &http.Response{StatusCode: status, Status: fmt.Sprint(status), Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}
}

// TestOtherBytesAreNotTaken changes a byte on the way: the server sees it.
func TestOtherBytesAreNotTaken(t *testing.T) {
	server := s3test.Start(t)
	s, w := wired(t, server)
	w.do = func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
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
		if _, err := s.Put(t.Context(), "changed/one", bytes.NewReader(noise(n))); !errors.Is(err, blob.ErrUnavailable) {
			t.Errorf("%d bytes: %v", n, err)
		}

		nothingLeft(t, server)
	}
}

// TestACancelledPutLeavesNothing cancels at any byte of a blob in parts.
func TestACancelledPutLeavesNothing(t *testing.T) {
	server := s3test.Start(t)
	s, _ := wired(t, server)

	data := noise(3 * partSize)
	for _, at := range []int{0, partSize / 2, partSize, partSize + 1, 2*partSize + partSize/2} {
		ctx, cancel := context.WithCancel(t.Context())

		r := io.MultiReader(bytes.NewReader(data[:at]), readerFunc(func(p []byte) (int, error) {
			cancel()
			return copy(p, "more"), nil
		}))
		if _, err := s.Put(ctx, "cancelled/one", r); !errors.Is(err, context.Canceled) {
			t.Errorf("at %d: %v", at, err)
		}

		nothingLeft(t, server)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestAReaderIsAsIfItWereInMemory compares any sequence of seeks and reads with
// that of bytes.Reader.
func TestAReaderIsAsIfItWereInMemory(t *testing.T) {
	server := s3test.Start(t)
	s, _ := wired(t, server)

	data := noise(3 << 20)
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
