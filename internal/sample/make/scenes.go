package main

import "math"

// vase is a hand-dipped vase with a branch of berries in a warm studio.
func vase() scene {
	clay := material{colour: vec{0.62, 0.17, 0.075}, gloss: 0.12}
	glaze := material{colour: vec{0.86, 0.78, 0.64}, gloss: 0.75}
	twig := material{colour: vec{0.12, 0.06, 0.03}, gloss: 0.05}
	berry := material{colour: vec{0.72, 0.30, 0.03}, gloss: 0.7}
	branches := [][]vec{
		{{0, 1.3, 0}, {0.12, 2.35, 0.02}, {0.5, 3.05, 0.1}, {0.72, 3.55, 0.0}},
		{{0, 1.3, 0}, {-0.1, 2.3, 0}, {-0.42, 2.85, -0.1}, {-0.85, 3.12, 0.05}},
		{{0, 1.3, 0}, {0.0, 2.45, -0.1}, {-0.12, 3.1, -0.15}, {-0.1, 3.72, -0.1}},
	}
	berries := []vec{
		{0.5, 3.12, 0.2},
		{0.66, 3.28, -0.04},
		{0.74, 3.58, 0.04},
		{0.38, 2.82, 0.16},
		{0.86, 3.42, 0.1},
		{-0.44, 2.95, 0.02},
		{-0.62, 2.9, 0.0},
		{-0.86, 3.16, 0.06},
		{-0.74, 3.2, -0.1},
		{-0.3, 2.62, 0.06},
		{-0.14, 3.25, -0.02},
		{0, 3.42, -0.14},
		{-0.2, 3.5, -0.1},
		{-0.1, 3.76, -0.08},
		{0.02, 3.05, -0.06},
	}

	return scene{
		floor:     vec{0.80, 0.52, 0.38},
		horizon:   vec{0.80, 0.50, 0.36},
		zenith:    vec{0.93, 0.70, 0.54},
		eye:       vec{0, 2.35, 8.4},
		target:    vec{0, 1.78, 0},
		zoom:      1.75,
		sun:       vec{-0.62, 0.72, 0.52}.unit(),
		sunColour: vec{1.75, 1.52, 1.25},
		ambient:   vec{0.42, 0.38, 0.38},
		shapes: func(p vec) hit {
			side := revolvedSide(p, 2.2, []float64{0.46, 0.80, 0.98, 0.98, 0.80, 0.52, 0.33, 0.29, 0.40})
			outside := math.Max(side, math.Max(p.y-2.2, -p.y))
			inside := math.Max(side+0.045, 0.1-p.y)
			m := clay

			around := math.Atan2(p.z, p.x)
			if p.y > 1.02+0.10*math.Sin(2*around+0.6)+0.03*math.Sin(5*around) {
				m = glaze
			}

			best := hit{math.Max(outside, -inside) - 0.012, m}
			if p.y < 1.2 {
				return best
			}

			if off := sphere(p.minus(vec{0, 2.9, 0}), 1.3); off > 0.2 {
				return nearer(best, hit{off, twig})
			}

			for _, b := range branches {
				for i := range 3 {
					best = nearer(best, hit{capsule(p, b[i], b[i+1], 0.022-0.005*float64(i)), twig})
				}
			}

			for i, b := range berries {
				best = nearer(best, hit{sphere(p.minus(b), 0.085+0.012*float64(i%3)), berry})
			}

			return best
		},
	}
}

// lamp is an enamel table lamp at dusk, next to two books.
func lamp() scene {
	enamel := material{colour: vec{0.015, 0.20, 0.22}, gloss: 0.9}
	brass := material{colour: vec{0.62, 0.36, 0.09}, gloss: 0.8}
	opal := material{colour: vec{0.9, 0.8, 0.6}, glow: vec{3.2, 1.9, 0.75}}
	rose := material{colour: vec{0.55, 0.13, 0.16}, gloss: 0.15}
	mustard := material{colour: vec{0.62, 0.36, 0.05}, gloss: 0.15}
	paper := material{colour: vec{0.8, 0.72, 0.58}}

	return scene{
		floor:     vec{0.10, 0.16, 0.24},
		horizon:   vec{0.055, 0.10, 0.17},
		zenith:    vec{0.02, 0.035, 0.085},
		eye:       vec{0.2, 2.0, 8.4},
		target:    vec{-0.32, 1.28, 0},
		zoom:      1.9,
		sun:       vec{-0.7, 0.6, 0.5}.unit(),
		sunColour: vec{0.34, 0.42, 0.58},
		ambient:   vec{0.15, 0.19, 0.27},
		bulb:      vec{0, 1.22, 0.36},
		bulbLight: vec{8.5, 4.5, 1.6},
		shapes: func(p vec) hit {
			dome := p.minus(vec{0, 1.55, 0})
			shade := math.Max(math.Abs(ellipsoid(dome, vec{1.18, 0.98, 1.18}))-0.03, -dome.y)
			best := hit{shade * 0.8, enamel}

			inner := math.Hypot(dome.x, dome.z) < 1.14 && dome.y < 0.93 && ellipsoid(dome, vec{1.165, 0.965, 1.165}) < 0
			if inner {
				best.material = material{colour: vec{0.9, 0.85, 0.75}, glow: vec{0.25, 0.15, 0.06}}
			}

			best = nearer(best, hit{capsule(p, vec{0, 2.5, 0}, vec{0, 2.62, 0}, 0.07), brass})
			best = nearer(best, hit{capsule(p, vec{0, 0.1, 0}, vec{0, 1.5, 0}, 0.055), brass})
			best = nearer(best, hit{revolved(p, 0.2, []float64{0.62, 0.62, 0.58, 0.2, 0.07}) - 0.01, brass})
			best = nearer(best, hit{sphere(p.minus(vec{0, 1.52, 0}), 0.24), opal})
			best = nearer(best, book(p.minus(vec{-1.5, 0.13, 0.5}), 0.35, rose, paper))

			return nearer(best, book(p.minus(vec{-1.46, 0.39, 0.5}), -0.12, mustard, paper))
		},
	}
}

// book is a book that lies flat, rotated by angle around the vertical axis.
func book(p vec, angle float64, cover, pages material) hit {
	sin, cos := math.Sincos(angle)
	p = vec{cos*p.x + sin*p.z, p.y, cos*p.z - sin*p.x}
	whole := box(p, vec{0.62, 0.12, 0.44}, 0.03)
	leaves := box(p.minus(vec{0.03, 0, 0.03}), vec{0.61, 0.085, 0.43}, 0.01)
	bound := math.Max(whole, -box(p.minus(vec{0.1, 0, 0.1}), vec{0.62, 0.085, 0.44}, 0.005))

	return nearer(hit{bound, cover}, hit{leaves, pages})
}

// hopTime is the duration of one hop of the rover, in seconds.
const hopTime = 0.9

// rover is a small round robot that hops along a shore of pebbles, seen by a camera that
// follows it. t is in seconds.
func rover(t float64) scene {
	hop := math.Mod(t, hopTime) / hopTime
	rise := 4 * hop * (1 - hop)
	squash := 1 + 0.10*rise - 0.16*math.Exp(-90*math.Min(hop, 1-hop)*math.Min(hop, 1-hop)*4)
	along := -2.3 + 4.6*smoothstep(-0.6, 5.1, t)
	centre := vec{along, 0.62*squash + 0.55*rise, 0}
	heading := 0.45 + 0.35*math.Sin(t*1.9)
	sin, cos := math.Sincos(heading)
	stones := layPebbles()
	shell := material{colour: vec{0.80, 0.20, 0.025}, gloss: 0.8}
	white := material{colour: vec{0.85, 0.82, 0.76}, gloss: 0.5}
	glass := material{colour: vec{0.01, 0.015, 0.03}, gloss: 1}
	eyes := material{glow: vec{0.35, 1.7, 1.9}}
	tip := material{colour: vec{0.9, 0.7, 0.2}, glow: vec{1.4, 0.7, 0.12}.times(0.6 + 0.4*math.Sin(t*9))}
	stone := material{colour: vec{0.10, 0.15, 0.21}, gloss: 0.3}

	return scene{
		floor:     vec{0.13, 0.20, 0.28},
		horizon:   vec{0.90, 0.42, 0.22},
		zenith:    vec{0.06, 0.16, 0.33},
		eye:       vec{along*0.55 + 0.6, 1.15, 6.2},
		target:    vec{along * 0.72, 0.95, 0},
		zoom:      1.35,
		sun:       vec{0.55, 0.42, 0.50}.unit(),
		sunColour: vec{1.9, 1.25, 0.75},
		ambient:   vec{0.26, 0.34, 0.50},
		shapes: func(p vec) hit {
			ground := pebbles(p, stones, stone)

			q := p.minus(centre)
			if off := sphere(q, 1.15); off > 0.2 {
				return nearer(ground, hit{off, shell})
			}

			q = vec{q.x * math.Sqrt(squash), q.y / squash, q.z * math.Sqrt(squash)}
			f := vec{cos*q.x - sin*q.z, q.y, sin*q.x + cos*q.z} // in the rover's own axes: f.z points ahead

			m := shell
			if math.Abs(f.y+0.12) < 0.05 {
				m = white
			}

			if f.z > 0.1 && math.Hypot(f.x/0.40, (f.y-0.13)/0.25) < 1 {
				m = glass
			} else if f.z > 0.1 && math.Hypot(f.x/0.45, (f.y-0.13)/0.30) < 1 {
				m = white
			}

			if e := math.Hypot((math.Abs(f.x)-0.15)/0.055, (f.y-0.13)/0.10); f.z > 0.1 && e < 1 {
				m = eyes
			}

			best := hit{sphere(q, 0.6) * 0.8, m}
			best = nearer(best, hit{capsule(q, vec{0, 0.58, 0}, vec{-0.06, 0.92, 0}, 0.022) * 0.8, white})
			best = nearer(best, hit{sphere(q.minus(vec{-0.06, 0.95, 0}), 0.075) * 0.8, tip})
			ear := vec{math.Abs(f.x), f.y, f.z}
			best = nearer(best, hit{ellipsoid(ear.minus(vec{0.6, 0.05, 0}), vec{0.08, 0.18, 0.18}) * 0.8, white})

			return nearer(best, ground)
		},
	}
}

// pebble is one pebble: its position and its radii.
type pebble struct{ position, radii vec }

// layPebbles places pebbles behind and in front of the rover's path, in various sizes.
func layPebbles() []pebble {
	var all []pebble

	for i := range 14 {
		at := float64(i)

		place := vec{-4.2 + at*0.66 + 0.3*math.Sin(at*7), 0.02, -1.5 + 0.7*math.Sin(at*2.3)}
		if i%4 == 0 {
			place.z = 1.7 + 0.3*math.Sin(at)
		}

		size := 0.14 + 0.11*math.Abs(math.Sin(at*3.7))
		all = append(all, pebble{place, vec{size * 1.5, size, size * 1.2}})
	}

	return all
}

func pebbles(p vec, all []pebble, m material) hit {
	if p.y > 0.6 {
		return hit{p.y - 0.4, m}
	}

	best := hit{9, m}

	for _, s := range all {
		// Far from a pebble its bounding sphere is accurate enough, and faster.
		q := p.minus(s.position)
		if q.dot(q) > 1 {
			best.distance = math.Min(best.distance, math.Sqrt(q.dot(q))-s.radii.x)
			continue
		}

		best.distance = math.Min(best.distance, ellipsoid(q, s.radii))
	}

	return best
}
