package main

import "math"

// vase is a hand-dipped vase with a branch of berries in a warm studio.
func vase() scene {
	clay := stuff{colour: vec{0.62, 0.17, 0.075}, gloss: 0.12}
	glaze := stuff{colour: vec{0.86, 0.78, 0.64}, gloss: 0.75}
	twig := stuff{colour: vec{0.12, 0.06, 0.03}, gloss: 0.05}
	berry := stuff{colour: vec{0.72, 0.30, 0.03}, gloss: 0.7}
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
		floor: vec{0.80, 0.52, 0.38}, low: vec{0.80, 0.50, 0.36}, high: vec{0.93, 0.70, 0.54},
		eye: vec{0, 2.35, 8.4}, target: vec{0, 1.78, 0}, zoom: 1.75,
		sun: vec{-0.62, 0.72, 0.52}.unit(), sunColour: vec{1.75, 1.52, 1.25}, sky: vec{0.42, 0.38, 0.38},
		things: func(p vec) hit {
			side := wall(p, 2.2, []float64{0.46, 0.80, 0.98, 0.98, 0.80, 0.52, 0.33, 0.29, 0.40})
			outside := math.Max(side, math.Max(p.y-2.2, -p.y))
			inside := math.Max(side+0.045, 0.1-p.y)
			of := clay

			around := math.Atan2(p.z, p.x)
			if p.y > 1.02+0.10*math.Sin(2*around+0.6)+0.03*math.Sin(5*around) {
				of = glaze
			}

			best := hit{math.Max(outside, -inside) - 0.012, of}
			if p.y < 1.2 {
				return best
			}

			if off := ball(p.minus(vec{0, 2.9, 0}), 1.3); off > 0.2 {
				return near(best, hit{off, twig})
			}

			for _, b := range branches {
				for i := range 3 {
					best = near(best, hit{rod(p, b[i], b[i+1], 0.022-0.005*float64(i)), twig})
				}
			}

			for i, b := range berries {
				best = near(best, hit{ball(p.minus(b), 0.085+0.012*float64(i%3)), berry})
			}

			return best
		},
	}
}

// lamp is an enamel table lamp at dusk beside two books.
func lamp() scene {
	enamel := stuff{colour: vec{0.015, 0.20, 0.22}, gloss: 0.9}
	brass := stuff{colour: vec{0.62, 0.36, 0.09}, gloss: 0.8}
	opal := stuff{colour: vec{0.9, 0.8, 0.6}, glow: vec{3.2, 1.9, 0.75}}
	rose := stuff{colour: vec{0.55, 0.13, 0.16}, gloss: 0.15}
	mustard := stuff{colour: vec{0.62, 0.36, 0.05}, gloss: 0.15}
	paper := stuff{colour: vec{0.8, 0.72, 0.58}}

	return scene{
		floor: vec{0.10, 0.16, 0.24}, low: vec{0.055, 0.10, 0.17}, high: vec{0.02, 0.035, 0.085},
		eye: vec{0.2, 2.0, 8.4}, target: vec{-0.32, 1.28, 0}, zoom: 1.9,
		sun: vec{-0.7, 0.6, 0.5}.unit(), sunColour: vec{0.34, 0.42, 0.58}, sky: vec{0.15, 0.19, 0.27},
		bulb: vec{0, 1.22, 0.36}, bulbLight: vec{8.5, 4.5, 1.6},
		things: func(p vec) hit {
			dome := p.minus(vec{0, 1.55, 0})
			shade := math.Max(math.Abs(ellipsoid(dome, vec{1.18, 0.98, 1.18}))-0.03, -dome.y)
			best := hit{shade * 0.8, enamel}

			inner := math.Hypot(dome.x, dome.z) < 1.14 && dome.y < 0.93 && ellipsoid(dome, vec{1.165, 0.965, 1.165}) < 0
			if inner {
				best.of = stuff{colour: vec{0.9, 0.85, 0.75}, glow: vec{0.25, 0.15, 0.06}}
			}

			best = near(best, hit{rod(p, vec{0, 2.5, 0}, vec{0, 2.62, 0}, 0.07), brass})
			best = near(best, hit{rod(p, vec{0, 0.1, 0}, vec{0, 1.5, 0}, 0.055), brass})
			best = near(best, hit{turned(p, 0.2, []float64{0.62, 0.62, 0.58, 0.2, 0.07}) - 0.01, brass})
			best = near(best, hit{ball(p.minus(vec{0, 1.52, 0}), 0.24), opal})
			best = near(best, book(p.minus(vec{-1.5, 0.13, 0.5}), 0.35, rose, paper))

			return near(best, book(p.minus(vec{-1.46, 0.39, 0.5}), -0.12, mustard, paper))
		},
	}
}

// book lies flat, turned about the upright axis.
func book(p vec, angle float64, cover, pages stuff) hit {
	sin, cos := math.Sincos(angle)
	p = vec{cos*p.x + sin*p.z, p.y, cos*p.z - sin*p.x}
	whole := box(p, vec{0.62, 0.12, 0.44}, 0.03)
	leaves := box(p.minus(vec{0.03, 0, 0.03}), vec{0.61, 0.085, 0.43}, 0.01)
	bound := math.Max(whole, -box(p.minus(vec{0.1, 0, 0.1}), vec{0.62, 0.085, 0.44}, 0.005))

	return near(hit{bound, cover}, hit{leaves, pages})
}

// hopTime is how long one hop of the rover takes, in seconds.
const hopTime = 0.9

// rover is a small round explorer that hops along a shore of pebbles, seen by a
// camera that follows it. t is in seconds.
func rover(t float64) scene {
	hop := math.Mod(t, hopTime) / hopTime
	rise := 4 * hop * (1 - hop)
	squash := 1 + 0.10*rise - 0.16*math.Exp(-90*math.Min(hop, 1-hop)*math.Min(hop, 1-hop)*4)
	along := -2.3 + 4.6*smooth(-0.6, 5.1, t)
	centre := vec{along, 0.62*squash + 0.55*rise, 0}
	look := 0.45 + 0.35*math.Sin(t*1.9)
	sin, cos := math.Sincos(look)
	stones := shore()
	shell := stuff{colour: vec{0.80, 0.20, 0.025}, gloss: 0.8}
	white := stuff{colour: vec{0.85, 0.82, 0.76}, gloss: 0.5}
	glass := stuff{colour: vec{0.01, 0.015, 0.03}, gloss: 1}
	eyes := stuff{glow: vec{0.35, 1.7, 1.9}}
	tip := stuff{colour: vec{0.9, 0.7, 0.2}, glow: vec{1.4, 0.7, 0.12}.times(0.6 + 0.4*math.Sin(t*9))}
	stone := stuff{colour: vec{0.10, 0.15, 0.21}, gloss: 0.3}

	return scene{
		floor: vec{0.13, 0.20, 0.28}, low: vec{0.90, 0.42, 0.22}, high: vec{0.06, 0.16, 0.33},
		eye: vec{along*0.55 + 0.6, 1.15, 6.2}, target: vec{along * 0.72, 0.95, 0}, zoom: 1.35,
		sun: vec{0.55, 0.42, 0.50}.unit(), sunColour: vec{1.9, 1.25, 0.75}, sky: vec{0.26, 0.34, 0.50},
		things: func(p vec) hit {
			ground := pebbles(p, stones, stone)

			q := p.minus(centre)
			if off := ball(q, 1.15); off > 0.2 {
				return near(ground, hit{off, shell})
			}

			q = vec{q.x * math.Sqrt(squash), q.y / squash, q.z * math.Sqrt(squash)}
			f := vec{cos*q.x - sin*q.z, q.y, sin*q.x + cos*q.z} // f.z looks ahead

			of := shell
			if math.Abs(f.y+0.12) < 0.05 {
				of = white
			}

			if f.z > 0.1 && math.Hypot(f.x/0.40, (f.y-0.13)/0.25) < 1 {
				of = glass
			} else if f.z > 0.1 && math.Hypot(f.x/0.45, (f.y-0.13)/0.30) < 1 {
				of = white
			}

			if e := math.Hypot((math.Abs(f.x)-0.15)/0.055, (f.y-0.13)/0.10); f.z > 0.1 && e < 1 {
				of = eyes
			}

			best := hit{ball(q, 0.6) * 0.8, of}
			best = near(best, hit{rod(q, vec{0, 0.58, 0}, vec{-0.06, 0.92, 0}, 0.022) * 0.8, white})
			best = near(best, hit{ball(q.minus(vec{-0.06, 0.95, 0}), 0.075) * 0.8, tip})
			ear := vec{math.Abs(f.x), f.y, f.z}
			best = near(best, hit{ellipsoid(ear.minus(vec{0.6, 0.05, 0}), vec{0.08, 0.18, 0.18}) * 0.8, white})

			return near(best, ground)
		},
	}
}

// pebble is one stone: where it lies and how far it reaches.
type pebble struct{ place, reach vec }

// shore lays pebbles behind and before the way, each of its own size.
func shore() []pebble {
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

func pebbles(p vec, all []pebble, of stuff) hit {
	if p.y > 0.6 {
		return hit{p.y - 0.4, of}
	}

	best := hit{9, of}

	for _, s := range all {
		// Far from a stone its ball is near enough, and quicker.
		q := p.minus(s.place)
		if q.dot(q) > 1 {
			best.distance = math.Min(best.distance, math.Sqrt(q.dot(q))-s.reach.x)
			continue
		}

		best.distance = math.Min(best.distance, ellipsoid(q, s.reach))
	}

	return best
}
