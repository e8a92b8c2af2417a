package fetch

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The index gives the same result as ffprobe.
func TestIndexAgreesWithFFprobe(t *testing.T) {
	f := newFetcher(t, Options{})
	for name, args := range map[string][]string{
		"silent":     {"-f", "lavfi", "-i", "testsrc=size=128x72:rate=30:duration=2", "-pix_fmt", "yuv420p"},
		"with sound": {"-f", "lavfi", "-i", "testsrc=size=96x160:rate=24:duration=3", "-f", "lavfi", "-i", "sine=duration=3", "-pix_fmt", "yuv420p", "-movflags", "+faststart"},
	} {
		path := renderWithFFmpeg(t, "video.mp4", args...)

		want, err := f.Probe(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}

		got, err := probeIndex(path)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}

		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-ffprobe +index):\n%s", name, diff)
		}
	}
}

// A file without a plain index is measured by ffprobe.
func TestFragmentedVideoIsProbedByFFprobe(t *testing.T) {
	path := renderWithFFmpeg(t, "video.mp4", "-f", "lavfi", "-i", "testsrc=size=128x72:rate=30:duration=2", "-pix_fmt", "yuv420p", "-movflags", "frag_keyframe+empty_moov")
	if _, err := probeIndex(path); err == nil {
		t.Fatal("an empty index was accepted")
	}

	m, err := newFetcher(t, Options{}).ProbeResult(t.Context(), path)
	if err != nil || m.Width != 128 || m.Millis < 1900 {
		t.Fatalf("got %+v, %v", m, err)
	}
}

func FuzzProbeIndex(f *testing.F) {
	whole, err := os.ReadFile("../sample/reference-shot-1.mp4")
	if err != nil {
		f.Fatal(err)
	}

	f.Add(whole[:min(len(whole), 8192)])
	f.Add([]byte("\x00\x00\x00\x10ftypisom\x00\x00\x00\x00\x00\x00\x00\x08moov"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "video.mp4")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}

		if m, err := probeIndex(path); err == nil && (m.Width <= 0 || m.Millis <= 0) {
			t.Fatalf("measured %+v", m)
		}
	})
}
