package animatic

import (
	"image"
	"image/color"
	"math"
	"strconv"
	"unicode/utf8"

	"golang.org/x/image/font"
)

// words is all writing of a film.
type words struct {
	letters *letters
	film    box
	unit    float64 // the film's shorter side in pixels; all type is measured by it
	fixed   []*overlay
	lines   []line
}

// line is writing that is seen on the frames [from, to).
type line struct {
	from, to int
	layer    *overlay
}

// blink is how many frames writing takes to come and to go.
const blink = 9

func newWords(l *letters, film box, watermark bool) (*words, error) {
	w := &words{letters: l, film: film, unit: min(film.w, film.h)}

	size := w.unit * 0.021
	if err := w.corner("PREVIEW", size, true); err != nil {
		return nil, err
	}

	if watermark {
		return w, w.corner("AI生成", size*1.25, false)
	}

	return w, nil
}

func (w *words) margin() int { return int(w.unit * 0.05) }

func (w *words) mask() *image.Alpha {
	return image.NewAlpha(image.Rect(0, 0, int(w.film.w), int(w.film.h)))
}

// corner marks the film at its upper or lower right.
func (w *words) corner(s string, size float64, upper bool) error {
	face, err := w.letters.face(size)
	if err != nil {
		return err
	}

	room := int(size * 0.22)
	wide := spaced(image.NewAlpha(image.Rect(0, 0, 1, 1)), face, s, image.Point{}, room)
	height := face.Metrics().Height.Ceil()
	x := int(w.film.w) - w.margin() - wide

	y := w.margin() - height/4
	if !upper {
		y = int(w.film.h) - w.margin() - height
	}

	pad := int(size)
	layer := newOverlay(image.Rect(x-pad, y-pad, x+wide+pad, y+height+pad), w.film)
	mask := w.mask()
	pill(mask, image.Rect(x-pad*3/4, y-height/8, x+wide+pad*3/4, y+height+height/8))
	layer.over(mask, black, 105)
	mask = w.mask()
	spaced(mask, face, s, image.Pt(x, y), room)
	layer.over(mask, white, 225)
	w.fixed = append(w.fixed, layer)

	return nil
}

// caption shows the prompt page by page in the lower third.
func (w *words) caption(prompt string, frames int) error {
	prompt = w.letters.clean(prompt)
	size := w.unit * 0.038

	face, err := w.letters.face(size)
	if err != nil || prompt == "" {
		return err
	}

	each := 2
	if w.film.h > w.film.w {
		each = 3
	}

	width := min(int(w.film.w)-2*w.margin()-int(w.unit*0.2), int(size*30))
	list := paginate(face, prompt, each, max(1, frames/(2*rate)), width)
	w.schedule(list, frames, func(page []string) *overlay { return w.captionLayer(face, page, size) })

	return nil
}

func (w *words) captionLayer(face font.Face, page []string, size float64) *overlay {
	step := int(size * 1.45)
	x := w.margin()
	y := int(w.film.h) - w.margin() - step*len(page)
	bar := max(2, int(size*0.11))
	layer := newOverlay(image.Rect(0, y-int(w.unit*0.1), int(w.film.w), int(w.film.h)), w.film)
	layer.scrim(168)

	mask := w.mask()

	for by := y + int(size*0.24); by < y+step*len(page)-int(size*0.1); by++ {
		for bx := x; bx < x+bar; bx++ {
			mask.Pix[by*mask.Stride+bx] = 255
		}
	}

	layer.over(mask, white, 150)
	mask = w.mask()
	ink(mask, face, page, image.Pt(x+bar+int(size*0.5), y), step)
	layer.over(mask, white, 250)

	return layer
}

// pill fills a rectangle with round ends.
func pill(mask *image.Alpha, r image.Rectangle) {
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

// schedule gives each page time by its length.
func (w *words) schedule(list [][]string, frames int, draw func([]string) *overlay) {
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
		w.lines = append(w.lines, line{from: from, to: frames * before / total, layer: draw(page)})
	}
}

// titles shows pages of large type over cards, a page to each span of frames.
func (w *words) titles(prompt string, spans []shot, dark func(i int) bool) error {
	prompt = w.letters.clean(prompt)

	size := w.unit * 0.074
	if n := utf8.RuneCountInString(prompt); n > 120 {
		size = w.unit * 0.052
	}

	face, err := w.letters.face(size)
	if err != nil || prompt == "" {
		return err
	}

	each := 4

	width := int(w.film.w * 0.76)
	if w.film.h > w.film.w {
		each = 8
	}

	list := paginate(face, prompt, each, len(spans), width)
	for i, s := range spans {
		page := list[i*len(list)/len(spans)]
		w.lines = append(w.lines, line{from: s.from, to: s.to, layer: w.titleLayer(face, page, size, dark(i))})
	}

	return nil
}

func (w *words) titleLayer(face font.Face, page []string, size float64, dark bool) *overlay {
	step := int(size * 1.5)
	x := int(w.film.w * 0.12)
	y := (int(w.film.h) - step*len(page)) / 2

	luma := byte(white)
	if !dark {
		luma = 30
	}

	layer := newOverlay(image.Rect(0, y-int(size*1.2), int(w.film.w), y+step*len(page)+int(size)), w.film)
	mask := w.mask()
	ink(mask, face, page, image.Pt(x, y), step)

	for by := y - int(size*0.7); by < y-int(size*0.7)+max(2, int(size*0.07)); by++ {
		for bx := x; bx < x+int(size*1.4) && by >= 0; bx++ {
			mask.Pix[by*mask.Stride+bx] = 200
		}
	}

	layer.over(mask, luma, 256)

	return layer
}

// number is the layer of a slate: which part of the film comes next.
func (w *words) number(n int, dark bool) (*overlay, error) {
	size := w.unit * 0.2

	face, err := w.letters.face(size)
	if err != nil {
		return nil, err
	}

	s := strconv.Itoa(n)
	wide := font.MeasureString(face, s).Ceil()
	x := (int(w.film.w) - wide) / 2
	y := int(w.film.h/2 - size*0.82)
	layer := newOverlay(image.Rect(x-2, y, x+wide+2, y+int(size*1.6)), w.film)
	mask := w.mask()
	ink(mask, face, []string{s}, image.Pt(x, y), 0)

	luma := byte(white)
	if !dark {
		luma = 40
	}

	layer.over(mask, luma, 220)

	return layer, nil
}

// lay writes what is to be read on frame n of frames.
func (w *words) lay(f *frame, n, frames int) {
	for _, l := range w.lines {
		if n < l.from || n >= l.to {
			continue
		}

		here := min(n-l.from+1, l.to-n)
		if l.to == frames {
			here = n - l.from + 1 // the last page stays to the end
		}

		l.layer.lay(f, 256*min(here, blink)/blink)
	}

	for _, layer := range w.fixed {
		layer.lay(f, 256)
	}

	w.hairline(f, n, frames)
}

// hairline is how far the film is, along its lower edge.
func (w *words) hairline(f *frame, n, frames int) {
	high := max(2, int(w.unit*0.005)) &^ 1

	end := f.y.w * (n + 1) / frames
	for y := f.y.h - high; y < f.y.h; y++ {
		for x := range f.y.w {
			share := int32(70)
			luma := byte(black)

			if x < end {
				share = 170
				luma = white
			}

			i := y*f.y.w + x
			f.y.pix[i] = lerp(f.y.pix[i], luma, share)
		}
	}
}
