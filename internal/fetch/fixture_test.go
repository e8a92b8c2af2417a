package fetch

import (
	"bufio"
	"bytes"
	"image"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func newReader(r io.Reader) *bufio.Reader { return bufio.NewReader(r) }

type failingWriter struct{ err error }

func (f failingWriter) Write([]byte) (int, error) { return 0, f.err }

// renderWithFFmpeg generates a small file with ffmpeg.
func renderWithFFmpeg(t testing.TB, name string, args ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), name)

	all := append([]string{"-nostdin", "-v", "error", "-y"}, append(args, out)...)
	if output, err := exec.CommandContext(t.Context(), "ffmpeg", all...).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v: %s (install it with: apt-get install ffmpeg)", err, output)
	}

	return out
}

const (
	testVideoSource = "testsrc2=s=320x180:r=30:d=2"
	testAudioSource = "sine=frequency=440:duration=2"
)

func writeFile(t testing.TB, name string, data []byte) string {
	t.Helper()

	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}

	return path
}

func encodeImage(t testing.TB, encode func(io.Writer, image.Image) error, m image.Image) []byte {
	t.Helper()

	var b bytes.Buffer
	if err := encode(&b, m); err != nil {
		t.Fatal(err)
	}

	return b.Bytes()
}
