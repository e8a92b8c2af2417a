package animatic

import (
	"fmt"
	"image"
	"os"
	"strings"
	"unicode"

	"github.com/rivo/uniseg"
	"golang.org/x/image/font"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// letters is the font of captions and cards. It reads its file as it goes: fonts
// with Chinese characters are some 20 MB, which an idle process should not hold.
type letters struct {
	font *opentype.Font
	file *os.File
}

func (l *letters) close() error { return l.file.Close() }

// openLetters opens a font or a collection of fonts. Of a collection it takes
// the one with simplified Chinese shapes. The caller closes it.
func openLetters(path string) (_ *letters, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open font: %w", err)
	}
	defer func() {
		if err != nil {
			_ = file.Close()
		}
	}()

	collection, err := opentype.ParseCollectionReaderAt(file)
	if err != nil {
		return nil, fmt.Errorf("parse font %s: %w", path, err)
	}

	l := &letters{file: file}

	for i := range collection.NumFonts() {
		f, err := collection.Font(i)
		if err != nil {
			continue
		}

		name, _ := f.Name(nil, sfnt.NameIDFull)
		if l.font == nil || strings.Contains(name, " SC") && !strings.Contains(name, "Mono") {
			l.font = f
		}
	}

	if l.font == nil {
		return nil, fmt.Errorf("parse font %s: it holds no font", path)
	}

	return l, nil
}

// has says whether the font can draw a character.
func (l *letters) has(buffer *sfnt.Buffer, r rune) bool {
	i, err := l.font.GlyphIndex(buffer, r)
	return err == nil && i != 0
}

// clean leaves what can be drawn: one space for any space, nothing for control
// characters and for what the font lacks (it would show an empty box).
func (l *letters) clean(s string) string {
	var (
		buffer sfnt.Buffer
		out    strings.Builder
	)

	gap := false

	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			gap = true
		case !unicode.IsGraphic(r) || !l.has(&buffer, r):
		default:
			if gap && out.Len() > 0 {
				out.WriteByte(' ')
			}

			gap = false

			out.WriteRune(r)
		}
	}

	return out.String()
}

// face is the font at a size in pixels.
func (l *letters) face(size float64) (font.Face, error) {
	f, err := opentype.NewFace(l.font, &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingNone})
	if err != nil {
		return nil, fmt.Errorf("size font: %w", err)
	}

	return f, nil
}

// mostLines bounds the lines of one prompt.
const mostLines = 60

// wrap breaks a clean text where its script allows, and a word that is too long
// anywhere.
func wrap(face font.Face, s string, width int) []string {
	var lines []string

	line := ""
	state := -1
	flush := func() {
		if t := strings.TrimSpace(line); t != "" {
			lines = append(lines, t)
		}

		line = ""
	}
	wideAs := func(t string) bool { return font.MeasureString(face, strings.TrimRight(t, " ")).Ceil() > width }

	for s != "" && len(lines) < mostLines {
		var piece string

		piece, s, _, state = uniseg.FirstLineSegmentInString(s, state)
		if line != "" && wideAs(line+piece) {
			flush()
		}

		for wideAs(piece) && len(lines) < mostLines {
			head, rest := cutAt(face, piece, width)
			line = head

			flush()

			piece = rest
		}

		line += piece
	}

	flush()

	return lines[:min(len(lines), mostLines)]
}

// cutAt takes as many whole characters as fit, at least one.
func cutAt(face font.Face, s string, width int) (head, rest string) {
	rest = s

	state := -1
	for rest != "" {
		c, after, _, next := uniseg.FirstGraphemeClusterInString(rest, state)
		if head != "" && font.MeasureString(face, head+c).Ceil() > width {
			break
		}

		head = head + c
		rest = after
		state = next
	}

	return head, rest
}

// pages groups lines; when there are more than fit, the last page ends with an
// ellipsis.
func pages(face font.Face, lines []string, each, most, width int) [][]string {
	var list [][]string
	for len(lines) > 0 && len(list) < most {
		n := min(each, len(lines))
		list = append(list, append([]string(nil), lines[:n]...))
		lines = lines[n:]
	}

	if len(lines) > 0 && len(list) > 0 {
		last := list[len(list)-1]

		end := &last[len(last)-1]
		for *end != "" && font.MeasureString(face, *end+"…").Ceil() > width {
			r := []rune(*end)
			*end = string(r[:len(r)-1])
		}

		*end = strings.TrimRight(*end, " ,.;:，。；：、") + "…"
	}

	return list
}

// paginate sets a text as pages: a sentence begins a new one while there are
// pages enough, and the lines of a page are of like length.
func paginate(face font.Face, s string, each, most, width int) [][]string {
	var list [][]string
	for rest, state := s, -1; rest != "" && len(list) <= most; {
		var sentence string

		sentence, rest, state = uniseg.FirstSentenceInString(rest, state)
		lines := balanced(face, sentence, width)
		list = append(list, pages(face, lines, each, mostLines, width)...)
	}

	if len(list) > most {
		return pages(face, wrap(face, s, width), each, most, width)
	}

	return list
}

// balanced wraps as narrowly as takes no more lines.
func balanced(face font.Face, s string, width int) []string {
	lines := wrap(face, s, width)
	for narrow := width * 19 / 20; len(lines) > 1 && narrow > width/2; narrow -= width / 20 {
		tried := wrap(face, s, narrow)
		if len(tried) > len(lines) {
			break
		}

		lines = tried
	}

	return lines
}

// ink draws lines into a mask, the first one's top left at a point. step is from
// line to line; all in pixels.
func ink(mask *image.Alpha, face font.Face, lines []string, at image.Point, step int) {
	d := font.Drawer{Dst: mask, Src: image.Opaque, Face: face}

	ascent := face.Metrics().Ascent.Ceil()
	for i, line := range lines {
		d.Dot = fixed.P(at.X, at.Y+i*step+ascent)
		d.DrawString(line)
	}
}

// spaced draws a line with room between its letters and returns its width.
func spaced(mask *image.Alpha, face font.Face, s string, at image.Point, room int) int {
	d := font.Drawer{Dst: mask, Src: image.Opaque, Face: face, Dot: fixed.P(at.X, at.Y+face.Metrics().Ascent.Ceil())}
	for _, r := range s {
		d.DrawString(string(r))
		d.Dot.X += fixed.I(room)
	}

	return d.Dot.X.Ceil() - at.X - room
}
