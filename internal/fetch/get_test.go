package fetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/unireel/unireel/internal/fault"
)

// fakeNetwork is a network in which every public address leads to one server.
type fakeNetwork struct {
	mu            sync.Mutex
	names         map[string][]string // the answers to successive look-ups of a name; the last one repeats
	dialed        []string
	serverAddress string
}

func (n *fakeNetwork) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()

	answers := n.names[host]
	if len(answers) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}

	if len(answers) > 1 {
		n.names[host] = answers[1:]
	}

	return []netip.Addr{netip.MustParseAddr(answers[0])}, nil
}

func (n *fakeNetwork) dial(ctx context.Context, network, address string) (net.Conn, error) {
	n.mu.Lock()
	n.dialed = append(n.dialed, address)
	n.mu.Unlock()

	return (&net.Dialer{}).DialContext(ctx, network, n.serverAddress)
}

func newTestServer(t *testing.T, h http.HandlerFunc) (*fakeNetwork, *Fetcher) {
	t.Helper()

	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	n := &fakeNetwork{names: map[string][]string{"media.example": {"93.184.216.34"}, "other.example": {"1.1.1.1"}}, serverAddress: s.Listener.Addr().String()}

	return n, newFetcher(t, Options{Resolver: n, Dial: n.dial})
}

func download(t *testing.T, f *Fetcher, raw string, b Limits) ([]byte, DownloadInfo, error) {
	t.Helper()

	var got bytes.Buffer

	info, err := f.Download(t.Context(), raw, &got, b)

	return got.Bytes(), info, err
}

// checkFault checks that err is a fault of the given code, text and transience.
func checkFault(t *testing.T, err error, code fault.Code, text string, transient bool) {
	t.Helper()

	if !fault.Is(err, code) || !strings.Contains(err.Error(), text) {
		t.Errorf("want %s with %q, got %v", code, text, err)
	}

	if IsTransient(err) != transient {
		t.Errorf("IsTransient is %v: %v", !transient, err)
	}
}

func TestGetRequest(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")

	var received *http.Request

	_, f := newTestServer(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/from" {
			http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
			http.Redirect(w, r, "http://other.example/to?x=1#frag", http.StatusFound)

			return
		}

		received = r

		w.Header().Set("Content-Type", "video/mp4")
		io.WriteString(w, "bytes")
	})

	data, got, err := download(t, f, "http://media.example/from?secret=1", Limits{})
	if err != nil || string(data) != "bytes" || got.ContentType != "video/mp4" || got.Bytes != 5 || !got.Public {
		t.Fatalf("got %q %+v, %v", data, got, err)
	}

	h := received.Header
	if received.Host != "other.example" || h.Get("User-Agent") != "Unireel" || h.Get("Referer")+h.Get("Cookie")+h.Get("Authorization") != "" || h.Get("Accept-Encoding") != "identity" || received.RequestURI != "/to?x=1" {
		t.Errorf("requested %s %s with %v", received.Host, received.RequestURI, h)
	}
}

func TestDNSRebinding(t *testing.T) {
	n, f := newTestServer(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/again", http.StatusFound) })
	n.names["media.example"] = []string{"93.184.216.34", "127.0.0.1"}
	_, _, err := download(t, f, "http://media.example/", Limits{})
	checkFault(t, err, fault.CodeReferenceUnreachable, "not on the public internet", false)

	if len(n.dialed) != 1 || n.dialed[0] != "93.184.216.34:80" {
		t.Errorf("dialled %v", n.dialed)
	}

	if strings.Contains(err.Error(), "127.0.0.1") {
		t.Errorf("the message reveals the private address: %v", err)
	}
}

// The dialler itself checks addresses, whatever resolved the name.
func TestDialControl(t *testing.T) {
	f := newFetcher(t, Options{})
	for _, a := range []string{"127.0.0.1:80", "10.1.1.1:443", "[::1]:80", "[::ffff:127.0.0.1]:80", "8.8.8.8:22", "[fe80::1%eth0]:80", "/run/socket"} {
		if err := f.dialControl("tcp4", a, nil); !errors.Is(err, ErrNotAllowed) {
			t.Errorf("%s: %v", a, err)
		}
	}

	if err := f.dialControl("udp4", "8.8.8.8:443", nil); !errors.Is(err, ErrNotAllowed) {
		t.Errorf("udp: %v", err)
	}

	if err := f.dialControl("tcp4", "8.8.8.8:443", nil); err != nil {
		t.Error(err)
	}
}

func TestRedirectsAreChecked(t *testing.T) {
	to := ""

	n, f := newTestServer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusFound)
	})
	for _, to = range []string{"http://127.0.0.1/", "http://169.254.169.254/latest", "file:///etc/passwd", "http://[::1]/", "http://media.example:22/", "http://localhost/", "//2130706433/", "http://u:p@media.example/"} {
		_, _, err := download(t, f, "http://media.example/", Limits{})
		checkFault(t, err, fault.CodeReferenceUnreachable, "redirects", false)
	}

	if len(n.dialed) != 8 {
		t.Errorf("dialled %v", n.dialed)
	}

	to = "/round"
	n.dialed = nil
	_, _, err := download(t, f, "http://media.example/", Limits{})
	checkFault(t, err, fault.CodeReferenceUnreachable, "more than 3 times", false)

	if len(n.dialed) != 4 {
		t.Errorf("dialled %d times", len(n.dialed))
	}

	to = ""
	_, _, err = download(t, f, "http://media.example/", Limits{})
	checkFault(t, err, fault.CodeReferenceUnreachable, "not a URL", false)
}

func TestErrorMessages(t *testing.T) {
	status := 0
	_, f := newTestServer(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })

	for _, c := range []struct {
		status        int
		wantText      string
		wantTransient bool
	}{{404, "answered 404: there is no such file", false}, {403, "not public", false}, {500, "answered 500", true}, {503, "answered 503", true}, {429, "answered 429", true}, {206, "answered 206", false}, {204, "answered 204", false}, {304, "304", false}} {
		status = c.status
		_, _, err := download(t, f, "http://media.example/a", Limits{})
		checkFault(t, err, fault.CodeReferenceUnreachable, c.wantText, c.wantTransient)
	}

	_, _, err := download(t, f, "http://nobody.example/a", Limits{})
	checkFault(t, err, fault.CodeReferenceUnreachable, "no host named nobody.example", false)
	_, _, err = download(t, f, "https://media.example/a", Limits{})
	checkFault(t, err, fault.CodeReferenceUnreachable, "No secure connection", false)
	_, _, err = download(t, f, "http://127.0.0.1/a", Limits{})
	checkFault(t, err, fault.CodeReferenceUnreachable, "not on the public internet", false)
}

func TestConnectionRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	l.Close()

	f := newFetcher(t, Options{Allow: []string{"127.0.0.1"}})
	_, _, err = download(t, f, "http://"+l.Addr().String()+"/", Limits{})
	checkFault(t, err, fault.CodeReferenceUnreachable, "refuses connections", true)
}

func TestMaxBytes(t *testing.T) {
	_, f := newTestServer(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/announced":
			w.Header().Set("Content-Length", "101")
			w.Write(make([]byte, 101))
		case "/exact":
			w.Write(make([]byte, 100))
		case "/endless":
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		}
	})
	for _, path := range []string{"/announced", "/endless"} {
		data, _, err := download(t, f, "http://media.example"+path, Limits{MaxBytes: 100})
		checkFault(t, err, fault.CodeReferenceInvalid, "larger than the limit of 100 bytes", false)

		if len(data) > 100 {
			t.Errorf("%d bytes were returned", len(data))
		}
	}

	if data, _, err := download(t, f, "http://media.example/exact", Limits{MaxBytes: 100}); err != nil || len(data) != 100 {
		t.Errorf("a file of exactly the limit: %d, %v", len(data), err)
	}
}

func TestBrokenResponses(t *testing.T) {
	_, f := newTestServer(t, func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()

		switch r.URL.Path {
		case "/short":
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
		case "/nothing":
		case "/gzip":
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx")
		case "/headers":
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nX: %s\r\n\r\n", strings.Repeat("x", 1<<20))
		case "/garbage":
			io.WriteString(conn, "SSH-2.0-OpenSSH\r\n")
		}
	})
	for path, wantText := range map[string]string{"/short": "interrupted", "/nothing": "interrupted", "/headers": "interrupted", "/garbage": "interrupted"} {
		_, _, err := download(t, f, "http://media.example"+path, Limits{})
		checkFault(t, err, fault.CodeReferenceUnreachable, wantText, true)
	}

	_, _, err := download(t, f, "http://media.example/gzip", Limits{})
	checkFault(t, err, fault.CodeReferenceUnreachable, "compressed", false)
}

// downloadSlowly fetches one byte per interval over a pipe, in simulated time.
func downloadSlowly(t *testing.T, interval time.Duration, limits Limits) (time.Duration, error) {
	var server sync.WaitGroup
	defer server.Wait()

	f := newFetcher(t, Options{
		Resolver: &fakeNetwork{names: map[string][]string{"media.example": {"8.8.8.8"}}},
		Dial: func(context.Context, string, string) (net.Conn, error) {
			clientConn, serverConn := net.Pipe()

			server.Go(func() {
				defer serverConn.Close()

				if _, err := http.ReadRequest(newReader(serverConn)); err != nil {
					return
				}

				io.WriteString(serverConn, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")

				for {
					time.Sleep(interval)

					if _, err := serverConn.Write([]byte("x")); err != nil {
						return
					}
				}
			})

			return clientConn, nil
		},
	})
	start := time.Now()
	_, err := f.Download(t.Context(), "http://media.example/", io.Discard, limits)

	return time.Since(start), err
}

func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		elapsed, err := downloadSlowly(t, 5*time.Second, Limits{Timeout: time.Minute})
		checkFault(t, err, fault.CodeReferenceUnreachable, "whole file in time", true)

		if elapsed != time.Minute {
			t.Errorf("it took %s", elapsed)
		}
	})
}

func TestStallTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		elapsed, err := downloadSlowly(t, time.Hour, Limits{Timeout: time.Hour})
		checkFault(t, err, fault.CodeReferenceUnreachable, "stopped sending", true)

		if elapsed != stallTimeout {
			t.Errorf("it took %s", elapsed)
		}
	})
}

func TestCallerCancellationIsNotAFault(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, f := newTestServer(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	_, err := f.Get(ctx, "http://media.example/", Limits{})

	var problem *fault.Fault
	if !errors.Is(err, context.Canceled) || errors.As(err, &problem) || !IsTransient(err) {
		t.Fatalf("got %v", err)
	}
}

func TestDestinationErrorIsNotAFault(t *testing.T) {
	_, f := newTestServer(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "bytes") })
	errFull := errors.New("full")
	_, err := f.Download(t.Context(), "http://media.example/", failingWriter{errFull}, Limits{})

	var problem *fault.Fault
	if !errors.Is(err, errFull) || errors.As(err, &problem) {
		t.Fatalf("got %v", err)
	}
}

func TestAllowedAddressIsNotPublic(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "bytes") }))
	defer s.Close()

	f := newFetcher(t, Options{Allow: []string{"127.0.0.0/8"}})

	data, got, err := download(t, f, s.URL, Limits{})
	if err != nil || string(data) != "bytes" || got.Public {
		t.Fatalf("got %q %+v, %v", data, got, err)
	}

	if resp, err := newFetcher(t, Options{}).Client(time.Second).Get(s.URL); !errors.Is(err, ErrNotAllowed) {
		if err == nil {
			_ = resp.Body.Close()
		}

		t.Errorf("the client for our own requests connects: %v", err)
	}
}

func TestMapping(t *testing.T) {
	outer := t.TempDir()
	inner := t.TempDir()

	secret := filepath.Join(filepath.Dir(outer), "secret.txt")
	for name, text := range map[string]string{
		filepath.Join(outer, "a.mp4"): "outer", filepath.Join(outer, "a b.mp4"): "space", filepath.Join(inner, "a.mp4"): "inner", secret: "secret",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	if err := os.Symlink(secret, filepath.Join(outer, "link.mp4")); err != nil {
		t.Fatal(err)
	}

	f := newFetcher(t, Options{Map: []Mapping{{"https://example.com/", outer}, {"https://example.com/clips", inner}, {"http://localhost:9/", outer}}})
	for raw, want := range map[string]string{
		"https://example.com/a.mp4": "outer", "https://EXAMPLE.com:443/a.mp4?x=1#y": "outer", "https://example.com/a%20b.mp4": "space",
		"https://example.com/clips/a.mp4": "inner", "http://localhost:9/a.mp4": "outer",
	} {
		data, got, err := download(t, f, raw, Limits{})
		if err != nil || string(data) != want || got.Public || f.Public(raw) {
			t.Errorf("%s: %q %+v, %v", raw, data, got, err)
		}
	}

	for _, path := range []string{"", "none.mp4", "../secret.txt", "%2e%2e/secret.txt", "..%2fsecret.txt", "clips/../../secret.txt", "clips/..%2f..%2fsecret.txt", "link.mp4", "/a.mp4", "./a.mp4", "%2fetc/passwd", "a.mp4/", "a.mp4%00", "..%5csecret.txt", "clips/"} {
		data, _, err := download(t, f, "https://example.com/"+path, Limits{})
		checkFault(t, err, fault.CodeReferenceUnreachable, "", false)

		if len(data) > 0 {
			t.Errorf("%s gave %q", path, data)
		}
	}

	if _, _, err := download(t, f, "https://example.com/a.mp4", Limits{MaxBytes: 3}); !fault.Is(err, fault.CodeReferenceInvalid) {
		t.Errorf("a mapped file is not limited: %v", err)
	}
}

func TestIsTransient(t *testing.T) {
	if IsTransient(nil) || !IsTransient(iotest.ErrTimeout) {
		t.Fatal("nil is transient, or an error of our own is not")
	}
}

func FuzzParseMapping(f *testing.F) {
	for _, s := range []string{"https://example.com/=./clips", "http://a=b=c", "=", "x", "https://[::1]:80/a/=d", "https://u:p@h/=d", "https://h/?q=d"} {
		f.Add(s)
	}

	f.Fuzz(func(t *testing.T, text string) {
		m, err := ParseMapping(text)
		if err != nil {
			return
		}

		u, err := m.prefixURL()
		if err != nil || !strings.HasSuffix(u.Path, "/") || m.Folder == "" || u.Hostname() == "" {
			t.Fatalf("%q gave %+v", text, m)
		}
	})
}
