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

// ffmpegFile creates a file with ffmpeg and returns its path.
func ffmpegFile(t *testing.T, name string, args ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), name)

	all := append(append([]string{"-nostdin", "-v", "error", "-y"}, args...), out)
	if output, err := exec.CommandContext(t.Context(), "ffmpeg", all...).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg (install it with: apt-get install ffmpeg): %v: %s", err, output)
	}

	return out
}

// padFile extends a file to a size in bytes with zeros, as a sparse file.
func padFile(t *testing.T, path string, size int64) string {
	t.Helper()

	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}

	return path
}

// padMP4 extends an MP4 file to a size in bytes with a box of type "free".
func padMP4(t *testing.T, path string, size int64) string {
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

	return padFile(t, path, size)
}

// pngFile creates a PNG of w by h pixels, with an alpha channel if alpha is set.
func pngFile(t *testing.T, w, h int, alpha bool) string {
	t.Helper()

	var (
		b   bytes.Buffer
		img image.Image = image.NewGray(image.Rect(0, 0, w, h))
	)
	if alpha {
		nrgba := image.NewNRGBA(image.Rect(0, 0, w, h))
		nrgba.Set(1, 1, color.NRGBA{R: 1, A: 100})
		img = nrgba
	}

	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}

	path := filepath.Join(t.TempDir(), "image.png")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}

	return path
}

// TestModelBoundsWithRealFiles probes and checks real files at each bound of a model and
// just beyond it, as references are. wantText must be part of the error's detail; "" means
// that the file is accepted.
func TestModelBoundsWithRealFiles(t *testing.T) {
	t.Parallel()

	models, err := catalog.Load(catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}

	fetcher, err := fetch.New(fetch.Options{})
	if err != nil {
		t.Fatal(err)
	}

	defer func() { _ = fetcher.Close() }()

	video := func(name, rate, seconds string, more ...string) string {
		args := append([]string{"-f", "lavfi", "-i", "color=teal:s=320x320:r=" + rate + ":d=" + seconds, "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"}, more...)
		return ffmpegFile(t, name, args...)
	}
	tone := func(name, seconds string) string {
		return ffmpegFile(t, name, "-f", "lavfi", "-i", "anullsrc=r=8000:cl=mono:d="+seconds)
	}

	const mega = 1 << 20
	for name, c := range map[string]struct {
		path     string
		wantText string
	}{
		"type mp4":                   {video("a.mp4", "30", "2"), ""},
		"type mov":                   {video("a.mov", "30", "2"), ""},
		"type mkv":                   {video("a.mkv", "30", "2"), "video/x-matroska"},
		"type png":                   {pngFile(t, 300, 300, false), ""},
		"type jpeg":                  {ffmpegFile(t, "a.jpg", "-f", "lavfi", "-i", "color=teal:s=300x300", "-frames:v", "1"), ""},
		"type bmp":                   {ffmpegFile(t, "a.bmp", "-f", "lavfi", "-i", "color=teal:s=300x300", "-frames:v", "1"), ""},
		"type webp":                  {ffmpegFile(t, "a.webp", "-f", "lavfi", "-i", "color=teal:s=300x300", "-frames:v", "1"), ""},
		"type gif":                   {ffmpegFile(t, "a.gif", "-f", "lavfi", "-i", "color=teal:s=300x300", "-frames:v", "1"), "image/gif"},
		"type mp3":                   {tone("a.mp3", "5"), ""},
		"type wav":                   {tone("a.wav", "5"), ""},
		"type flac":                  {tone("a.flac", "5"), "audio/flac"},
		"an image of 20 MB":          {padFile(t, pngFile(t, 300, 300, false), 20*mega), ""},
		"an image of 20 MB + 1":      {padFile(t, pngFile(t, 300, 300, false), 20*mega+1), "at most 20 MB"},
		"a video of 100 MB":          {padMP4(t, video("a.mp4", "30", "2"), 100*mega), ""},
		"a video of 100 MB + 1":      {padMP4(t, video("a.mp4", "30", "2"), 100*mega+1), "at most 100 MB"},
		"an audio file of 15 MB + 1": {padFile(t, ffmpegFile(t, "a.wav", "-f", "lavfi", "-i", "anullsrc=r=96000:cl=stereo:d=20.4", "-c:a", "pcm_s32le"), 15*mega+1), "at most 15 MB"},
		"240 pixels":                 {pngFile(t, 240, 300, false), ""},
		"239 pixels":                 {pngFile(t, 300, 239, false), "240 to 8000"},
		"8000 pixels":                {pngFile(t, 8000, 240, false), ""},
		"8001 pixels":                {pngFile(t, 240, 8001, false), "240 to 8000"},
		"1 second":                   {video("a.mp4", "30", "1"), ""},
		"0.9 seconds":                {video("a.mp4", "30", "0.9"), "1 to 30 s"},
		"30 seconds":                 {video("a.mp4", "30", "30"), ""},
		"30.5 seconds":               {video("a.mp4", "30", "30.5"), "1 to 30 s"},
		"3 seconds of audio":         {tone("a.wav", "3"), ""},
		"2.9 seconds of audio":       {tone("a.wav", "2.9"), "3 to 30 s"},
		"30 seconds of audio":        {tone("a.wav", "30"), ""},
		"31 seconds of audio":        {tone("a.wav", "31"), "3 to 30 s"},
		"16 frames a second":         {video("a.mp4", "16", "2"), ""},
		"15 frames a second":         {video("a.mp4", "15", "2"), "at least 16"},
		"without alpha":              {pngFile(t, 300, 300, false), ""},
		"with alpha":                 {pngFile(t, 300, 300, true), "transparency"},
	} {
		t.Run(name, func(t *testing.T) {
			media, err := fetcher.Probe(t.Context(), c.path)
			if err != nil {
				t.Fatal(err)
			}

			f := modelWithFPSBound(t, models).CheckReference(catalog.MediaInfo{
				Param: "references[0]", Kind: catalog.Kind(media.Kind), Type: media.Type, Bytes: media.Bytes, Width: media.Width, Height: media.Height,
				Millis: media.Millis, MilliFPS: media.MilliFPS, HasAlpha: media.Alpha,
			})
			switch {
			case f == nil && c.wantText != "":
				t.Errorf("%+v was accepted, want an error with %q", media, c.wantText)
			case f != nil && (c.wantText == "" || !strings.Contains(f.Detail, c.wantText) || f.Param != "references[0]"):
				t.Errorf("error %v for %+v, want %q", f, media, c.wantText)
			}
		})
	}
}

// modelWithFPSBound returns the R2V model with a minimum frame rate, which its supplier
// does not have.
func modelWithFPSBound(t *testing.T, models *catalog.Catalog) *catalog.Model {
	t.Helper()

	m, ok := models.Model("wan2.6-r2v-720p")
	if !ok {
		t.Fatal("no model wan2.6-r2v-720p")
	}

	custom := *m

	custom.Media = map[catalog.Kind]catalog.MediaLimits{}
	for kind, b := range m.Media {
		custom.Media[kind] = b
	}

	b := custom.Media[catalog.Video]
	b.MinFPS = 16
	custom.Media[catalog.Video] = b

	return &custom
}
