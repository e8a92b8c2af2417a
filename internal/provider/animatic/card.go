package animatic

import (
	"math"
	"math/rand/v2"
)

// card is the ground of large type: soft lights of a palette that wander.
type card struct {
	deep   tone
	lights [3]light
	small  *frame
	brush  *brush
	since  int // frames of the film before it, so that a film's lights go on
}

// light is one soft spot; places and sizes are shares of the card.
type light struct {
	tone             tone
	x, y, size       float64
	dx, dy, speed, u float64
}

// newCard picks a palette: three near hues on a deep or a pale ground.
func newCard(rng *rand.Rand, hue float64, dark bool, film box, b *brush) *card {
	c := &card{brush: b, small: newFrame(int(film.w)/groundStep, int(film.h)/groundStep)}
	value := 0.16
	rich := 0.75

	if !dark {
		value = 0.93
		rich = 0.10
	}
	// Deep grounds from teal over blue and violet to wine: no hue turns to mud there.
	_, part := math.Modf(hue)
	hue = 0.5 + 0.44*part

	c.deep = colour(hue, rich, value)
	for i := range c.lights {
		v := 0.30 + 0.14*rng.Float64()
		r := 0.68

		if !dark {
			v = 0.97
			r = 0.16 + 0.12*rng.Float64()
		}

		c.lights[i] = light{
			tone: colour(hue+[]float64{0.09, -0.12, 0.16}[i]+0.05*rng.Float64(), r, v),
			x:    0.15 + 0.7*rng.Float64(), y: 0.15 + 0.7*rng.Float64(), size: 0.4 + 0.25*rng.Float64(),
			dx: 0.1 + 0.15*rng.Float64(), dy: 0.1 + 0.15*rng.Float64(), speed: 0.5 + 0.5*rng.Float64(), u: 6 * rng.Float64(),
		}
	}

	return c
}

// colour is a tone by hue (turns), richness and value (0 to 1).
func colour(hue, rich, value float64) tone {
	part := func(shift float64) float64 {
		k := math.Mod(shift+hue*6+12, 6)
		return 255 * value * (1 - rich*math.Max(0, math.Min(1, math.Min(k, 4-k))))
	}

	return toneOf(part(5), part(3), part(1))
}

func (c *card) close() {}

func (c *card) draw(onto *frame, n int) error {
	seconds := float64(c.since+n) / rate
	c.paint(c.small.y, seconds, func(t tone) float64 { return float64(t.y) })
	c.paint(c.small.u, seconds, func(t tone) float64 { return float64(t.u) })
	c.paint(c.small.v, seconds, func(t tone) float64 { return float64(t.v) })
	c.brush.draw(onto, c.small, c.small.whole(), onto.whole(), true)

	return nil
}

func (c *card) paint(p plane, seconds float64, part func(tone) float64) {
	shape := float64(p.w) / float64(p.h)
	for y := range p.h {
		for x := range p.w {
			u := (float64(x) + 0.5) / float64(p.w)
			v := (float64(y) + 0.5) / float64(p.h)

			value := part(c.deep)
			for _, l := range c.lights {
				lx := l.x + l.dx*math.Sin(l.u+l.speed*seconds)
				ly := l.y + l.dy*math.Cos(1.3*l.u+l.speed*seconds)

				d := ((u-lx)*(u-lx)*shape + (v-ly)*(v-ly)/shape) / (l.size * l.size)
				if d < 1 {
					k := (1 - d) * (1 - d)
					value += (part(l.tone) - value) * k
				}
			}

			p.pix[y*p.w+x] = byte(value + 0.5)
		}
	}
}
