// Package s3 keeps blobs as objects in one bucket of an S3 store. It is the blob.Store
// for replicas that share their blobs. dispatch and checkout put blobs, api reads them,
// cleanup deletes them. A single request gives a blob its key, and only if the key is
// free. Multipart uploads that a crash left over are aborted after a day. The package
// looks into a blob only to detect its media type, never changes one, makes no bucket,
// and touches nothing outside its prefix.
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

// DefaultEndpoint is the endpoint if none is configured.
const DefaultEndpoint = "https://s3.amazonaws.com"

// Addressing is the place of the bucket's name in a URL.
type Addressing string

// The ways to address a bucket.
const (
	AddressingAuto        Addressing = "auto" // "host" for endpoints known to support it (Amazon, Google, Alibaba), else "path"
	AddressingPath        Addressing = "path" // endpoint/bucket/key
	AddressingVirtualHost Addressing = "host" // bucket.endpoint/key
)

const (
	// partSize is how much of a blob is in memory at once; twice as much for a blob that
	// is larger. A blob that fits into one part is put with one request. S3 allows 10,000
	// parts, so a blob has at most 80 GiB.
	partSize = 8 << 20
	maxParts = 10_000

	maxRetries      = 4                // of one request, within about two seconds
	requestTimeout  = 30 * time.Second // for a request that transfers no blob
	transferTimeout = 5 * time.Minute  // for a request that transfers a part
)

// mediaTypes are the media types by the extension of a key. (The system's own table differs
// from machine to machine.)
var mediaTypes = map[string]string{
	".mp4": "video/mp4", ".mov": "video/quicktime", ".webm": "video/webm", ".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp",
}

// Options says where the bucket is and how to access it.
type Options struct {
	Endpoint   string // http(s)://host[:port]; "" is Amazon
	Region     string // "": the store is asked for it
	AccessKey  string
	SecretKey  string
	Bucket     string
	Prefix     string // of every key, without slashes at its ends; "" for none
	Addressing Addressing
	Presign    bool // URL returns links to the store itself
	Now        func() time.Time
	Transport  http.RoundTripper // nil: a transport with suitable timeouts
}

// Store is a blob.Store that keeps objects in a bucket.
type Store struct {
	core    minio.Core
	bucket  string
	prefix  string // with a trailing slash
	presign bool
	now     func() time.Time
	// conditionalWrites is true if the server itself refuses to replace a key. If not,
	// only keyLocks does, and only within this process.
	conditionalWrites bool
	keyLocks          keyLocks
	partBuffers       sync.Pool // of *[]byte, partSize each
	closeIdle         func()    // closes idle connections
}

// Open checks that the bucket exists and can be read and written, and aborts multipart
// uploads that a crash left over. Errors that the operator can fix are ErrNoBucket,
// ErrCredentials, ErrDenied, ErrRegion and ErrUnreachable.
func Open(ctx context.Context, o Options) (*Store, error) {
	s, err := newStore(o)
	if err != nil {
		return nil, err
	}

	if err := s.checkAccess(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}

	if err := s.abortStaleUploads(ctx); err != nil {
		return nil, errors.Join(openError(err), s.Close())
	}

	return s, nil
}

func newStore(o Options) (*Store, error) {
	if o.Endpoint == "" {
		o.Endpoint = DefaultEndpoint
	}

	u, err := url.Parse(o.Endpoint)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || strings.Trim(u.Path, "/") != "" {
		return nil, fmt.Errorf("%w: %q is not http(s)://host[:port]", ErrUnreachable, o.Endpoint)
	}

	s := &Store{bucket: o.Bucket, presign: o.Presign, now: o.Now, closeIdle: func() {}}
	if o.Prefix != "" {
		s.prefix = o.Prefix + "/"
	}

	s.partBuffers.New = func() any { b := make([]byte, partSize); return &b }

	if o.Transport == nil {
		t := newTransport()
		o.Transport = t
		s.closeIdle = t.CloseIdleConnections
	}

	lookup := map[Addressing]minio.BucketLookupType{AddressingPath: minio.BucketLookupPath, AddressingVirtualHost: minio.BucketLookupDNS}[o.Addressing]

	core, err := minio.NewCore(u.Host, &minio.Options{
		Creds:        credentials.NewStaticV4(o.AccessKey, o.SecretKey, ""),
		Secure:       u.Scheme == "https",
		Region:       o.Region,
		BucketLookup: lookup,
		Transport:    o.Transport,
		MaxRetries:   maxRetries,
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}

	s.core = *core

	return s, nil
}

// Close closes idle connections. Readers that are open remain usable.
func (s *Store) Close() error {
	s.closeIdle()
	return nil
}

func (s *Store) objectName(key string) string { return s.prefix + key }

// Stat returns a blob's size and age; see blob.Store. The SHA-256 is known only for a blob
// that was put with one request: the metadata of a multipart upload is sent first, before
// all bytes have been read.
func (s *Store) Stat(ctx context.Context, key string) (blob.Info, error) {
	if err := blob.CheckKey(key); err != nil {
		return blob.Info{}, err
	}

	object, err := s.statObject(ctx, key)
	if err != nil {
		return blob.Info{}, fmt.Errorf("stat blob %s: %w", key, blobError(ctx, err))
	}

	return blob.Info{Key: key, Bytes: object.Size, SHA256: metadata(object, metaSHA256), ModTime: object.LastModified}, nil
}

func (s *Store) statObject(ctx context.Context, key string) (minio.ObjectInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()

	return s.core.StatObject(ctx, s.bucket, s.objectName(key), minio.StatObjectOptions{})
}

// Delete removes a blob; see blob.Store.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := blob.CheckKey(key); err != nil {
		return err
	}

	if err := blobError(ctx, s.removeObject(ctx, key)); err != nil && !errors.Is(err, blob.ErrNotFound) {
		return fmt.Errorf("delete blob %s: %w", key, err)
	}

	return nil
}

func (s *Store) removeObject(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()

	return s.core.RemoveObject(ctx, s.bucket, s.objectName(key), minio.RemoveObjectOptions{})
}

// URL returns a signed link to the blob, if the store was opened with Presign; see
// blob.Store. A browser saves the file under the name of the blob's owner.
func (s *Store) URL(ctx context.Context, key string, valid time.Duration) (string, error) {
	if err := blob.CheckKey(key); err != nil || !s.presign {
		return "", err
	}

	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()

	overrides := url.Values{
		"response-content-disposition": {mime.FormatMediaType("inline", map[string]string{"filename": blob.ParseKey(key).Owner + path.Ext(key)})},
		"response-cache-control":       {fmt.Sprintf("private, max-age=%d", int(valid.Seconds()))},
	}
	if kind := mediaTypes[path.Ext(key)]; kind != "" {
		overrides.Set("response-content-type", kind)
	}

	u, err := s.core.PresignedGetObject(ctx, s.bucket, s.objectName(key), valid, overrides)
	if err != nil {
		return "", fmt.Errorf("link to blob %s: %w", key, blobError(ctx, err))
	}

	return u.String(), nil
}
