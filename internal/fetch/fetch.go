// Package fetch downloads customers' media and measures it. dispatch passes it the URLs
// of a task that is being prepared and gets bytes and a Media back; checkout checks URLs
// and decodes data URIs with it while it creates a task; api uses Sniff to detect the type
// of a small inline file; webhook sends through its Client. A customer's URL is treated as
// hostile: the address that is dialled is checked at each redirect, and time, bytes and
// processes are limited. The package does not decide what a model accepts, keeps nothing
// that it fetched, and knows nothing about tasks.
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

// Defaults of Options and Limits.
const (
	DefaultMaxBytes = 256 << 20
	DefaultTimeout  = 5 * time.Minute
)

const (
	maxRedirects   = 3
	connectTimeout = 10 * time.Second
	headerTimeout  = 30 * time.Second
	stallTimeout   = 30 * time.Second
	maxHeaderBytes = 64 << 10
	maxAddresses   = 6 // of one host that are tried
	userAgent      = "Unireel"
	maxImageMemory = 512 << 20 // bytes, for all pictures that are decoded at the same time
)

// Resolver resolves host names; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Options configures a Fetcher. The zero value is usable.
type Options struct {
	// Allow lists addresses that may be fetched although they are not public (--fetch-allow):
	// "192.168.1.0/24" at every port, "192.168.1.9:8080" or "[fd00::/8]:8080" at one.
	Allow []string
	// Map serves URL prefixes from folders (--fetch-map).
	Map []Mapping

	MaxBytes int64         // of one file, unless Limits says otherwise; 0 is DefaultMaxBytes
	Timeout  time.Duration // for one file, unless Limits says otherwise; 0 is DefaultTimeout

	Resolver Resolver // nil is the system's
	// Dial connects to an address that has been checked; nil is net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	FFprobe string // path or name of the program; "" is "ffprobe"
	FFmpeg  string // path or name of the program; "" is "ffmpeg"
}

// Fetcher fetches and measures files. It is safe for concurrent use.
type Fetcher struct {
	options       Options
	guard         *ssrf.Guardian // decides which addresses are public
	allowedRanges []allowedRange
	mappings      []mappedFolder
	transport     *http.Transport
	imageMemory   *semaphore.Weighted
	sandbox       sandbox
	imageTimeout  time.Duration // for decoding one picture
}

// Limits limits one fetch; a zero field means the Fetcher's default.
type Limits struct {
	MaxBytes int64
	Timeout  time.Duration // from the call to the last byte
}

// New returns a Fetcher; an error names the option that is wrong. A missing ffmpeg is not
// an error here: see CheckTools.
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

	f := &Fetcher{
		options:      o,
		guard:        newGuard(),
		imageMemory:  semaphore.NewWeighted(maxImageMemory),
		imageTimeout: imageTimeout,
	}

	for _, text := range o.Allow {
		a, err := parseAllowedRange(text)
		if err != nil {
			return nil, err
		}

		f.allowedRanges = append(f.allowedRanges, a)
	}

	if o.Dial == nil {
		f.options.Dial = (&net.Dialer{Control: f.dialControl, KeepAlive: -1}).DialContext
	}

	f.transport = f.newTransport()

	var err error
	if f.mappings, err = openMappings(o.Map); err != nil {
		return nil, err
	}

	return f, nil
}

// Close closes the folders of Options.Map.
func (f *Fetcher) Close() error {
	return closeMappings(f.mappings)
}

// newTransport returns an HTTP/1.1 transport without anything that could be shared between
// customers or replayed: no proxy, no connection reuse, no decompression.
func (f *Fetcher) newTransport() *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)

	return &http.Transport{
		Proxy:                  nil,
		DialContext:            f.dial,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		TLSHandshakeTimeout:    connectTimeout,
		ResponseHeaderTimeout:  headerTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		Protocols:              protocols,
	}
}

// Client returns an HTTP client with the same address checks, for our own requests to
// customers' addresses (webhooks). It follows no redirects, keeps no cookies and ignores
// Options.Map. timeout limits a whole request.
func (f *Fetcher) Client(timeout time.Duration) *http.Client {
	return &http.Client{
		Transport: f.transport,
		Timeout:   timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
}

// CheckTools returns an error if ffprobe or ffmpeg is not installed; it names the command
// that installs them.
func (f *Fetcher) CheckTools() error {
	for _, name := range []string{f.options.FFprobe, f.options.FFmpeg} {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%w: %s is not installed; install it with: apt-get install ffmpeg (on macOS: brew install ffmpeg)", ErrToolMissing, name)
		}
	}

	return nil
}
