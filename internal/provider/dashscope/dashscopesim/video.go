package dashscopesim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Spec is everything that decides what a simulated video looks like.
type Spec struct {
	Width, Height int // pixels
	Seconds       int
	Sound         bool
}

func (s Spec) size() string {
	if s.Width == 0 {
		return ""
	}

	return fmt.Sprintf("%d*%d", s.Width, s.Height)
}

// videoCache keeps the videos that were made, one for each Spec.
type videoCache struct {
	mu     sync.Mutex
	videos map[Spec]func() ([]byte, error)
}

func (f *videoCache) get(spec Spec, video func(Spec) ([]byte, error)) ([]byte, error) {
	f.mu.Lock()
	if f.videos == nil {
		f.videos = map[Spec]func() ([]byte, error){}
	}

	once, ok := f.videos[spec]
	if !ok {
		once = sync.OnceValues(func() ([]byte, error) { return video(spec) })
		f.videos[spec] = once
	}
	f.mu.Unlock()

	b, err := once()
	if err != nil {
		f.mu.Lock()
		delete(f.videos, spec)
		f.mu.Unlock()
	}

	return b, err
}

// renderVideo makes a test video with ffmpeg: H.264, 30 frames a second, AAC.
func renderVideo(spec Spec) ([]byte, error) {
	folder, err := os.MkdirTemp("", "dashscopesim-")
	if err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	defer os.RemoveAll(folder)

	path := filepath.Join(folder, "result.mp4")

	args := []string{
		"-nostdin", "-v", "error", "-f", "lavfi", "-i",
		fmt.Sprintf("testsrc2=s=%dx%d:r=30:d=%d", spec.Width, spec.Height, spec.Seconds),
	}
	if spec.Sound {
		args = append(args, "-f", "lavfi", "-i", fmt.Sprintf("sine=frequency=220:duration=%d", spec.Seconds), "-c:a", "aac", "-b:a", "96k")
	}

	args = append(args, "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-movflags", "+faststart", path)

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()

	if out, err := exec.CommandContext(ctx, "ffmpeg", args...).CombinedOutput(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return nil, errors.New("ffmpeg is missing; install it: apt-get install ffmpeg")
		}

		return nil, fmt.Errorf("render %s: %w: %s", spec.size(), err, out)
	}

	return os.ReadFile(path)
}

// resultLink returns a result's presigned URL, which stops working at its Expires.
func (s *Sim) resultLink(r *http.Request, t *task) string {
	expires := t.endedAt.Add(s.o.LinkTTL)
	if t.linkExpired {
		expires = t.endedAt.Add(-time.Second)
	}

	name := t.id + ".mp4"
	until := strconv.FormatInt(expires.Unix(), 10)
	q := url.Values{"Expires": {until}, "OSSAccessKeyId": {"simulated"}, "Signature": {s.sign(name + until)}}

	return baseURL(r) + "/results/" + name + "?" + q.Encode()
}

// download serves a result's bytes to any client that has its link.
func (s *Sim) download(c *apiCall) response {
	name := c.PathValue("file")

	q := c.URL.Query()
	if q.Get("Signature") != s.sign(name+q.Get("Expires")) {
		return ossErrorResponse(http.StatusForbidden, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided.")
	}

	if until, _ := strconv.ParseInt(q.Get("Expires"), 10, 64); c.now.Unix() >= until {
		return ossErrorResponse(http.StatusForbidden, "AccessDenied", "Request has expired.")
	}

	s.mu.Lock()
	t := s.tasks[strings.TrimSuffix(name, ".mp4")]
	s.mu.Unlock()

	if t == nil {
		return ossErrorResponse(http.StatusNotFound, "NoSuchKey", "The specified key does not exist.")
	}

	b := t.video
	if b == nil {
		var err error
		if b, err = s.videos.get(t.spec, s.o.Video); err != nil {
			return ossErrorResponse(http.StatusInternalServerError, "InternalError", err.Error())
		}
	}

	return response{
		status:      http.StatusOK,
		contentType: "video/mp4",
		body:        b,
		serve: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "video/mp4")
			http.ServeContent(w, r, "", t.endedAt, bytes.NewReader(b))
		},
	}
}
