package animatic

// Changes between frames are in percent of luma, as ffmpeg's scdet measures them; scdet
// calls a change of 10 a cut.
const (
	maxSmoothChange = 6.0  // the largest change between frames of a continuous shot
	minCutChange    = 15.0 // the smallest change that is certainly a cut
	slateFrames     = 10   // frames that a slate is visible
	flashbackFrames = 16   // frames that a flashback is visible
	minCuts         = 2    // cuts in a video of several shots, at least
)

// slate separates two shots that look too similar to be told apart. It is a flashback to
// another reference or, if there is none, a plain card with a number.
type slate struct {
	until     int    // the first frame after the slate
	flashback *frame // the frame to show; nil for a card
	luma      byte
	overlay   *overlay
}

// enforceCuts makes the change to frame n fit the shot type: a continuous shot never
// jumps, whatever its references do, and several shots have clear cuts.
func (c *composer) enforceCuts(n int) error {
	if n == 0 {
		return nil
	}

	change := c.current.distance(c.previous)
	if !c.isMultiShot() {
		if change > maxSmoothChange {
			c.previous.blend(c.current, int(256*maxSmoothChange/change))
			c.current.copyFrom(c.previous)
		}

		return nil
	}

	for i, s := range c.shots {
		if s.from != n || i == 0 {
			continue
		}

		if min(change, abs(change-c.lastChange)) >= minCutChange {
			c.cuts++
		}

		if c.flashback == nil && s.source != c.shots[i-1].source {
			c.flashback = newFrame(c.submission.Width, c.submission.Height)
			c.flashback.copyFrom(c.previous)
		}

		if i == len(c.shots)-1 && c.cuts < minCuts {
			if err := c.insertSlate(i, n, s.to-s.from); err != nil {
				return err
			}
		}
	}

	switch {
	case n < c.slate.until && c.slate.flashback != nil:
		c.current.copyFrom(c.slate.flashback)
	case n < c.slate.until:
		c.current.fill(c.slate.luma)
		c.slate.overlay.drawOn(c.current, 256)
	}

	c.lastChange = c.current.distance(c.previous)

	return nil
}

// insertSlate starts a slate: a flashback that clearly differs from the frames around
// it, or else a card in the luma that differs most from them.
func (c *composer) insertSlate(shot, n, frames int) error {
	if b := c.flashback; b != nil && min(b.distance(c.previous), b.distance(c.current)) >= minCutChange {
		c.slate = slate{until: n + max(2, min(flashbackFrames, frames/3)), flashback: b}
		return nil
	}

	const dark, light = 24, 226

	a := c.previous.meanLuma()
	b := c.current.meanLuma()

	luma := byte(dark)
	if min(abs(a-light), abs(b-light)) > min(abs(a-dark), abs(b-dark)) {
		luma = light
	}

	layer, err := c.text.slateNumber(shot+1, luma == dark)
	if err != nil {
		return err
	}

	c.slate = slate{until: n + max(2, min(slateFrames, frames/3)), luma: luma, overlay: layer}

	return nil
}

func (f *frame) fill(luma byte) {
	for i := range f.y.pix {
		f.y.pix[i] = luma
	}

	for i := range f.u.pix {
		f.u.pix[i] = neutralChroma
		f.v.pix[i] = neutralChroma
	}
}

func abs(v float64) float64 { return max(v, -v) }
