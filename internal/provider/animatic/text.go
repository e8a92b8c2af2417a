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

// typeface is the font of captions and cards. It reads its file on demand: fonts with
// Chinese characters have some 20 MB, which an idle process should not hold in memory.
type typeface struct {
	font *opentype.Font
	file *os.File
}

func (tf *typeface) close() error { return tf.file.Close() }

// openTypeface opens a font or a collection of fonts. From a collection it selects the
// font with simplified Chinese glyphs. The caller closes it.
func openTypeface(path string) (_ *typeface, err error) {
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

	tf := &typeface{file: file}

	for i := range collection.NumFonts() {
		f, err := collection.Font(i)
		if err != nil {
			continue
		}

		name, _ := f.Name(nil, sfnt.NameIDFull)
		if tf.font == nil || strings.Contains(name, " SC") && !strings.Contains(name, "Mono") {
			tf.font = f
		}
	}

	if tf.font == nil {
		return nil, fmt.Errorf("parse font %s: it contains no font", path)
	}

	return tf, nil
}

// hasGlyph reports whether the font can draw a character.
func (tf *typeface) hasGlyph(buffer *sfnt.Buffer, r rune) bool {
	i, err := tf.font.GlyphIndex(buffer, r)
	return err == nil && i != 0
}

// removeUndrawable returns the drawable text of s: one space for any white space, and
// without control characters and characters that the font lacks (which would show as
// empty boxes).
func (tf *typeface) removeUndrawable(s string) string {
	var (
		buffer sfnt.Buffer
		out    strings.Builder
	)

	pendingSpace := false

	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			pendingSpace = true
		case !unicode.IsGraphic(r) || !tf.hasGlyph(&buffer, r):
		default:
			if pendingSpace && out.Len() > 0 {
				out.WriteByte(' ')
			}

			pendingSpace = false

			out.WriteRune(r)
		}
	}

	return out.String()
}

// face returns the font at a size in pixels.
func (tf *typeface) face(size float64) (font.Face, error) {
	f, err := opentype.NewFace(tf.font, &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingNone})
	if err != nil {
		return nil, fmt.Errorf("size font: %w", err)
	}

	return f, nil
}

// maxLines limits the lines of one prompt.
const maxLines = 60

// wrap breaks a text into lines where its script allows, and a word that is too long at
// any character.
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
	tooWide := func(t string) bool { return font.MeasureString(face, strings.TrimRight(t, " ")).Ceil() > width }

	for s != "" && len(lines) < maxLines {
		var piece string

		piece, s, _, state = uniseg.FirstLineSegmentInString(s, state)
		if line != "" && tooWide(line+piece) {
			flush()
		}

		for tooWide(piece) && len(lines) < maxLines {
			head, rest := splitToFit(face, piece, width)
			line = head

			flush()

			piece = rest
		}

		line += piece
	}

	flush()

	return lines[:min(len(lines), maxLines)]
}

// splitToFit returns as many whole characters as fit, at least one, and the rest.
func splitToFit(face font.Face, s string, width int) (head, rest string) {
	rest = s

	state := -1
	for rest != "" {
		c, after, _, next := uniseg.FirstGraphemeClusterInString(rest, state)
		if head != "" && font.MeasureString(face, head+c).Ceil() > width {
			break
		}

		head += c
		rest = after
		state = next
	}

	return head, rest
}

// splitPages groups lines into pages. If there are too many lines, the last page ends with
// an ellipsis.
func splitPages(face font.Face, lines []string, linesPerPage, maxPages, width int) [][]string {
	var result [][]string
	for len(lines) > 0 && len(result) < maxPages {
		n := min(linesPerPage, len(lines))
		result = append(result, append([]string(nil), lines[:n]...))
		lines = lines[n:]
	}

	if len(lines) > 0 && len(result) > 0 {
		last := result[len(result)-1]

		end := &last[len(last)-1]
		for *end != "" && font.MeasureString(face, *end+"…").Ceil() > width {
			r := []rune(*end)
			*end = string(r[:len(r)-1])
		}

		*end = strings.TrimRight(*end, " ,.;:，。；：、") + "…"
	}

	return result
}

// paginate lays out a text as pages. Each sentence begins a new page as long as there are
// enough pages, and the lines of a page have similar lengths.
func paginate(face font.Face, s string, linesPerPage, maxPages, width int) [][]string {
	var result [][]string
	for rest, state := s, -1; rest != "" && len(result) <= maxPages; {
		var sentence string

		sentence, rest, state = uniseg.FirstSentenceInString(rest, state)
		lines := wrapBalanced(face, sentence, width)
		result = append(result, splitPages(face, lines, linesPerPage, maxLines, width)...)
	}

	if len(result) > maxPages {
		return splitPages(face, wrap(face, s, width), linesPerPage, maxPages, width)
	}

	return result
}

// wrapBalanced wraps a text as narrowly as possible without more lines.
func wrapBalanced(face font.Face, s string, width int) []string {
	lines := wrap(face, s, width)
	for narrower := width * 19 / 20; len(lines) > 1 && narrower > width/2; narrower -= width / 20 {
		tried := wrap(face, s, narrower)
		if len(tried) > len(lines) {
			break
		}

		lines = tried
	}

	return lines
}

// drawLines draws lines into a mask, the first one with its top left at a point.
// lineHeight is the distance between lines; all values are in pixels.
func drawLines(mask *image.Alpha, face font.Face, lines []string, at image.Point, lineHeight int) {
	d := font.Drawer{Dst: mask, Src: image.Opaque, Face: face}

	ascent := face.Metrics().Ascent.Ceil()
	for i, line := range lines {
		d.Dot = fixed.P(at.X, at.Y+i*lineHeight+ascent)
		d.DrawString(line)
	}
}

// drawSpaced draws a line with space between its letters and returns its width.
func drawSpaced(mask *image.Alpha, face font.Face, s string, at image.Point, spacing int) int {
	d := font.Drawer{Dst: mask, Src: image.Opaque, Face: face, Dot: fixed.P(at.X, at.Y+face.Metrics().Ascent.Ceil())}
	for _, r := range s {
		d.DrawString(string(r))
		d.Dot.X += fixed.I(spacing)
	}

	return d.Dot.X.Ceil() - at.X - spacing
}
