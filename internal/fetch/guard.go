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

// ErrNotAllowed means that an address must not be connected to: it is not on the public
// internet with port 80 or 443, and the operator does not allow it.
var ErrNotAllowed = errors.New("address not allowed")

// azureWireServer serves a machine's secrets although it is in a public range.
var azureWireServer = netip.MustParsePrefix("168.63.129.16/32")

func newGuard() *ssrf.Guardian { return ssrf.New(ssrf.WithDeniedV4Prefixes(azureWireServer)) }

// allowedRange is an address range that the operator allows, at one port or at every
// port (0).
type allowedRange struct {
	prefix netip.Prefix
	port   uint16
}

// parseAllowedRange parses "CIDR", "CIDR:port", and the same with a single address. An
// IPv6 range before a port is in brackets.
func parseAllowedRange(text string) (allowedRange, error) {
	prefix := text
	port := ""

	if inBrackets, ok := strings.CutPrefix(text, "["); ok {
		var (
			after  string
			closed bool
		)

		prefix, after, closed = strings.Cut(inBrackets, "]")
		if port, ok = strings.CutPrefix(after, ":"); !closed || !ok && after != "" {
			return allowedRange{}, allowedRangeError(text)
		}
	} else if strings.Count(text, ":") == 1 {
		prefix, port, _ = strings.Cut(text, ":")
	}

	result := allowedRange{}

	if strings.Contains(prefix, "/") {
		p, err := netip.ParsePrefix(prefix)
		if err != nil {
			return allowedRange{}, allowedRangeError(text)
		}

		result.prefix = p.Masked()
	} else {
		ip, err := netip.ParseAddr(prefix)
		if err != nil || ip.Zone() != "" {
			return allowedRange{}, allowedRangeError(text)
		}

		result.prefix = netip.PrefixFrom(ip, ip.BitLen())
	}

	if port != "" || strings.HasSuffix(text, ":") && !strings.Contains(prefix, ":") {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return allowedRange{}, allowedRangeError(text)
		}

		result.port = uint16(n)
	}

	return result, nil
}

func allowedRangeError(text string) error {
	return fmt.Errorf("fetch-allow %q: write an address range and optionally a port: 192.168.1.0/24 or 192.168.1.0/24:8080 or [fd00::/8]:8080", text)
}

// isAllowedAddress reports whether the operator allows the address at the port.
func (f *Fetcher) isAllowedAddress(a netip.AddrPort) bool {
	for _, r := range f.allowedRanges {
		if (r.port == 0 || r.port == a.Port()) && r.prefix.Contains(a.Addr().Unmap()) {
			return true
		}
	}

	return false
}

// isPublicAddress reports whether the address is on the public internet, at port 80 or 443.
func (f *Fetcher) isPublicAddress(a netip.AddrPort) bool { return f.guard.SafeAddrPort(a) == nil }

func (f *Fetcher) checkAddress(a netip.AddrPort) error {
	if f.isAllowedAddress(a) || f.isPublicAddress(a) {
		return nil
	}

	return fmt.Errorf("%w: %s", ErrNotAllowed, a)
}

// dialControl is the last check, of the address that the system really connects to.
func (f *Fetcher) dialControl(network, address string, _ syscall.RawConn) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil || (network != "tcp4" && network != "tcp6") {
		return fmt.Errorf("%w: %s %s", ErrNotAllowed, network, address)
	}

	return f.checkAddress(a)
}

// dial resolves a host once, checks each address, and connects to the first allowed one
// that answers. It connects to the very address that it checked, so a name that resolves
// differently a moment later gains nothing.
func (f *Fetcher) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}

	portNumber, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, err
	}

	ips, err := f.lookup(ctx, host)
	if err != nil {
		return nil, err
	}

	var firstErr error

	for _, ip := range ips[:min(len(ips), maxAddresses)] {
		a := netip.AddrPortFrom(ip, uint16(portNumber))

		conn, err := f.dialOne(ctx, network, a)
		if err == nil {
			return conn, nil
		}

		if firstErr == nil || errors.Is(firstErr, ErrNotAllowed) {
			firstErr = err
		}
	}

	return nil, firstErr
}

func (f *Fetcher) dialOne(ctx context.Context, network string, a netip.AddrPort) (net.Conn, error) {
	if err := f.checkAddress(a); err != nil {
		return nil, err
	}

	ctx, cancel := context.WithTimeoutCause(ctx, connectTimeout, errConnectTimeout)
	defer cancel()

	conn, err := f.options.Dial(ctx, network, a.String())
	if err != nil {
		return nil, err
	}

	return checkedConn{conn, f.isPublicAddress(a) && !f.isAllowedAddress(a)}, nil
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

// checkedConn is a connection that records whether its address is public.
type checkedConn struct {
	net.Conn
	public bool
}

// isPublicConn reports whether a connection, possibly under TLS, goes to the public
// internet.
func isPublicConn(c net.Conn) bool {
	if tlsConn, ok := c.(interface{ NetConn() net.Conn }); ok {
		c = tlsConn.NetConn()
	}

	checked, ok := c.(checkedConn)

	return ok && checked.public
}
