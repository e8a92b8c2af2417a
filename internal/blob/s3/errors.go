package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/minio/minio-go/v7"

	"github.com/unireel/unireel/internal/blob"
)

// Errors of Open. Each has a different remedy.
var (
	ErrUnreachable = errors.New("the endpoint does not answer as an S3 store")
	ErrNoBucket    = errors.New("there is no such bucket")
	ErrCredentials = errors.New("the access key or its secret is wrong")
	ErrDenied      = errors.New("the access key may not list, read, write and delete here")
	ErrRegion      = errors.New("the bucket is in another region")
)

// errorCode returns the S3 error code of a response, or "" if it has none.
func errorCode(err error) string {
	var resp minio.ErrorResponse
	errors.As(err, &resp)

	return resp.Code
}

func errorStatus(err error) int {
	var resp minio.ErrorResponse
	errors.As(err, &resp)

	return resp.StatusCode
}

// blobError translates an S3 error into an error of package blob. If the caller's ctx has
// ended, it returns the cause of that instead. ctx must be the caller's, without the
// timeouts of this package.
func blobError(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}

	switch errorCode(err) {
	case minio.NoSuchKey:
		return blob.ErrNotFound
	case "QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "InsufficientCapacity", "XAmzStorageFull":
		return fmt.Errorf("%w: %w", blob.ErrFull, err)
	}

	switch errorStatus(err) {
	case http.StatusInsufficientStorage:
		return fmt.Errorf("%w: %w", blob.ErrFull, err)
	case http.StatusNotFound:
		if errorCode(err) != minio.NoSuchBucket && errorCode(err) != minio.NoSuchUpload {
			return blob.ErrNotFound
		}
	}

	return fmt.Errorf("%w: %w", blob.ErrUnavailable, err)
}

// openError returns the error of Open for a request that failed, so that the operator
// learns what to fix.
func openError(err error) error {
	kind := error(nil)

	switch errorCode(err) {
	case minio.NoSuchBucket, "InvalidBucketName":
		kind = ErrNoBucket
	case "InvalidAccessKeyId", "XAdminUserNotFound", "SignatureDoesNotMatch", "InvalidSecurity", "InvalidTokenId", "InvalidToken":
		kind = ErrCredentials
	case "AuthorizationHeaderMalformed", "InvalidRegion", "PermanentRedirect", "IllegalLocationConstraintException":
		kind = ErrRegion
	case minio.AccessDenied, "AllAccessDisabled", "AccountProblem":
		kind = ErrDenied
	default:
		if errorStatus(err) == 0 || errorStatus(err) == http.StatusNotFound || errorStatus(err) == http.StatusMethodNotAllowed {
			kind = ErrUnreachable
		}
	}

	if kind == nil {
		return err
	}

	return fmt.Errorf("%w: %w", kind, err)
}
