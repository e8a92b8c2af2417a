package fetch

import (
	"net/url"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/unireel/unireel/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newFetcher(t testing.TB, o Options) *Fetcher {
	t.Helper()

	f, err := New(o)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { f.Close() })

	return f
}

// hostileHosts are hosts that some program reads as a private address.
var hostileHosts = []string{
	"127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0X7F.0.0.1", "0177.0.0.1", "017700000001", "127.0.0.01",
	"127.0.0.1.", "0", "0.0.0.0", "0x0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "0xa9fea9fe", "100.64.0.1", "100.100.100.200",
	"168.63.129.16", "192.0.0.192", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "256.256.256.256", "1.2.3.4.5", "08.8.8.8", "134744072", "1.1",
	"[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:10.0.0.1]", "[::127.0.0.1]", "[::ffff:0:127.0.0.1]",
	"[fe80::1]", "[fe80::1%25eth0]", "[2606:4700::1%25lo]", "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]", "[64:ff9b::7f00:1]", "[64:ff9b::169.254.169.254]", "[64:ff9b:1::1]",
	"[2002:7f00:1::]", "[2002:a9fe:a9fe::]", "[2001::1]", "[2001:0:4136:e378:8000:63bf:3fff:fdd2]", "[2001:db8::1]", "[3fff::1]", "[100::1]",
	"localhost", "LOCALHOST", "localhost.", "x.localhost", "localhost.localdomain", "ip6-localhost", "printer.local", "metadata.google.internal", "metadata", "intranet", "nas.lan", "router.home.arpa", "db.internal.",
	"①②⑦.⓪.⓪.①", "127。0。0。1", "１２７.0.0.1", "ⓛocalhost", "%31%32%37.0.0.1", "127.0.0.1%00.example.com", "exa mple.com", "example..com", ".", "..", "-", "a,b.com", "x*.com",
}

func TestCheckRejectsHostileHosts(t *testing.T) {
	f := newFetcher(t, Options{})

	for _, host := range hostileHosts {
		for _, raw := range []string{"http://" + host + "/a.mp4", "https://" + host + ":443/a.mp4"} {
			problem := f.Check(raw)
			if problem == nil {
				t.Errorf("%s is accepted", raw)
				continue
			}

			if problem.Code != fault.CodeInvalidValue || !strings.HasSuffix(problem.Detail, ".") {
				t.Errorf("%s: %+v", raw, problem)
			}

			if f.Public(raw) {
				t.Errorf("%s is public", raw)
			}
		}
	}
}

func TestCheckRejectsInvalidURLs(t *testing.T) {
	f := newFetcher(t, Options{})
	for _, raw := range []string{
		"", "x", "/etc/passwd", "file:///etc/passwd", "ftp://example.com/a", "gopher://example.com/_x", "data:text/plain,x", "javascript:alert(1)", "http:", "http://", "http:///a.mp4", "http:example.com/a",
		"http://user@example.com/a", "http://user:secret@example.com/a", "http://example.com@127.0.0.1/", "http://127.0.0.1@example.com/", `http://example.com\@127.0.0.1/`, `http:\\example.com`,
		"http://example.com:22/a", "http://example.com:8080/a", "http://example.com:0/a", "http://example.com:99999/a", "http://8.8.8.8:25/", "http://example.com:http/a",
		"http://exam\tple.com/", "http://example.com/\r\nHost: x", "http://example.com/ b", "//example.com/a", "http://[::1", "http://::1/", "https://example.com/" + strings.Repeat("x", 9000), "http://" + strings.Repeat("a.", 200) + "com/",
	} {
		problem := f.Check(raw)
		if problem == nil {
			t.Errorf("%.80q is accepted", raw)
		} else if strings.Contains(problem.Detail, "secret") {
			t.Errorf("the message repeats a password: %s", problem.Detail)
		}
	}
}

func TestCheckAcceptsValidURLs(t *testing.T) {
	f := newFetcher(t, Options{})
	for _, raw := range []string{
		"https://example.com/clip.mp4", "http://example.com", "HTTPS://EXAMPLE.COM:443/a?b=c#d", "http://example.com:80/", "http://8.8.8.8/a", "https://[2606:4700:4700::1111]/a",
		"https://a_b.example.com/x", "https://例え.jp/動画.mp4", "https://example.com./a", "https://bucket.s3.amazonaws.com/k?X-Amz-Signature=" + strings.Repeat("a", 1500), "https://123.example/a", "https://example.com:/a",
	} {
		if problem := f.Check(raw); problem != nil {
			t.Errorf("%s: %v", raw, problem)
		}

		if !f.Public(raw) {
			t.Errorf("%s is not public", raw)
		}
	}
}

func TestAllow(t *testing.T) {
	for _, c := range []struct {
		allow, raw string
		ok         bool
	}{
		{"192.168.1.0/24", "http://192.168.1.7/a", true},
		{"192.168.1.0/24", "http://192.168.1.7:9000/a", true},
		{"192.168.1.0/24", "http://192.168.2.7/a", false},
		{"192.168.1.0/24", "http://8.8.8.8:9000/a", false},
		{"192.168.1.7", "http://192.168.1.7/a", true},
		{"192.168.1.7", "http://192.168.1.8/a", false},
		{"192.168.1.0/24:9000", "http://192.168.1.7:9000/a", true},
		{"192.168.1.0/24:9000", "http://192.168.1.7/a", false},
		{"192.168.1.0/24:9000", "http://nas.local:9000/a", true},
		{"192.168.1.0/24:9000", "http://nas.local:9001/a", false},
		{"127.0.0.0/8", "http://[::ffff:127.0.0.1]/a", true},
		{"127.0.0.0/8", "http://2130706433/a", false},
		{"fd00::/8", "http://[fd00::1]/a", true},
		{"[fd00::/8]:81", "http://[fd00::1]:81/a", true},
		{"[fd00::/8]:81", "http://[fd00::1]:82/a", false},
		{"::1", "http://[::1]/a", true},
	} {
		f := newFetcher(t, Options{Allow: []string{c.allow}})
		if problem := f.Check(c.raw); (problem == nil) != c.ok {
			t.Errorf("allow %s, %s: %v", c.allow, c.raw, problem)
		}

		if f.Public(c.raw) {
			t.Errorf("%s is public", c.raw)
		}
	}

	for _, text := range []string{"", "x", "10.0.0.0/33", "10.0.0.0/8:", "10.0.0.0/8:0", "10.0.0.0/8:x", "10.0.0.0/8:70000", "[fd00::/8", "[fd00::/8]81", "fe80::1%eth0", ":80"} {
		if _, err := New(Options{Allow: []string{text}}); err == nil {
			t.Errorf("allow %q is accepted", text)
		}
	}
}

// Every URL that passes Check has a plain host that is not a private address.
func FuzzCheck(f *testing.F) {
	for _, host := range hostileHosts {
		f.Add("http://" + host + "/")
	}

	f.Add("https://example.com:443/a?b#c")
	checker := newFetcher(f, Options{})
	f.Fuzz(func(t *testing.T, raw string) {
		if checker.Check(raw) != nil {
			return
		}

		u, err := url.Parse(raw)
		if err != nil || u.User != nil || (u.Scheme != "http" && u.Scheme != "https") {
			t.Fatalf("%q passed", raw)
		}

		if p := u.Port(); p != "" && p != "80" && p != "443" && strings.TrimLeft(p, "0") != "80" && strings.TrimLeft(p, "0") != "443" {
			t.Fatalf("%q passed with port %s", raw, p)
		}

		host := normalizedHost(u)
		if host == "" || strings.HasSuffix(host, "localhost") && isLocalName(host) || strings.HasPrefix(host, "127.") && looksNumeric(host) {
			t.Fatalf("%q passed", raw)
		}
	})
}
