package animatic

// How frames join, in percent of luma as ffmpeg's scdet measures; it calls 10 a cut.
const (
	glide    = 6.0  // the most that a continuous shot changes from frame to frame
	sureCut  = 15.0 // what a cut must change to be seen as one
	slateFor = 10   // frames that a slate is seen
	backFor  = 16   // frames that a look back is seen
	fewest   = 2    // cuts that several shots have
)

// slate stands between two shots that look too alike to be told apart: a look
// back at another reference, or where there is none, a plain card with a number.
type slate struct {
	until int    // the first frame after it
	back  *frame // what it looks back at; nil is a card
	tone  byte
	layer *overlay
}

// join makes frame n follow the one before as the shot type wants: a continuous
// shot never jumps, whatever its references do; several shots are surely cut.
func (f *film) join(n int) error {
	if n == 0 {
		return nil
	}

	d := f.canvas.distance(f.last)
	if !f.several() {
		if d > glide {
			f.last.blend(f.canvas, int(256*glide/d))
			f.canvas.copyFrom(f.last)
		}

		return nil
	}

	for i, s := range f.shots {
		if s.from != n || i == 0 {
			continue
		}

		if min(d, abs(d-f.moved)) >= sureCut {
			f.cuts++
		}

		if f.back == nil && s.source != f.shots[i-1].source {
			f.back = newFrame(f.order.Width, f.order.Height)
			f.back.copyFrom(f.last)
		}

		if i == len(f.shots)-1 && f.cuts < fewest {
			if err := f.openSlate(i, n, s.to-s.from); err != nil {
				return err
			}
		}
	}

	switch {
	case n < f.slate.until && f.slate.back != nil:
		f.canvas.copyFrom(f.slate.back)
	case n < f.slate.until:
		f.canvas.fill(f.slate.tone)
		f.slate.layer.lay(f.canvas, 256)
	}

	f.moved = f.canvas.distance(f.last)

	return nil
}

// openSlate begins a slate: a look back that surely differs from what is seen
// around it, else a card in the tone farthest from that.
func (f *film) openSlate(shot, n, frames int) error {
	if b := f.back; b != nil && min(b.distance(f.last), b.distance(f.canvas)) >= sureCut {
		f.slate = slate{until: n + max(2, min(backFor, frames/3)), back: b}
		return nil
	}

	const ink, paper = 24, 226

	a := f.last.light()
	b := f.canvas.light()

	tone := byte(ink)
	if min(abs(a-paper), abs(b-paper)) > min(abs(a-ink), abs(b-ink)) {
		tone = paper
	}

	layer, err := f.words.number(shot+1, tone == ink)
	if err != nil {
		return err
	}

	f.slate = slate{until: n + max(2, min(slateFor, frames/3)), tone: tone, layer: layer}

	return nil
}

func (f *frame) fill(luma byte) {
	for i := range f.y.pix {
		f.y.pix[i] = luma
	}

	for i := range f.u.pix {
		f.u.pix[i] = neutral
		f.v.pix[i] = neutral
	}
}

func abs(v float64) float64 { return max(v, -v) }
