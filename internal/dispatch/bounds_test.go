package dispatch

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/fetch"
)

// rendered is a file that ffmpeg makes.
func rendered(t *testing.T, name string, args ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), name)

	all := append(append([]string{"-nostdin", "-v", "error", "-y"}, args...), out)
	if said, err := exec.CommandContext(t.Context(), "ffmpeg", all...).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg (install it with: apt-get install ffmpeg): %v: %s", err, said)
	}

	return out
}

// filled is a file with zero bytes behind it until it has a size: a hole on disk.
func filled(t *testing.T, path string, size int64) string {
	t.Helper()

	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}

	return path
}

// boxed is an MP4 with an empty box behind it until it has a size.
func boxed(t *testing.T, path string, size int64) string {
	t.Helper()

	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}

	n := size - int64(len(data))

	data = append(data, byte(n>>24), byte(n>>16), byte(n>>8), byte(n), 'f', 'r', 'e', 'e')
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}

	return filled(t, path, size)
}

// drawn is a PNG; glassy says that it has an alpha channel.
func drawn(t *testing.T, w, h int, glassy bool) string {
	t.Helper()

	var (
		b   bytes.Buffer
		img image.Image = image.NewGray(image.Rect(0, 0, w, h))
	)
	if glassy {
		glass := image.NewNRGBA(image.Rect(0, 0, w, h))
		glass.Set(1, 1, color.NRGBA{R: 1, A: 100})
		img = glass
	}

	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}

	path := filepath.Join(t.TempDir(), "drawn.png")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}

	return path
}

// Real files at each bound of a model, and just past it, measured and judged as a
// reference is. says is what a refusal must name; "" is taken.
func TestTheBoundsOfAModelHoldForRealFiles(t *testing.T) {
	t.Parallel()

	offered, err := catalog.Load(catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}

	fetcher, err := fetch.New(fetch.Options{})
	if err != nil {
		t.Fatal(err)
	}

	defer func() { _ = fetcher.Close() }()

	film := func(name, rate, seconds string, more ...string) string {
		args := append([]string{"-f", "lavfi", "-i", "color=teal:s=320x320:r=" + rate + ":d=" + seconds, "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"}, more...)
		return rendered(t, name, args...)
	}
	tone := func(name, seconds string) string {
		return rendered(t, name, "-f", "lavfi", "-i", "anullsrc=r=8000:cl=mono:d="+seconds)
	}

	const mega = 1 << 20
	for name, c := range map[string]struct {
		path string
		says string
	}{
		"type mp4":               {film("a.mp4", "30", "2"), ""},
		"type mov":               {film("a.mov", "30", "2"), ""},
		"type mkv":               {film("a.mkv", "30", "2"), "video/x-matroska"},
		"type png":               {drawn(t, 300, 300, false), ""},
		"type jpeg":              {rendered(t, "a.jpg", "-f", "lavfi", "-i", "color=teal:s=300x300", "-frames:v", "1"), ""},
		"type bmp":               {rendered(t, "a.bmp", "-f", "lavfi", "-i", "color=teal:s=300x300", "-frames:v", "1"), ""},
		"type webp":              {rendered(t, "a.webp", "-f", "lavfi", "-i", "color=teal:s=300x300", "-frames:v", "1"), ""},
		"type gif":               {rendered(t, "a.gif", "-f", "lavfi", "-i", "color=teal:s=300x300", "-frames:v", "1"), "image/gif"},
		"type mp3":               {tone("a.mp3", "5"), ""},
		"type wav":               {tone("a.wav", "5"), ""},
		"type flac":              {tone("a.flac", "5"), "audio/flac"},
		"a picture of 20 MB":     {filled(t, drawn(t, 300, 300, false), 20*mega), ""},
		"a picture of 20 MB + 1": {filled(t, drawn(t, 300, 300, false), 20*mega+1), "at most 20 MB"},
		"a video of 100 MB":      {boxed(t, film("a.mp4", "30", "2"), 100*mega), ""},
		"a video of 100 MB + 1":  {boxed(t, film("a.mp4", "30", "2"), 100*mega+1), "at most 100 MB"},
		"a sound of 15 MB + 1":   {filled(t, rendered(t, "a.wav", "-f", "lavfi", "-i", "anullsrc=r=96000:cl=stereo:d=20.4", "-c:a", "pcm_s32le"), 15*mega+1), "at most 15 MB"},
		"240 pixels":             {drawn(t, 240, 300, false), ""},
		"239 pixels":             {drawn(t, 300, 239, false), "240 to 8000"},
		"8000 pixels":            {drawn(t, 8000, 240, false), ""},
		"8001 pixels":            {drawn(t, 240, 8001, false), "240 to 8000"},
		"1 second":               {film("a.mp4", "30", "1"), ""},
		"0.9 seconds":            {film("a.mp4", "30", "0.9"), "1 to 30 s"},
		"30 seconds":             {film("a.mp4", "30", "30"), ""},
		"30.5 seconds":           {film("a.mp4", "30", "30.5"), "1 to 30 s"},
		"3 seconds of sound":     {tone("a.wav", "3"), ""},
		"2.9 seconds of sound":   {tone("a.wav", "2.9"), "3 to 30 s"},
		"30 seconds of sound":    {tone("a.wav", "30"), ""},
		"31 seconds of sound":    {tone("a.wav", "31"), "3 to 30 s"},
		"16 frames a second":     {film("a.mp4", "16", "2"), ""},
		"15 frames a second":     {film("a.mp4", "15", "2"), "at least 16"},
		"without alpha":          {drawn(t, 300, 300, false), ""},
		"with alpha":             {drawn(t, 300, 300, true), "transparency"},
	} {
		t.Run(name, func(t *testing.T) {
			media, err := fetcher.Probe(t.Context(), c.path)
			if err != nil {
				t.Fatal(err)
			}

			f := boundsOf(t, offered).Judge(catalog.Measured{
				Param: "references[0]", Kind: catalog.Kind(media.Kind), Type: media.Type, Bytes: media.Bytes, Width: media.Width, Height: media.Height,
				Millis: media.Millis, MilliFPS: media.FPS, Alpha: media.Alpha,
			})
			switch {
			case f == nil && c.says != "":
				t.Errorf("taken: %+v", media)
			case f != nil && (c.says == "" || !strings.Contains(f.Detail, c.says) || f.Param != "references[0]"):
				t.Errorf("refused: %v (%+v)", f, media)
			}
		})
	}
}

// boundsOf is the R2V model with a bound of frames, which its supplier has not.
func boundsOf(t *testing.T, offered *catalog.Catalog) *catalog.Model {
	t.Helper()

	m, ok := offered.Model("wan2.6-r2v-720p")
	if !ok {
		t.Fatal("no model wan2.6-r2v-720p")
	}

	own := *m

	own.Media = map[catalog.Kind]catalog.Bounds{}
	for kind, b := range m.Media {
		own.Media[kind] = b
	}

	b := own.Media[catalog.Video]
	b.MinFPS = 16
	own.Media[catalog.Video] = b

	return &own
}
