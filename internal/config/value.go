package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
)

// redacted is the text shown instead of a secret.
const redacted = "***"

// Secret is a value that must not be shown: printed, logged or marshalled it is "***".
// Only Reveal returns the value.
type Secret struct {
	// A pointer, so that fmt prints only an address where it cannot call String, as for
	// a Config in an unexported field.
	value *string
}

// NewSecret wraps a value.
func NewSecret(value string) Secret {
	if value == "" {
		return Secret{}
	}

	return Secret{value: &value}
}

// Reveal returns the value, or "" if none is set.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}

	return *s.value
}

// Set reports whether there is a value.
func (s Secret) Set() bool { return s.value != nil }

// Equal reports whether the values are equal.
func (s Secret) Equal(other Secret) bool { return s.Reveal() == other.Reveal() }

// String returns "***", or "" if no value is set.
func (s Secret) String() string {
	if s.value == nil {
		return ""
	}

	return redacted
}

// GoString implements fmt.GoStringer, for %#v.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText implements encoding.TextMarshaler, for JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. It removes surrounding space.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = NewSecret(strings.TrimSpace(string(text)))
	return nil
}

// Bytes is a size in bytes. Its text form is like 1048576, 512MiB or 2GB.
type Bytes int64

// byteUnits are the units in the order in which they are tried: the largest first, and B
// last because it is a suffix of the others.
var byteUnits = []struct {
	name string
	size Bytes
}{
	{"GiB", 1 << 30}, {"GB", 1e9}, {"MiB", 1 << 20}, {"MB", 1e6}, {"KiB", 1 << 10}, {"kB", 1e3}, {"B", 1},
}

// String returns the size with the largest unit that divides it.
func (b Bytes) String() string {
	for _, unit := range byteUnits {
		if b != 0 && b%unit.size == 0 {
			return strconv.FormatInt(int64(b/unit.size), 10) + unit.name
		}
	}

	return "0B"
}

// MarshalText implements encoding.TextMarshaler.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText parses a whole number with an optional unit.
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

// AllowedNetwork allows the addresses of one network, on one port or on all ports.
type AllowedNetwork struct {
	Network netip.Prefix
	Port    uint16 // 0 means every port
}

// String returns CIDR or CIDR:PORT.
func (a AllowedNetwork) String() string {
	if a.Port == 0 {
		return a.Network.String()
	}

	return fmt.Sprintf("%s:%d", a.Network, a.Port)
}

// MarshalText implements encoding.TextMarshaler.
func (a AllowedNetwork) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText parses CIDR[:PORT]. A single address is a network of one address.
func (a *AllowedNetwork) UnmarshalText(text []byte) error {
	errInvalid := fmt.Errorf("%q is not a network; write it like 192.168.7.0/24, 10.0.0.8 or 10.0.0.8/32:9000", text)

	input := strings.TrimSpace(string(text))
	if address, err := netip.ParseAddr(input); err == nil {
		*a = AllowedNetwork{Network: netip.PrefixFrom(address, address.BitLen())}
		return nil
	}

	network := input
	port := uint64(0)

	if slash := strings.LastIndexByte(input, '/'); slash >= 0 {
		if colon := strings.IndexByte(input[slash:], ':'); colon >= 0 {
			var err error
			if port, err = strconv.ParseUint(input[slash+colon+1:], 10, 16); err != nil || port == 0 {
				return errInvalid
			}

			network = input[:slash+colon]
		}
	}

	prefix, err := netip.ParsePrefix(network)
	if err != nil {
		return errInvalid
	}

	*a = AllowedNetwork{Network: prefix.Masked(), Port: uint16(port)}

	return nil
}

// Mapping says that URLs which begin with Prefix are read from the folder Dir.
type Mapping struct {
	Prefix string // http(s)://host/...
	Dir    string
}

// String returns PREFIX=DIR.
func (m Mapping) String() string { return m.Prefix + "=" + m.Dir }

// MarshalText implements encoding.TextMarshaler.
func (m Mapping) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText parses PREFIX=DIR.
func (m *Mapping) UnmarshalText(text []byte) error {
	prefix, dir, ok := strings.Cut(strings.TrimSpace(string(text)), "=")
	if !ok || dir == "" || !hasHTTPScheme(prefix) {
		return fmt.Errorf("%q is not a mapping; write it like https://example.com/=./samples", text)
	}

	*m = Mapping{Prefix: prefix, Dir: dir}

	return nil
}

func hasHTTPScheme(url string) bool {
	return strings.HasPrefix(url, "http://") || strings.HasPrefix(url, "https://")
}

// errNoHome reports that the user has no home folder.
var errNoHome = errors.New("the user has no home folder: set the data folder with --data or UNIREEL_DATA")
