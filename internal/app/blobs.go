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

// openBlobs opens the bucket that is configured, else the folder.
func (h *house) openBlobs(ctx context.Context) error {
	if h.cfg.Blob == (config.Bucket{}) {
		blobs, err := fs.Open(h.folder.blobs(), time.Now)
		if err != nil {
			return fmt.Errorf("open the blobs in %s: %w", h.folder.path, err)
		}

		h.blobs = blobs
		h.later(blobs.Close)

		return nil
	}

	c := h.cfg.S3

	blobs, err := s3.Open(ctx, s3.Options{
		Endpoint: c.Endpoint, Region: c.Region, AccessKey: c.AccessKey, SecretKey: c.SecretKey.Reveal(), Bucket: h.cfg.Blob.Name, Prefix: h.cfg.Blob.Prefix,
		Addressing: s3.Addressing(c.Addressing), Presign: c.Presign, Now: time.Now,
	})
	if err != nil {
		return bucketTrouble(h.cfg, err)
	}

	h.blobs = blobs
	h.later(blobs.Close)
	h.log.Info("videos and files are kept in a bucket", "bucket", h.cfg.Blob.String(), "endpoint", endpoint(h.cfg), "presign", c.Presign)

	return nil
}

func endpoint(cfg config.Config) string { return cmp.Or(cfg.S3.Endpoint, s3.Amazon) }

// bucketTrouble names the knob that mends it, in one line, and what the store
// itself said of it.
func bucketTrouble(cfg config.Config, err error) error {
	at := endpoint(cfg)
	for _, trouble := range []struct {
		kind       error
		knob, mend string
	}{
		{s3.ErrNoBucket, "blob", fmt.Sprintf("there is no bucket %s at %s; make it there, or name another by --blob (UNIREEL_BLOB)", cfg.Blob.Name, at)},
		{s3.ErrCredentials, "s3_access_key", fmt.Sprintf("%s does not know the access key, or its secret is another; set UNIREEL_S3_ACCESS_KEY and UNIREEL_S3_SECRET_KEY", at)},
		{s3.ErrDenied, "s3_access_key", fmt.Sprintf("the access key may not list, read, write and delete in %s; allow it, or set UNIREEL_S3_ACCESS_KEY to another", cfg.Blob)},
		{s3.ErrRegion, "s3_region", fmt.Sprintf("the bucket %s is not in the region %q; set --s3-region (UNIREEL_S3_REGION) to its own", cfg.Blob.Name, cfg.S3.Region)},
		{s3.ErrUnreachable, "s3_endpoint", fmt.Sprintf("nothing answers as an S3 store at %s; start it, or correct --s3-endpoint (UNIREEL_S3_ENDPOINT)", at)},
	} {
		if errors.Is(err, trouble.kind) {
			return fmt.Errorf("config: %s: %s (%w)", trouble.knob, trouble.mend, said{err, trouble.kind})
		}
	}

	return fmt.Errorf("config: blob: %s at %s cannot be used (%w)", cfg.Blob, at, said{err, nil})
}

// said is the store's own word, in one line whatever it answers, without the
// kind that is told already.
type said struct{ word, kind error }

func (s said) Error() string {
	text := s.word.Error()
	if s.kind != nil {
		text = strings.Replace(text, s.kind.Error()+": ", "", 1)
	}

	return strings.TrimSuffix(strings.Join(strings.Fields(text), " "), ".")
}

func (s said) Unwrap() error { return s.word }
