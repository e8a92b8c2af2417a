package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/unireel/unireel/internal/blob"
	"github.com/unireel/unireel/internal/blob/s3test"
)

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestRequestTimeout calls a store that accepts requests and never answers: each call
// ends by itself, in time.
func TestRequestTimeout(t *testing.T) {
	calls := map[string]func(context.Context, *Store) error{
		"put": func(ctx context.Context, s *Store) error {
			_, err := s.Put(ctx, "x/y", bytes.NewReader(nil))
			return err
		},
		"open":   func(ctx context.Context, s *Store) error { _, err := s.Open(ctx, "x/y"); return err },
		"stat":   func(ctx context.Context, s *Store) error { _, err := s.Stat(ctx, "x/y"); return err },
		"delete": func(ctx context.Context, s *Store) error { return s.Delete(ctx, "x/y") },
		"list":   func(ctx context.Context, s *Store) error { return s.List(ctx, func(blob.Info) bool { return true }) },
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, err := newStore(Options{
					Endpoint: "http://127.0.0.1:1", Region: s3test.Region, AccessKey: "a", SecretKey: "b", Bucket: "videos", Now: time.Now,
					Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
						<-r.Context().Done()
						return nil, r.Context().Err()
					}),
				})
				if err != nil {
					t.Fatal(err)
				}

				start := time.Now()

				if err := call(t.Context(), s); !errors.Is(err, blob.ErrUnavailable) {
					t.Errorf("got %v", err)
				}

				if elapsed := time.Since(start); elapsed > 2*requestTimeout {
					t.Errorf("it took %s", elapsed)
				}

				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()

				start = time.Now()

				if err := call(ctx, s); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, blob.ErrUnavailable) {
					t.Errorf("after its caller cancelled: %v", err)
				}

				if elapsed := time.Since(start); elapsed > 2*time.Second {
					t.Errorf("after its caller cancelled it took %s", elapsed)
				}
			})
		})
	}
}

// TestDetectsMissingConditionalWrites uses servers that do not support If-None-Match: Open
// notices it, and this process still replaces nothing.
func TestDetectsMissingConditionalWrites(t *testing.T) {
	server := s3test.Start(t)

	transport := newTransport()
	defer transport.CloseIdleConnections()

	o := testOptions(server, "")
	o.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
		if r.Header.Get("If-None-Match") != "" {
			if r.Body != nil {
				_, _ = io.Copy(io.Discard, r.Body)
			}

			return errorResponse(r, http.StatusNotImplemented, "NotImplemented"), nil
		}

		return transport.RoundTrip(r)
	})

	s := openStore(t, o)
	if s.conditionalWrites {
		t.Fatal("the store believes that the server supports conditions")
	}

	for _, n := range []int{100, partSize + 100} {
		for _, want := range []error{nil, blob.ErrExists} {
			if _, err := s.Put(t.Context(), fmt.Sprintf("x/%d", n), bytes.NewReader(testBytes(n))); !errors.Is(err, want) {
				t.Errorf("%d bytes: got %v, want %v", n, err, want)
			}
		}
	}
}
