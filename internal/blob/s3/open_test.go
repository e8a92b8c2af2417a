package s3

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/blob/s3test"
)

func TestOpenErrors(t *testing.T) {
	server := s3test.Start(t)

	page := httptest.NewServer(http.NotFoundHandler())
	defer page.Close()

	for name, c := range map[string]struct {
		change func(*Options)
		want   error
	}{
		"no bucket":         {func(o *Options) { o.Bucket = "flims" }, ErrNoBucket},
		"an unknown key":    {func(o *Options) { o.AccessKey = "somebody" }, ErrCredentials},
		"another secret":    {func(o *Options) { o.SecretKey += "x" }, ErrCredentials},
		"another region":    {func(o *Options) { o.Region = "eu-north-1" }, ErrRegion},
		"its own region":    {func(o *Options) { o.Region = s3test.Region }, nil},
		"path":              {func(o *Options) { o.Addressing = AddressingPath }, nil},
		"nothing listens":   {func(o *Options) { o.Endpoint = "http://127.0.0.1:1" }, ErrUnreachable},
		"a web server":      {func(o *Options) { o.Endpoint = page.URL }, ErrNoBucket}, // a proxy in front of a store may answer like this
		"HTTPS without TLS": {func(o *Options) { o.Endpoint = strings.Replace(o.Endpoint, "http:", "https:", 1) }, ErrUnreachable},
		"no address":        {func(o *Options) { o.Endpoint = "minio:9000" }, ErrUnreachable},
		"a path":            {func(o *Options) { o.Endpoint += "/videos" }, ErrUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			o := testOptions(server, "here")
			c.change(&o)

			s, err := Open(t.Context(), o)
			if err == nil {
				s.Close()
			}

			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}

			if err != nil && strings.Contains(err.Error(), server.SecretKey) {
				t.Errorf("the error shows the secret: %v", err)
			}
		})
	}

	if left, err := server.Files(server.Bucket); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestOpenCancelled(t *testing.T) {
	server := s3test.Start(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	if _, err := Open(ctx, testOptions(server, "")); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

// TestStaleUploadsAreAborted starts uploads as Put does and never completes them. A store
// with the true time keeps them; one whose clock is ahead aborts them.
func TestStaleUploadsAreAborted(t *testing.T) {
	server := s3test.Start(t)
	startUpload := func(prefix, key string) {
		t.Helper()
		s := openStore(t, testOptions(server, prefix))
		u := &upload{s: s, key: key}

		id, err := u.startMultipart(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}

		if _, err := u.sendPart(t.Context(), id, 1, []byte("half")); err != nil {
			t.Fatal(err)
		}
	}
	startUpload("ours", "task/1-a")
	startUpload("ours", "task/1-b")
	startUpload("theirs", "task/1-a")

	countUploads := func() int {
		t.Helper()
		s := openStore(t, testOptions(server, ""))

		page, err := s.listUploads(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}

		return len(page.Uploads)
	}
	o := testOptions(server, "ours")
	o.Now = func() time.Time { return time.Now().Add(staleUploadAge - time.Hour) }

	s := openStore(t, o)
	if n := countUploads(); n != 3 {
		t.Fatalf("%d uploads, want all 3: they may still be in progress", n)
	}

	s.now = func() time.Time { return time.Now().Add(staleUploadAge + time.Hour) }
	if err := s.List(t.Context(), nil); err != nil {
		t.Fatal(err)
	}

	if n := countUploads(); n != 1 {
		t.Fatalf("%d uploads, want only that of the other prefix", n)
	}

	o = testOptions(server, "theirs")
	o.Now = s.now
	openStore(t, o)

	if n := countUploads(); n != 0 {
		t.Fatalf("%d uploads after Open", n)
	}
}
