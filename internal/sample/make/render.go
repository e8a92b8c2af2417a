package main

import (
	"image"
	"math"
	"sync"
)

// material is the surface of a shape. Colours are linear, 0-1; more than 1 glows.
type material struct {
	colour, glow vec
	gloss        float64 // 0 is chalk, 1 is enamel
}

// hit is the nearest shape: its distance and its material.
type hit struct {
	distance float64
	material material
}

// scene is one moment seen by one camera: shapes on an endless floor that blends into the
// backdrop.
type scene struct {
	shapes          func(vec) hit
	floor           vec
	horizon, zenith vec // the backdrop at the horizon and above
	eye, target     vec
	zoom            float64 // 1 is wide, 2 is near
	sun, sunColour  vec     // the direction to the main light, and its colour
	ambient         vec     // light from all directions
	bulb, bulbLight vec     // a small lamp; black if there is none
}

// render draws the scene with samplesPerAxis*samplesPerAxis rays a pixel.
func (s scene) render(width, height, samplesPerAxis int) *image.RGBA {
	picture := image.NewRGBA(image.Rect(0, 0, width, height))
	forward := s.target.minus(s.eye).unit()
	right := forward.cross(vec{0, 1, 0}).unit()
	up := right.cross(forward)

	var rows sync.WaitGroup
	for worker := range 2 {
		rows.Go(func() {
			for y := worker; y < height; y += 2 {
				for x := range width {
					var sum vec

					for n := range samplesPerAxis * samplesPerAxis {
						u := (float64(x) + (float64(n%samplesPerAxis)+0.5)/float64(samplesPerAxis) - float64(width)/2) / float64(height)
						v := (float64(height)/2 - float64(y) - (float64(n/samplesPerAxis)+0.5)/float64(samplesPerAxis)) / float64(height)
						ray := forward.times(s.zoom).plus(right.times(u)).plus(up.times(v)).unit()
						sum = sum.plus(toneMap(s.trace(s.eye, ray)))
					}

					setPixel(picture, x, y, sum.times(1/float64(samplesPerAxis*samplesPerAxis)))
				}
			}
		})
	}

	rows.Wait()

	return picture
}

func setPixel(picture *image.RGBA, x, y int, c vec) {
	i := picture.PixOffset(x, y)
	for k, v := range []float64{c.x, c.y, c.z, 1} {
		picture.Pix[i+k] = uint8(clamp(v)*255 + 0.5)
	}
}

// toneMap maps linear light to display values like photographic film, with soft highlights.
func toneMap(c vec) vec {
	bend := func(v float64) float64 {
		v = v * (2.51*v + 0.03) / (v*(2.43*v+0.59) + 0.14)
		return math.Pow(clamp(v), 1/2.2)
	}

	return vec{bend(c.x), bend(c.y), bend(c.z)}
}

func (s scene) backdrop(ray vec) vec {
	return s.horizon.mix(s.zenith, smoothstep(-0.1, 0.75, ray.y))
}

// nearestHit returns the nearest of all shapes and the floor.
func (s scene) nearestHit(p vec) hit {
	return nearer(hit{p.y, material{colour: s.floor, gloss: 0.12}}, s.shapes(p))
}

func (s scene) trace(from, ray vec) vec {
	distance := 0.0
	for range 160 {
		at := from.plus(ray.times(distance))

		h := s.nearestHit(at)
		if h.distance < 0.0006*distance {
			lit := s.shade(at, ray, h.material)
			fromCentre := math.Hypot(at.x, at.z)

			return lit.mix(s.backdrop(ray), smoothstep(2.5, 12, fromCentre))
		}

		distance += h.distance * 0.85
		if distance > 30 {
			break
		}
	}

	return s.backdrop(ray)
}

func (s scene) normal(p vec) vec {
	const e = 0.0008

	d := func(o vec) float64 { return s.nearestHit(p.plus(o)).distance - s.nearestHit(p.minus(o)).distance }

	return vec{d(vec{e, 0, 0}), d(vec{0, e, 0}), d(vec{0, 0, e})}.unit()
}

func (s scene) shade(p, ray vec, m material) vec {
	n := s.normal(p)
	above := p.plus(n.times(0.004))
	visibility := s.ambientVisibility(above, n)
	sun := math.Max(0, n.dot(s.sun)) * s.shadow(above, s.sun, 8)
	light := s.sunColour.times(sun).plus(s.ambient.times(visibility * (0.6 + 0.4*n.y)))

	light = light.plus(s.floor.mul(s.sunColour).times(0.18 * visibility * clamp(0.5-0.5*n.y)))
	if s.bulbLight.length() > 0 {
		toBulb := s.bulb.minus(p)
		distance := toBulb.length()
		toBulb = toBulb.times(1 / distance)
		light = light.plus(s.bulbLight.times(math.Max(0, n.dot(toBulb)) * s.shadow(above, toBulb, distance) / (0.25 + distance*distance)))
	}

	reflected := ray.minus(n.times(2 * n.dot(ray)))
	fresnel := math.Pow(clamp(1+n.dot(ray)), 5)
	reflection := s.backdrop(reflected).times(0.9).plus(softbox(reflected)).times(m.gloss * (0.05 + 0.95*fresnel) * visibility)
	highlight := math.Pow(clamp(reflected.dot(s.sun)), 20+180*m.gloss) * m.gloss * sun

	return m.colour.mul(light).plus(reflection).plus(s.sunColour.times(highlight * 0.7)).plus(m.glow)
}

// softbox is the light of a studio window, reflected in glossy surfaces.
func softbox(ray vec) vec {
	a := smoothstep(0.14, 0.2, ray.x+0.62) * smoothstep(0.14, 0.2, -ray.x-0.08) // a tall pane on the left
	b := smoothstep(-0.05, 0.05, ray.y) * smoothstep(-0.85, -0.75, -ray.y)

	return vec{1, 0.98, 0.95}.times(5 * a * b * smoothstep(-0.2, 0.1, ray.z))
}

func (s scene) shadow(from, direction vec, maxDistance float64) float64 {
	light := 1.0

	at := 0.02
	for range 48 {
		d := s.nearestHit(from.plus(direction.times(at))).distance
		light = math.Min(light, 9*d/at)

		at += math.Max(0.015, math.Min(d, 0.25))
		if light < 0.002 || at > maxDistance {
			break
		}
	}

	return smoothstep(0, 1, light)
}

func (s scene) ambientVisibility(p, n vec) float64 {
	occlusion := 0.0

	for i := range 5 {
		step := 0.04 + 0.14*float64(i)
		occlusion += (step - s.nearestHit(p.plus(n.times(step))).distance) * math.Exp2(-float64(i))
	}

	return clamp(1 - 1.1*occlusion)
}
