package animatic

import (
	"math"
	"math/rand/v2"
)

// shot is a part of the video that shows one source with one camera move. It is visible
// on the frames [from, to). A shot that fades in shares its first fade frames with the
// shot before it.
type shot struct {
	from, to    int
	fade        int
	source      int
	sourceStart int // the first frame to show of a video source
	framing     framing
}

// Lengths in frames.
const (
	maxFadeFrames = 26 // the longest cross-fade of a continuous shot
	maxShots      = 40
)

// planShots divides the video among n sources: each has one segment, in their order and of
// equal length. With several shots a segment is cut into framings; a single shot fades
// from segment to segment.
func planShots(rng *rand.Rand, n, frames int, multi bool) []shot {
	if !multi {
		return planFades(n, frames)
	}

	seconds := float64(frames) / frameRate
	perSource := max((3+n-1)/n, int(math.Round(seconds/(1.9*float64(n)))))
	perSource = min(perSource, max(1, maxShots/n))
	shots := make([]shot, 0, n*perSource)
	first := framing(rng.IntN(2)) * pan

	for segment := range n {
		start := segment * frames / n
		end := (segment + 1) * frames / n

		for i := range perSource {
			// The first shot of a segment is the establishing shot, and the longest one.
			at := start

			if i > 0 {
				u := float64(i) / float64(perSource)
				at += int(float64(end-start) * (u + 0.12*(1-u)*(0.7+0.6*rng.Float64())))
			}

			shotFraming := []framing{wide, closeUp, pan}[i%3]
			if i == 0 {
				shotFraming = (first + framing(segment%2)*pan) % (2 * pan)
			}

			shots = append(shots, shot{from: at, source: segment, framing: shotFraming})
		}
	}

	adjustShots(shots, frames)

	return shots
}

// planFades plans one continuous shot that fades from segment to segment.
func planFades(n, frames int) []shot {
	shots := make([]shot, n)

	fade := min(maxFadeFrames, frames/n*2/3)
	for i := range shots {
		shots[i] = shot{from: i * frames / n, source: i, framing: []framing{wide, pan}[i%2]}
		if i > 0 {
			shots[i].fade = fade
			shots[i].from -= fade / 2
		}
	}

	adjustShots(shots, frames)

	return shots
}

// adjustShots ends each shot where the next one is fully visible, and keeps cuts and fades
// away from a third of the length, where the thumbnail is taken.
func adjustShots(shots []shot, frames int) {
	thumbnailFrame := frames / 3

	for i := 1; i < len(shots); i++ {
		s := &shots[i]
		if s.from <= thumbnailFrame+2 && s.from+s.fade+10 > thumbnailFrame && len(shots) < frames/15 {
			moved := thumbnailFrame + 2
			if i+1 == len(shots) || shots[i+1].from > moved+10 {
				s.from = moved
				if s.fade > 0 { // the fade must end before the middle of its segment
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
