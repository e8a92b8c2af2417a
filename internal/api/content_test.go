package api

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/blob"
)

func TestSignedLink(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		id := env.createTask(env.alice)
		env.finishTask(id, []byte("0123456789"))

		get := func() (video, thumbnail string) {
			m := env.request(env.alice, "GET", "/v1/videos/"+id, "").json(t)
			if m["result"].(map[string]any)["video_url"] != m["video_url"] {
				t.Error("two links to one video differ")
			}

			return m["video_url"].(string)[len(env.server.URL):], m["thumbnail_url"].(string)[len(env.server.URL):]
		}
		link, thumbnail := get()

		env.clock.advance(30 * time.Minute)

		if again, _ := get(); again != link {
			t.Errorf("the link changed within the hour: %s, %s", link, again)
		}

		a := env.request("", "GET", link, "")
		if a.status != 200 || string(a.body) != "0123456789" || a.header.Get("Content-Type") != "video/mp4" || a.header.Get("ETag") == "" ||
			!strings.HasPrefix(a.header.Get("Cache-Control"), "private") || !strings.Contains(a.header.Get("Content-Disposition"), id+".mp4") {
			t.Errorf("%d %v %s", a.status, a.header, a.body)
		}

		if a := env.request("", "GET", thumbnail, ""); a.status != 200 || a.header.Get("Content-Type") != "image/jpeg" {
			t.Errorf("thumbnail: %d", a.status)
		}

		other := env.createTask(env.alice)
		for name, bad := range map[string]string{
			"another video": strings.Replace(link, id, other, 1), "another file": strings.Replace(link, "/content", "/thumbnail", 1),
			"a later expiry": strings.Replace(link, "expires=1", "expires=2", 1), "truncated": link[:len(link)-1], "no signature": strings.Split(link, "&")[0],
		} {
			if code, _ := env.request("", "GET", bad, "").errorCode(t); code != "invalid_signature" {
				t.Errorf("%s: %s", name, code)
			}
		}

		env.clock.advance(23*time.Hour + 30*time.Minute - time.Second)

		if a := env.request("", "GET", link, ""); a.status != 200 {
			t.Errorf("within 24 hours: %d %s", a.status, a.body)
		}

		env.clock.advance(2 * time.Hour)

		a = env.request("", "GET", link, "")
		if code, _ := a.errorCode(t); a.status != 403 || code != "link_expired" {
			t.Errorf("after a day: %d %s", a.status, a.body)
		}
	})
}

func TestContentRangesAndConditions(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		id := env.createTask(env.alice)
		env.finishTask(id, []byte("0123456789"))
		path := "/v1/videos/" + id + "/content"
		whole := env.request(env.alice, "GET", path, "")

		cases := []struct {
			name, method string
			headers      []string
			status       int
			body         string
		}{
			{"a range", "GET", []string{"Range", "bytes=2-4"}, 206, "234"},
			{"the end", "GET", []string{"Range", "bytes=-3"}, 206, "789"},
			{"beyond the end", "GET", []string{"Range", "bytes=50-"}, 416, ""},
			{"head", "HEAD", nil, 200, ""},
			{"matching ETag", "GET", []string{"If-None-Match", whole.header.Get("ETag")}, 304, ""},
			{"range of an older version", "GET", []string{"Range", "bytes=2-4", "If-Range", `"other"`}, 200, "0123456789"},
		}
		for _, c := range cases {
			a := env.request(env.alice, c.method, path, "", c.headers...)
			if a.status != c.status || c.status != 416 && string(a.body) != c.body {
				t.Errorf("%s: %d %q", c.name, a.status, a.body)
			}

			if c.method == "HEAD" && a.header.Get("Content-Length") != "10" {
				t.Errorf("HEAD: Content-Length %s", a.header.Get("Content-Length"))
			}
		}
	})
}

func TestMissingContent(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		id := env.createTask(env.alice)

		a := env.request(env.alice, "GET", "/v1/videos/"+id+"/content", "")
		if code, _ := a.errorCode(t); a.status != 404 || code != "video_not_ready" {
			t.Errorf("not finished: %d %s", a.status, a.body)
		}

		env.finishTask(id, []byte("film"))

		link := env.request(env.alice, "GET", "/v1/videos/"+id, "").json(t)["video_url"].(string)[len(env.server.URL):]
		if err := env.blobs.Delete(context.Background(), id+"/1-video"); err != nil {
			t.Fatal(err)
		}

		a = env.request("", "GET", link, "")
		if code, _ := a.errorCode(t); a.status != 410 || code != "video_expired" || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("with its bytes lost: %d %v %s", a.status, a.header, a.body)
		}

		env.clock.advance(31 * 24 * time.Hour)

		a = env.request(env.alice, "GET", "/v1/videos/"+id+"/content", "")
		if code, _ := a.errorCode(t); a.status != 410 || code != "video_expired" {
			t.Errorf("after its retention: %d %s", a.status, a.body)
		}

		if m := env.request(env.alice, "GET", "/v1/videos/"+id, "").json(t); m["status"] != "completed" || m["video_url"] != nil {
			t.Errorf("its task: %v", m)
		}
	})
}

func TestLinksUsePublicURL(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		id := env.createTask(env.alice)
		env.finishTask(id, []byte("film"))

		a := env.request(env.alice, "GET", "/v1/videos/"+id, "", "X-Forwarded-Proto", "https")
		if got := a.json(t)["video_url"].(string); !strings.HasPrefix(got, "https://127.0.0.1:") {
			t.Error(got)
		}

		env.api.PublicURL = "https://video.example.org/"
		if got := env.request(env.alice, "GET", "/v1/videos/"+id, "").json(t)["video_url"].(string); !strings.HasPrefix(got, "https://video.example.org/v1/videos/"+id+"/content?") {
			t.Error(got)
		}
	})
}

// linkingStore is a blob store that returns signed URLs, or that is unavailable.
type linkingStore struct {
	blob.Store
	down bool
}

func (e linkingStore) Open(ctx context.Context, key string) (blob.Reader, error) {
	if e.down {
		return nil, fmt.Errorf("open: %w", blob.ErrUnavailable)
	}

	return e.Store.Open(ctx, key)
}

func (e linkingStore) URL(_ context.Context, key string, valid time.Duration) (string, error) {
	if e.down {
		return "", nil
	}

	return fmt.Sprintf("https://store.example.com/films/%s?valid=%d", key, int(valid.Seconds())), nil
}

func TestRedirectToBlobStore(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		env.api.Blobs = linkingStore{Store: env.blobs}
		id := env.createTask(env.alice)
		env.finishTask(id, []byte("0123456789"))
		path := "/v1/videos/" + id + "/content"
		a := env.request(env.alice, "GET", path, "", "Range", "bytes=2-4")

		var valid, kept int
		if _, err := fmt.Sscanf(a.header.Get("Location"), "https://store.example.com/films/"+id+"/1-video?valid=%d", &valid); err != nil || a.status != 307 {
			t.Fatalf("%d %v: %v", a.status, a.header, err)
		}

		if _, err := fmt.Sscanf(a.header.Get("Cache-Control"), "private, max-age=%d", &kept); err != nil || kept+60 > valid {
			t.Errorf("a link that is valid for %d s is cached for %d s", valid, kept)
		}

		if a = env.request(env.alice, "HEAD", path, ""); a.status != 200 || a.header.Get("Content-Length") != "10" || a.header.Get("Content-Type") != "video/mp4" || a.header.Get("ETag") == "" {
			t.Errorf("HEAD: %d %v", a.status, a.header)
		}

		if a = env.request("", "GET", path, ""); a.status != 401 || a.header.Get("Location") != "" {
			t.Errorf("without a key: %d %v", a.status, a.header)
		}

		if err := env.blobs.Delete(context.Background(), id+"/1-video"); err != nil {
			t.Fatal(err)
		}

		a = env.request(env.alice, "GET", path, "")
		if code, _ := a.errorCode(t); a.status != 410 || code != "video_expired" || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("with its bytes lost: %d %v %s", a.status, a.header, a.body)
		}
	})
}

func TestBlobStoreUnavailable(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		id := env.createTask(env.alice)
		env.finishTask(id, []byte("0123456789"))
		env.api.Blobs = linkingStore{Store: env.blobs, down: true}

		a := env.request(env.alice, "GET", "/v1/videos/"+id+"/content", "")
		if code, _ := a.errorCode(t); a.status != 503 || code != "unavailable" || a.header.Get("Retry-After") == "" || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%d %v %s", a.status, a.header, a.body)
		}

		if a := env.request(env.alice, "GET", "/v1/videos/"+id, ""); a.status != 200 || a.json(t)["status"] != "completed" {
			t.Errorf("its task: %d %s", a.status, a.body)
		}
	})
}
