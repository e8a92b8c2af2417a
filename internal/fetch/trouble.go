package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"syscall"

	"github.com/unireel/unireel/internal/fault"
)

// ErrNoTool is ffprobe or ffmpeg not being installed.
var ErrNoTool = errors.New("a program is missing")

var (
	errTooSlow     = errors.New("the whole took too long")
	errStalled     = errors.New("no bytes came for too long")
	errConnectWait = errors.New("no connection in time")
)

// passing marks a cause that may be gone when it is tried again.
type passing struct{ error }

// Unwrap gives the cause.
func (p passing) Unwrap() error { return p.error }

// Passing says whether the same call may succeed a little later: the host was
// slow, broke off or answered 5xx, or the trouble was ours (an error that is no
// fault says nothing about the URL or the file). What it says no to stays so.
func Passing(err error) bool {
	if err == nil {
		return false
	}

	var (
		p passing
		f *fault.Fault
	)

	return errors.As(err, &p) || !errors.As(err, &f)
}

func unreachable(detail string, cause error) *fault.Fault {
	return fault.New(fault.CodeUnreachable, "", detail).Because(cause)
}

func invalid(detail string, cause error) *fault.Fault {
	return fault.New(fault.CodeBadReference, "", detail).Because(cause)
}

func tooLarge(most int64) *fault.Fault {
	return invalid(fmt.Sprintf("The file is larger than the %s that are taken. Give a smaller one.", size(most)), nil)
}

// size is a number of bytes for people.
func size(n int64) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return strconv.FormatInt(n>>20, 10) + " MiB"
	case n >= 1_000_000 && n%1_000_000 == 0:
		return strconv.FormatInt(n/1_000_000, 10) + " MB"
	}

	return strconv.FormatInt(n, 10) + " bytes"
}

func badStatus(host string, status int) *fault.Fault {
	said := fmt.Sprintf("%s answered %d", host, status)
	switch {
	case status == http.StatusNotFound || status == http.StatusGone:
		return unreachable(said+": there is no such file. Check the URL.", nil)
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return unreachable(said+": the file is not public. Give a link that needs no login, or upload the file by POST /v1/files.", nil)
	case status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status == http.StatusTooEarly:
		return unreachable(said+", also when asked again. Try later, or upload the file by POST /v1/files.", passing{fmt.Errorf("status %d", status)})
	}

	return unreachable(said+" and not the file. Check the URL.", fmt.Errorf("status %d", status))
}

// troubleOf says in the customer's words why a host gave no file.
func troubleOf(ctx context.Context, host string, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, errTooSlow) && !errors.Is(cause, errStalled) {
		return fmt.Errorf("fetch: %w", cause) // the caller's own end
	}

	var (
		dns     *net.DNSError
		cert    *tls.CertificateVerificationError
		name    x509.HostnameError
		record  tls.RecordHeaderError
		alert   tls.AlertError
		timeout net.Error
	)

	const or = " Try later, or upload the file by POST /v1/files."

	switch {
	case errors.Is(err, ErrNotAllowed):
		return unreachable(host+" leads to an address that is not on the public internet, or to a port that is not fetched from. Give a public URL, or upload the file by POST /v1/files.", err)
	case errors.As(err, &dns) && dns.IsNotFound:
		return unreachable("There is no host named "+host+". Check the URL.", err)
	case errors.As(err, &dns):
		return unreachable("The address of "+host+" could not be found out."+or, passing{err})
	case errors.As(err, &cert), errors.As(err, &name), errors.As(err, &record), errors.As(err, &alert):
		return unreachable("No secure connection to "+host+" is possible: its certificate or its TLS is not valid. Give another link, or upload the file by POST /v1/files.", err)
	case errors.Is(context.Cause(ctx), errTooSlow):
		return unreachable(host+" did not send the whole file in time."+or, passing{err})
	case errors.Is(context.Cause(ctx), errStalled):
		return unreachable(host+" stopped sending in the middle of the file."+or, passing{err})
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return unreachable(host+" did not answer in time."+or, passing{err})
	case refused(err):
		return unreachable(host+" refuses connections."+or, passing{err})
	}

	return unreachable("The connection to "+host+" broke off."+or, passing{err})
}

// refused says whether nobody listens there.
func refused(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED)
}
