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
	maxURLBytes  = 8192 // bytes; signed links are long
	maxHostBytes = 253  // bytes, as in DNS
)

// Check checks a URL as far as possible without a network: its syntax, its scheme, and
// whether its host is a private address in any spelling. A nil result does not mean that
// the URL can be fetched. The fault has no Param; the caller knows the field.
func (f *Fetcher) Check(rawURL string) *fault.Fault {
	_, problem := f.parse(rawURL)
	return problem
}

// Public reports whether others on the internet can read the URL too, as far as can be
// told without a network. It is false for mapped prefixes and for hosts that only
// --fetch-allow admits. Body.Public, known after a fetch, is more reliable.
func (f *Fetcher) Public(rawURL string) bool {
	u, problem := f.parse(rawURL)
	if problem != nil || f.findMapping(u) != nil {
		return false
	}

	host := normalizedHost(u)
	if ip, err := netip.ParseAddr(host); err == nil {
		return f.isPublicAddress(netip.AddrPortFrom(ip, portOf(u))) && !f.isAllowedAddress(netip.AddrPortFrom(ip, portOf(u)))
	}

	return !isLocalName(host) && (portOf(u) == 80 || portOf(u) == 443)
}

// parse is Check that also returns the parsed URL.
func (f *Fetcher) parse(rawURL string) (*url.URL, *fault.Fault) {
	if rawURL == "" {
		return nil, invalidValue("The URL is empty. Give an http or https URL.")
	}

	if len(rawURL) > maxURLBytes {
		return nil, invalidValue("The URL is longer than " + strconv.Itoa(maxURLBytes) + " bytes. Give a shorter one, or upload the file by POST /v1/files.")
	}

	if strings.ContainsFunc(rawURL, func(r rune) bool { return r <= ' ' || r == '\\' || r == 0x7f || r == '\uFFFD' }) {
		return nil, invalidValue("The URL has a space, a backslash or another character that cannot stand in a URL. Percent-encode it.")
	}

	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, invalidValue("This is not a URL. Give one like https://example.com/clip.mp4.")
	}

	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, invalidValue("Only http and https URLs are fetched. Give such a URL, or upload the file by POST /v1/files.")
	}

	if u.User != nil {
		return nil, invalidValue("The URL has a user name or password in it, which is not accepted. Give a link that needs none, for instance a signed one.")
	}

	if u.Hostname() == "" || u.Opaque != "" {
		return nil, invalidValue("The URL names no host. Give one like https://example.com/clip.mp4.")
	}

	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, invalidValue("The URL's port is not a number from 1 to 65535.")
		}
	}

	if f.findMapping(u) != nil {
		return u, nil
	}

	return u, f.checkHost(u)
}

func (f *Fetcher) checkHost(u *url.URL) *fault.Fault {
	host := normalizedHost(u)
	port := portOf(u)

	if host == "" || len(host) > maxHostBytes || strings.Contains(host, "..") || strings.HasPrefix(host, ".") {
		return invalidValue("The URL's host is not a valid name.")
	}

	if strings.Contains(u.Host, "[") || looksNumeric(host) {
		ip, err := netip.ParseAddr(host)
		if err != nil || ip.Zone() != "" {
			return invalidValue("The URL's host is a number that is not a plain address. Write it as four decimal numbers, or give a host name.")
		}

		address := netip.AddrPortFrom(ip, port)
		if f.isAllowedAddress(address) || f.isPublicAddress(address) {
			return nil
		}

		if f.guard.SafeAddr(ip) == nil {
			return invalidPort()
		}

		return invalidValue("The URL's host is an address that is not on the public internet. Give a public URL, or upload the file by POST /v1/files.")
	}

	if strings.ContainsFunc(host, func(r rune) bool {
		return ('a' > r || r > 'z') && ('0' > r || r > '9') && r != '-' && r != '.' && r != '_'
	}) {
		return invalidValue("The URL's host has a character that no host name has.")
	}
	// The operator allows addresses, not names. If any address is allowed, a local name
	// may resolve to it, so the decision is left to the dialler.
	if len(f.allowedRanges) == 0 && isLocalName(host) {
		return invalidValue("The URL's host is a name of a local network. Give a public URL, or upload the file by POST /v1/files.")
	}

	if !f.portAllowed(port) {
		return invalidPort()
	}

	return nil
}

func (f *Fetcher) portAllowed(port uint16) bool {
	if port == 80 || port == 443 {
		return true
	}

	for _, allowed := range f.allowedRanges {
		if allowed.port == 0 || allowed.port == port {
			return true
		}
	}

	return false
}

// normalizedHost returns the host in lower-case ASCII without a final dot, as the dialler
// will use it: digits and dots of other alphabets are converted as an HTTP client converts
// them before it resolves a name. It is "" if there is no such form.
func normalizedHost(u *url.URL) string {
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

// looksNumeric reports whether some resolver could read the host as an IPv4 address: its
// last label is a decimal, octal or hexadecimal number. No host name ends like that.
func looksNumeric(host string) bool {
	lastLabel := host[strings.LastIndexByte(host, '.')+1:]
	if lastLabel == "" {
		return false
	}

	if digits, ok := strings.CutPrefix(lastLabel, "0x"); ok {
		return strings.Trim(digits, "0123456789abcdef") == ""
	}

	return strings.Trim(lastLabel, "0123456789") == ""
}

// isLocalName reports whether a name belongs to this machine or to a local network.
func isLocalName(host string) bool {
	topLabel := host[strings.LastIndexByte(host, '.')+1:]
	switch topLabel {
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

func invalidValue(detail string) *fault.Fault { return fault.New(fault.CodeInvalidValue, "", detail) }

func invalidPort() *fault.Fault {
	return invalidValue("Only the ports 80 and 443 are fetched from. Give a URL without another port, or upload the file by POST /v1/files.")
}
