package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
)

// redacted is how every secret looks.
const redacted = "***"

// Secret is a value that must not be seen: however it is printed, logged or
// written, it is "***". Only Reveal gives it away.
type Secret struct {
	// A pointer, so that fmt prints an address even where it cannot call String
	// (a Config inside an unexported field).
	value *string
}

// NewSecret wraps a value.
func NewSecret(value string) Secret {
	if value == "" {
		return Secret{}
	}

	return Secret{value: &value}
}

// Reveal is the value itself, "" when none is set.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}

	return *s.value
}

// Set says whether there is a value.
func (s Secret) Set() bool { return s.value != nil }

// Equal compares the values.
func (s Secret) Equal(other Secret) bool { return s.Reveal() == other.Reveal() }

// String is "***", or "" when no value is set.
func (s Secret) String() string {
	if s.value == nil {
		return ""
	}

	return redacted
}

// GoString is String: for %#v.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// LogValue is String: for slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is String: for JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText takes the value.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = NewSecret(strings.TrimSpace(string(text)))
	return nil
}

// Bytes is a size: 1048576, "512MiB", "2GB".
type Bytes int64

// byteUnits are looked through in order: the largest first, B last.
var byteUnits = []struct {
	name string
	size Bytes
}{
	{"GiB", 1 << 30}, {"GB", 1e9}, {"MiB", 1 << 20}, {"MB", 1e6}, {"KiB", 1 << 10}, {"kB", 1e3}, {"B", 1},
}

// String writes the size with the largest unit that divides it.
func (b Bytes) String() string {
	for _, unit := range byteUnits {
		if b != 0 && b%unit.size == 0 {
			return strconv.FormatInt(int64(b/unit.size), 10) + unit.name
		}
	}

	return "0B"
}

// MarshalText is String.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText reads a whole number with an optional unit.
func (b *Bytes) UnmarshalText(text []byte) error {
	number := strings.TrimSpace(string(text))
	size := Bytes(1)

	for _, unit := range byteUnits {
		if rest, ok := strings.CutSuffix(number, unit.name); ok {
			number = strings.TrimSpace(rest)
			size = unit.size

			break
		}
	}

	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > int64(1<<62)/int64(size) {
		return fmt.Errorf("%q is not a size; write it like 512MiB, 2GB or 1048576", text)
	}

	*b = Bytes(n) * size

	return nil
}

// Allow admits the addresses of one network, at one port or at all.
type Allow struct {
	Network netip.Prefix
	Port    uint16 // 0 is every port
}

// String writes CIDR or CIDR:port.
func (a Allow) String() string {
	if a.Port == 0 {
		return a.Network.String()
	}

	return fmt.Sprintf("%s:%d", a.Network, a.Port)
}

// MarshalText is String.
func (a Allow) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads CIDR[:port]; a bare address is a network of one.
func (a *Allow) UnmarshalText(text []byte) error {
	wrong := fmt.Errorf("%q is not a network; write it like 192.168.7.0/24, 10.0.0.8 or 10.0.0.8/32:9000", text)

	whole := strings.TrimSpace(string(text))
	if address, err := netip.ParseAddr(whole); err == nil {
		*a = Allow{Network: netip.PrefixFrom(address, address.BitLen())}
		return nil
	}

	network := whole
	port := uint64(0)

	if slash := strings.LastIndexByte(whole, '/'); slash >= 0 {
		if colon := strings.IndexByte(whole[slash:], ':'); colon >= 0 {
			var err error
			if port, err = strconv.ParseUint(whole[slash+colon+1:], 10, 16); err != nil || port == 0 {
				return wrong
			}

			network = whole[:slash+colon]
		}
	}

	prefix, err := netip.ParsePrefix(network)
	if err != nil {
		return wrong
	}

	*a = Allow{Network: prefix.Masked(), Port: uint16(port)}

	return nil
}

// Mapping serves the URLs that begin with Prefix from the folder Dir.
type Mapping struct {
	Prefix string // http(s)://host/...
	Dir    string
}

// String writes PREFIX=DIR.
func (m Mapping) String() string { return m.Prefix + "=" + m.Dir }

// MarshalText is String.
func (m Mapping) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads PREFIX=DIR.
func (m *Mapping) UnmarshalText(text []byte) error {
	prefix, dir, ok := strings.Cut(strings.TrimSpace(string(text)), "=")
	if !ok || dir == "" || !isHTTP(prefix) {
		return fmt.Errorf("%q is not a map; write it like https://example.com/=./samples", text)
	}

	*m = Mapping{Prefix: prefix, Dir: dir}

	return nil
}

func isHTTP(url string) bool {
	return strings.HasPrefix(url, "http://") || strings.HasPrefix(url, "https://")
}

// errNoHome is what is left when the machine does not say whose home it is.
var errNoHome = errors.New("no home folder is known: name the data folder by --data or UNIREEL_DATA")
