package animatic

import (
	"math"
	"math/rand/v2"
)

// titleCard is the background of large text: soft, slowly moving lights of one palette.
type titleCard struct {
	background yuv
	spots      [3]lightSpot
	small      *frame
	scaler     *scaler
	startFrame int // frames of the video before it, so that the lights continue to move
}

// lightSpot is one soft light; positions and sizes are shares of the card.
type lightSpot struct {
	colour           yuv
	x, y, size       float64
	dx, dy, speed, u float64
}

// newTitleCard chooses a palette: three similar hues on a dark or a light background.
func newTitleCard(rng *rand.Rand, hue float64, dark bool, output box, sc *scaler) *titleCard {
	c := &titleCard{scaler: sc, small: newFrame(int(output.w)/backdropScale, int(output.h)/backdropScale)}
	value := 0.16
	saturation := 0.75

	if !dark {
		value = 0.93
		saturation = 0.10
	}
	// Dark backgrounds range from teal over blue and violet to wine red: other hues look muddy.
	_, part := math.Modf(hue)
	hue = 0.5 + 0.44*part

	c.background = yuvFromHSV(hue, saturation, value)
	for i := range c.spots {
		v := 0.30 + 0.14*rng.Float64()
		r := 0.68

		if !dark {
			v = 0.97
			r = 0.16 + 0.12*rng.Float64()
		}

		c.spots[i] = lightSpot{
			colour: yuvFromHSV(hue+[]float64{0.09, -0.12, 0.16}[i]+0.05*rng.Float64(), r, v),
			x:      0.15 + 0.7*rng.Float64(),
			y:      0.15 + 0.7*rng.Float64(),
			size:   0.4 + 0.25*rng.Float64(),
			dx:     0.1 + 0.15*rng.Float64(),
			dy:     0.1 + 0.15*rng.Float64(),
			speed:  0.5 + 0.5*rng.Float64(),
			u:      6 * rng.Float64(),
		}
	}

	return c
}

// yuvFromHSV returns a colour by hue (in turns), saturation and value (0 to 1).
func yuvFromHSV(hue, saturation, value float64) yuv {
	channel := func(shift float64) float64 {
		k := math.Mod(shift+hue*6+12, 6)
		return 255 * value * (1 - saturation*math.Max(0, math.Min(1, math.Min(k, 4-k))))
	}

	return yuvFromRGB(channel(5), channel(3), channel(1))
}

func (c *titleCard) close() {}

func (c *titleCard) draw(dst *frame, n int) error {
	seconds := float64(c.startFrame+n) / frameRate
	c.paint(c.small.y, seconds, func(t yuv) float64 { return float64(t.y) })
	c.paint(c.small.u, seconds, func(t yuv) float64 { return float64(t.u) })
	c.paint(c.small.v, seconds, func(t yuv) float64 { return float64(t.v) })
	c.scaler.draw(dst, c.small, c.small.whole(), dst.whole(), true)

	return nil
}

func (c *titleCard) paint(p plane, seconds float64, component func(yuv) float64) {
	shape := float64(p.w) / float64(p.h)
	for y := range p.h {
		for x := range p.w {
			u := (float64(x) + 0.5) / float64(p.w)
			v := (float64(y) + 0.5) / float64(p.h)

			value := component(c.background)
			for _, l := range c.spots {
				lx := l.x + l.dx*math.Sin(l.u+l.speed*seconds)
				ly := l.y + l.dy*math.Cos(1.3*l.u+l.speed*seconds)

				d := ((u-lx)*(u-lx)*shape + (v-ly)*(v-ly)/shape) / (l.size * l.size)
				if d < 1 {
					k := (1 - d) * (1 - d)
					value += (component(l.colour) - value) * k
				}
			}

			p.pix[y*p.w+x] = byte(value + 0.5)
		}
	}
}
