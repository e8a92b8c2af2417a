package s3

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/minio/minio-go/v7"

	"github.com/unireel/unireel/internal/blob"
)

// What can be wrong with a store as it is opened. Each is something else to mend.
var (
	ErrUnreachable = errors.New("the endpoint does not answer as an S3 store")
	ErrNoBucket    = errors.New("there is no such bucket")
	ErrCredentials = errors.New("the access key or its secret is wrong")
	ErrDenied      = errors.New("the access key may not list, read, write and delete here")
	ErrRegion      = errors.New("the bucket is in another region")
)

// code is the store's own word for what went wrong, "" when it gave none.
func code(err error) string {
	var answer minio.ErrorResponse
	errors.As(err, &answer)

	return answer.Code
}

func status(err error) int {
	var answer minio.ErrorResponse
	errors.As(err, &answer)

	return answer.StatusCode
}

// explain puts the store's word into ours. A caller that went away is told so,
// whatever the store made of it; ctx is the caller's, without our own timeouts.
func explain(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}

	switch code(err) {
	case minio.NoSuchKey:
		return blob.ErrNotFound
	case "QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "InsufficientCapacity", "XAmzStorageFull":
		return fmt.Errorf("%w: %w", blob.ErrFull, err)
	}

	switch status(err) {
	case http.StatusInsufficientStorage:
		return fmt.Errorf("%w: %w", blob.ErrFull, err)
	case http.StatusNotFound:
		if code(err) != minio.NoSuchBucket && code(err) != minio.NoSuchUpload {
			return blob.ErrNotFound
		}
	}

	return fmt.Errorf("%w: %w", blob.ErrUnavailable, err)
}

// diagnose says what is to be mended, of a request that failed as the store was
// opened.
func diagnose(err error) error {
	kind := error(nil)

	switch code(err) {
	case minio.NoSuchBucket, "InvalidBucketName":
		kind = ErrNoBucket
	case "InvalidAccessKeyId", "XAdminUserNotFound", "SignatureDoesNotMatch", "InvalidSecurity", "InvalidTokenId", "InvalidToken":
		kind = ErrCredentials
	case "AuthorizationHeaderMalformed", "InvalidRegion", "PermanentRedirect", "IllegalLocationConstraintException":
		kind = ErrRegion
	case minio.AccessDenied, "AllAccessDisabled", "AccountProblem":
		kind = ErrDenied
	default:
		if status(err) == 0 || status(err) == http.StatusNotFound || status(err) == http.StatusMethodNotAllowed {
			kind = ErrUnreachable
		}
	}

	if kind == nil {
		return err
	}

	return fmt.Errorf("%w: %w", kind, err)
}
