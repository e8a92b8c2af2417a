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

func TestProbeStreams(t *testing.T) {
	f := newFetcher(t, Options{})
	h264 := []string{"-f", "lavfi", "-i", testVideoSource, "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"}
	both := append([]string{"-f", "lavfi", "-i", testAudioSource}, append(h264, "-c:a", "aac")...)

	clip := renderWithFFmpeg(t, "clip.mp4", h264...)
	for name, c := range map[string]struct {
		path string
		want Media
	}{
		"silent mp4": {clip, Media{Kind: Video, Type: "video/mp4", Width: 320, Height: 180, Millis: 2000, MilliFPS: 30000, Codec: "h264"}},
		"mp4":        {renderWithFFmpeg(t, "a.mp4", both...), Media{Kind: Video, Type: "video/mp4", Width: 320, Height: 180, Millis: 2000, MilliFPS: 30000, Sound: true, Codec: "h264", SoundCodec: "aac"}},
		"mov":        {renderWithFFmpeg(t, "a.mov", both...), Media{Kind: Video, Type: "video/quicktime", Width: 320, Height: 180, Millis: 2000, MilliFPS: 30000, Sound: true, Codec: "h264", SoundCodec: "aac"}},
		"turned":     {renderWithFFmpeg(t, "t.mp4", "-i", clip, "-c", "copy", "-metadata:s:v", "rotate=90"), Media{Kind: Video, Type: "video/mp4", Width: 180, Height: 320, Millis: 2000, MilliFPS: 30000, Codec: "h264"}},
		"ntsc":       {renderWithFFmpeg(t, "n.mp4", "-f", "lavfi", "-i", "testsrc2=s=64x64:r=30000/1001:d=1.001", "-c:v", "libx264", "-pix_fmt", "yuv420p"), Media{Kind: Video, Type: "video/mp4", Width: 64, Height: 64, Millis: 1001, MilliFPS: 29970, Codec: "h264"}},
		"alpha":      {renderWithFFmpeg(t, "a.webm", "-f", "lavfi", "-i", "color=red@0.5:s=64x64:r=10:d=1,format=yuva444p", "-c:v", "ffv1", "-f", "matroska"), Media{Kind: Video, Type: "video/x-matroska", Width: 64, Height: 64, Millis: 1000, MilliFPS: 10000, Alpha: true, Codec: "ffv1"}},
		"sound mp4":  {renderWithFFmpeg(t, "s.mp4", "-f", "lavfi", "-i", testAudioSource, "-c:a", "aac"), Media{Kind: Audio, Type: "audio/mp4", Sound: true, Codec: "aac", SoundCodec: "aac"}},
		"m4a":        {renderWithFFmpeg(t, "s.m4a", "-f", "lavfi", "-i", testAudioSource, "-c:a", "aac"), Media{Kind: Audio, Type: "audio/mp4", Sound: true, Codec: "aac", SoundCodec: "aac"}},
		"wav":        {renderWithFFmpeg(t, "s.wav", "-f", "lavfi", "-i", testAudioSource), Media{Kind: Audio, Type: "audio/wav", Sound: true, Codec: "pcm_s16le", SoundCodec: "pcm_s16le"}},
		"mp3":        {renderWithFFmpeg(t, "s.mp3", "-f", "lavfi", "-i", testAudioSource), Media{Kind: Audio, Type: "audio/mpeg", Sound: true, Codec: "mp3", SoundCodec: "mp3"}},
		"bare mp3":   {renderWithFFmpeg(t, "s.mp3", "-f", "lavfi", "-i", testAudioSource, "-id3v2_version", "0", "-write_xing", "0"), Media{Kind: Audio, Type: "audio/mpeg", Sound: true, Codec: "mp3", SoundCodec: "mp3"}},
		"adts":       {renderWithFFmpeg(t, "s.aac", "-f", "lavfi", "-i", testAudioSource, "-c:a", "aac"), Media{Kind: Audio, Type: "audio/aac", Sound: true, Codec: "aac", SoundCodec: "aac"}},
		"flac":       {renderWithFFmpeg(t, "s.flac", "-f", "lavfi", "-i", testAudioSource), Media{Kind: Audio, Type: "audio/flac", Sound: true, Codec: "flac", SoundCodec: "flac"}},
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
		if c.want.Millis == 0 { // encoded sound has whole frames, and the length of an MP3 may be an estimate
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

func TestProbeImages(t *testing.T) {
	f := newFetcher(t, Options{})
	opaque := image.NewRGBA(image.Rect(0, 0, 40, 30))
	transparent := image.NewNRGBA(image.Rect(0, 0, 40, 30))

	for i := range opaque.Pix {
		opaque.Pix[i] = 0xff
	}

	palette := image.NewPaletted(image.Rect(0, 0, 40, 30), color.Palette{color.White, color.Transparent})
	jpeg1 := func(w io.Writer, m image.Image) error { return jpegs.Encode(w, m, nil) }

	gif1 := func(w io.Writer, m image.Image) error { return gifs.Encode(w, m, nil) }
	for name, c := range map[string]struct {
		data  []byte
		codec string
		alpha bool
	}{
		"png": {encodeImage(t, pngs.Encode, opaque), "png", false}, "png alpha": {encodeImage(t, pngs.Encode, transparent), "png", true}, "png palette": {encodeImage(t, pngs.Encode, palette), "png", true},
		"jpeg": {encodeImage(t, jpeg1, opaque), "jpeg", false}, "bmp": {encodeImage(t, bmps.Encode, opaque), "bmp", false}, "gif": {encodeImage(t, gif1, opaque), "gif", false},
	} {
		got, err := f.Probe(t.Context(), writeFile(t, "x.mp4", c.data)) // the name must not matter

		want := Media{Kind: Image, Type: "image/" + c.codec, Bytes: int64(len(c.data)), Width: 40, Height: 30, Alpha: c.alpha, Codec: c.codec}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", name, err, diff)
		}
		// Half of a picture is not a picture.
		_, err = f.Probe(t.Context(), writeFile(t, "half", c.data[:len(c.data)*3/4]))
		checkFault(t, err, fault.CodeReferenceInvalid, "damaged or cut off", false)
	}

	lossy := renderWithFFmpeg(t, "a.webp", "-f", "lavfi", "-i", "testsrc2=s=40x30", "-frames:v", "1")
	if got, err := f.Probe(t.Context(), lossy); err != nil || got.Type != "image/webp" || got.Width != 40 || got.Alpha {
		t.Errorf("webp: %+v, %v", got, err)
	}
}

// pngWithClaimedSize is a small PNG whose header claims a size, with some pixel data.
func pngWithClaimedSize(w, h uint32, data []byte) []byte {
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

func TestImageBombs(t *testing.T) {
	f := newFetcher(t, Options{})

	var zeros bytes.Buffer // a few kilobytes with far more pixels than the header claims

	z := zlib.NewWriter(&zeros)
	for range 64 {
		z.Write(make([]byte, 1<<20))
	}

	if err := z.Close(); err != nil {
		t.Fatal(err)
	}

	bomb := pngWithClaimedSize(100, 100, zeros.Bytes())

	runtime.GC()

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)

	for _, data := range [][]byte{pngWithClaimedSize(60000, 60000, nil), pngWithClaimedSize(12000, 12000, zeros.Bytes()), pngWithClaimedSize(1, 1<<31-1, nil), pngWithClaimedSize(0, 10, nil), bomb} {
		_, err := f.Probe(t.Context(), writeFile(t, "bomb.png", data))
		checkFault(t, err, fault.CodeReferenceInvalid, "The picture", false)
	}

	runtime.ReadMemStats(&after)

	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 32<<20 {
		t.Errorf("%d MiB were allocated", allocated>>20)
	}
}

func TestProbeRejectsNonMedia(t *testing.T) {
	f := newFetcher(t, Options{})

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

	listenerURL := "http://" + l.Addr().String() + "/x"
	for name, text := range map[string]string{
		"text": "this is not a video at all, only a text that is called one", "empty": "", "one": "x", "html": "<!doctype html><html>",
		"file list": "#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n", "list": "#EXTM3U\n#EXTINF:1,\n" + listenerURL + "\n",
		"concat": "ffconcat version 1.0\nfile /etc/passwd\n", "sdp": "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n", "svg": `<svg xmlns="http://www.w3.org/2000/svg"><image href="` + listenerURL + `"/></svg>`,
		"heic": "\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "elf": "\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00", "zip": "PK\x03\x04\x14\x00\x00\x00\x08\x00",
	} {
		_, err := f.Probe(t.Context(), writeFile(t, "clip.mp4", []byte(text)))
		if !fault.Is(err, fault.CodeReferenceInvalid) || IsTransient(err) {
			t.Errorf("%s: %v", name, err)
		}

		if err := f.Thumbnail(t.Context(), writeFile(t, "clip.mp4", []byte(text)), filepath.Join(t.TempDir(), "x.jpg"), 0); !fault.Is(err, fault.CodeReferenceInvalid) {
			t.Errorf("thumbnail of %s: %v", name, err)
		}
	}
	// A playlist after the first bytes of another type is read as that type.
	list := "#EXTM3U\n#EXTINF:1,\n" + listenerURL + "\n"
	for name, head := range map[string]string{"mp4": "\x00\x00\x00\x10ftypisom\x00\x00\x00\x00", "mp3": "ID3\x03\x00\x00\x00\x00\x00\x00", "mkv": "\x1aE\xdf\xa3", "wav": "RIFF\x00\x00\x00\x00WAVE", "ogg": "OggS\x00"} {
		if _, err := f.Probe(t.Context(), writeFile(t, "clip.mp4", []byte(head+list))); !fault.Is(err, fault.CodeReferenceInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}

	select {
	case <-called:
		t.Error("an address in a playlist was contacted")
	default:
	}
}

func TestTruncatedVideo(t *testing.T) {
	f := newFetcher(t, Options{})

	data, err := os.ReadFile(renderWithFFmpeg(t, "a.mp4", "-f", "lavfi", "-i", testVideoSource, "-c:v", "libx264", "-movflags", "+faststart"))
	if err != nil {
		t.Fatal(err)
	}

	_, err = f.Probe(t.Context(), writeFile(t, "half.mp4", data[:len(data)/2]))
	checkFault(t, err, fault.CodeReferenceInvalid, "cut off", false)
}

func TestCheckTools(t *testing.T) {
	f := newFetcher(t, Options{FFprobe: "ffprobe-that-is-not-there", FFmpeg: "/nowhere/ffmpeg"})
	clip := renderWithFFmpeg(t, "a.wav", "-f", "lavfi", "-i", testAudioSource)

	_, err := f.Probe(t.Context(), clip)
	for _, err := range []error{err, f.CheckTools()} {
		if !errors.Is(err, ErrToolMissing) || !strings.Contains(err.Error(), "apt-get install ffmpeg") {
			t.Errorf("got %v", err)
		}
	}

	if err := newFetcher(t, Options{}).CheckTools(); err != nil {
		t.Error(err)
	}
}

// writeScript writes a shell script that replaces ffprobe.
func writeScript(t *testing.T, text string) string {
	path := writeFile(t, "program", []byte("#!/bin/sh\n"+text))
	if err := os.Chmod(path, 0o700); err != nil {
		t.Fatal(err)
	}

	return path
}

func TestRunLimits(t *testing.T) {
	var fileErr *fileError

	_, err := runCommand(t.Context(), command{name: writeScript(t, "sleep 100 & sleep 100"), timeout: 50 * time.Millisecond, maxOutput: 10, maxMemory: 1 << 30})
	if !errors.As(err, &fileErr) || !strings.Contains(err.Error(), "longer") {
		t.Errorf("time: %v", err)
	}

	_, err = runCommand(t.Context(), command{name: writeScript(t, "yes"), timeout: 10 * time.Second, maxOutput: 1000, maxMemory: 1 << 30})
	if !errors.As(err, &fileErr) || !strings.Contains(err.Error(), "output exceeded") {
		t.Errorf("output: %v", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)

	_, err = runCommand(ctx, command{name: writeScript(t, "sleep 100"), timeout: 10 * time.Second, maxOutput: 10, maxMemory: 1 << 30})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancel: %v", err)
	}

	t.Setenv("SECRET", "secret")

	out, err := runCommand(t.Context(), command{name: writeScript(t, "env"), timeout: 10 * time.Second, maxOutput: 1000, maxMemory: 1 << 30})
	if err != nil || strings.Contains(string(out), "SECRET") {
		t.Errorf("environment: %s %v", out, err)
	}

	if runtime.GOOS != "linux" {
		return
	}

	out, err = runCommand(t.Context(), command{name: writeScript(t, "while [ $(ulimit -v) = unlimited ]; do :; done; while [ $(ulimit -c) != 0 ]; do :; done; ulimit -v"), timeout: 10 * time.Second, maxOutput: 1000, maxMemory: 1 << 30})
	if err != nil || string(out) != "1048576\n" {
		t.Errorf("limits: %q %v", out, err)
	}
}

// A program has a folder of its own that is removed afterwards, cannot write files, and has
// no network where the system allows that.
func TestRunSandbox(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	f := newFetcher(t, Options{})
	runScript := func(text string) (string, error) {
		out, err := f.runSandboxed(t.Context(), command{name: writeScript(t, `[ "$1" = -version ] && exit 0; `+text), timeout: 10 * time.Second, maxOutput: 1000, maxMemory: 1 << 30})
		return string(out), err
	}

	where, err := runScript("pwd; ls -A")
	if err != nil || !strings.HasPrefix(where, os.Getenv("TMPDIR")) || strings.Count(where, "\n") != 1 {
		t.Errorf("it ran in %q, %v", where, err)
	}

	checkLeftovers(t, os.Getenv("TMPDIR"))

	if runtime.GOOS != "linux" {
		return
	}

	var fileErr *fileError
	if _, err := runScript("while [ $(ulimit -n) != 64 ]; do :; done; while [ $(ulimit -f) != 0 ]; do :; done; echo x >x; exit $?"); !errors.As(err, &fileErr) {
		t.Errorf("it wrote a file: %v", err)
	}

	if f.sandboxFlags(t.Context(), f.options.FFprobe) == 0 {
		t.Log("this system does not allow a program without a network")
		return
	}

	if seen, err := runScript("while read -r line; do echo \"$line\"; done </proc/net/dev"); err != nil || strings.Count(seen, ":") != 1 || !strings.Contains(seen, "lo:") {
		t.Errorf("the program sees the networks %q, %v", seen, err)
	}
}

func TestThumbnail(t *testing.T) {
	f := newFetcher(t, Options{})
	for _, c := range []struct {
		size string
		at   time.Duration
		w, h int64
	}{{"1280x720", time.Second, 640, 360}, {"720x1280", 0, 360, 640}, {"320x180", time.Hour, 320, 180}} {
		clip := renderWithFFmpeg(t, "a.mp4", "-f", "lavfi", "-i", "testsrc2=s="+c.size+":r=10:d=2", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")

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
	err := f.Thumbnail(t.Context(), renderWithFFmpeg(t, "a.wav", "-f", "lavfi", "-i", testAudioSource), out, 0)
	checkFault(t, err, fault.CodeReferenceInvalid, "not a video", false)

	if _, err := os.Stat(out); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file was left: %v", err)
	}
}

func TestIsFastStart(t *testing.T) {
	args := []string{"-f", "lavfi", "-i", testVideoSource, "-c:v", "libx264", "-preset", "ultrafast"}
	for path, want := range map[string]bool{renderWithFFmpeg(t, "slow.mp4", args...): false, renderWithFFmpeg(t, "fast.mp4", append(args, "-movflags", "+faststart")...): true} {
		if got, err := IsFastStart(path); err != nil || got != want {
			t.Errorf("%s: %v, %v", filepath.Base(path), got, err)
		}
	}

	if _, err := IsFastStart(writeFile(t, "x.mp4", []byte("no boxes at all"))); err == nil {
		t.Error("a text has boxes")
	}
}

func boxWithSize(name string, size uint32, data string) string {
	return string(binary.BigEndian.AppendUint32(nil, size)) + name + data
}

func TestFindLayout(t *testing.T) {
	moov := boxWithSize("moov", 8, "")

	ftyp := boxWithSize("ftyp", 8, "")
	for name, c := range map[string]struct {
		data string
		want layout
		ok   bool
	}{
		"fast": {ftyp + moov + boxWithSize("mdat", 9, "x"), layout{8, 16}, true}, "slow": {ftyp + boxWithSize("mdat", 9, "x") + moov, layout{17, 8}, true},
		"to the end": {moov + boxWithSize("mdat", 0, "xyz"), layout{0, 8}, true}, "64 bits": {boxWithSize("mdat", 1, "\x00\x00\x00\x00\x00\x00\x00\x11x") + moov, layout{17, 0}, true},
		"beyond": {moov + boxWithSize("mdat", 100, "x"), layout{}, false}, "too small": {moov + boxWithSize("mdat", 7, ""), layout{}, false}, "64 bits negative": {moov + boxWithSize("mdat", 1, "\xff\xff\xff\xff\xff\xff\xff\xff"), layout{}, false},
		"64 bits small": {moov + boxWithSize("mdat", 1, "\x00\x00\x00\x00\x00\x00\x00\x08"), layout{}, false}, "no index": {ftyp, layout{}, false}, "tail": {moov + "xyz", layout{}, false}, "empty": {"", layout{}, false},
		"many": {strings.Repeat(boxWithSize("free", 8, ""), maxBoxes+1) + moov, layout{}, false},
	} {
		got, err := findLayout(strings.NewReader(c.data), int64(len(c.data)))
		if (err == nil) != c.ok || c.ok && got != c.want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func FuzzBoxes(f *testing.F) {
	f.Add([]byte(boxWithSize("moov", 8, "") + boxWithSize("mdat", 0, "x")))
	f.Add([]byte(boxWithSize("mdat", 1, "\x00\x00\x00\x00\x00\x00\x00\x11x") + boxWithSize("moov", 8, "")))
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := findLayout(bytes.NewReader(data), int64(len(data)))
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

		if kind.Name == "" || kind.Extension == "" || (kind.Kind != Image) != (kind.demuxer != "") {
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

func FuzzParseProbe(f *testing.F) {
	f.Add([]byte(`{"streams":[{"codec_type":"video","codec_name":"h264","width":320,"height":180,"avg_frame_rate":"30/1","duration":"2.000000","side_data_list":[{"rotation":-90}]}],"format":{"duration":"2.02"}}`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		m, err := parseProbe(answer, mp4)
		if err == nil && (m.Millis <= 0 || m.MilliFPS < 0 || m.Kind == Video && (m.Width <= 0 || m.Height <= 0)) {
			t.Fatalf("%s gave %+v", answer, m)
		}
	})
}
