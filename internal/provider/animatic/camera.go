package animatic

import (
	"math"
	"math/rand/v2"
)

// frameRate is the frame rate of the videos, in frames per second.
const frameRate = 30

// view is a position of the camera. At zoom 1 the source just covers the output; below
// that its surroundings are visible. x and y (0 to 1) select the visible part of a source
// that is larger than the output.
type view struct{ zoom, x, y float64 }

// cameraMove is the camera's movement during a shot.
type cameraMove struct{ from, to view }

// maxSpeed is the camera's highest speed, in output widths per second.
const maxSpeed = 0.055

// placement returns where the whole source lies on the output after u (0 to 1) of a shot.
// It interpolates between placements and not between views, so that the camera moves in a
// straight line.
func (m cameraMove) placement(u float64, source, output box) box {
	a := m.from.placement(source, output)
	b := m.to.placement(source, output)
	e := ease(u)
	mix := func(p, q float64) float64 { return p + (q-p)*e }

	return box{mix(a.x, b.x), mix(a.y, b.y), mix(a.w, b.w), mix(a.h, b.h)}
}

func (v view) placement(source, output box) box {
	scale := v.zoom * math.Max(output.w/source.w, output.h/source.h)
	w := source.w * scale
	h := source.h * scale
	offset := func(size, available, share float64) float64 {
		if size < available {
			return (available - size) / 2
		}

		return -(size - available) * share
	}

	return box{offset(w, output.w, v.x), offset(h, output.h, v.y), w, h}
}

// covers reports whether the box covers the whole output.
func (b box) covers(output box) bool {
	return b.x <= 0 && b.y <= 0 && b.x+b.w >= output.w && b.y+b.h >= output.h
}

// ease starts and ends slowly but never stands still.
func ease(u float64) float64 {
	u = math.Max(0, math.Min(1, u))
	return 0.3*u + 0.7*u*u*(3-2*u)
}

// The framings of a shot.
type framing uint8

const (
	wide    framing = iota // as much of the source as looks good
	closeUp                // a detail
	pan                    // along the source's longer dimension
)

// minVisibleShare is a share of a source's longer dimension. If less than that were
// visible, the source is shown on a blurred backdrop instead of being cropped.
const minVisibleShare = 0.62

// visibleShare returns how much of its longer dimension a source shows when it covers the output.
func visibleShare(source, output box) float64 {
	k := source.w / source.h / (output.w / output.h)
	return math.Min(k, 1/k)
}

// establishingFraming returns the framing of the first shot of a segment: wide if the
// source would be cropped too much, else the requested one.
func establishingFraming(requested framing, source, output box) framing {
	if visibleShare(source, output) < minVisibleShare {
		return wide
	}

	return requested
}

// planMove plans a move for a framing. seconds is the shot's length.
func planMove(rng *rand.Rand, shotFraming framing, source, output box, seconds float64) cameraMove {
	share := visibleShare(source, output)

	start := 1.0
	if share < minVisibleShare && shotFraming == wide {
		start = math.Min(1, share/0.74)
	}
	// In a picture that is cropped in height, heads are mostly in the upper part.
	focus := view{zoom: start, x: 0.5, y: 0.36}
	reach := math.Min(0.16, 0.035*seconds+0.03)
	sign := float64(rng.IntN(2)*2 - 1)
	m := cameraMove{focus, focus}

	switch shotFraming {
	case closeUp:
		m.from.zoom = 1.5
		m.to.zoom = 1.5 + reach
		m.from.x = 0.5 - 0.2*sign
		m.to.x = 0.5 - 0.08*sign
		m.from.y = 0.3
		m.to.y = 0.3 + 0.1*rng.Float64()
	case pan:
		m.from.zoom = 1.16
		m.to.zoom = 1.16
		m.from.x = 0.5 - 0.45*sign
		m.to.x = 0.5 + 0.45*sign
		m.from.y = 0.3 + 0.2*rng.Float64()
		m.to.y = 0.3 + 0.2*rng.Float64()
	default:
		m.from.zoom = start * 1.02
		m.to.zoom = start * (1.02 + reach)
		m.to.x = 0.5 + 0.3*sign*rng.Float64()
		m.to.y = 0.36 + 0.12*(rng.Float64()-0.5)
	}

	if shotFraming != closeUp && rng.IntN(2) == 0 {
		m.from, m.to = m.to, m.from
	}

	return m.limitSpeed(source, output, seconds)
}

// limitSpeed moves the ends of a move closer together until the camera is no faster than
// maxSpeed; the middle stays.
func (m cameraMove) limitSpeed(source, output box, seconds float64) cameraMove {
	a := m.from.placement(source, output)
	b := m.to.placement(source, output)
	// The path of the output's centre over the source, in output pixels.
	dx := (output.w/2-a.x)/a.w - (output.w/2-b.x)/b.w
	dy := (output.h/2-a.y)/a.h - (output.h/2-b.y)/b.h
	distance := math.Hypot(dx*b.w, dy*b.h)

	maxDistance := maxSpeed * output.w * seconds
	if distance <= maxDistance {
		return m
	}

	k := maxDistance / distance
	pull := func(p, q float64) (float64, float64) {
		mid := (p + q) / 2
		return mid + (p-mid)*k, mid + (q-mid)*k
	}
	m.from.x, m.to.x = pull(m.from.x, m.to.x)
	m.from.y, m.to.y = pull(m.from.y, m.to.y)

	return m
}
