package animatic

import (
	"math"
	"math/rand/v2"
)

// rate is the films' frames per second.
const rate = 30

// view is where the camera stands: zoom 1 just covers the film with the source,
// less lets its surroundings show; x and y (0 to 1) say which part of what does
// not fit is seen.
type view struct{ zoom, x, y float64 }

// move is the camera's way through a shot.
type move struct{ from, to view }

// drift is how far the camera goes at most, in film widths per second.
const drift = 0.055

// at gives where the whole source lies on the film after u (0 to 1) of a shot.
// Places between are mixed, not views, so that the camera goes straight.
func (m move) at(u float64, source, film box) box {
	a := m.from.place(source, film)
	b := m.to.place(source, film)
	e := ease(u)
	mix := func(p, q float64) float64 { return p + (q-p)*e }

	return box{mix(a.x, b.x), mix(a.y, b.y), mix(a.w, b.w), mix(a.h, b.h)}
}

func (v view) place(source, film box) box {
	scale := v.zoom * math.Max(film.w/source.w, film.h/source.h)
	w := source.w * scale
	h := source.h * scale
	put := func(size, room, share float64) float64 {
		if size < room {
			return (room - size) / 2
		}

		return -(size - room) * share
	}

	return box{put(w, film.w, v.x), put(h, film.h, v.y), w, h}
}

// covers says whether the place leaves nothing of the film free.
func (b box) covers(film box) bool {
	return b.x <= 0 && b.y <= 0 && b.x+b.w >= film.w && b.y+b.h >= film.h
}

// ease starts and ends softly but never stands still.
func ease(u float64) float64 {
	u = math.Max(0, math.Min(1, u))
	return 0.3*u + 0.7*u*u*(3-2*u)
}

// The framings of a shot.
type framing uint8

const (
	wide framing = iota // as much of the source as sits well
	near                // a detail
	side                // along the source's longer way
)

// fits is the share of a source's longer way below which it is shown on a
// blurred ground instead of being cropped.
const fits = 0.62

// shares is how much of its longer way a source shows when it covers the film.
func shares(source, film box) float64 {
	k := source.w / source.h / (film.w / film.h)
	return math.Min(k, 1/k)
}

// establish makes the first shot of a turn show a source that does not fit as a
// whole.
func establish(how framing, source, film box) framing {
	if shares(source, film) < fits {
		return wide
	}

	return how
}

// direct makes a move for a framing. seconds is the shot's length.
func direct(rng *rand.Rand, how framing, source, film box, seconds float64) move {
	share := shares(source, film)

	start := 1.0
	if share < fits && how == wide {
		start = math.Min(1, share/0.74)
	}
	// Heads are mostly in the upper part of a picture that is cropped in height.
	focus := view{zoom: start, x: 0.5, y: 0.36}
	reach := math.Min(0.16, 0.035*seconds+0.03)
	sign := float64(rng.IntN(2)*2 - 1)
	m := move{focus, focus}

	switch how {
	case near:
		m.from.zoom = 1.5
		m.to.zoom = 1.5 + reach
		m.from.x = 0.5 - 0.2*sign
		m.to.x = 0.5 - 0.08*sign
		m.from.y = 0.3
		m.to.y = 0.3 + 0.1*rng.Float64()
	case side:
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

	if how != near && rng.IntN(2) == 0 {
		m.from, m.to = m.to, m.from
	}

	return m.slowed(source, film, seconds)
}

// slowed brings the ends of a move together until the camera goes no faster than
// drift; the middle stays.
func (m move) slowed(source, film box, seconds float64) move {
	a := m.from.place(source, film)
	b := m.to.place(source, film)
	// The way of the film's middle over the source, in film pixels.
	dx := (film.w/2-a.x)/a.w - (film.w/2-b.x)/b.w
	dy := (film.h/2-a.y)/a.h - (film.h/2-b.y)/b.h
	way := math.Hypot(dx*b.w, dy*b.h)

	most := drift * film.w * seconds
	if way <= most {
		return m
	}

	k := most / way
	pull := func(p, q float64) (float64, float64) {
		mid := (p + q) / 2
		return mid + (p-mid)*k, mid + (q-mid)*k
	}
	m.from.x, m.to.x = pull(m.from.x, m.to.x)
	m.from.y, m.to.y = pull(m.from.y, m.to.y)

	return m
}
