package fetch

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	gifs "image/gif"
	jpegs "image/jpeg"
	pngs "image/png"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	bmps "golang.org/x/image/bmp"

	"github.com/unireel/unireel/internal/fault"
)

func TestProbeMeasuresStreams(t *testing.T) {
	f := fetcher(t, Options{})
	h264 := []string{"-f", "lavfi", "-i", testPicture, "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"}
	both := append([]string{"-f", "lavfi", "-i", testSound}, append(h264, "-c:a", "aac")...)

	clip := render(t, "clip.mp4", h264...)
	for name, c := range map[string]struct {
		path string
		want Media
	}{
		"silent mp4": {clip, Media{Kind: Video, Type: "video/mp4", Width: 320, Height: 180, Millis: 2000, FPS: 30000, Codec: "h264"}},
		"mp4":        {render(t, "a.mp4", both...), Media{Kind: Video, Type: "video/mp4", Width: 320, Height: 180, Millis: 2000, FPS: 30000, Sound: true, Codec: "h264", SoundCodec: "aac"}},
		"mov":        {render(t, "a.mov", both...), Media{Kind: Video, Type: "video/quicktime", Width: 320, Height: 180, Millis: 2000, FPS: 30000, Sound: true, Codec: "h264", SoundCodec: "aac"}},
		"turned":     {render(t, "t.mp4", "-i", clip, "-c", "copy", "-metadata:s:v", "rotate=90"), Media{Kind: Video, Type: "video/mp4", Width: 180, Height: 320, Millis: 2000, FPS: 30000, Codec: "h264"}},
		"ntsc":       {render(t, "n.mp4", "-f", "lavfi", "-i", "testsrc2=s=64x64:r=30000/1001:d=1.001", "-c:v", "libx264", "-pix_fmt", "yuv420p"), Media{Kind: Video, Type: "video/mp4", Width: 64, Height: 64, Millis: 1001, FPS: 29970, Codec: "h264"}},
		"alpha":      {render(t, "a.webm", "-f", "lavfi", "-i", "color=red@0.5:s=64x64:r=10:d=1,format=yuva444p", "-c:v", "ffv1", "-f", "matroska"), Media{Kind: Video, Type: "video/x-matroska", Width: 64, Height: 64, Millis: 1000, FPS: 10000, Alpha: true, Codec: "ffv1"}},
		"sound mp4":  {render(t, "s.mp4", "-f", "lavfi", "-i", testSound, "-c:a", "aac"), Media{Kind: Audio, Type: "audio/mp4", Sound: true, Codec: "aac", SoundCodec: "aac"}},
		"m4a":        {render(t, "s.m4a", "-f", "lavfi", "-i", testSound, "-c:a", "aac"), Media{Kind: Audio, Type: "audio/mp4", Sound: true, Codec: "aac", SoundCodec: "aac"}},
		"wav":        {render(t, "s.wav", "-f", "lavfi", "-i", testSound), Media{Kind: Audio, Type: "audio/wav", Sound: true, Codec: "pcm_s16le", SoundCodec: "pcm_s16le"}},
		"mp3":        {render(t, "s.mp3", "-f", "lavfi", "-i", testSound), Media{Kind: Audio, Type: "audio/mpeg", Sound: true, Codec: "mp3", SoundCodec: "mp3"}},
		"bare mp3":   {render(t, "s.mp3", "-f", "lavfi", "-i", testSound, "-id3v2_version", "0", "-write_xing", "0"), Media{Kind: Audio, Type: "audio/mpeg", Sound: true, Codec: "mp3", SoundCodec: "mp3"}},
		"adts":       {render(t, "s.aac", "-f", "lavfi", "-i", testSound, "-c:a", "aac"), Media{Kind: Audio, Type: "audio/aac", Sound: true, Codec: "aac", SoundCodec: "aac"}},
		"flac":       {render(t, "s.flac", "-f", "lavfi", "-i", testSound), Media{Kind: Audio, Type: "audio/flac", Sound: true, Codec: "flac", SoundCodec: "flac"}},
	} {
		got, err := f.Probe(t.Context(), c.path)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}

		if got.Bytes <= 0 {
			t.Errorf("%s: %d bytes", name, got.Bytes)
		}

		got.Bytes = 0
		if c.want.Millis == 0 { // coded sound has whole frames, and mp3's length may be a guess
			if got.Millis < 1900 || got.Millis > 2200 {
				t.Errorf("%s: %d ms", name, got.Millis)
			}

			got.Millis = 0
		}

		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestProbeMeasuresPictures(t *testing.T) {
	f := fetcher(t, Options{})
	plain := image.NewRGBA(image.Rect(0, 0, 40, 30))
	glass := image.NewNRGBA(image.Rect(0, 0, 40, 30))

	for i := range plain.Pix {
		plain.Pix[i] = 0xff
	}

	hole := image.NewPaletted(image.Rect(0, 0, 40, 30), color.Palette{color.White, color.Transparent})
	jpeg1 := func(w io.Writer, m image.Image) error { return jpegs.Encode(w, m, nil) }

	gif1 := func(w io.Writer, m image.Image) error { return gifs.Encode(w, m, nil) }
	for name, c := range map[string]struct {
		data  []byte
		codec string
		alpha bool
	}{
		"png": {encoded(t, pngs.Encode, plain), "png", false}, "png alpha": {encoded(t, pngs.Encode, glass), "png", true}, "png palette": {encoded(t, pngs.Encode, hole), "png", true},
		"jpeg": {encoded(t, jpeg1, plain), "jpeg", false}, "bmp": {encoded(t, bmps.Encode, plain), "bmp", false}, "gif": {encoded(t, gif1, plain), "gif", false},
	} {
		got, err := f.Probe(t.Context(), write(t, "x.mp4", c.data)) // the name says nothing

		want := Media{Kind: Image, Type: "image/" + c.codec, Bytes: int64(len(c.data)), Width: 40, Height: 30, Alpha: c.alpha, Codec: c.codec}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", name, err, diff)
		}
		// Half of a picture is none.
		_, err = f.Probe(t.Context(), write(t, "half", c.data[:len(c.data)*3/4]))
		wants(t, err, fault.CodeBadReference, "damaged or cut off", false)
	}

	lossy := render(t, "a.webp", "-f", "lavfi", "-i", "testsrc2=s=40x30", "-frames:v", "1")
	if got, err := f.Probe(t.Context(), lossy); err != nil || got.Type != "image/webp" || got.Width != 40 || got.Alpha {
		t.Errorf("webp: %+v, %v", got, err)
	}
}

// pngClaiming is a small PNG whose header claims a size, with some data.
func pngClaiming(w, h uint32, data []byte) []byte {
	var b bytes.Buffer
	b.WriteString("\x89PNG\r\n\x1a\n")

	part := func(name string, data []byte) {
		binary.Write(&b, binary.BigEndian, uint32(len(data)))
		b.WriteString(name)
		b.Write(data)
		binary.Write(&b, binary.BigEndian, crc32.ChecksumIEEE(append([]byte(name), data...)))
	}
	head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, w), h)
	part("IHDR", append(head, 8, 6, 0, 0, 0))
	part("IDAT", data)
	part("IEND", nil)

	return b.Bytes()
}

func TestPictureBombs(t *testing.T) {
	f := fetcher(t, Options{})

	var zeros bytes.Buffer // far more pixels than its header says, in a few kilobytes

	z := zlib.NewWriter(&zeros)
	for range 64 {
		z.Write(make([]byte, 1<<20))
	}

	if err := z.Close(); err != nil {
		t.Fatal(err)
	}

	bomb := pngClaiming(100, 100, zeros.Bytes())

	runtime.GC()

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)

	for _, data := range [][]byte{pngClaiming(60000, 60000, nil), pngClaiming(12000, 12000, zeros.Bytes()), pngClaiming(1, 1<<31-1, nil), pngClaiming(0, 10, nil), bomb} {
		_, err := f.Probe(t.Context(), write(t, "bomb.png", data))
		wants(t, err, fault.CodeBadReference, "The picture", false)
	}

	runtime.ReadMemStats(&after)

	if grew := after.TotalAlloc - before.TotalAlloc; grew > 32<<20 {
		t.Errorf("%d MiB were allocated", grew>>20)
	}
}

func TestWhatIsNoMedia(t *testing.T) {
	f := fetcher(t, Options{})

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()

	called := make(chan struct{}, 1)

	go func() {
		if c, err := l.Accept(); err == nil {
			called <- struct{}{}

			c.Close()
		}
	}()

	here := "http://" + l.Addr().String() + "/x"
	for name, text := range map[string]string{
		"text": "this is no video at all, only a text that is called one", "empty": "", "one": "x", "html": "<!doctype html><html>",
		"file list": "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n", "list": "#EXTM3U\n#EXTINF:1,\n" + here + "\n",
		"concat": "ffconcat version 1.0\nfile /etc/passwd\n", "sdp": "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n", "svg": `<svg xmlns="http://www.w3.org/2000/svg"><image href="` + here + `"/></svg>`,
		"heic": "\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "elf": "\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00", "zip": "PK\x03\x04\x14\x00\x00\x00\x08\x00",
	} {
		_, err := f.Probe(t.Context(), write(t, "clip.mp4", []byte(text)))
		if !fault.Is(err, fault.CodeBadReference) || Passing(err) {
			t.Errorf("%s: %v", name, err)
		}

		if err := f.Thumbnail(t.Context(), write(t, "clip.mp4", []byte(text)), filepath.Join(t.TempDir(), "x.jpg"), 0); !fault.Is(err, fault.CodeBadReference) {
			t.Errorf("thumbnail of %s: %v", name, err)
		}
	}
	// A playlist behind the first bytes of something else is read as that.
	list := "#EXTM3U\n#EXTINF:1,\n" + here + "\n"
	for name, head := range map[string]string{"mp4": "\x00\x00\x00\x10ftypisom\x00\x00\x00\x00", "mp3": "ID3\x03\x00\x00\x00\x00\x00\x00", "mkv": "\x1aE\xdf\xa3", "wav": "RIFF\x00\x00\x00\x00WAVE", "ogg": "OggS\x00"} {
		if _, err := f.Probe(t.Context(), write(t, "clip.mp4", []byte(head+list))); !fault.Is(err, fault.CodeBadReference) {
			t.Errorf("%s: %v", name, err)
		}
	}

	select {
	case <-called:
		t.Error("a playlist's address was called")
	default:
	}
}

func TestCutOffVideo(t *testing.T) {
	f := fetcher(t, Options{})

	data, err := os.ReadFile(render(t, "a.mp4", "-f", "lavfi", "-i", testPicture, "-c:v", "libx264", "-movflags", "+faststart"))
	if err != nil {
		t.Fatal(err)
	}

	_, err = f.Probe(t.Context(), write(t, "half.mp4", data[:len(data)/2]))
	wants(t, err, fault.CodeBadReference, "cut off", false)
}

func TestMissingTools(t *testing.T) {
	f := fetcher(t, Options{FFprobe: "ffprobe-that-is-not-there", FFmpeg: "/nowhere/ffmpeg"})
	clip := render(t, "a.wav", "-f", "lavfi", "-i", testSound)

	_, err := f.Probe(t.Context(), clip)
	for _, err := range []error{err, f.Tools()} {
		if !errors.Is(err, ErrNoTool) || !strings.Contains(err.Error(), "apt-get install ffmpeg") {
			t.Errorf("got %v", err)
		}
	}

	if err := fetcher(t, Options{}).Tools(); err != nil {
		t.Error(err)
	}
}

// program writes a shell script that stands in for ffprobe.
func program(t *testing.T, text string) string {
	path := write(t, "program", []byte("#!/bin/sh\n"+text))
	if err := os.Chmod(path, 0o700); err != nil {
		t.Fatal(err)
	}

	return path
}

func TestRunIsBounded(t *testing.T) {
	var bad *badFile

	_, err := run(t.Context(), tool{name: program(t, "sleep 100 & sleep 100"), wait: 50 * time.Millisecond, output: 10, memory: 1 << 30})
	if !errors.As(err, &bad) || !strings.Contains(err.Error(), "longer") {
		t.Errorf("time: %v", err)
	}

	_, err = run(t.Context(), tool{name: program(t, "yes"), wait: 10 * time.Second, output: 1000, memory: 1 << 30})
	if !errors.As(err, &bad) || !strings.Contains(err.Error(), "more to say") {
		t.Errorf("output: %v", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)

	_, err = run(ctx, tool{name: program(t, "sleep 100"), wait: 10 * time.Second, output: 10, memory: 1 << 30})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancel: %v", err)
	}

	t.Setenv("SECRET", "secret")

	out, err := run(t.Context(), tool{name: program(t, "env"), wait: 10 * time.Second, output: 1000, memory: 1 << 30})
	if err != nil || strings.Contains(string(out), "SECRET") {
		t.Errorf("environment: %s %v", out, err)
	}

	if runtime.GOOS != "linux" {
		return
	}

	out, err = run(t.Context(), tool{name: program(t, "while [ $(ulimit -v) = unlimited ]; do :; done; while [ $(ulimit -c) != 0 ]; do :; done; ulimit -v"), wait: 10 * time.Second, output: 1000, memory: 1 << 30})
	if err != nil || string(out) != "1048576\n" {
		t.Errorf("limits: %q %v", out, err)
	}
}

// A program has a folder of its own that goes with it, may write nothing, and has
// no network where the system allows that.
func TestRunIsWalledIn(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	f := fetcher(t, Options{})
	ran := func(text string) (string, error) {
		out, err := f.run(t.Context(), tool{name: program(t, `[ "$1" = -version ] && exit 0; `+text), wait: 10 * time.Second, output: 1000, memory: 1 << 30})
		return string(out), err
	}

	where, err := ran("pwd; ls -A")
	if err != nil || !strings.HasPrefix(where, os.Getenv("TMPDIR")) || strings.Count(where, "\n") != 1 {
		t.Errorf("it ran in %q, %v", where, err)
	}

	left(t, os.Getenv("TMPDIR"))

	if runtime.GOOS != "linux" {
		return
	}

	var bad *badFile
	if _, err := ran("while [ $(ulimit -n) != 64 ]; do :; done; while [ $(ulimit -f) != 0 ]; do :; done; echo x >x; exit $?"); !errors.As(err, &bad) {
		t.Errorf("it wrote a file: %v", err)
	}

	if f.walls(t.Context(), f.options.FFprobe) == 0 {
		t.Log("this system allows no program without a network")
		return
	}

	if seen, err := ran("while read -r line; do echo \"$line\"; done </proc/net/dev"); err != nil || strings.Count(seen, ":") != 1 || !strings.Contains(seen, "lo:") {
		t.Errorf("it sees the networks %q, %v", seen, err)
	}
}

func TestThumbnail(t *testing.T) {
	f := fetcher(t, Options{})
	for _, c := range []struct {
		size string
		at   time.Duration
		w, h int64
	}{{"1280x720", time.Second, 640, 360}, {"720x1280", 0, 360, 640}, {"320x180", time.Hour, 320, 180}} {
		clip := render(t, "a.mp4", "-f", "lavfi", "-i", "testsrc2=s="+c.size+":r=10:d=2", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")

		out := filepath.Join(t.TempDir(), "thumb.jpg")
		if err := f.Thumbnail(t.Context(), clip, out, c.at); err != nil {
			t.Errorf("%s: %v", c.size, err)
			continue
		}

		if m, err := f.Probe(t.Context(), out); err != nil || m.Type != "image/jpeg" || m.Width != c.w || m.Height != c.h {
			t.Errorf("%s: %+v, %v", c.size, m, err)
		}
	}

	out := filepath.Join(t.TempDir(), "none.jpg")
	err := f.Thumbnail(t.Context(), render(t, "a.wav", "-f", "lavfi", "-i", testSound), out, 0)
	wants(t, err, fault.CodeBadReference, "not a video", false)

	if _, err := os.Stat(out); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file was left: %v", err)
	}
}

func TestFastStart(t *testing.T) {
	args := []string{"-f", "lavfi", "-i", testPicture, "-c:v", "libx264", "-preset", "ultrafast"}
	for path, want := range map[string]bool{render(t, "slow.mp4", args...): false, render(t, "fast.mp4", append(args, "-movflags", "+faststart")...): true} {
		if got, err := FastStart(path); err != nil || got != want {
			t.Errorf("%s: %v, %v", filepath.Base(path), got, err)
		}
	}

	if _, err := FastStart(write(t, "x.mp4", []byte("no boxes at all"))); err == nil {
		t.Error("text has boxes")
	}
}

func box(name string, size uint32, data string) string {
	return string(binary.BigEndian.AppendUint32(nil, size)) + name + data
}

func TestBoxes(t *testing.T) {
	moov := box("moov", 8, "")

	ftyp := box("ftyp", 8, "")
	for name, c := range map[string]struct {
		data string
		want layout
		ok   bool
	}{
		"fast": {ftyp + moov + box("mdat", 9, "x"), layout{8, 16}, true}, "slow": {ftyp + box("mdat", 9, "x") + moov, layout{17, 8}, true},
		"to the end": {moov + box("mdat", 0, "xyz"), layout{0, 8}, true}, "64 bits": {box("mdat", 1, "\x00\x00\x00\x00\x00\x00\x00\x11x") + moov, layout{17, 0}, true},
		"beyond": {moov + box("mdat", 100, "x"), layout{}, false}, "too small": {moov + box("mdat", 7, ""), layout{}, false}, "64 bits negative": {moov + box("mdat", 1, "\xff\xff\xff\xff\xff\xff\xff\xff"), layout{}, false},
		"64 bits small": {moov + box("mdat", 1, "\x00\x00\x00\x00\x00\x00\x00\x08"), layout{}, false}, "no index": {ftyp, layout{}, false}, "tail": {moov + "xyz", layout{}, false}, "empty": {"", layout{}, false},
		"many": {strings.Repeat(box("free", 8, ""), maxBoxes+1) + moov, layout{}, false},
	} {
		got, err := walk(strings.NewReader(c.data), int64(len(c.data)))
		if (err == nil) != c.ok || c.ok && got != c.want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func FuzzBoxes(f *testing.F) {
	f.Add([]byte(box("moov", 8, "") + box("mdat", 0, "x")))
	f.Add([]byte(box("mdat", 1, "\x00\x00\x00\x00\x00\x00\x00\x11x") + box("moov", 8, "")))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := walk(bytes.NewReader(data), int64(len(data)))
		if err == nil && (l.moov < 0 || l.moov > int64(len(data))-8 || string(data[l.moov+4:l.moov+8]) != "moov") {
			t.Fatalf("%+v in %d bytes", l, len(data))
		}
	})
}

func FuzzSniff(f *testing.F) {
	for _, s := range []string{"\x89PNG\r\n\x1a\n", "\xff\xd8\xff", "RIFF....WEBPVP8 ", "RIFF....WAVE", "\x00\x00\x00\x10ftypisom", "\x00\x00\x00\x08wide....", "ID3\x03\x00\x00\x00\x00\x00\x00", "\xff\xfb\x90\x00", "\xff\xf1\x50\x80", "#EXTM3U\n"} {
		f.Add([]byte(s))
	}

	f.Fuzz(func(t *testing.T, head []byte) {
		kind, ok := Sniff(head)
		if !ok {
			return
		}

		if kind.Name == "" || kind.Ending == "" || (kind.Kind != Image) != (kind.demuxer != "") {
			t.Fatalf("%q is %+v", head, kind)
		}

		text := strings.TrimLeft(string(head), " \r\n\t")
		for _, script := range []string{"#EXTM3U", "ffconcat", "v=0", "<", "http", "file "} {
			if strings.HasPrefix(text, script) {
				t.Fatalf("%q is %+v", head, kind)
			}
		}
	})
}

func FuzzMeasure(f *testing.F) {
	f.Add([]byte(`{"streams":[{"codec_type":"video","codec_name":"h264","width":320,"height":180,"avg_frame_rate":"30/1","duration":"2.000000","side_data_list":[{"rotation":-90}]}],"format":{"duration":"2.02"}}`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		m, err := measure(answer, mp4)
		if err == nil && (m.Millis <= 0 || m.FPS < 0 || m.Kind == Video && (m.Width <= 0 || m.Height <= 0)) {
			t.Fatalf("%s gave %+v", answer, m)
		}
	})
}
