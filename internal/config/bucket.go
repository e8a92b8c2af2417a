package config

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// Bucket is a bucket of an S3 store, and what every key in it begins with. The
// zero Bucket is none.
type Bucket struct {
	Name   string
	Prefix string // without slashes at its ends; may be ""
}

// String writes s3://NAME[/PREFIX], or "" for none.
func (b Bucket) String() string {
	switch {
	case b.Name == "":
		return ""
	case b.Prefix == "":
		return "s3://" + b.Name
	}

	return "s3://" + b.Name + "/" + b.Prefix
}

// MarshalText is String.
func (b Bucket) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

var (
	bucketName   = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	bucketPrefix = regexp.MustCompile(`^([A-Za-z0-9_-][A-Za-z0-9._-]*/)*[A-Za-z0-9_-][A-Za-z0-9._-]*$`)
)

const bucketLike = "write it like s3://films or s3://films/unireel"

// UnmarshalText reads s3://NAME[/PREFIX] and nothing more: how the store is
// reached are knobs of their own.
func (b *Bucket) UnmarshalText(text []byte) error {
	whole := strings.TrimSpace(string(text))
	if whole == "" {
		*b = Bucket{}
		return nil
	}
	// A text with an @ may be a secret, so it is not said again.
	if strings.Contains(whole, "@") {
		return errors.New("a bucket's address has no keys in it: give them by UNIREEL_S3_ACCESS_KEY and UNIREEL_S3_SECRET_KEY, and " + bucketLike)
	}

	rest, ok := strings.CutPrefix(whole, "s3://")
	if !ok {
		return fmt.Errorf("%q is not a bucket; %s", whole, bucketLike)
	}

	if at := strings.IndexAny(rest, "?#"); at >= 0 {
		return fmt.Errorf("%q is no part of a bucket's address; %s, with endpoint and region by --s3-endpoint and --s3-region", rest[at:], bucketLike)
	}

	name, prefix, _ := strings.Cut(rest, "/")

	prefix = strings.TrimSuffix(prefix, "/")
	switch {
	case !bucketName.MatchString(name) || strings.Contains(name, ".."):
		return fmt.Errorf("%q is not a bucket's name (3 to 63 of a-z, 0-9, - and .); %s, with the endpoint by --s3-endpoint", name, bucketLike)
	case prefix != "" && (!bucketPrefix.MatchString(prefix) || len(prefix) > 200):
		return fmt.Errorf("%q is not a prefix (parts of A-Z, a-z, 0-9, -, _ and . between slashes); %s", prefix, bucketLike)
	}

	*b = Bucket{Name: name, Prefix: prefix}

	return nil
}

func (c *Config) checkBlobs() error {
	if c.S3.Endpoint != "" {
		u, err := url.Parse(c.S3.Endpoint)
		if err != nil || !plainURL(c.S3.Endpoint) || u.User != nil || strings.Trim(u.Path, "/") != "" {
			return wrong("s3_endpoint", "it is not http(s)://HOST[:PORT]; write it like https://minio.example.com:9000, with the bucket in --blob")
		}
	}

	if c.Blob == (Bucket{}) {
		const alone = "is set, but no bucket is: name it by --blob s3://BUCKET (UNIREEL_BLOB), or leave this out"

		switch {
		case c.S3.Endpoint != "":
			return wrong("s3_endpoint", alone)
		case c.S3.Presign:
			return wrong("s3_presign", alone)
		}

		return nil
	}

	for _, knob := range []struct {
		name, env string
		set       bool
	}{
		{"s3_access_key", "UNIREEL_S3_ACCESS_KEY or AWS_ACCESS_KEY_ID", c.S3.AccessKey != ""},
		{"s3_secret_key", "UNIREEL_S3_SECRET_KEY or AWS_SECRET_ACCESS_KEY", c.S3.SecretKey.Set()},
	} {
		if !knob.set {
			return wrong(knob.name, "is missing: blobs are to be kept in %s; set %s", c.Blob, knob.env)
		}
	}

	return nil
}
