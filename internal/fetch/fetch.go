// Package fetch brings customers' media to us and measures it. dispatch hands it
// the URLs of a task that is being prepared and gets bytes and a Media back; api
// asks Check while a request is still a request, and checkout decodes data URIs
// with it; webhook sends through its Client. A URL of a customer is hostile: what
// is dialled is judged by its address, each hop anew, and everything is bounded
// in time, bytes and processes. It never decides what a model takes, never keeps
// what it fetched, and knows no task.
package fetch

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"time"

	"code.dny.dev/ssrf"
	"golang.org/x/sync/semaphore"
)

// Defaults of Options and Bounds.
const (
	DefaultMaxBytes = 256 << 20
	DefaultTimeout  = 5 * time.Minute
)

const (
	maxHops       = 3 // redirects
	connectWait   = 10 * time.Second
	headerWait    = 30 * time.Second
	stallWait     = 30 * time.Second
	maxHeader     = 64 << 10 // bytes
	maxAddresses  = 6        // tried of one host
	userAgent     = "Unireel"
	pictureMemory = 512 << 20 // bytes of decoded pictures at the same time
)

// Resolver finds a host's addresses; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Options is what a Fetcher gets of the world. The zero value is usable.
type Options struct {
	// Allow admits addresses that are otherwise refused (--fetch-allow):
	// "192.168.1.0/24" at every port, "192.168.1.9:8080" or "[fd00::/8]:8080" at one.
	Allow []string
	// Map serves URL prefixes from folders (--fetch-map).
	Map []Mapping

	MaxBytes int64         // of one file, where Bounds says none; 0 is DefaultMaxBytes
	Timeout  time.Duration // of one file, where Bounds says none; 0 is DefaultTimeout

	Resolver Resolver // nil is the system's
	// Dial connects to an address that was found good; nil is net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	FFprobe string // path or name of the program; "" is "ffprobe"
	FFmpeg  string // path or name of the program; "" is "ffmpeg"
}

// Fetcher fetches and measures. It is safe for use at the same time.
type Fetcher struct {
	options   Options
	guard     *ssrf.Guardian // judges addresses by themselves
	allow     []allowance
	maps      []folder
	transport *http.Transport
	pictures  *semaphore.Weighted
	tested    sandbox
	patience  time.Duration // with the decoding of one picture
}

// Bounds is how much one fetch may take; a zero field is the Fetcher's own.
type Bounds struct {
	MaxBytes int64
	Timeout  time.Duration // from the call to the last byte
}

// New makes a Fetcher; an error names the option that is wrong. A missing ffmpeg
// is no error here: see Tools.
func New(o Options) (*Fetcher, error) {
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultMaxBytes
	}

	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}

	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}

	if o.FFprobe == "" {
		o.FFprobe = "ffprobe"
	}

	if o.FFmpeg == "" {
		o.FFmpeg = "ffmpeg"
	}

	f := &Fetcher{options: o, guard: newGuard(), pictures: semaphore.NewWeighted(pictureMemory), patience: pictureWait}
	for _, text := range o.Allow {
		a, err := parseAllowance(text)
		if err != nil {
			return nil, err
		}

		f.allow = append(f.allow, a)
	}

	if o.Dial == nil {
		f.options.Dial = (&net.Dialer{Control: f.control, KeepAlive: -1}).DialContext
	}

	f.transport = f.newTransport()

	var err error
	if f.maps, err = openMappings(o.Map); err != nil {
		return nil, err
	}

	return f, nil
}

// Close gives the folders of Options.Map up.
func (f *Fetcher) Close() error {
	return closeMappings(f.maps)
}

// newTransport is HTTP/1.1 with nothing that could be shared between customers
// or replayed: no proxy, no connection kept, no decompression.
func (f *Fetcher) newTransport() *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)

	return &http.Transport{
		Proxy:                  nil,
		DialContext:            f.dial,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		TLSHandshakeTimeout:    connectWait,
		ResponseHeaderTimeout:  headerWait,
		MaxResponseHeaderBytes: maxHeader,
		Protocols:              protocols,
	}
}

// Client is an HTTP client behind the same guard, for requests of our own to
// customers' addresses (webhooks). It follows no redirects, keeps no cookies and
// does not know Options.Map. timeout bounds a whole exchange.
func (f *Fetcher) Client(timeout time.Duration) *http.Client {
	return &http.Client{
		Transport: f.transport,
		Timeout:   timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
}

// Tools says whether ffprobe and ffmpeg are there; the error names the command
// that installs them.
func (f *Fetcher) Tools() error {
	for _, name := range []string{f.options.FFprobe, f.options.FFmpeg} {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%w: %s is not there; install it with: apt-get install ffmpeg (on macOS: brew install ffmpeg)", ErrNoTool, name)
		}
	}

	return nil
}
