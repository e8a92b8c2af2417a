// Package s3 keeps blobs as objects of one bucket of an S3 store: the blob.Store
// for replicas that share their bytes. dispatch and checkout put, api reads, the
// sweep deletes. A blob gets its key by one request and only if nobody has it;
// what a crash left of an upload in parts is given up after a day. It never
// looks into a blob but to tell a picture from a film, never changes one, makes
// no bucket, and touches nothing outside its prefix.
package s3

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/unireel/unireel/internal/blob"
)

// Amazon is the endpoint when none is named.
const Amazon = "https://s3.amazonaws.com"

// Addressing is where a bucket's name stands in an address.
type Addressing string

// The ways to address a bucket.
const (
	Auto Addressing = "auto" // the host's where the endpoint is known for it (Amazon, Google, Alibaba), else the path's
	Path Addressing = "path" // endpoint/bucket/key
	Host Addressing = "host" // bucket.endpoint/key
)

const (
	// partSize is how much of a blob is held at once, twice while it is larger:
	// what fits in one part is put by one request. S3 takes 10,000 parts, so a
	// blob has at most 80 GiB.
	partSize = 8 << 20
	maxParts = 10_000

	retries  = 4                // of one request, within about two seconds
	patience = 30 * time.Second // for a request that moves no blob
	moving   = 5 * time.Minute  // for one that moves a part
)

// kinds are what keys end with that say what they are. (The system's own list
// differs from machine to machine.)
var kinds = map[string]string{
	".mp4": "video/mp4", ".mov": "video/quicktime", ".webm": "video/webm", ".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp",
}

// Options is where the bucket is and who asks.
type Options struct {
	Endpoint   string // http(s)://host[:port]; "" is Amazon
	Region     string // "": the store is asked
	AccessKey  string
	SecretKey  string
	Bucket     string
	Prefix     string // of every key, without slashes at its ends; "" for none
	Addressing Addressing
	Presign    bool // URL gives links to the store itself
	Now        func() time.Time
	Transport  http.RoundTripper // nil: one with timeouts of its own
}

// Store is a blob.Store in a bucket.
type Store struct {
	core    minio.Core
	bucket  string
	prefix  string // with its slash
	presign bool
	now     func() time.Time
	// atomic says that the server itself refuses to replace a key. Else only the
	// lock in naming does, for this process.
	atomic bool
	naming names
	parts  sync.Pool // of *[]byte, partSize each
	idle   func()    // closes connections that nobody uses
}

// Open makes sure that the bucket is there and can be read and written, and
// gives up uploads that a crash left. It fails with one of ErrNoBucket,
// ErrCredentials, ErrDenied, ErrRegion and ErrUnreachable.
func Open(ctx context.Context, o Options) (*Store, error) {
	s, err := prepare(o)
	if err != nil {
		return nil, err
	}

	if err := s.check(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}

	if err := s.giveUp(ctx); err != nil {
		return nil, errors.Join(diagnose(err), s.Close())
	}

	return s, nil
}

func prepare(o Options) (*Store, error) {
	if o.Endpoint == "" {
		o.Endpoint = Amazon
	}

	u, err := url.Parse(o.Endpoint)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || strings.Trim(u.Path, "/") != "" {
		return nil, fmt.Errorf("%w: %q is not http(s)://host[:port]", ErrUnreachable, o.Endpoint)
	}

	s := &Store{bucket: o.Bucket, presign: o.Presign, now: o.Now, idle: func() {}}
	if o.Prefix != "" {
		s.prefix = o.Prefix + "/"
	}

	s.parts.New = func() any { b := make([]byte, partSize); return &b }

	if o.Transport == nil {
		t := newTransport()
		o.Transport = t
		s.idle = t.CloseIdleConnections
	}

	lookup := map[Addressing]minio.BucketLookupType{Path: minio.BucketLookupPath, Host: minio.BucketLookupDNS}[o.Addressing]

	core, err := minio.NewCore(u.Host, &minio.Options{
		Creds: credentials.NewStaticV4(o.AccessKey, o.SecretKey, ""), Secure: u.Scheme == "https", Region: o.Region,
		BucketLookup: lookup, Transport: o.Transport, MaxRetries: retries,
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}

	s.core = *core

	return s, nil
}

// Close lets go of connections. Readers that are open stay readable.
func (s *Store) Close() error {
	s.idle()
	return nil
}

func (s *Store) object(key string) string { return s.prefix + key }

// Stat says how large and how old a blob is; see blob.Store. Its SHA-256 is known
// for a blob that was put by one request: one in parts is named before its end
// is seen.
func (s *Store) Stat(ctx context.Context, key string) (blob.Info, error) {
	if err := blob.CheckKey(key); err != nil {
		return blob.Info{}, err
	}

	object, err := s.stat(ctx, key)
	if err != nil {
		return blob.Info{}, fmt.Errorf("stat blob %s: %w", key, explain(ctx, err))
	}

	return blob.Info{Key: key, Bytes: object.Size, SHA256: noted(object, noteSum), ModTime: object.LastModified}, nil
}

func (s *Store) stat(ctx context.Context, key string) (minio.ObjectInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()

	return s.core.StatObject(ctx, s.bucket, s.object(key), minio.StatObjectOptions{})
}

// Delete removes a blob; see blob.Store.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := blob.CheckKey(key); err != nil {
		return err
	}

	if err := explain(ctx, s.remove(ctx, key)); err != nil && !errors.Is(err, blob.ErrNotFound) {
		return fmt.Errorf("delete blob %s: %w", key, err)
	}

	return nil
}

func (s *Store) remove(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()

	return s.core.RemoveObject(ctx, s.bucket, s.object(key), minio.RemoveObjectOptions{})
}

// URL signs a GET of the blob, when the store is asked to; see blob.Store. The
// name that a browser saves it under is its owner's.
func (s *Store) URL(ctx context.Context, key string, valid time.Duration) (string, error) {
	if err := blob.CheckKey(key); err != nil || !s.presign {
		return "", err
	}

	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()

	owner, _, _ := strings.Cut(key, "/")

	answer := url.Values{
		"response-content-disposition": {mime.FormatMediaType("inline", map[string]string{"filename": owner + path.Ext(key)})},
		"response-cache-control":       {fmt.Sprintf("private, max-age=%d", int(valid.Seconds()))},
	}
	if kind := kinds[path.Ext(key)]; kind != "" {
		answer.Set("response-content-type", kind)
	}

	u, err := s.core.PresignedGetObject(ctx, s.bucket, s.object(key), valid, answer)
	if err != nil {
		return "", fmt.Errorf("link to blob %s: %w", key, explain(ctx, err))
	}

	return u.String(), nil
}
