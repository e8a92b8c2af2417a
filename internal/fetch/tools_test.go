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

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// render makes a small file with ffmpeg.
func render(t testing.TB, name string, args ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), name)

	all := append([]string{"-nostdin", "-v", "error", "-y"}, append(args, out)...)
	if said, err := exec.CommandContext(t.Context(), "ffmpeg", all...).CombinedOutput(); err != nil {
		t.Fatalf("ffmpeg: %v: %s (install it with: apt-get install ffmpeg)", err, said)
	}

	return out
}

const (
	testPicture = "testsrc2=s=320x180:r=30:d=2"
	testSound   = "sine=frequency=440:duration=2"
)

func write(t testing.TB, name string, data []byte) string {
	t.Helper()

	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}

	return path
}

func encoded(t testing.TB, encode func(io.Writer, image.Image) error, m image.Image) []byte {
	t.Helper()

	var b bytes.Buffer
	if err := encode(&b, m); err != nil {
		t.Fatal(err)
	}

	return b.Bytes()
}
