package fetch

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// frames are the checksums of every packet of a film, as ffmpeg reads them.
func frames(t *testing.T, path string) string {
	t.Helper()

	out, err := exec.CommandContext(t.Context(), "ffmpeg", "-nostdin", "-v", "error", "-i", path, "-map", "0", "-c", "copy", "-f", "framemd5", "-").Output()
	if err != nil {
		t.Fatal(err)
	}

	return string(out)
}

func TestMoveIndexChangesNothingElse(t *testing.T) {
	f := fetcher(t, Options{})

	both := []string{"-f", "lavfi", "-i", testPicture, "-f", "lavfi", "-i", testSound, "-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-c:a", "aac"}
	for name, args := range map[string][]string{
		"plain":      both,
		"b-frames":   append(both, "-bf", "3", "-g", "12"),
		"labelled":   append(both, "-metadata", "AIGC={\"Label\":\"1\"}", "-movflags", "use_metadata_tags"),
		"shifted":    append([]string{"-itsoffset", "0.5"}, both...),
		"many parts": append(both, "-min_frag_duration", "0", "-max_interleave_delta", "0"),
	} {
		t.Run(name, func(t *testing.T) {
			slow := render(t, "slow.mp4", args...)

			out := filepath.Join(t.TempDir(), "fast.mp4")
			if err := MoveIndex(t.Context(), slow, out); err != nil {
				t.Fatal(err)
			}

			if fast, err := FastStart(out); err != nil || !fast {
				t.Errorf("fast is %v, %v", fast, err)
			}

			was, err := f.ProbeResult(t.Context(), slow)
			if err != nil {
				t.Fatal(err)
			}

			if now, err := f.ProbeResult(t.Context(), out); err != nil || now != was {
				t.Errorf("%+v became %+v, %v", was, now, err)
			}

			if frames(t, slow) != frames(t, out) {
				t.Error("its frames are others")
			}

			if name == "labelled" {
				data, err := os.ReadFile(out)
				if err != nil || !bytes.Contains(data, []byte(`{"Label":"1"}`)) {
					t.Errorf("the label is lost: %v", err)
				}
			}

			if err := MoveIndex(t.Context(), out, out+"2"); !errors.Is(err, errNotMoved) {
				t.Errorf("a fast one: %v", err)
			}
		})
	}
}

func TestMoveIndexLeavesWhatIsNotPlain(t *testing.T) {
	one := atomOf("stts", be32(0), be32(1), be32(1), be32(2000))
	pixels := atomOf("mdat", strings.Repeat("\x00", 64*64*3))
	at := len(isom) + 8
	own := dataRef("url ", "")

	good := film(2, "", own, samples(one, at))
	for name, data := range map[string]string{
		"no film":           "this is no film",
		"no index":          isom + pixels,
		"index before":      isom + good + pixels,
		"an unknown box":    isom + pixels + good + atomOf("sidx", be64(0)),
		"fragments":         isom + pixels + atomOf("moov", good[8:], atomOf("mvex")) + atomOf("moof"),
		"media elsewhere":   isom + pixels + film(2, "", dataRef("url ", "file:///etc/passwd\x00"), samples(one, at)),
		"packed":            isom + pixels + atomOf("moov", atomOf("cmov", "x")),
		"encrypted":         isom + pixels + film(2, "", own, samples(one+atomOf("saio", be32(0), be32(1), be32(at)), at)),
		"items":             isom + pixels + film(2, atomOf("meta", be32(0), atomOf("iloc", be64(0))), own, samples(one, at)),
		"address before":    isom + pixels + film(2, "", own, samples(one, 0)),
		"address behind":    isom + pixels + film(2, "", own, samples(one, 1<<31)),
		"a table too short": isom + pixels + film(2, "", own, samples(one+atomOf("stco", be32(0), be32(5)), at)),
		"boxes in boxes":    isom + pixels + nested("moov", "trak", 10_000),
		"two indexes":       isom + pixels + good + good,
		"cut off":           (isom + pixels + good)[:len(isom)+len(pixels)+100],
		"an index at first": pixels + isom + good,
	} {
		out := filepath.Join(t.TempDir(), "out.mp4")
		if err := MoveIndex(t.Context(), write(t, "in.mp4", []byte(data)), out); err == nil {
			t.Errorf("%s: moved", name)
		}

		if _, err := os.Stat(out); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: a file was left: %v", name, err)
		}
	}
	// The end of ctx leaves nothing either.
	ended, end := context.WithCancel(t.Context())
	end()

	out := filepath.Join(t.TempDir(), "out.mp4")
	if err := MoveIndex(ended, write(t, "in.mp4", []byte(isom+pixels+good)), out); !errors.Is(err, context.Canceled) {
		t.Errorf("ended: %v", err)
	}

	left(t, filepath.Dir(out))

	if err := MoveIndex(t.Context(), write(t, "in.mp4", []byte(isom+pixels+good)), out); err != nil {
		t.Errorf("the good one: %v", err)
	}
}

func FuzzMoveIndex(f *testing.F) {
	one := atomOf("stts", be32(0), be32(1), be32(1), be32(2000))
	pixels := atomOf("mdat", strings.Repeat("\x00", 64))
	f.Add([]byte(isom + pixels + film(2, "", dataRef("url ", ""), samples(one, len(isom)+8))))
	f.Add([]byte(isom + pixels + film(2, "", dataRef("url ", ""), samples(one+atomOf("co64", be32(0), be32(1), be64(len(isom)+8)), len(isom)+8))))
	f.Fuzz(func(t *testing.T, data []byte) {
		size := int64(len(data))

		order, index, err := reorder(bytes.NewReader(data), size)
		if err != nil {
			return
		}

		sum := int64(0)
		for _, b := range order {
			sum += b.size
		}

		if sum != size || order[1].name != "moov" || int64(len(index)) != order[1].size || string(index[4:8]) != "moov" {
			t.Fatalf("%d of %d bytes in the order %+v", sum, size, order)
		}
	})
}

func FuzzInspect(f *testing.F) {
	f.Add([]byte(film(2, "", dataRef("url ", ""), samples(atomOf("stts", be32(0), be32(1), be32(1), be32(2000)), 0))))
	f.Add([]byte(nested("moov", "trak", 20)))
	f.Fuzz(func(_ *testing.T, data []byte) {
		_ = inspect(bytes.NewReader(data), 0, int64(len(data)))
	})
}

func FuzzWholeSound(f *testing.F) {
	for _, data := range hostileSounds() {
		f.Add([]byte(data[:min(len(data), 200)]))
	}

	f.Fuzz(func(_ *testing.T, data []byte) {
		_ = wholeSound(bytes.NewReader(data), int64(len(data)))
	})
}

func FuzzStranger(f *testing.F) {
	for _, c := range hostileTexts("http://127.0.0.1/") {
		f.Add([]byte(c.data))
	}

	f.Fuzz(func(t *testing.T, head []byte) {
		if says := stranger(head); !strings.HasSuffix(says, ".") {
			t.Fatalf("%q is %q", head, says)
		}
	})
}

// FuzzPicture decodes small pictures; large ones are the table's.
func FuzzPicture(f *testing.F) {
	for _, data := range hostilePictures() {
		if len(data) < 2000 {
			f.Add([]byte(data))
		}
	}

	fetch, err := New(Options{})
	if err != nil {
		f.Fatal(err)
	}

	f.Fuzz(func(t *testing.T, data []byte) {
		kind, ok := Sniff(data)
		if !ok || kind.Kind != Image {
			return
		}

		file, err := os.Open(write(t, "picture", data))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()

		m, err := fetch.probePicture(t.Context(), file, kind)
		if err == nil && (m.Width <= 0 || m.Height <= 0 || m.Width > maxPixels/m.Height) {
			t.Fatalf("measured %+v", m)
		}
	})
}
