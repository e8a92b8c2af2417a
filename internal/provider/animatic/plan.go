package animatic

import (
	"math"
	"math/rand/v2"
)

// shot is a part of the film that shows one source with one move of the camera.
// It is seen on the frames [from, to). A shot that fades in shares its first
// fade frames with the shot before it.
type shot struct {
	from, to int
	fade     int
	source   int
	start    int // of a video: which of its frames comes first
	how      framing
}

// Lengths in frames.
const (
	slowFade  = 26 // the longest cross-fade of a continuous shot
	mostShots = 40
)

// plan divides the film among n sources: each has its turn, in their order and of
// equal length. Several shots cut the turns into framings; a single shot fades
// from turn to turn.
func plan(rng *rand.Rand, n, frames int, several bool) []shot {
	if !several {
		return single(n, frames)
	}

	seconds := float64(frames) / rate
	each := max((3+n-1)/n, int(math.Round(seconds/(1.9*float64(n)))))
	each = min(each, max(1, mostShots/n))
	shots := make([]shot, 0, n*each)
	first := framing(rng.IntN(2)) * side

	for turn := range n {
		start := turn * frames / n
		end := (turn + 1) * frames / n

		for i := range each {
			// The first shot of a turn establishes: it is the longest.
			at := start

			if i > 0 {
				u := float64(i) / float64(each)
				at += int(float64(end-start) * (u + 0.12*(1-u)*(0.7+0.6*rng.Float64())))
			}

			how := []framing{wide, near, side}[i%3]
			if i == 0 {
				how = (first + framing(turn%2)*side) % (2 * side)
			}

			shots = append(shots, shot{from: at, source: turn, how: how})
		}
	}

	finish(shots, frames)

	return shots
}

// single fades from turn to turn.
func single(n, frames int) []shot {
	shots := make([]shot, n)

	fade := min(slowFade, frames/n*2/3)
	for i := range shots {
		shots[i] = shot{from: i * frames / n, source: i, how: []framing{wide, side}[i%2]}
		if i > 0 {
			shots[i].fade = fade
			shots[i].from -= fade / 2
		}
	}

	finish(shots, frames)

	return shots
}

// finish ends each shot where the next one is fully seen, and keeps cuts and fades
// away from a third of the film, where its thumbnail is taken.
func finish(shots []shot, frames int) {
	still := frames / 3

	for i := 1; i < len(shots); i++ {
		s := &shots[i]
		if s.from <= still+2 && s.from+s.fade+10 > still && len(shots) < frames/15 {
			moved := still + 2
			if i+1 == len(shots) || shots[i+1].from > moved+10 {
				s.from = moved
				if s.fade > 0 { // it is over when its turn is half over
					s.fade = max(4, min(s.fade, (2*i+1)*frames/(2*len(shots))-moved-2))
				}
			}
		}
	}

	for i := range shots {
		shots[i].to = frames
		if i+1 < len(shots) {
			shots[i].to = shots[i+1].from + shots[i+1].fade
		}
	}
}
