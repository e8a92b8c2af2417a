package main

import (
	"encoding/binary"
	"math"
)

const sampleRate = 44100 // samples per second

// note is one soft bell: its start (seconds), pitch (semitones above A4), volume, and
// position from left (-1) to right (1).
type note struct {
	at, pitch, volume, pan float64
}

// melodyNotes is a short rising and falling melody over four sustained chords.
func melodyNotes() []note {
	tune := []float64{3, 7, 10, 15, 14, 10, 7, 12, 10, 7, 3, 5, 7, 10, 15, 19, 17, 15}

	var all []note
	for i, pitch := range tune {
		all = append(all, note{at: float64(i) * 0.3, pitch: pitch, volume: 0.30, pan: 0.5 * math.Sin(float64(i))})
	}

	for i, chord := range [][]float64{{-21, -9, -5}, {-14, -5, -2}, {-17, -5, 0}, {-21, -9, -2}} {
		for _, pitch := range chord {
			all = append(all, note{at: float64(i) * 1.35, pitch: pitch, volume: 0.16})
		}
	}

	return all
}

// roverNotes is the rover's sound: a low note when it lands and a high one in between.
func roverNotes() []note {
	var all []note

	for hop := range 5 {
		at := (float64(hop) + 0.02) * hopTime
		all = append(all, note{at: at, pitch: -24, volume: 0.34, pan: -0.4 + 0.2*float64(hop)},
			note{at: at + hopTime/2, pitch: []float64{3, 7, 10, 14, 15}[hop], volume: 0.2, pan: -0.4 + 0.2*float64(hop)})
	}

	return all
}

// samples renders notes to 16-bit stereo samples for so many seconds.
func samples(notes []note, seconds float64) []byte {
	total := int(seconds * sampleRate)

	raw := make([]byte, 0, total*4)
	for i := range total {
		at := float64(i) / sampleRate

		var left, right float64

		for _, n := range notes {
			v := n.volume * bellTone(at-n.at, 440*math.Exp2(n.pitch/12))
			left += v * (1 - n.pan) / 2
			right += v * (1 + n.pan) / 2
		}

		fade := math.Min(1, (seconds-at)/0.5)
		for _, v := range []float64{left, right} {
			raw = binary.LittleEndian.AppendUint16(raw, uint16(int16(math.Tanh(v*1.4)*fade*30000)))
		}
	}

	return raw
}

// bellTone returns a tone of the frequency, t seconds after it was struck.
func bellTone(t, frequency float64) float64 {
	if t < 0 || t > 3 {
		return 0
	}

	phase := 2 * math.Pi * frequency * t
	tone := math.Sin(phase) + 0.35*math.Sin(2*phase)*math.Exp(-3*t) + 0.15*math.Sin(3*phase)*math.Exp(-6*t)

	return tone * math.Exp(-2.2*t) * math.Min(1, t/0.008)
}
