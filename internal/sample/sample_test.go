package sample

import (
	"bytes"
	"encoding/json"
	"image/png"
	"io"
	"io/fs"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

func TestListMatchesEmbeddedFiles(t *testing.T) {
	listed := map[string]bool{}

	var total int64

	for _, s := range List() {
		if !strings.HasPrefix(s.ID, "file_sample_") || listed[s.ID] {
			t.Errorf("id %q: wrong or a duplicate", s.ID)
		}

		listed[s.ID] = true
		listed[s.Name] = true

		f, err := Files().Open(s.Name)
		if err != nil {
			t.Fatal(err)
		}

		if _, ok := f.(io.ReadSeekCloser); !ok {
			t.Errorf("%s cannot seek", s.Name)
		}

		data, err := io.ReadAll(f)
		if err != nil || int64(len(data)) != s.Bytes || s.Bytes == 0 {
			t.Errorf("%s: %d bytes read, %d listed, %v", s.Name, len(data), s.Bytes, err)
		}

		total += s.Bytes
	}

	entries, err := fs.ReadDir(Files(), ".")
	if err != nil || len(entries) != len(List()) {
		t.Errorf("%d files are embedded, %d are listed, %v", len(entries), len(List()), err)
	}

	if total > 1<<20 {
		t.Errorf("the samples have %d bytes: more than a megabyte in each program", total)
	}
}

// The limits are the supplier's: pictures of 240 to 5000 pixels a side without alpha,
// videos of 1 to 30 s at 16 fps or more, sound of 3 to 30 s.
func TestImagesWithinLimits(t *testing.T) {
	for _, name := range []string{"ref-1.png", "ref-2.png"} {
		data, err := fs.ReadFile(Files(), name)
		if err != nil {
			t.Fatal(err)
		}

		picture, err := png.Decode(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}

		if size := picture.Bounds().Size(); size.X < 240 || size.Y < 240 || size.X > 5000 || size.Y > 5000 {
			t.Errorf("%s: %v pixels", name, size)
		}

		const kindAt, trueColour = 25, 2 // offset in the header; colour type without alpha
		if data[kindAt] != trueColour {
			t.Errorf("%s: colour type %d, want %d", name, data[kindAt], trueColour)
		}
	}
}

func TestClipAndMelodyWithinLimits(t *testing.T) {
	clip := probe(t, "reference-shot-1.mp4")
	if s := clip.seconds(t); s < 1 || s > 30 {
		t.Errorf("the clip has %v s", s)
	}

	if v := clip.Streams[0]; v.Codec != "h264" || v.Width != 640 || v.Height != 360 || v.Rate != "24/1" {
		t.Errorf("the clip's picture: %+v", v)
	}

	if len(clip.Streams) != 2 || clip.Streams[1].Codec != "aac" {
		t.Errorf("the clip's streams: %+v", clip.Streams)
	}

	melody := probe(t, "guide-audio.mp3")
	if s := melody.seconds(t); s < 3 || s > 30 || melody.Streams[0].Codec != "mp3" {
		t.Errorf("the melody: %v s, %+v", s, melody.Streams)
	}
}

type probeOutput struct {
	Streams []struct {
		Codec  string `json:"codec_name"`
		Width  int    `json:"width"`
		Height int    `json:"height"`
		Rate   string `json:"r_frame_rate"`
	} `json:"streams"`
	Format struct {
		Duration string `json:"duration"`
	} `json:"format"`
}

func (p probeOutput) seconds(t *testing.T) float64 {
	t.Helper()

	s, err := strconv.ParseFloat(p.Format.Duration, 64)
	if err != nil {
		t.Fatal(err)
	}

	return s
}

func probe(t *testing.T, name string) probeOutput {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "ffprobe", "-v", "error", "-of", "json", "-show_streams", "-show_format", name)

	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ffprobe %s (apt-get install ffmpeg): %v", name, err)
	}

	var p probeOutput
	if err := json.Unmarshal(out, &p); err != nil || len(p.Streams) == 0 {
		t.Fatalf("ffprobe %s printed %s: %v", name, out, err)
	}

	return p
}
