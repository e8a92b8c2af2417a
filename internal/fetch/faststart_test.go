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

// packetChecksums returns the checksums of all packets of a video, as ffmpeg reads them.
func packetChecksums(t *testing.T, path string) string {
	t.Helper()

	out, err := exec.CommandContext(t.Context(), "ffmpeg", "-nostdin", "-v", "error", "-i", path, "-map", "0", "-c", "copy", "-f", "framemd5", "-").Output()
	if err != nil {
		t.Fatal(err)
	}

	return string(out)
}

func TestMakeFastStartKeepsMedia(t *testing.T) {
	f := newFetcher(t, Options{})

	both := []string{"-f", "lavfi", "-i", testVideoSource, "-f", "lavfi", "-i", testAudioSource, "-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-c:a", "aac"}
	for name, args := range map[string][]string{
		"plain":      both,
		"b-frames":   append(both, "-bf", "3", "-g", "12"),
		"labelled":   append(both, "-metadata", "AIGC={\"Label\":\"1\"}", "-movflags", "use_metadata_tags"),
		"shifted":    append([]string{"-itsoffset", "0.5"}, both...),
		"many parts": append(both, "-min_frag_duration", "0", "-max_interleave_delta", "0"),
	} {
		t.Run(name, func(t *testing.T) {
			slow := renderWithFFmpeg(t, "slow.mp4", args...)

			out := filepath.Join(t.TempDir(), "fast.mp4")
			if err := MakeFastStart(t.Context(), slow, out); err != nil {
				t.Fatal(err)
			}

			if fast, err := IsFastStart(out); err != nil || !fast {
				t.Errorf("fast is %v, %v", fast, err)
			}

			was, err := f.ProbeResult(t.Context(), slow)
			if err != nil {
				t.Fatal(err)
			}

			if now, err := f.ProbeResult(t.Context(), out); err != nil || now != was {
				t.Errorf("%+v became %+v, %v", was, now, err)
			}

			if packetChecksums(t, slow) != packetChecksums(t, out) {
				t.Error("its packets have changed")
			}

			if name == "labelled" {
				data, err := os.ReadFile(out)
				if err != nil || !bytes.Contains(data, []byte(`{"Label":"1"}`)) {
					t.Errorf("the metadata label is lost: %v", err)
				}
			}

			if err := MakeFastStart(t.Context(), out, out+"2"); !errors.Is(err, errCannotMove) {
				t.Errorf("a file that is fast already: %v", err)
			}
		})
	}
}

func TestMakeFastStartRejectsUnsupported(t *testing.T) {
	sttsBox := makeBox("stts", be32(0), be32(1), be32(1), be32(2000))
	mdatBox := makeBox("mdat", strings.Repeat("\x00", 64*64*3))
	mdatOffset := len(ftypBox) + 8
	selfRef := dinfBox("url ", "")

	good := moovBox(2, "", selfRef, stblBox(sttsBox, mdatOffset))
	for name, data := range map[string]string{
		"not a video":       "this is not a video",
		"no index":          ftypBox + mdatBox,
		"index first":       ftypBox + good + mdatBox,
		"an unknown box":    ftypBox + mdatBox + good + makeBox("sidx", be64(0)),
		"fragments":         ftypBox + mdatBox + makeBox("moov", good[8:], makeBox("mvex")) + makeBox("moof"),
		"external media":    ftypBox + mdatBox + moovBox(2, "", dinfBox("url ", "file:///etc/passwd\x00"), stblBox(sttsBox, mdatOffset)),
		"compressed":        ftypBox + mdatBox + makeBox("moov", makeBox("cmov", "x")),
		"encrypted":         ftypBox + mdatBox + moovBox(2, "", selfRef, stblBox(sttsBox+makeBox("saio", be32(0), be32(1), be32(mdatOffset)), mdatOffset)),
		"items":             ftypBox + mdatBox + moovBox(2, makeBox("meta", be32(0), makeBox("iloc", be64(0))), selfRef, stblBox(sttsBox, mdatOffset)),
		"offset too small":  ftypBox + mdatBox + moovBox(2, "", selfRef, stblBox(sttsBox, 0)),
		"offset too large":  ftypBox + mdatBox + moovBox(2, "", selfRef, stblBox(sttsBox, 1<<31)),
		"a truncated table": ftypBox + mdatBox + moovBox(2, "", selfRef, stblBox(sttsBox+makeBox("stco", be32(0), be32(5)), mdatOffset)),
		"deeply nested":     ftypBox + mdatBox + nestedBoxes("moov", "trak", 10_000),
		"two indexes":       ftypBox + mdatBox + good + good,
		"cut off":           (ftypBox + mdatBox + good)[:len(ftypBox)+len(mdatBox)+100],
		"media before ftyp": mdatBox + ftypBox + good,
	} {
		out := filepath.Join(t.TempDir(), "out.mp4")
		if err := MakeFastStart(t.Context(), writeFile(t, "in.mp4", []byte(data)), out); err == nil {
			t.Errorf("%s: moved", name)
		}

		if _, err := os.Stat(out); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: a file was left: %v", name, err)
		}
	}
	// A cancelled context leaves no file either.
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()

	out := filepath.Join(t.TempDir(), "out.mp4")
	if err := MakeFastStart(cancelled, writeFile(t, "in.mp4", []byte(ftypBox+mdatBox+good)), out); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}

	checkLeftovers(t, filepath.Dir(out))

	if err := MakeFastStart(t.Context(), writeFile(t, "in.mp4", []byte(ftypBox+mdatBox+good)), out); err != nil {
		t.Errorf("the valid file: %v", err)
	}
}

func FuzzMakeFastStart(f *testing.F) {
	sttsBox := makeBox("stts", be32(0), be32(1), be32(1), be32(2000))
	mdatBox := makeBox("mdat", strings.Repeat("\x00", 64))
	f.Add([]byte(ftypBox + mdatBox + moovBox(2, "", dinfBox("url ", ""), stblBox(sttsBox, len(ftypBox)+8))))
	f.Add([]byte(ftypBox + mdatBox + moovBox(2, "", dinfBox("url ", ""), stblBox(sttsBox+makeBox("co64", be32(0), be32(1), be64(len(ftypBox)+8)), len(ftypBox)+8))))
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

func FuzzValidateIndex(f *testing.F) {
	f.Add([]byte(moovBox(2, "", dinfBox("url ", ""), stblBox(makeBox("stts", be32(0), be32(1), be32(1), be32(2000)), 0))))
	f.Add([]byte(nestedBoxes("moov", "trak", 20)))
	f.Fuzz(func(_ *testing.T, data []byte) {
		_ = validateIndex(bytes.NewReader(data), 0, int64(len(data)))
	})
}

func FuzzCheckWAV(f *testing.F) {
	for _, data := range hostileAudio() {
		f.Add([]byte(data[:min(len(data), 200)]))
	}

	f.Fuzz(func(_ *testing.T, data []byte) {
		_ = checkWAV(bytes.NewReader(data), int64(len(data)))
	})
}

func FuzzDescribeNonMedia(f *testing.F) {
	for _, c := range hostileTexts("http://127.0.0.1/") {
		f.Add([]byte(c.data))
	}

	f.Fuzz(func(t *testing.T, head []byte) {
		if description := describeNonMedia(head); !strings.HasSuffix(description, ".") {
			t.Fatalf("%q is %q", head, description)
		}
	})
}

// FuzzProbeImage decodes small pictures only; TestHostileFiles has large ones.
func FuzzProbeImage(f *testing.F) {
	for _, data := range hostileImages() {
		if len(data) < 2000 {
			f.Add([]byte(data))
		}
	}

	fetcher, err := New(Options{})
	if err != nil {
		f.Fatal(err)
	}

	f.Fuzz(func(t *testing.T, data []byte) {
		kind, ok := Sniff(data)
		if !ok || kind.Kind != Image {
			return
		}

		file, err := os.Open(writeFile(t, "picture", data))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()

		m, err := fetcher.probeImage(t.Context(), file, kind)
		if err == nil && (m.Width <= 0 || m.Height <= 0 || m.Width > maxPixels/m.Height) {
			t.Fatalf("measured %+v", m)
		}
	})
}
