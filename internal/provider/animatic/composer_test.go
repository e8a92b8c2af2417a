package animatic

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/unireel/unireel/internal/provider"
)

var (
	red   = color.RGBA{200, 40, 40, 255}
	green = color.RGBA{40, 160, 60, 255}
	blue  = color.RGBA{40, 60, 200, 255}
)

// countCuts counts the cuts that ffmpeg's scdet detects.
func countCuts(t *testing.T, path string) int {
	t.Helper()
	out := ffmpeg(t, "-i", path, "-vf", "scdet,metadata=print:file=-", "-f", "null", "-")

	return strings.Count(string(out), "lavfi.scd.time")
}

// centreColour is the mean colour of the video's centre in frame n.
func centreColour(t *testing.T, path string, n int) color.RGBA {
	t.Helper()
	p := ffmpeg(t, "-i", path, "-vf", "select=eq(n\\,"+strconv.Itoa(n)+"),crop=iw/3:ih/3,scale=1:1:flags=area,format=rgb24", "-frames:v", "1", "-f", "rawvideo", "-")

	return color.RGBA{p[0], p[1], p[2], 255}
}

// similarColour compares the strongest channels, which is enough to tell red, green and blue apart.
func similarColour(a, b color.RGBA) bool {
	lead := func(c color.RGBA) int {
		if c.R > c.G && c.R > c.B {
			return 0
		}

		if c.G > c.B {
			return 1
		}

		return 2
	}

	return lead(a) == lead(b) && math.Abs(float64(a.R)-float64(b.R)) < 60 && math.Abs(float64(a.B)-float64(b.B)) < 60
}

// countRepeatedFrames counts frames that are identical to the one before.
func countRepeatedFrames(t *testing.T, path string) int {
	t.Helper()

	same := 0
	before := ""

	for _, line := range strings.Split(string(ffmpeg(t, "-i", path, "-map", "0:v", "-f", "framemd5", "-")), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}

		fields := strings.Split(line, ",")
		if hash := fields[len(fields)-1]; hash == before {
			same++
		} else {
			before = hash
		}
	}

	return same
}

// generateVideo makes a video from one of ffmpeg's test sources.
func generateVideo(t *testing.T, param, source string, sound bool) provider.Reference {
	t.Helper()
	path := filepath.Join(t.TempDir(), "clip.mp4")

	args := []string{"-f", "lavfi", "-i", source}
	if sound {
		args = append(args, "-f", "lavfi", "-i", "sine=f=523:d=3", "-c:a", "aac", "-shortest")
	}

	ffmpeg(t, append(args, "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", path)...)

	return fromFile("video", param, path)
}

// samples decodes a file's sound to mono at 8 kHz.
func samples(t *testing.T, path string) []float64 {
	t.Helper()
	raw := ffmpeg(t, "-i", path, "-map", "0:a:0", "-ac", "1", "-ar", "8000", "-f", "s16le", "-")

	s := make([]float64, len(raw)/2)
	for i := range s {
		s[i] = float64(int16(binary.LittleEndian.Uint16(raw[2*i:]))) / 32768
	}

	return s
}

// correlation is the greatest normalised correlation within 20 ms of shift.
func correlation(a, b []float64) float64 {
	best := 0.0

	for shift := -160; shift <= 160; shift++ {
		var ab, aa, bb float64

		for i := range a {
			if j := i + shift; j >= 0 && j < len(b) {
				ab = ab + a[i]*b[j]
				aa = aa + a[i]*a[i]
				bb = bb + b[j]*b[j]
			}
		}

		best = max(best, ab/math.Sqrt(aa*bb+1e-12))
	}

	return best
}

func loudness(s []float64) float64 {
	sum := 0.0
	for _, v := range s {
		sum += v * v
	}

	return math.Sqrt(sum / float64(max(1, len(s))))
}

func smallSize(o provider.Submission) provider.Submission {
	o.Width = 320
	o.Height = 180
	o.Size = "320*180"

	return o
}

func TestReferencesAppearInOrder(t *testing.T) {
	s := newTestRenderer(t, nil)
	o := smallSize(testSubmission(t))
	o.Seconds = 3
	o.Sound = true

	o.References = []provider.Reference{
		discImage(t, "images[0]", red, 300, 200),
		generateVideo(t, "videos[0]", "color=c=0x283cc8:s=160x120:r=25:d=2", true),
		discImage(t, "images[1]", green, 200, 320),
	}
	for kind, want := range map[string]func(int) bool{
		"single": func(n int) bool { return n == 0 }, "multi": func(n int) bool { return n >= 2 },
	} {
		o.ShotType = kind
		path := renderVideo(t, s, o)
		checkVideo(t, path, o)

		for i, c := range []color.RGBA{red, blue, green} {
			if got := centreColour(t, path, 15+30*i); !similarColour(got, c) {
				t.Errorf("%s: segment %d shows %v, want about %v", kind, i+1, got, c)
			}
		}

		if n := countCuts(t, path); !want(n) {
			t.Errorf("%s has %d cuts", kind, n)
		}

		if n := countRepeatedFrames(t, path); n > 0 {
			t.Errorf("%s: %d frames are repeated", kind, n)
		}

		if l := loudness(samples(t, path)); l < 0.002 {
			t.Errorf("%s: the sound track is silent (%f)", kind, l)
		}
	}
}

func TestShotTypeControlsCuts(t *testing.T) {
	s := newTestRenderer(t, nil)
	flat := discImage(t, "images[0]", color.RGBA{120, 120, 120, 255}, 64, 64)

	jumpy := generateVideo(t, "videos[0]", "color=c=black:s=160x90:r=10:d=2,geq=lum='if(mod(floor(N/5)\\,2)\\,220\\,30)':cb=128:cr=128", false)
	for _, c := range []struct {
		name, kind string
		references []provider.Reference
	}{
		{"one flat picture", "multi", []provider.Reference{flat}},
		{"similar pictures", "multi", []provider.Reference{flat, flat, flat, flat, flat}},
		{"a jumpy video", "single", []provider.Reference{jumpy}},
		{"many", "single", []provider.Reference{flat, discImage(t, "i", color.RGBA{255, 255, 255, 255}, 90, 90), jumpy, discImage(t, "i", color.RGBA{0, 0, 0, 255}, 90, 90), flat}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := smallSize(testSubmission(t))
			o.ShotType = c.kind
			o.References = c.references

			path := renderVideo(t, s, o)
			if n := countCuts(t, path); (c.kind == "multi") != (n >= 2) || c.kind == "single" && n > 0 {
				t.Errorf("%d cuts", n)
			}

			if n := countRepeatedFrames(t, path); n > 0 {
				t.Errorf("%d frames are repeated", n)
			}
		})
	}
}

func TestSeedIsDeterministic(t *testing.T) {
	s := newTestRenderer(t, nil)
	sum := func(o provider.Submission) [32]byte {
		b, err := os.ReadFile(renderVideo(t, s, o))
		if err != nil {
			t.Fatal(err)
		}

		return sha256.Sum256(b)
	}
	o := smallSize(testSubmission(t))
	o.Sound = true
	first := sum(o)
	o.TaskID = "task_other"
	o.Attempt = 2

	if sum(o) != first {
		t.Error("the same seed made another video")
	}

	o.Seed = 8
	if sum(o) == first {
		t.Error("another seed made the same video")
	}

	o.Seed = -1
	one := sum(o)

	o.TaskID = "task_third"
	if sum(o) == one {
		t.Error("a seed of -1 made the same video for two tasks")
	}
}

// TestImageOrientation uses a picture that is stored sideways, as phones do: its left half
// must be the upper half of the video.
func TestImageOrientation(t *testing.T) {
	flat := filepath.Join(t.TempDir(), "flat.jpg")
	ffmpeg(t, "-f", "lavfi", "-i", "color=c=0xc82828:s=400x200,drawbox=w=200:h=200:color=0x283cc8:t=fill", "-frames:v", "1", flat)

	b, err := os.ReadFile(flat)
	if err != nil {
		t.Fatal(err)
	}
	// The orientation tag with the value 6: rotate by 90 degrees clockwise.
	exif := []byte("\xff\xe1\x00\x22Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00")
	o := smallSize(testSubmission(t))
	o.Width = 180
	o.Height = 320
	o.Prompt = ""
	o.References = []provider.Reference{fromBytes("image", "images[0]", "a.jpg", append(append(append([]byte(nil), b[:2]...), exif...), b[2:]...))}

	frame := ffmpeg(t, "-i", renderVideo(t, newTestRenderer(t, nil), o), "-vf", "select=eq(n\\,30),scale=1:9:flags=area,format=rgb24", "-frames:v", "1", "-f", "rawvideo", "-")
	if upper, lower := frame[3*1:], frame[3*7:]; upper[2] < 2*upper[0] || lower[0] < 2*lower[2] {
		t.Errorf("the top is %v, the bottom is %v; want blue above red", upper[:3], lower[:3])
	}
}

func TestReferenceVideoPlays(t *testing.T) {
	s := newTestRenderer(t, nil)
	o := smallSize(testSubmission(t))
	o.References = []provider.Reference{generateVideo(t, "videos[0]", "color=c=0xc8c8c8:s=160x90:r=25:d=2,fade=in:0:48", false)}
	path := renderVideo(t, s, o)
	early := centreColour(t, path, 12)

	late := centreColour(t, path, 50)
	if int(late.G)-int(early.G) < 60 {
		t.Errorf("the reference brightens, but the video goes from %v to %v", early, late)
	}
}

func TestGuideAudioIsTheSoundTrack(t *testing.T) {
	s := newTestRenderer(t, nil)
	guide := filepath.Join(t.TempDir(), "guide.mp3")
	ffmpeg(t, "-f", "lavfi", "-i", "anoisesrc=c=pink:d=1.5:seed=4:a=0.4", "-f", "lavfi", "-i", "sine=f=300:d=1.5", "-filter_complex", "amix", guide)
	o := smallSize(testSubmission(t))
	o.Sound = true
	ref := fromFile("audio", "extra_body.audio", guide)
	o.Audio = &ref
	path := renderVideo(t, s, o)
	checkVideo(t, path, o)

	if c := correlation(samples(t, guide), samples(t, path)); c < 0.9 {
		t.Errorf("guide and track correlate by %.2f", c)
	}

	o.Audio = nil
	if c := correlation(samples(t, guide), samples(t, renderVideo(t, s, o))); c > 0.5 {
		t.Errorf("without the guide they correlate by %.2f: the test proves nothing", c)
	}
}

func TestImageToVideoAndTextToVideo(t *testing.T) {
	s := newTestRenderer(t, nil)
	tall := testSubmission(t)
	tall.Mode = provider.I2V
	tall.Width = 1080
	tall.Height = 1920
	tall.References = tall.References[:1]
	checkVideo(t, renderVideo(t, s, tall), tall)

	title := smallSize(testSubmission(t))
	title.Mode = provider.T2V
	title.References = nil
	title.Prompt = "清晨的古城，一只橘猫在屋檐上奔跑。"
	title.ShotType = "multi"
	first := renderVideo(t, s, title)
	checkVideo(t, first, title)

	if n := countCuts(t, first); n < 2 {
		t.Errorf("several cards have %d cuts", n)
	}

	title.ShotType = "single"

	second := renderVideo(t, s, title)
	if n := countCuts(t, second); n > 0 {
		t.Errorf("one card has %d cuts", n)
	}

	title.Prompt = "傍晚的海边，一位老人正在慢慢散步。"
	if bytes.Equal(ffmpegFrame(t, second, 20), ffmpegFrame(t, renderVideo(t, s, title), 20)) {
		t.Error("two prompts make the same card")
	}
}

func ffmpegFrame(t *testing.T, path string, n int) []byte {
	t.Helper()
	return ffmpeg(t, "-i", path, "-vf", "select=eq(n\\,"+strconv.Itoa(n)+"),format=gray", "-frames:v", "1", "-f", "rawvideo", "-")
}
