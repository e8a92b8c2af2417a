package fetch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"

	"code.dny.dev/ssrf"
)

// ErrNotAllowed is an address that may not be connected to: it is not on the public
// internet, at a usual port, and the operator does not admit it.
var ErrNotAllowed = errors.New("address not allowed")

// azureWire answers with a machine's secrets and lies in a public range.
var azureWire = netip.MustParsePrefix("168.63.129.16/32")

func newGuard() *ssrf.Guardian { return ssrf.New(ssrf.WithDeniedV4Prefixes(azureWire)) }

// allowance is one address range that the operator admits, at one port or at
// every (0).
type allowance struct {
	prefix netip.Prefix
	port   uint16
}

// parseAllowance reads "CIDR", "CIDR:port", and the same with a single address;
// an IPv6 one stands in brackets before a port.
func parseAllowance(text string) (allowance, error) {
	prefix := text
	port := ""

	if rest, ok := strings.CutPrefix(text, "["); ok {
		var (
			after  string
			closed bool
		)

		prefix, after, closed = strings.Cut(rest, "]")
		if port, ok = strings.CutPrefix(after, ":"); !closed || !ok && after != "" {
			return allowance{}, badAllowance(text)
		}
	} else if strings.Count(text, ":") == 1 {
		prefix, port, _ = strings.Cut(text, ":")
	}

	a := allowance{}

	if strings.Contains(prefix, "/") {
		p, err := netip.ParsePrefix(prefix)
		if err != nil {
			return allowance{}, badAllowance(text)
		}

		a.prefix = p.Masked()
	} else {
		ip, err := netip.ParseAddr(prefix)
		if err != nil || ip.Zone() != "" {
			return allowance{}, badAllowance(text)
		}

		a.prefix = netip.PrefixFrom(ip, ip.BitLen())
	}

	if port != "" || strings.HasSuffix(text, ":") && !strings.Contains(prefix, ":") {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return allowance{}, badAllowance(text)
		}

		a.port = uint16(n)
	}

	return a, nil
}

func badAllowance(text string) error {
	return fmt.Errorf("fetch-allow %q: write an address range and, if you like, a port: 192.168.1.0/24 or 192.168.1.0/24:8080 or [fd00::/8]:8080", text)
}

// allowed says whether the operator admits the address at the port.
func (f *Fetcher) allowed(a netip.AddrPort) bool {
	for _, w := range f.allow {
		if (w.port == 0 || w.port == a.Port()) && w.prefix.Contains(a.Addr().Unmap()) {
			return true
		}
	}

	return false
}

// open says whether the address is one of the public internet, at a usual port.
func (f *Fetcher) open(a netip.AddrPort) bool { return f.guard.SafeAddrPort(a) == nil }

func (f *Fetcher) judge(a netip.AddrPort) error {
	if f.allowed(a) || f.open(a) {
		return nil
	}

	return fmt.Errorf("%w: %s", ErrNotAllowed, a)
}

// control is the last look, at the address that the system really connects to.
func (f *Fetcher) control(network, address string, _ syscall.RawConn) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil || (network != "tcp4" && network != "tcp6") {
		return fmt.Errorf("%w: %s %s", ErrNotAllowed, network, address)
	}

	return f.judge(a)
}

// dial resolves a host once, judges each address and connects to the first good
// one that answers. What was judged is what is dialled: a name that changes
// between two look-ups gains nothing.
func (f *Fetcher) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}

	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, err
	}

	ips, err := f.lookup(ctx, host)
	if err != nil {
		return nil, err
	}

	var first error

	for _, ip := range ips[:min(len(ips), maxAddresses)] {
		a := netip.AddrPortFrom(ip, uint16(n))

		conn, err := f.dialOne(ctx, network, a)
		if err == nil {
			return conn, nil
		}

		if first == nil || errors.Is(first, ErrNotAllowed) {
			first = err
		}
	}

	return nil, first
}

func (f *Fetcher) dialOne(ctx context.Context, network string, a netip.AddrPort) (net.Conn, error) {
	if err := f.judge(a); err != nil {
		return nil, err
	}

	ctx, cancel := context.WithTimeoutCause(ctx, connectWait, errConnectWait)
	defer cancel()

	conn, err := f.options.Dial(ctx, network, a.String())
	if err != nil {
		return nil, err
	}

	return guarded{conn, f.open(a) && !f.allowed(a)}, nil
}

func (f *Fetcher) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}

	ips, err := f.options.Resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}

	if len(ips) == 0 {
		return nil, &net.DNSError{Err: "no addresses", Name: host, IsNotFound: true}
	}

	return ips, nil
}

// guarded is a connection that remembers what kind of address it goes to.
type guarded struct {
	net.Conn
	public bool
}

// publicConn says whether a connection, perhaps under TLS, goes to the public
// internet.
func publicConn(c net.Conn) bool {
	if secure, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = secure.NetConn()
	}

	g, ok := c.(guarded)

	return ok && g.public
}
