package main

import (
	"encoding/binary"
	"math"
)

const rate = 44100 // samples per second

// note is one soft bell: when it starts (seconds), its pitch (half-tones above
// A4), how loud it is, and where it stands from left (-1) to right (1).
type note struct {
	at, pitch, loud, side float64
}

// song is a small rising and falling melody over four held chords.
func song() []note {
	tune := []float64{3, 7, 10, 15, 14, 10, 7, 12, 10, 7, 3, 5, 7, 10, 15, 19, 17, 15}

	var all []note
	for i, pitch := range tune {
		all = append(all, note{at: float64(i) * 0.3, pitch: pitch, loud: 0.30, side: 0.5 * math.Sin(float64(i))})
	}

	for i, chord := range [][]float64{{-21, -9, -5}, {-14, -5, -2}, {-17, -5, 0}, {-21, -9, -2}} {
		for _, pitch := range chord {
			all = append(all, note{at: float64(i) * 1.35, pitch: pitch, loud: 0.16})
		}
	}

	return all
}

// steps is the rover's own sound: a low note where it lands, a high one between.
func steps() []note {
	var all []note

	for hop := range 5 {
		at := (float64(hop) + 0.02) * hopTime
		all = append(all, note{at: at, pitch: -24, loud: 0.34, side: -0.4 + 0.2*float64(hop)},
			note{at: at + hopTime/2, pitch: []float64{3, 7, 10, 14, 15}[hop], loud: 0.2, side: -0.4 + 0.2*float64(hop)})
	}

	return all
}

// samples plays notes for so many seconds: 16 bits, two sides.
func samples(notes []note, seconds float64) []byte {
	total := int(seconds * rate)

	raw := make([]byte, 0, total*4)
	for i := range total {
		at := float64(i) / rate

		var left, right float64

		for _, n := range notes {
			v := n.loud * bell(at-n.at, 440*math.Exp2(n.pitch/12))
			left += v * (1 - n.side) / 2
			right += v * (1 + n.side) / 2
		}

		fade := math.Min(1, (seconds-at)/0.5)
		for _, v := range []float64{left, right} {
			raw = binary.LittleEndian.AppendUint16(raw, uint16(int16(math.Tanh(v*1.4)*fade*30000)))
		}
	}

	return raw
}

// bell is a tone of the frequency t seconds after it was struck.
func bell(t, frequency float64) float64 {
	if t < 0 || t > 3 {
		return 0
	}

	turn := 2 * math.Pi * frequency * t
	tone := math.Sin(turn) + 0.35*math.Sin(2*turn)*math.Exp(-3*t) + 0.15*math.Sin(3*turn)*math.Exp(-6*t)

	return tone * math.Exp(-2.2*t) * math.Min(1, t/0.008)
}
