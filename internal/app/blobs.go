package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/unireel/unireel/internal/blob/fs"
	"github.com/unireel/unireel/internal/blob/s3"
	"github.com/unireel/unireel/internal/config"
)

// openBlobs opens the configured bucket, or else the blobs in the data folder.
func (a *app) openBlobs(ctx context.Context) error {
	if a.cfg.Blob == (config.Bucket{}) {
		blobs, err := fs.Open(a.folder.blobs(), time.Now)
		if err != nil {
			return fmt.Errorf("open the blobs in %s: %w", a.folder.path, err)
		}

		a.blobs = blobs
		a.onClose(blobs.Close)

		return nil
	}

	c := a.cfg.S3

	blobs, err := s3.Open(ctx, s3.Options{
		Endpoint:   c.Endpoint,
		Region:     c.Region,
		AccessKey:  c.AccessKey,
		SecretKey:  c.SecretKey.Reveal(),
		Bucket:     a.cfg.Blob.Name,
		Prefix:     a.cfg.Blob.Prefix,
		Addressing: s3.Addressing(c.Addressing),
		Presign:    c.Presign,
		Now:        time.Now,
	})
	if err != nil {
		return bucketError(a.cfg, err)
	}

	a.blobs = blobs
	a.onClose(blobs.Close)
	a.log.Info("videos and files are kept in a bucket", "bucket", a.cfg.Blob.String(), "endpoint", endpoint(a.cfg), "presign", c.Presign)

	return nil
}

func endpoint(cfg config.Config) string { return cmp.Or(cfg.S3.Endpoint, s3.DefaultEndpoint) }

// bucketError returns a one-line error that names the option to fix and repeats what the
// store said.
func bucketError(cfg config.Config, err error) error {
	storeURL := endpoint(cfg)
	for _, hint := range []struct {
		kind        error
		option, fix string
	}{
		{s3.ErrNoBucket, "blob", fmt.Sprintf("there is no bucket %s at %s; create it there, or name another one with --blob (UNIREEL_BLOB)", cfg.Blob.Name, storeURL)},
		{s3.ErrCredentials, "s3_access_key", fmt.Sprintf("%s does not know the access key, or its secret is wrong; set UNIREEL_S3_ACCESS_KEY and UNIREEL_S3_SECRET_KEY", storeURL)},
		{s3.ErrDenied, "s3_access_key", fmt.Sprintf("the access key may not list, read, write and delete in %s; grant it these rights, or set UNIREEL_S3_ACCESS_KEY to another key", cfg.Blob)},
		{s3.ErrRegion, "s3_region", fmt.Sprintf("the bucket %s is not in the region %q; set --s3-region (UNIREEL_S3_REGION) to its own", cfg.Blob.Name, cfg.S3.Region)},
		{s3.ErrUnreachable, "s3_endpoint", fmt.Sprintf("nothing answers as an S3 store at %s; start it, or correct --s3-endpoint (UNIREEL_S3_ENDPOINT)", storeURL)},
	} {
		if errors.Is(err, hint.kind) {
			return fmt.Errorf("config: %s: %s (%w)", hint.option, hint.fix, oneLineError{err, hint.kind})
		}
	}

	return fmt.Errorf("config: blob: %s at %s cannot be used (%w)", cfg.Blob, storeURL, oneLineError{err, nil})
}

// oneLineError is the store's own error message on one line, without the text of kind,
// which the surrounding message already explains.
type oneLineError struct{ err, kind error }

func (e oneLineError) Error() string {
	text := e.err.Error()
	if e.kind != nil {
		text = strings.Replace(text, e.kind.Error()+": ", "", 1)
	}

	return strings.TrimSuffix(strings.Join(strings.Fields(text), " "), ".")
}

func (e oneLineError) Unwrap() error { return e.err }
