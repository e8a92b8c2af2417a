package fetch

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/idna"

	"github.com/unireel/unireel/internal/fault"
)

const (
	maxURL  = 8192 // bytes; signed links are long
	maxHost = 253  // bytes, as in DNS
)

// Check says what is wrong with a URL as far as can be said without a network:
// its form, its scheme, and a host that is a private address in whatever
// spelling. nil says nothing about whether it can be fetched. The fault has no
// Param; the caller knows the field.
func (f *Fetcher) Check(rawURL string) *fault.Fault {
	_, wrong := f.parse(rawURL)
	return wrong
}

// Public says whether others on the internet can read the URL too, as far as can
// be said without a network: false for mapped prefixes and for hosts that only
// --fetch-allow admits. Body.Public is the same after the fact, and surer.
func (f *Fetcher) Public(rawURL string) bool {
	u, wrong := f.parse(rawURL)
	if wrong != nil || f.mapped(u) != nil {
		return false
	}

	host := plainHost(u)
	if ip, err := netip.ParseAddr(host); err == nil {
		return f.open(netip.AddrPortFrom(ip, portOf(u))) && !f.allowed(netip.AddrPortFrom(ip, portOf(u)))
	}

	return !localName(host) && (portOf(u) == 80 || portOf(u) == 443)
}

// parse is Check that also gives what it read.
func (f *Fetcher) parse(rawURL string) (*url.URL, *fault.Fault) {
	if rawURL == "" {
		return nil, refuse("The URL is empty. Give an http or https URL.")
	}

	if len(rawURL) > maxURL {
		return nil, refuse("The URL is longer than " + strconv.Itoa(maxURL) + " bytes. Give a shorter one, or upload the file by POST /v1/files.")
	}

	if strings.ContainsFunc(rawURL, func(r rune) bool { return r <= ' ' || r == '\\' || r == 0x7f || r == '\uFFFD' }) {
		return nil, refuse("The URL has a space, a backslash or another character that cannot stand in a URL. Percent-encode it.")
	}

	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, refuse("This is not a URL. Give one like https://example.com/clip.mp4.")
	}

	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, refuse("Only http and https URLs are fetched. Give such a URL, or upload the file by POST /v1/files.")
	}

	if u.User != nil {
		return nil, refuse("The URL has a user name or password in it, which is not taken. Give a link that needs none, for instance a signed one.")
	}

	if u.Hostname() == "" || u.Opaque != "" {
		return nil, refuse("The URL names no host. Give one like https://example.com/clip.mp4.")
	}

	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, refuse("The URL's port is not a number from 1 to 65535.")
		}
	}

	if f.mapped(u) != nil {
		return u, nil
	}

	return u, f.checkHost(u)
}

func (f *Fetcher) checkHost(u *url.URL) *fault.Fault {
	host := plainHost(u)
	port := portOf(u)

	if host == "" || len(host) > maxHost || strings.Contains(host, "..") || strings.HasPrefix(host, ".") {
		return refuse("The URL's host is not a valid name.")
	}

	if strings.Contains(u.Host, "[") || numeric(host) {
		ip, err := netip.ParseAddr(host)
		if err != nil || ip.Zone() != "" {
			return refuse("The URL's host is a number that is not a plain address. Write it as four decimal numbers, or give a host name.")
		}

		a := netip.AddrPortFrom(ip, port)
		if f.allowed(a) || f.open(a) {
			return nil
		}

		if f.guard.SafeAddr(ip) == nil {
			return refusePort()
		}

		return refuse("The URL's host is an address that is not on the public internet. Give a public URL, or upload the file by POST /v1/files.")
	}

	if strings.ContainsFunc(host, func(r rune) bool {
		return ('a' > r || r > 'z') && ('0' > r || r > '9') && r != '-' && r != '.' && r != '_'
	}) {
		return refuse("The URL's host has a character that no host name has.")
	}
	// The operator admits addresses, not names: where anything is admitted, a
	// local name may lead there, and the dialler will judge.
	if len(f.allow) == 0 && localName(host) {
		return refuse("The URL's host is a name of a local network. Give a public URL, or upload the file by POST /v1/files.")
	}

	if !f.portAllowed(port) {
		return refusePort()
	}

	return nil
}

func (f *Fetcher) portAllowed(port uint16) bool {
	if port == 80 || port == 443 {
		return true
	}

	for _, a := range f.allow {
		if a.port == 0 || a.port == port {
			return true
		}
	}

	return false
}

// plainHost is the host in lower-case ASCII without a final dot, as the dialler
// would see it: other alphabets' digits and dots are folded the way a resolver's
// caller folds them. It is "" when there is no such form.
func plainHost(u *url.URL) string {
	host := u.Hostname()
	for i := range len(host) {
		if host[i] >= 0x80 {
			ascii, err := idna.Lookup.ToASCII(host)
			if err != nil {
				return ""
			}

			host = ascii

			break
		}
	}

	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// numeric says whether some resolver could read the host as an IPv4 address:
// its last part is a number, decimal, octal or hex. No name ends so.
func numeric(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	if last == "" {
		return false
	}

	if digits, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(digits, "0123456789abcdef") == ""
	}

	return strings.Trim(last, "0123456789") == ""
}

// localName says whether a name belongs to a machine or a local network.
func localName(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	switch last {
	case host, "localhost", "local", "localdomain", "internal", "intranet", "lan", "home", "corp", "private":
		return true
	}

	return strings.HasSuffix(host, ".home.arpa")
}

func portOf(u *url.URL) uint16 {
	if n, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
		return uint16(n)
	}

	if u.Scheme == "https" {
		return 443
	}

	return 80
}

func refuse(detail string) *fault.Fault { return fault.New(fault.CodeInvalidValue, "", detail) }

func refusePort() *fault.Fault {
	return refuse("Only the ports 80 and 443 are fetched from. Give a URL without another port, or upload the file by POST /v1/files.")
}
