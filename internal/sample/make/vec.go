package main

import "math"

type vec struct{ x, y, z float64 }

func (a vec) plus(b vec) vec           { return vec{a.x + b.x, a.y + b.y, a.z + b.z} }
func (a vec) minus(b vec) vec          { return vec{a.x - b.x, a.y - b.y, a.z - b.z} }
func (a vec) times(k float64) vec      { return vec{a.x * k, a.y * k, a.z * k} }
func (a vec) mul(b vec) vec            { return vec{a.x * b.x, a.y * b.y, a.z * b.z} }
func (a vec) dot(b vec) float64        { return a.x*b.x + a.y*b.y + a.z*b.z }
func (a vec) length() float64          { return math.Sqrt(a.dot(a)) }
func (a vec) unit() vec                { return a.times(1 / a.length()) }
func (a vec) cross(b vec) vec          { return vec{a.y*b.z - a.z*b.y, a.z*b.x - a.x*b.z, a.x*b.y - a.y*b.x} }
func (a vec) mix(b vec, t float64) vec { return a.times(1 - t).plus(b.times(t)) }

func clamp(v float64) float64 { return math.Max(0, math.Min(1, v)) }

func smoothstep(from, to, v float64) float64 {
	t := clamp((v - from) / (to - from))
	return t * t * (3 - 2*t)
}

// Distances to shapes around the origin.

func sphere(p vec, r float64) float64 { return p.length() - r }

func ellipsoid(p, r vec) float64 {
	k := vec{p.x / r.x, p.y / r.y, p.z / r.z}.length()
	return (k - 1) * math.Min(r.x, math.Min(r.y, r.z))
}

func box(p, half vec, round float64) float64 {
	q := vec{math.Abs(p.x) - half.x + round, math.Abs(p.y) - half.y + round, math.Abs(p.z) - half.z + round}
	out := vec{math.Max(q.x, 0), math.Max(q.y, 0), math.Max(q.z, 0)}.length()

	return out + math.Min(math.Max(q.x, math.Max(q.y, q.z)), 0) - round
}

func capsule(p, a, b vec, r float64) float64 {
	pa := p.minus(a)
	ba := b.minus(a)

	return pa.minus(ba.times(clamp(pa.dot(ba)/ba.dot(ba)))).length() - r
}

// revolved is the distance to a solid of revolution whose radii are given at equal
// intervals of height from 0 to top.
func revolved(p vec, top float64, radii []float64) float64 {
	return math.Max(revolvedSide(p, top, radii), math.Max(p.y-top, -p.y))
}

// revolvedSide is the distance to the side of a solid of revolution, without its ends.
func revolvedSide(p vec, top float64, radii []float64) float64 {
	at := clamp(p.y/top) * float64(len(radii)-1)
	i := min(int(at), len(radii)-2)
	get := func(k int) float64 { return radii[max(0, min(k, len(radii)-1))] }
	t := at - float64(i)
	a := get(i - 1)
	b := get(i)
	c := get(i + 1)
	d := get(i + 2)
	r := b + 0.5*t*(c-a+t*(2*a-5*b+4*c-d+t*(3*(b-c)+d-a)))

	return (math.Sqrt(p.x*p.x+p.z*p.z) - r) * 0.6
}

// nearer returns the nearer of two hits.
func nearer(a, b hit) hit {
	if b.distance < a.distance {
		return b
	}

	return a
}
