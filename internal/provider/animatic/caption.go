package animatic

import (
	"image"
	"image/color"
	"math"
	"strconv"
	"unicode/utf8"

	"golang.org/x/image/font"
)

// textLayer is all text of a video.
type textLayer struct {
	font        *typeface
	output      box
	shorterSide float64 // the video's shorter side in pixels; all text sizes derive from it
	permanent   []*overlay
	timed       []timedOverlay
}

// timedOverlay is an overlay that is visible on the frames [from, to).
type timedOverlay struct {
	from, to int
	overlay  *overlay
}

// textFadeFrames is the number of frames in which text fades in and out.
const textFadeFrames = 9

func newTextLayer(f *typeface, output box, watermark bool) (*textLayer, error) {
	tl := &textLayer{font: f, output: output, shorterSide: min(output.w, output.h)}

	size := tl.shorterSide * 0.021
	if err := tl.addBadge("PREVIEW", size, true); err != nil {
		return nil, err
	}

	if watermark {
		return tl, tl.addBadge("AI生成", size*1.25, false)
	}

	return tl, nil
}

func (tl *textLayer) margin() int { return int(tl.shorterSide * 0.05) }

func (tl *textLayer) mask() *image.Alpha {
	return image.NewAlpha(image.Rect(0, 0, int(tl.output.w), int(tl.output.h)))
}

// addBadge adds a badge at the upper or lower right of the video.
func (tl *textLayer) addBadge(s string, size float64, upper bool) error {
	face, err := tl.font.face(size)
	if err != nil {
		return err
	}

	spacing := int(size * 0.22)
	width := drawSpaced(image.NewAlpha(image.Rect(0, 0, 1, 1)), face, s, image.Point{}, spacing)
	height := face.Metrics().Height.Ceil()
	x := int(tl.output.w) - tl.margin() - width

	y := tl.margin() - height/4
	if !upper {
		y = int(tl.output.h) - tl.margin() - height
	}

	pad := int(size)
	layer := newOverlay(image.Rect(x-pad, y-pad, x+width+pad, y+height+pad), tl.output)
	mask := tl.mask()
	fillPill(mask, image.Rect(x-pad*3/4, y-height/8, x+width+pad*3/4, y+height+height/8))
	layer.addMask(mask, blackLuma, 105)
	mask = tl.mask()
	drawSpaced(mask, face, s, image.Pt(x, y), spacing)
	layer.addMask(mask, whiteLuma, 225)
	tl.permanent = append(tl.permanent, layer)

	return nil
}

// addCaptions shows the prompt, page by page, in the lower third.
func (tl *textLayer) addCaptions(prompt string, frames int) error {
	prompt = tl.font.removeUndrawable(prompt)
	size := tl.shorterSide * 0.038

	face, err := tl.font.face(size)
	if err != nil || prompt == "" {
		return err
	}

	linesPerPage := 2
	if tl.output.h > tl.output.w {
		linesPerPage = 3
	}

	width := min(int(tl.output.w)-2*tl.margin()-int(tl.shorterSide*0.2), int(size*30))
	pages := paginate(face, prompt, linesPerPage, max(1, frames/(2*frameRate)), width)
	tl.schedule(pages, frames, func(page []string) *overlay { return tl.captionLayer(face, page, size) })

	return nil
}

func (tl *textLayer) captionLayer(face font.Face, page []string, size float64) *overlay {
	step := int(size * 1.45)
	x := tl.margin()
	y := int(tl.output.h) - tl.margin() - step*len(page)
	bar := max(2, int(size*0.11))
	layer := newOverlay(image.Rect(0, y-int(tl.shorterSide*0.1), int(tl.output.w), int(tl.output.h)), tl.output)
	layer.addGradient(168)

	mask := tl.mask()

	for by := y + int(size*0.24); by < y+step*len(page)-int(size*0.1); by++ {
		for bx := x; bx < x+bar; bx++ {
			mask.Pix[by*mask.Stride+bx] = 255
		}
	}

	layer.addMask(mask, whiteLuma, 150)
	mask = tl.mask()
	drawLines(mask, face, page, image.Pt(x+bar+int(size*0.5), y), step)
	layer.addMask(mask, whiteLuma, 250)

	return layer
}

// fillPill fills a rectangle with round ends.
func fillPill(mask *image.Alpha, r image.Rectangle) {
	radius := float64(r.Dy()) / 2
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			px := float64(x) + 0.5
			py := float64(y) + 0.5
			cx := max(float64(r.Min.X)+radius, min(px, float64(r.Max.X)-radius))
			d := math.Hypot(px-cx, py-float64(r.Min.Y)-radius)
			mask.SetAlpha(x, y, color.Alpha{A: byte(255 * max(0, min(1, radius-d+0.5)))})
		}
	}
}

// schedule gives each page time in proportion to its length.
func (tl *textLayer) schedule(list [][]string, frames int, draw func([]string) *overlay) {
	weight := func(page []string) int {
		n := 12
		for _, l := range page {
			n += utf8.RuneCountInString(l)
		}

		return n
	}
	total := 0
	before := 0

	for _, page := range list {
		total += weight(page)
	}

	for _, page := range list {
		from := frames * before / total
		before += weight(page)
		tl.timed = append(tl.timed, timedOverlay{from: from, to: frames * before / total, overlay: draw(page)})
	}
}

// addTitles shows pages of large text over title cards, one page for each span of frames.
func (tl *textLayer) addTitles(prompt string, spans []shot, dark func(i int) bool) error {
	prompt = tl.font.removeUndrawable(prompt)

	size := tl.shorterSide * 0.074
	if n := utf8.RuneCountInString(prompt); n > 120 {
		size = tl.shorterSide * 0.052
	}

	face, err := tl.font.face(size)
	if err != nil || prompt == "" {
		return err
	}

	linesPerPage := 4

	width := int(tl.output.w * 0.76)
	if tl.output.h > tl.output.w {
		linesPerPage = 8
	}

	pages := paginate(face, prompt, linesPerPage, len(spans), width)
	for i, s := range spans {
		page := pages[i*len(pages)/len(spans)]
		tl.timed = append(tl.timed, timedOverlay{from: s.from, to: s.to, overlay: tl.titleLayer(face, page, size, dark(i))})
	}

	return nil
}

func (tl *textLayer) titleLayer(face font.Face, page []string, size float64, dark bool) *overlay {
	step := int(size * 1.5)
	x := int(tl.output.w * 0.12)
	y := (int(tl.output.h) - step*len(page)) / 2

	luma := byte(whiteLuma)
	if !dark {
		luma = 30
	}

	layer := newOverlay(image.Rect(0, y-int(size*1.2), int(tl.output.w), y+step*len(page)+int(size)), tl.output)
	mask := tl.mask()
	drawLines(mask, face, page, image.Pt(x, y), step)

	for by := y - int(size*0.7); by < y-int(size*0.7)+max(2, int(size*0.07)); by++ {
		for bx := x; bx < x+int(size*1.4) && by >= 0; bx++ {
			mask.Pix[by*mask.Stride+bx] = 200
		}
	}

	layer.addMask(mask, luma, 256)

	return layer
}

// slateNumber returns the overlay of a slate: the number of the shot that comes next.
func (tl *textLayer) slateNumber(n int, dark bool) (*overlay, error) {
	size := tl.shorterSide * 0.2

	face, err := tl.font.face(size)
	if err != nil {
		return nil, err
	}

	s := strconv.Itoa(n)
	width := font.MeasureString(face, s).Ceil()
	x := (int(tl.output.w) - width) / 2
	y := int(tl.output.h/2 - size*0.82)
	layer := newOverlay(image.Rect(x-2, y, x+width+2, y+int(size*1.6)), tl.output)
	mask := tl.mask()
	drawLines(mask, face, []string{s}, image.Pt(x, y), 0)

	luma := byte(whiteLuma)
	if !dark {
		luma = 40
	}

	layer.addMask(mask, luma, 220)

	return layer, nil
}

// drawOn draws the text of frame n of frames.
func (tl *textLayer) drawOn(f *frame, n, frames int) {
	for _, l := range tl.timed {
		if n < l.from || n >= l.to {
			continue
		}

		framesFromEdge := min(n-l.from+1, l.to-n)
		if l.to == frames {
			framesFromEdge = n - l.from + 1 // the last page does not fade out
		}

		l.overlay.drawOn(f, 256*min(framesFromEdge, textFadeFrames)/textFadeFrames)
	}

	for _, layer := range tl.permanent {
		layer.drawOn(f, 256)
	}

	tl.drawProgressBar(f, n, frames)
}

// drawProgressBar draws along the lower edge how far the video has played.
func (tl *textLayer) drawProgressBar(f *frame, n, frames int) {
	height := max(2, int(tl.shorterSide*0.005)) &^ 1

	end := f.y.w * (n + 1) / frames
	for y := f.y.h - height; y < f.y.h; y++ {
		for x := range f.y.w {
			opacity := int32(70)
			luma := byte(blackLuma)

			if x < end {
				opacity = 170
				luma = whiteLuma
			}

			i := y*f.y.w + x
			f.y.pix[i] = lerp(f.y.pix[i], luma, opacity)
		}
	}
}
