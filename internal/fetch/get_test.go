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

// internet is a network of one server that every public address leads to.
type internet struct {
	mu     sync.Mutex
	names  map[string][]string // the answers to look-ups, one by one; the last stays
	dialed []string
	to     string
}

func (n *internet) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
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

func (n *internet) dial(ctx context.Context, network, address string) (net.Conn, error) {
	n.mu.Lock()
	n.dialed = append(n.dialed, address)
	n.mu.Unlock()

	return (&net.Dialer{}).DialContext(ctx, network, n.to)
}

func serve(t *testing.T, h http.HandlerFunc) (*internet, *Fetcher) {
	t.Helper()

	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	n := &internet{names: map[string][]string{"media.example": {"93.184.216.34"}, "other.example": {"1.1.1.1"}}, to: s.Listener.Addr().String()}

	return n, fetcher(t, Options{Resolver: n, Dial: n.dial})
}

func download(t *testing.T, f *Fetcher, raw string, b Bounds) ([]byte, Fetched, error) {
	t.Helper()

	var got bytes.Buffer

	all, err := f.Download(t.Context(), raw, &got, b)

	return got.Bytes(), all, err
}

// wants checks that err is a fault of the code and says what it should.
func wants(t *testing.T, err error, code fault.Code, said string, again bool) {
	t.Helper()

	if !fault.Is(err, code) || !strings.Contains(err.Error(), said) {
		t.Errorf("want %s with %q, got %v", code, said, err)
	}

	if Passing(err) != again {
		t.Errorf("passing is %v: %v", !again, err)
	}
}

func TestGetAsksPlainly(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")

	var asked *http.Request

	_, f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/from" {
			http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
			http.Redirect(w, r, "http://other.example/to?x=1#frag", http.StatusFound)

			return
		}

		asked = r

		w.Header().Set("Content-Type", "video/mp4")
		io.WriteString(w, "bytes")
	})

	data, got, err := download(t, f, "http://media.example/from?secret=1", Bounds{})
	if err != nil || string(data) != "bytes" || got.ContentType != "video/mp4" || got.Bytes != 5 || !got.Public {
		t.Fatalf("got %q %+v, %v", data, got, err)
	}

	h := asked.Header
	if asked.Host != "other.example" || h.Get("User-Agent") != "Unireel" || h.Get("Referer")+h.Get("Cookie")+h.Get("Authorization") != "" || h.Get("Accept-Encoding") != "identity" || asked.RequestURI != "/to?x=1" {
		t.Errorf("asked %s %s with %v", asked.Host, asked.RequestURI, h)
	}
}

func TestRebindingIsRefused(t *testing.T) {
	n, f := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/again", http.StatusFound) })
	n.names["media.example"] = []string{"93.184.216.34", "127.0.0.1"}
	_, _, err := download(t, f, "http://media.example/", Bounds{})
	wants(t, err, fault.CodeUnreachable, "not on the public internet", false)

	if len(n.dialed) != 1 || n.dialed[0] != "93.184.216.34:80" {
		t.Errorf("dialled %v", n.dialed)
	}

	if strings.Contains(err.Error(), "127.0.0.1") {
		t.Errorf("the address inside is told: %v", err)
	}
}

// The dialler itself judges, whatever looked the address up.
func TestControlJudgesWhatIsDialled(t *testing.T) {
	f := fetcher(t, Options{})
	for _, a := range []string{"127.0.0.1:80", "10.1.1.1:443", "[::1]:80", "[::ffff:127.0.0.1]:80", "8.8.8.8:22", "[fe80::1%eth0]:80", "/run/socket"} {
		if err := f.control("tcp4", a, nil); !errors.Is(err, ErrNotAllowed) {
			t.Errorf("%s: %v", a, err)
		}
	}

	if err := f.control("udp4", "8.8.8.8:443", nil); !errors.Is(err, ErrNotAllowed) {
		t.Errorf("udp: %v", err)
	}

	if err := f.control("tcp4", "8.8.8.8:443", nil); err != nil {
		t.Error(err)
	}
}

func TestRedirectsAreChecked(t *testing.T) {
	to := ""

	n, f := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusFound)
	})
	for _, to = range []string{"http://127.0.0.1/", "http://169.254.169.254/latest", "file:///etc/passwd", "http://[::1]/", "http://media.example:22/", "http://localhost/", "//2130706433/", "http://u:p@media.example/"} {
		_, _, err := download(t, f, "http://media.example/", Bounds{})
		wants(t, err, fault.CodeUnreachable, "leads on", false)
	}

	if len(n.dialed) != 8 {
		t.Errorf("dialled %v", n.dialed)
	}

	to = "/round"
	n.dialed = nil
	_, _, err := download(t, f, "http://media.example/", Bounds{})
	wants(t, err, fault.CodeUnreachable, "more than 3 times", false)

	if len(n.dialed) != 4 {
		t.Errorf("dialled %d times", len(n.dialed))
	}

	to = ""
	_, _, err = download(t, f, "http://media.example/", Bounds{})
	wants(t, err, fault.CodeUnreachable, "not a URL", false)
}

func TestAnswersInCustomersWords(t *testing.T) {
	status := 0
	_, f := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })

	for _, c := range []struct {
		status int
		said   string
		again  bool
	}{{404, "answered 404: there is no such file", false}, {403, "not public", false}, {500, "answered 500", true}, {503, "answered 503", true}, {429, "answered 429", true}, {206, "answered 206", false}, {204, "answered 204", false}, {304, "304", false}} {
		status = c.status
		_, _, err := download(t, f, "http://media.example/a", Bounds{})
		wants(t, err, fault.CodeUnreachable, c.said, c.again)
	}

	_, _, err := download(t, f, "http://nobody.example/a", Bounds{})
	wants(t, err, fault.CodeUnreachable, "no host named nobody.example", false)
	_, _, err = download(t, f, "https://media.example/a", Bounds{})
	wants(t, err, fault.CodeUnreachable, "No secure connection", false)
	_, _, err = download(t, f, "http://127.0.0.1/a", Bounds{})
	wants(t, err, fault.CodeUnreachable, "not on the public internet", false)
}

func TestRefusedConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	l.Close()

	f := fetcher(t, Options{Allow: []string{"127.0.0.1"}})
	_, _, err = download(t, f, "http://"+l.Addr().String()+"/", Bounds{})
	wants(t, err, fault.CodeUnreachable, "refuses connections", true)
}

func TestBytesAreBounded(t *testing.T) {
	_, f := serve(t, func(w http.ResponseWriter, r *http.Request) {
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
		data, _, err := download(t, f, "http://media.example"+path, Bounds{MaxBytes: 100})
		wants(t, err, fault.CodeBadReference, "larger than the 100 bytes", false)

		if len(data) > 100 {
			t.Errorf("%d bytes were given", len(data))
		}
	}

	if data, _, err := download(t, f, "http://media.example/exact", Bounds{MaxBytes: 100}); err != nil || len(data) != 100 {
		t.Errorf("exactly as many: %d, %v", len(data), err)
	}
}

func TestBrokenAnswers(t *testing.T) {
	_, f := serve(t, func(w http.ResponseWriter, r *http.Request) {
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
	for path, said := range map[string]string{"/short": "broke off", "/nothing": "broke off", "/headers": "broke off", "/garbage": "broke off"} {
		_, _, err := download(t, f, "http://media.example"+path, Bounds{})
		wants(t, err, fault.CodeUnreachable, said, true)
	}

	_, _, err := download(t, f, "http://media.example/gzip", Bounds{})
	wants(t, err, fault.CodeUnreachable, "compressed", false)
}

// drip answers on a pipe, under a simulated clock.
func drip(t *testing.T, every time.Duration, b Bounds) (time.Duration, error) {
	var server sync.WaitGroup
	defer server.Wait()

	f := fetcher(t, Options{
		Resolver: &internet{names: map[string][]string{"media.example": {"8.8.8.8"}}},
		Dial: func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()

			server.Go(func() {
				defer theirs.Close()

				if _, err := http.ReadRequest(newReader(theirs)); err != nil {
					return
				}

				io.WriteString(theirs, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")

				for {
					time.Sleep(every)

					if _, err := theirs.Write([]byte("x")); err != nil {
						return
					}
				}
			})

			return ours, nil
		},
	})
	began := time.Now()
	_, err := f.Download(t.Context(), "http://media.example/", io.Discard, b)

	return time.Since(began), err
}

func TestSlowDrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		took, err := drip(t, 5*time.Second, Bounds{Timeout: time.Minute})
		wants(t, err, fault.CodeUnreachable, "whole file in time", true)

		if took != time.Minute {
			t.Errorf("it took %s", took)
		}
	})
}

func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		took, err := drip(t, time.Hour, Bounds{Timeout: time.Hour})
		wants(t, err, fault.CodeUnreachable, "stopped sending", true)

		if took != stallWait {
			t.Errorf("it took %s", took)
		}
	})
}

func TestCallersEndIsNoFault(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, f := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	_, err := f.Get(ctx, "http://media.example/", Bounds{})

	var wrong *fault.Fault
	if !errors.Is(err, context.Canceled) || errors.As(err, &wrong) || !Passing(err) {
		t.Fatalf("got %v", err)
	}
}

func TestDestinationsErrorIsItsOwn(t *testing.T) {
	_, f := serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "bytes") })
	full := errors.New("full")
	_, err := f.Download(t.Context(), "http://media.example/", failing{full}, Bounds{})

	var wrong *fault.Fault
	if !errors.Is(err, full) || errors.As(err, &wrong) {
		t.Fatalf("got %v", err)
	}
}

func TestAllowedAddressIsNotPublic(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "bytes") }))
	defer s.Close()

	f := fetcher(t, Options{Allow: []string{"127.0.0.0/8"}})

	data, got, err := download(t, f, s.URL, Bounds{})
	if err != nil || string(data) != "bytes" || got.Public {
		t.Fatalf("got %q %+v, %v", data, got, err)
	}

	if resp, err := fetcher(t, Options{}).Client(time.Second).Get(s.URL); !errors.Is(err, ErrNotAllowed) {
		if err == nil {
			_ = resp.Body.Close()
		}

		t.Errorf("the client of ours passes: %v", err)
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

	f := fetcher(t, Options{Map: []Mapping{{"https://example.com/", outer}, {"https://example.com/clips", inner}, {"http://localhost:9/", outer}}})
	for raw, want := range map[string]string{
		"https://example.com/a.mp4": "outer", "https://EXAMPLE.com:443/a.mp4?x=1#y": "outer", "https://example.com/a%20b.mp4": "space",
		"https://example.com/clips/a.mp4": "inner", "http://localhost:9/a.mp4": "outer",
	} {
		data, got, err := download(t, f, raw, Bounds{})
		if err != nil || string(data) != want || got.Public || f.Public(raw) {
			t.Errorf("%s: %q %+v, %v", raw, data, got, err)
		}
	}

	for _, path := range []string{"", "none.mp4", "../secret.txt", "%2e%2e/secret.txt", "..%2fsecret.txt", "clips/../../secret.txt", "clips/..%2f..%2fsecret.txt", "link.mp4", "/a.mp4", "./a.mp4", "%2fetc/passwd", "a.mp4/", "a.mp4%00", "..%5csecret.txt", "clips/"} {
		data, _, err := download(t, f, "https://example.com/"+path, Bounds{})
		wants(t, err, fault.CodeUnreachable, "", false)

		if len(data) > 0 {
			t.Errorf("%s gave %q", path, data)
		}
	}

	if _, _, err := download(t, f, "https://example.com/a.mp4", Bounds{MaxBytes: 3}); !fault.Is(err, fault.CodeBadReference) {
		t.Errorf("a mapped file is not bounded: %v", err)
	}
}

func TestPassingOfNothing(t *testing.T) {
	if Passing(nil) || !Passing(iotest.ErrTimeout) {
		t.Fatal("nothing passes; what is ours does")
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

		u, err := m.origin()
		if err != nil || !strings.HasSuffix(u.Path, "/") || m.Folder == "" || u.Hostname() == "" {
			t.Fatalf("%q gave %+v", text, m)
		}
	})
}
