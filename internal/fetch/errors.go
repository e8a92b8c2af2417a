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

// ErrToolMissing means that ffprobe or ffmpeg is not installed.
var ErrToolMissing = errors.New("a program is missing")

var (
	errTimeout        = errors.New("the fetch took too long")
	errStalled        = errors.New("no bytes arrived for too long")
	errConnectTimeout = errors.New("connecting took too long")
)

// transientError marks a cause that may have passed when the fetch is tried again.
type transientError struct{ error }

// Unwrap returns the cause.
func (e transientError) Unwrap() error { return e.error }

// IsTransient reports whether the same call may succeed a little later: the host was
// slow, closed the connection or answered 5xx, or the problem was ours (an error that is
// not a fault says nothing about the URL or the file). Other errors are permanent.
func IsTransient(err error) bool {
	if err == nil {
		return false
	}

	var (
		transient transientError
		problem   *fault.Fault
	)

	return errors.As(err, &transient) || !errors.As(err, &problem)
}

func unreachable(detail string, cause error) *fault.Fault {
	return fault.New(fault.CodeReferenceUnreachable, "", detail).WithCause(cause)
}

func invalidReference(detail string, cause error) *fault.Fault {
	return fault.New(fault.CodeReferenceInvalid, "", detail).WithCause(cause)
}

func tooLarge(limit int64) *fault.Fault {
	return invalidReference(fmt.Sprintf("The file is larger than the limit of %s. Give a smaller one.", formatBytes(limit)), nil)
}

// formatBytes formats a number of bytes for people.
func formatBytes(n int64) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return strconv.FormatInt(n>>20, 10) + " MiB"
	case n >= 1_000_000 && n%1_000_000 == 0:
		return strconv.FormatInt(n/1_000_000, 10) + " MB"
	}

	return strconv.FormatInt(n, 10) + " bytes"
}

func statusError(host string, status int) *fault.Fault {
	prefix := fmt.Sprintf("%s answered %d", host, status)
	switch {
	case status == http.StatusNotFound || status == http.StatusGone:
		return unreachable(prefix+": there is no such file. Check the URL.", nil)
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return unreachable(prefix+": the file is not public. Give a link that needs no login, or upload the file by POST /v1/files.", nil)
	case status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status == http.StatusTooEarly:
		return unreachable(prefix+", also on retry. Try later, or upload the file by POST /v1/files.", transientError{fmt.Errorf("status %d", status)})
	}

	return unreachable(prefix+" instead of the file. Check the URL.", fmt.Errorf("status %d", status))
}

// requestError explains to the customer why a host did not deliver the file.
func requestError(ctx context.Context, host string, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, errTimeout) && !errors.Is(cause, errStalled) {
		return fmt.Errorf("fetch: %w", cause) // the caller cancelled
	}

	var (
		dnsErr      *net.DNSError
		certErr     *tls.CertificateVerificationError
		hostnameErr x509.HostnameError
		recordErr   tls.RecordHeaderError
		alertErr    tls.AlertError
		netErr      net.Error
	)

	const tryLater = " Try later, or upload the file by POST /v1/files."

	switch {
	case errors.Is(err, ErrNotAllowed):
		return unreachable(host+" leads to an address that is not on the public internet, or to a port that is not allowed. Give a public URL, or upload the file by POST /v1/files.", err)
	case errors.As(err, &dnsErr) && dnsErr.IsNotFound:
		return unreachable("There is no host named "+host+". Check the URL.", err)
	case errors.As(err, &dnsErr):
		return unreachable("The address of "+host+" could not be resolved."+tryLater, transientError{err})
	case errors.As(err, &certErr), errors.As(err, &hostnameErr), errors.As(err, &recordErr), errors.As(err, &alertErr):
		return unreachable("No secure connection to "+host+" is possible: its certificate or its TLS is not valid. Give another link, or upload the file by POST /v1/files.", err)
	case errors.Is(context.Cause(ctx), errTimeout):
		return unreachable(host+" did not send the whole file in time."+tryLater, transientError{err})
	case errors.Is(context.Cause(ctx), errStalled):
		return unreachable(host+" stopped sending in the middle of the file."+tryLater, transientError{err})
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &netErr) && netErr.Timeout():
		return unreachable(host+" did not answer in time."+tryLater, transientError{err})
	case isConnectionRefused(err):
		return unreachable(host+" refuses connections."+tryLater, transientError{err})
	}

	return unreachable("The connection to "+host+" was interrupted."+tryLater, transientError{err})
}

// isConnectionRefused reports whether nothing listens at the address.
func isConnectionRefused(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED)
}
