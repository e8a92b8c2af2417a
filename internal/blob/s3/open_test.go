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

func TestOpenSaysWhatIsWrong(t *testing.T) {
	server := s3test.Start(t)

	page := httptest.NewServer(http.NotFoundHandler())
	defer page.Close()

	for name, c := range map[string]struct {
		change func(*Options)
		want   error
	}{
		"no bucket":           {func(o *Options) { o.Bucket = "flims" }, ErrNoBucket},
		"an unknown key":      {func(o *Options) { o.AccessKey = "somebody" }, ErrCredentials},
		"another secret":      {func(o *Options) { o.SecretKey += "x" }, ErrCredentials},
		"another region":      {func(o *Options) { o.Region = "eu-north-1" }, ErrRegion},
		"its own region":      {func(o *Options) { o.Region = s3test.Region }, nil},
		"path":                {func(o *Options) { o.Addressing = Path }, nil},
		"nobody there":        {func(o *Options) { o.Endpoint = "http://127.0.0.1:1" }, ErrUnreachable},
		"a web server there":  {func(o *Options) { o.Endpoint = page.URL }, ErrNoBucket}, // as a proxy before a store may say it
		"HTTPS where is none": {func(o *Options) { o.Endpoint = strings.Replace(o.Endpoint, "http:", "https:", 1) }, ErrUnreachable},
		"no address":          {func(o *Options) { o.Endpoint = "minio:9000" }, ErrUnreachable},
		"an address too long": {func(o *Options) { o.Endpoint += "/films" }, ErrUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			o := options(server, "here")
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

func TestOpenEndsWithItsCaller(t *testing.T) {
	server := s3test.Start(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	if _, err := Open(ctx, options(server, "")); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
}

// TestAnUploadThatACrashLeftIsGivenUp begins uploads as a Put does and never ends
// them; two clocks look at them.
func TestAnUploadThatACrashLeftIsGivenUp(t *testing.T) {
	server := s3test.Start(t)
	begin := func(prefix, key string) {
		t.Helper()
		s := open(t, options(server, prefix))
		u := &upload{s: s, key: key}

		id, err := u.begin(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}

		if _, err := u.part(t.Context(), id, 1, []byte("half")); err != nil {
			t.Fatal(err)
		}
	}
	begin("ours", "task/1-a")
	begin("ours", "task/1-b")
	begin("theirs", "task/1-a")

	left := func() int {
		t.Helper()
		s := open(t, options(server, ""))

		page, err := s.uploads(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}

		return len(page.Uploads)
	}
	o := options(server, "ours")
	o.Now = func() time.Time { return time.Now().Add(leftAge - time.Hour) }

	s := open(t, o)
	if n := left(); n != 3 {
		t.Fatalf("%d uploads, want all 3: they may be under way", n)
	}

	s.now = func() time.Time { return time.Now().Add(leftAge + time.Hour) }
	if err := s.List(t.Context(), nil); err != nil {
		t.Fatal(err)
	}

	if n := left(); n != 1 {
		t.Fatalf("%d uploads, want that of the other prefix", n)
	}

	o = options(server, "theirs")
	o.Now = s.now
	open(t, o)

	if n := left(); n != 0 {
		t.Fatalf("%d uploads after an opening", n)
	}
}
