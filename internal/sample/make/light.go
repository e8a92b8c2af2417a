package main

import (
	"image"
	"math"
	"sync"
)

// stuff is what a thing is made of. Colours are linear, 0-1 (more glows).
type stuff struct {
	colour, glow vec
	gloss        float64 // 0 chalk, 1 enamel
}

// hit is how far the nearest thing is, and which.
type hit struct {
	distance float64
	of       stuff
}

// scene is one moment, seen by one camera: things on an endless floor that
// melts into the backdrop.
type scene struct {
	things          func(vec) hit
	floor           vec
	low, high       vec // the backdrop at the horizon and above
	eye, target     vec
	zoom            float64 // 1 is wide, 2 is near
	sun, sunColour  vec     // towards the main light
	sky             vec     // light from everywhere
	bulb, bulbLight vec     // a small lamp, black when there is none
}

// render draws the scene with side*side rays a pixel.
func (s scene) render(width, height, side int) *image.RGBA {
	picture := image.NewRGBA(image.Rect(0, 0, width, height))
	forward := s.target.minus(s.eye).unit()
	right := forward.cross(vec{0, 1, 0}).unit()
	up := right.cross(forward)

	var rows sync.WaitGroup
	for part := range 2 {
		rows.Go(func() {
			for y := part; y < height; y += 2 {
				for x := range width {
					var sum vec

					for n := range side * side {
						u := (float64(x) + (float64(n%side)+0.5)/float64(side) - float64(width)/2) / float64(height)
						v := (float64(height)/2 - float64(y) - (float64(n/side)+0.5)/float64(side)) / float64(height)
						ray := forward.times(s.zoom).plus(right.times(u)).plus(up.times(v)).unit()
						sum = sum.plus(film(s.look(s.eye, ray)))
					}

					put(picture, x, y, sum.times(1/float64(side*side)))
				}
			}
		})
	}

	rows.Wait()

	return picture
}

func put(picture *image.RGBA, x, y int, c vec) {
	i := picture.PixOffset(x, y)
	for k, v := range []float64{c.x, c.y, c.z, 1} {
		picture.Pix[i+k] = uint8(clamp(v)*255 + 0.5)
	}
}

// film bends light as a film does: soft in the highlights.
func film(c vec) vec {
	bend := func(v float64) float64 {
		v = v * (2.51*v + 0.03) / (v*(2.43*v+0.59) + 0.14)
		return math.Pow(clamp(v), 1/2.2)
	}

	return vec{bend(c.x), bend(c.y), bend(c.z)}
}

func (s scene) backdrop(ray vec) vec {
	return s.low.mix(s.high, smooth(-0.1, 0.75, ray.y))
}

// all is everything that can be hit, the floor too.
func (s scene) all(p vec) hit {
	return near(hit{p.y, stuff{colour: s.floor, gloss: 0.12}}, s.things(p))
}

func (s scene) look(from, ray vec) vec {
	far := 0.0
	for range 160 {
		at := from.plus(ray.times(far))

		h := s.all(at)
		if h.distance < 0.0006*far {
			lit := s.shade(at, ray, h.of)
			away := math.Hypot(at.x, at.z)

			return lit.mix(s.backdrop(ray), smooth(2.5, 12, away))
		}

		far += h.distance * 0.85
		if far > 30 {
			break
		}
	}

	return s.backdrop(ray)
}

func (s scene) normal(p vec) vec {
	const e = 0.0008

	d := func(o vec) float64 { return s.all(p.plus(o)).distance - s.all(p.minus(o)).distance }

	return vec{d(vec{e, 0, 0}), d(vec{0, e, 0}), d(vec{0, 0, e})}.unit()
}

func (s scene) shade(p, ray vec, of stuff) vec {
	n := s.normal(p)
	above := p.plus(n.times(0.004))
	open := s.openness(above, n)
	sun := math.Max(0, n.dot(s.sun)) * s.shadow(above, s.sun, 8)
	light := s.sunColour.times(sun).plus(s.sky.times(open * (0.6 + 0.4*n.y)))

	light = light.plus(s.floor.tint(s.sunColour).times(0.18 * open * clamp(0.5-0.5*n.y)))
	if s.bulbLight.length() > 0 {
		way := s.bulb.minus(p)
		far := way.length()
		way = way.times(1 / far)
		light = light.plus(s.bulbLight.times(math.Max(0, n.dot(way)) * s.shadow(above, way, far) / (0.25 + far*far)))
	}

	mirror := ray.minus(n.times(2 * n.dot(ray)))
	edge := math.Pow(clamp(1+n.dot(ray)), 5)
	shine := s.backdrop(mirror).times(0.9).plus(softbox(mirror)).times(of.gloss * (0.05 + 0.95*edge) * open)
	spark := math.Pow(clamp(mirror.dot(s.sun)), 20+180*of.gloss) * of.gloss * sun

	return of.colour.tint(light).plus(shine).plus(s.sunColour.times(spark * 0.7)).plus(of.glow)
}

// softbox is the studio's window, seen in what is glossy.
func softbox(ray vec) vec {
	a := smooth(0.14, 0.2, ray.x+0.62) * smooth(0.14, 0.2, -ray.x-0.08) // a tall pane at the left
	b := smooth(-0.05, 0.05, ray.y) * smooth(-0.85, -0.75, -ray.y)

	return vec{1, 0.98, 0.95}.times(5 * a * b * smooth(-0.2, 0.1, ray.z))
}

func (s scene) shadow(from, way vec, far float64) float64 {
	light := 1.0

	at := 0.02
	for range 48 {
		d := s.all(from.plus(way.times(at))).distance
		light = math.Min(light, 9*d/at)

		at += math.Max(0.015, math.Min(d, 0.25))
		if light < 0.002 || at > far {
			break
		}
	}

	return smooth(0, 1, light)
}

func (s scene) openness(p, n vec) float64 {
	closed := 0.0

	for i := range 5 {
		step := 0.04 + 0.14*float64(i)
		closed += (step - s.all(p.plus(n.times(step))).distance) * math.Exp2(-float64(i))
	}

	return clamp(1 - 1.1*closed)
}
