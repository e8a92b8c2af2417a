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

// cuts counts the cuts that ffmpeg's scdet sees.
func cuts(t *testing.T, path string) int {
	t.Helper()
	out := ffmpeg(t, "-i", path, "-vf", "scdet,metadata=print:file=-", "-f", "null", "-")

	return strings.Count(string(out), "lavfi.scd.time")
}

// middle is the mean colour of the film's middle at a frame.
func middle(t *testing.T, path string, n int) color.RGBA {
	t.Helper()
	p := ffmpeg(t, "-i", path, "-vf", "select=eq(n\\,"+strconv.Itoa(n)+"),crop=iw/3:ih/3,scale=1:1:flags=area,format=rgb24", "-frames:v", "1", "-f", "rawvideo", "-")

	return color.RGBA{p[0], p[1], p[2], 255}
}

// alike says which channel leads: enough to tell red, green and blue apart.
func alike(a, b color.RGBA) bool {
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

// standing counts frames that are the same as the one before.
func standing(t *testing.T, path string) int {
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

// madeVideo is a video from one of ffmpeg's sources.
func madeVideo(t *testing.T, param, source string, sound bool) provider.Reference {
	t.Helper()
	path := filepath.Join(t.TempDir(), "clip.mp4")

	args := []string{"-f", "lavfi", "-i", source}
	if sound {
		args = append(args, "-f", "lavfi", "-i", "sine=f=523:d=3", "-c:a", "aac", "-shortest")
	}

	ffmpeg(t, append(args, "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", path)...)

	return fromFile("video", param, path)
}

// samples decodes a file's sound to one side at 8 kHz.
func samples(t *testing.T, path string) []float64 {
	t.Helper()
	raw := ffmpeg(t, "-i", path, "-map", "0:a:0", "-ac", "1", "-ar", "8000", "-f", "s16le", "-")

	s := make([]float64, len(raw)/2)
	for i := range s {
		s[i] = float64(int16(binary.LittleEndian.Uint16(raw[2*i:]))) / 32768
	}

	return s
}

// correlation is the greatest normalised one within 20 ms of shift.
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

func small(o provider.Order) provider.Order {
	o.Width = 320
	o.Height = 180
	o.Size = "320*180"

	return o
}

func TestReferencesTakeTheirTurns(t *testing.T) {
	s := newStudio(t, nil)
	o := small(order(t))
	o.Seconds = 3
	o.Sound = true

	o.References = []provider.Reference{
		image1(t, "images[0]", red, 300, 200),
		madeVideo(t, "videos[0]", "color=c=0x283cc8:s=160x120:r=25:d=2", true),
		image1(t, "images[1]", green, 200, 320),
	}
	for kind, want := range map[string]func(int) bool{
		"single": func(n int) bool { return n == 0 }, "multi": func(n int) bool { return n >= 2 },
	} {
		o.ShotType = kind
		path := shoot(t, s, o)
		isFilm(t, path, o)

		for i, c := range []color.RGBA{red, blue, green} {
			if got := middle(t, path, 15+30*i); !alike(got, c) {
				t.Errorf("%s: turn %d shows %v, want about %v", kind, i+1, got, c)
			}
		}

		if n := cuts(t, path); !want(n) {
			t.Errorf("%s has %d cuts", kind, n)
		}

		if n := standing(t, path); n > 0 {
			t.Errorf("%s: %d frames stand still", kind, n)
		}

		if l := loudness(samples(t, path)); l < 0.002 {
			t.Errorf("%s: the sound track is silent (%f)", kind, l)
		}
	}
}

func TestAnyReferenceIsCutOrNot(t *testing.T) {
	s := newStudio(t, nil)
	flat := image1(t, "images[0]", color.RGBA{120, 120, 120, 255}, 64, 64)

	jumpy := madeVideo(t, "videos[0]", "color=c=black:s=160x90:r=10:d=2,geq=lum='if(mod(floor(N/5)\\,2)\\,220\\,30)':cb=128:cr=128", false)
	for _, c := range []struct {
		name, kind string
		of         []provider.Reference
	}{
		{"one flat picture", "multi", []provider.Reference{flat}},
		{"alike pictures", "multi", []provider.Reference{flat, flat, flat, flat, flat}},
		{"a jumpy video", "single", []provider.Reference{jumpy}},
		{"many", "single", []provider.Reference{flat, image1(t, "i", color.RGBA{255, 255, 255, 255}, 90, 90), jumpy, image1(t, "i", color.RGBA{0, 0, 0, 255}, 90, 90), flat}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := small(order(t))
			o.ShotType = c.kind
			o.References = c.of

			path := shoot(t, s, o)
			if n := cuts(t, path); (c.kind == "multi") != (n >= 2) || c.kind == "single" && n > 0 {
				t.Errorf("%d cuts", n)
			}

			if n := standing(t, path); n > 0 {
				t.Errorf("%d frames stand still", n)
			}
		})
	}
}

func TestASeedIsAFilm(t *testing.T) {
	s := newStudio(t, nil)
	sum := func(o provider.Order) [32]byte {
		b, err := os.ReadFile(shoot(t, s, o))
		if err != nil {
			t.Fatal(err)
		}

		return sha256.Sum256(b)
	}
	o := small(order(t))
	o.Sound = true
	first := sum(o)
	o.Task = "task_other"

	o.Attempt = 2
	if sum(o) != first {
		t.Error("the same seed made another film")
	}

	o.Seed = 8
	if sum(o) == first {
		t.Error("another seed made the same film")
	}

	o.Seed = -1
	one := sum(o)

	o.Task = "task_third"
	if sum(o) == one {
		t.Error("a seed of -1 made the same film for two tasks")
	}
}

// TestAPhotographIsTurnedUpright gives a picture that lies on its side, as phones
// store it: its left half must come out as the upper one.
func TestAPhotographIsTurnedUpright(t *testing.T) {
	flat := filepath.Join(t.TempDir(), "flat.jpg")
	ffmpeg(t, "-f", "lavfi", "-i", "color=c=0xc82828:s=400x200,drawbox=w=200:h=200:color=0x283cc8:t=fill", "-frames:v", "1", flat)

	b, err := os.ReadFile(flat)
	if err != nil {
		t.Fatal(err)
	}
	// The orientation tag with the value 6: turn it clockwise by a quarter.
	exif := []byte("\xff\xe1\x00\x22Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00")
	o := small(order(t))
	o.Width = 180
	o.Height = 320
	o.Prompt = ""
	o.References = []provider.Reference{fromBytes("image", "images[0]", "a.jpg", append(append(append([]byte(nil), b[:2]...), exif...), b[2:]...))}

	frame := ffmpeg(t, "-i", shoot(t, newStudio(t, nil), o), "-vf", "select=eq(n\\,30),scale=1:9:flags=area,format=rgb24", "-frames:v", "1", "-f", "rawvideo", "-")
	if upper, lower := frame[3*1:], frame[3*7:]; upper[2] < 2*upper[0] || lower[0] < 2*lower[2] {
		t.Errorf("above is %v, below is %v; want blue above red", upper[:3], lower[:3])
	}
}

func TestAReferenceVideoPlays(t *testing.T) {
	s := newStudio(t, nil)
	o := small(order(t))
	o.References = []provider.Reference{madeVideo(t, "videos[0]", "color=c=0xc8c8c8:s=160x90:r=25:d=2,fade=in:0:48", false)}
	path := shoot(t, s, o)
	early := middle(t, path, 12)

	late := middle(t, path, 50)
	if int(late.G)-int(early.G) < 60 {
		t.Errorf("the video brightens, the film goes from %v to %v", early, late)
	}
}

func TestTheGuideIsTheSoundTrack(t *testing.T) {
	s := newStudio(t, nil)
	guide := filepath.Join(t.TempDir(), "guide.mp3")
	ffmpeg(t, "-f", "lavfi", "-i", "anoisesrc=c=pink:d=1.5:seed=4:a=0.4", "-f", "lavfi", "-i", "sine=f=300:d=1.5", "-filter_complex", "amix", guide)
	o := small(order(t))
	o.Sound = true
	ref := fromFile("audio", "extra_body.audio", guide)
	o.Audio = &ref
	path := shoot(t, s, o)
	isFilm(t, path, o)

	if c := correlation(samples(t, guide), samples(t, path)); c < 0.9 {
		t.Errorf("guide and track correlate by %.2f", c)
	}

	o.Audio = nil
	if c := correlation(samples(t, guide), samples(t, shoot(t, s, o))); c > 0.5 {
		t.Errorf("without it they correlate by %.2f: the test cannot tell", c)
	}
}

func TestAPictureAndAPromptBecomeFilms(t *testing.T) {
	s := newStudio(t, nil)
	tall := order(t)
	tall.Mode = provider.I2V
	tall.Width = 1080
	tall.Height = 1920
	tall.References = tall.References[:1]
	isFilm(t, shoot(t, s, tall), tall)

	title := small(order(t))
	title.Mode = provider.T2V
	title.References = nil
	title.Prompt = "清晨的古城，一只橘猫在屋檐上奔跑。"
	title.ShotType = "multi"
	first := shoot(t, s, title)
	isFilm(t, first, title)

	if n := cuts(t, first); n < 2 {
		t.Errorf("several cards have %d cuts", n)
	}

	title.ShotType = "single"

	second := shoot(t, s, title)
	if n := cuts(t, second); n > 0 {
		t.Errorf("one card has %d cuts", n)
	}

	title.Prompt = "傍晚的海边，一位老人正在慢慢散步。"
	if bytes.Equal(ffmpegFrame(t, second, 20), ffmpegFrame(t, shoot(t, s, title), 20)) {
		t.Error("two prompts make the same card")
	}
}

func ffmpegFrame(t *testing.T, path string, n int) []byte {
	t.Helper()
	return ffmpeg(t, "-i", path, "-vf", "select=eq(n\\,"+strconv.Itoa(n)+"),format=gray", "-frames:v", "1", "-f", "rawvideo", "-")
}
