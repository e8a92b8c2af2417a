package app

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/unireel/unireel/internal/blob/s3"
	"github.com/unireel/unireel/internal/config"
)

func TestBucketErrorIsOneLineAndNamesOption(t *testing.T) {
	cfg := config.Config{Blob: config.Bucket{Name: "videos"}, S3: config.S3{Region: "eu-north-1", SecretKey: config.NewSecret("sk-hidden-0123")}}

	page := errors.New("<html>\n  <h1>502</h1>\n</html>")
	for kind, want := range map[error]string{
		s3.ErrNoBucket:    "config: blob: there is no bucket videos at https://s3.amazonaws.com; ",
		s3.ErrCredentials: "config: s3_access_key: https://s3.amazonaws.com does not know",
		s3.ErrDenied:      "config: s3_access_key: the access key may not list, read, write and delete in s3://videos; ",
		s3.ErrRegion:      `config: s3_region: the bucket videos is not in the region "eu-north-1"; `,
		s3.ErrUnreachable: "config: s3_endpoint: nothing answers",
		page:              "config: blob: s3://videos at https://s3.amazonaws.com cannot be used (",
	} {
		err := bucketError(cfg, fmt.Errorf("write to the bucket: %w: %w", kind, page))

		text := err.Error()
		if !strings.HasPrefix(text, want) || !strings.HasSuffix(text, "</html>)") || strings.Contains(text, "\n") || strings.Contains(text, "sk-hidden") {
			t.Errorf("%v gives the error %s", kind, text)
		}

		if strings.Count(text, kind.Error()) > 0 || !errors.Is(err, kind) {
			t.Errorf("the error repeats %v: %s", kind, text)
		}
	}
}
