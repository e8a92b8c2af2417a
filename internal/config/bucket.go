package config

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// Bucket is a bucket of an S3 store and the prefix of all keys in it. The zero Bucket
// means that no bucket is configured.
type Bucket struct {
	Name   string
	Prefix string // without leading or trailing slash; may be ""
}

// String returns s3://NAME[/PREFIX], or "" for the zero Bucket.
func (b Bucket) String() string {
	switch {
	case b.Name == "":
		return ""
	case b.Prefix == "":
		return "s3://" + b.Name
	}

	return "s3://" + b.Name + "/" + b.Prefix
}

// MarshalText implements encoding.TextMarshaler.
func (b Bucket) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

var (
	bucketName   = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	bucketPrefix = regexp.MustCompile(`^([A-Za-z0-9_-][A-Za-z0-9._-]*/)*[A-Za-z0-9_-][A-Za-z0-9._-]*$`)
)

const bucketExample = "write it like s3://videos or s3://videos/unireel"

// UnmarshalText parses s3://NAME[/PREFIX] and nothing more; other options say how to
// reach the store.
func (b *Bucket) UnmarshalText(text []byte) error {
	address := strings.TrimSpace(string(text))
	if address == "" {
		*b = Bucket{}
		return nil
	}
	// A text with an @ may contain a secret, so the error does not repeat it.
	if strings.Contains(address, "@") {
		return errors.New("a bucket's address must not contain keys: set them with UNIREEL_S3_ACCESS_KEY and UNIREEL_S3_SECRET_KEY, and " + bucketExample)
	}

	rest, ok := strings.CutPrefix(address, "s3://")
	if !ok {
		return fmt.Errorf("%q is not a bucket; %s", address, bucketExample)
	}

	if cut := strings.IndexAny(rest, "?#"); cut >= 0 {
		return fmt.Errorf("%q is not part of a bucket's address; %s, and set endpoint and region with --s3-endpoint and --s3-region", rest[cut:], bucketExample)
	}

	name, prefix, _ := strings.Cut(rest, "/")

	prefix = strings.TrimSuffix(prefix, "/")
	switch {
	case !bucketName.MatchString(name) || strings.Contains(name, ".."):
		return fmt.Errorf("%q is not a bucket's name (3 to 63 of a-z, 0-9, - and .); %s, and set the endpoint with --s3-endpoint", name, bucketExample)
	case prefix != "" && (!bucketPrefix.MatchString(prefix) || len(prefix) > 200):
		return fmt.Errorf("%q is not a prefix (parts of A-Z, a-z, 0-9, -, _ and . between slashes); %s", prefix, bucketExample)
	}

	*b = Bucket{Name: name, Prefix: prefix}

	return nil
}

func (c *Config) checkBlobs() error {
	if c.S3.Endpoint != "" {
		u, err := url.Parse(c.S3.Endpoint)
		if err != nil || !isHTTPURL(c.S3.Endpoint) || u.User != nil || strings.Trim(u.Path, "/") != "" {
			return invalid("s3_endpoint", "it is not http(s)://HOST[:PORT]; write it like https://minio.example.com:9000, and set the bucket with --blob")
		}
	}

	if c.Blob == (Bucket{}) {
		const needsBucket = "is set, but no bucket is: set --blob s3://BUCKET (UNIREEL_BLOB), or remove this option"

		switch {
		case c.S3.Endpoint != "":
			return invalid("s3_endpoint", needsBucket)
		case c.S3.Presign:
			return invalid("s3_presign", needsBucket)
		}

		return nil
	}

	for _, option := range []struct {
		name, env string
		set       bool
	}{
		{"s3_access_key", "UNIREEL_S3_ACCESS_KEY or AWS_ACCESS_KEY_ID", c.S3.AccessKey != ""},
		{"s3_secret_key", "UNIREEL_S3_SECRET_KEY or AWS_SECRET_ACCESS_KEY", c.S3.SecretKey.Set()},
	} {
		if !option.set {
			return invalid(option.name, "is missing: blobs are stored in %s; set %s", c.Blob, option.env)
		}
	}

	return nil
}
