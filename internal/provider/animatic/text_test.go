package animatic

import (
	"context"
	"errors"
	"image"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/image/font"
	"pgregory.net/rapid"
)

func testFace(t testing.TB) (*typeface, font.Face) {
	t.Helper()

	l, err := findTypeface(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { _ = l.close() })

	f, err := l.face(30)
	if err != nil {
		t.Fatal(err)
	}

	return l, f
}

func TestChineseCharactersAreDrawn(t *testing.T) {
	_, f := testFace(t)
	draw := func(s string) []byte {
		m := image.NewAlpha(image.Rect(0, 0, 200, 50))
		drawLines(m, f, []string{s}, image.Point{}, 40)

		return m.Pix
	}
	inked := func(pix []byte) (n int) {
		for _, v := range pix {
			if v > 128 {
				n++
			}
		}

		return n
	}
	a := draw("永生成")

	b := draw("视频图")
	if inked(a) < 200 || inked(b) < 200 {
		t.Errorf("ink on %d and %d pixels", inked(a), inked(b))
	}

	if slices.Equal(a, b) {
		t.Error("different characters look the same: empty boxes")
	}
}

func TestUndrawableCharactersAreRemoved(t *testing.T) {
	l, _ := testFace(t)
	if got := l.removeUndrawable("a\t\n 猫\x00\u202e \U0001F600b%{x}\\'\""); got != `a 猫 b%{x}\'"` {
		t.Errorf("got %q", got)
	}
}

// An idle process does not hold the font, some 20 MB, in memory.
func TestFontIsNotHeldInMemory(t *testing.T) {
	l, _ := testFace(t)

	info, err := l.file.Stat()
	if err != nil {
		t.Fatal(err)
	}

	if info.Size() < 8<<20 {
		t.Fatalf("the font has %d bytes: too few for this test", info.Size())
	}

	inUse := func() int64 {
		var m runtime.MemStats

		runtime.GC()
		runtime.ReadMemStats(&m)

		return int64(m.HeapAlloc)
	}
	before := inUse()

	s := newTestRenderer(t, map[string]string{"font": l.file.Name()})
	if held := inUse() - before; held > info.Size()/4 {
		t.Errorf("after New %d bytes of memory are held, with a font of %d", held, info.Size())
	}

	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	if _, err := s.font.file.Stat(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close the font's file is still open: %v", err)
	}
}

func TestWrapFitsWidth(t *testing.T) {
	l, f := testFace(t)
	rapid.Check(t, func(t *rapid.T) {
		s := l.removeUndrawable(strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"猫", "，", "word ", "a", "。", "“", " ", strings.Repeat("w", 40)}), 0, 60).Draw(t, "s"), ""))
		width := rapid.IntRange(60, 400).Draw(t, "width")

		lines := wrap(f, s, width)
		for _, line := range lines {
			if font.MeasureString(f, line).Ceil() > width {
				t.Fatalf("%q is wider than %d", line, width)
			}
		}

		if squeeze := strings.NewReplacer(" ", ""); len(lines) < maxLines && squeeze.Replace(strings.Join(lines, "")) != squeeze.Replace(s) {
			t.Fatalf("%q became %q", s, lines)
		}

		if list := paginate(f, s, 2, 3, width); len(list) > 3 {
			t.Fatalf("%d pages", len(list))
		}
	})
}

func TestLongPromptEndsWithEllipsis(t *testing.T) {
	_, f := testFace(t)
	list := paginate(f, strings.Repeat("很长的一句话，", 100), 2, 2, 400)

	last := list[len(list)-1]
	if len(list) != 2 || !strings.HasSuffix(last[len(last)-1], "…") {
		t.Errorf("got %q", list)
	}
}
