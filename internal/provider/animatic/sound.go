package animatic

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"

	"github.com/unireel/unireel/internal/provider"
)

// sampleRate is the samples per second of every sound track, which is in stereo.
const sampleRate = 48000

// silenceThreshold is the peak below which a video's own sound counts as silence.
const silenceThreshold = 60

// track is a sound track: pairs of samples, left and right, -1 to 1.
type track []float32

// decodeSound decodes a file's sound for so many frames of the video, from frame start. If
// the file is shorter, the rest is silence.
func (t *tools) decodeSound(ctx context.Context, m media, start, frames int) (track, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, decodeTimeout, errTimeout)
	defer cancel()

	pairs := frames * sampleRate / frameRate
	out := &limitedBuffer{limit: 4*pairs + 1<<16}

	args := baseArgs()
	if start > 0 {
		args = append(args, "-ss", strconv.FormatFloat(float64(start)/frameRate, 'f', 3, 64))
	}

	err := t.run(ctx, invocation{program: t.ffmpeg, stdout: out, args: append(args, "-i", m.path, "-map", "0:a:0", "-vn", "-sn",
		"-ac", "2", "-ar", strconv.Itoa(sampleRate), "-t", strconv.FormatFloat(float64(frames)/frameRate, 'f', 3, 64), "-f", "s16le", "pipe:1")})
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}

		return nil, badReference(m.param, "The sound cannot be decoded: it is damaged or cut off. Send it again.", err)
	}

	s := make(track, 2*pairs)
	for i := range min(len(s), len(out.buf)/2) {
		s[i] = float32(int16(binary.LittleEndian.Uint16(out.buf[2*i:]))) / 32768
	}

	return s, nil
}

// makeSound makes the video's sound track: the guide if there is one, else the source
// videos' own sound in their segments over quiet background sound.
func (c *composer) makeSound(ctx context.Context) (string, error) {
	if !c.submission.Sound {
		return "", nil
	}

	if c.guide != nil {
		s, err := c.tools.decodeSound(ctx, *c.guide, 0, c.frames)
		if err != nil {
			return "", err
		}

		return c.writeSound(s)
	}

	s := backgroundSound(c.rng(saltSound), c.frames*sampleRate/frameRate)
	for _, shot := range c.shots {
		if c.submission.Mode == provider.T2V || !c.sources[shot.source].sound {
			continue
		}

		own, err := c.tools.decodeSound(ctx, c.sources[shot.source], shot.sourceStart, shot.to-shot.from)
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}

		if err == nil && own.peak()*32768 > silenceThreshold {
			s.mixIn(own, 2*shot.from*sampleRate/frameRate)
		}
	}

	return c.writeSound(s)
}

func (c *composer) writeSound(s track) (string, error) {
	path := filepath.Join(c.folder, "sound")

	raw := make([]byte, 2*len(s))
	for i, v := range s {
		binary.LittleEndian.PutUint16(raw[2*i:], uint16(int16(math.Max(-1, math.Min(1, float64(v)))*32767)))
	}

	if err := os.WriteFile(path, raw, 0o600); err != nil {
		return "", fmt.Errorf("write sound: %w", err)
	}

	return path, nil
}

func (s track) peak() float64 {
	peak := float32(0)
	for _, v := range s {
		peak = max(peak, v, -v)
	}

	return float64(peak)
}

// mixIn fades clipSound in and out over s from sample at, and lowers s meanwhile.
func (s track) mixIn(clipSound track, at int) {
	const fade = sampleRate / 20 * 2

	for i, v := range clipSound {
		if at+i >= len(s) {
			return
		}

		k := float32(min(1, float64(min(i, len(clipSound)-i))/fade))
		s[at+i] = s[at+i]*(1-0.85*k) + v*k
	}
}

// chordIntervals are the chords of the background sound, in semitones.
var chordIntervals = [...][5]float64{{0, 3, 7, 10, 14}, {0, 4, 7, 11, 14}, {0, 5, 7, 12, 14}}

// backgroundSound is a quiet chord that swells slowly, with a few plucked notes above it.
func backgroundSound(rng *rand.Rand, pairs int) track {
	s := make(track, 2*pairs)
	root := 98 * math.Exp2(float64(rng.IntN(12))/12)

	intervals := chordIntervals[rng.IntN(len(chordIntervals))]
	for i, halfTones := range intervals[:4] {
		pitch := root * math.Exp2(halfTones/12)
		for side := range 2 {
			// The two sides differ slightly in pitch, which makes the sound wide.
			step := 2 * math.Pi * (pitch + 0.4*float64(2*side-1)) / sampleRate
			phase := 6 * rng.Float64()
			breath := 2 * math.Pi * (0.09 + 0.05*rng.Float64()) / sampleRate
			gain := 0.022 / (1 + 0.35*float64(i))

			for n := range pairs {
				t := float64(n)
				s[2*n+side] += float32(gain * (0.7 + 0.3*math.Sin(breath*t+phase)) * math.Sin(step*t+phase))
			}
		}
	}

	beat := int(sampleRate * (0.42 + 0.2*rng.Float64()))
	for at := beat / 2; at < pairs; at += beat * (1 + rng.IntN(2)) {
		s.addNote(at, 2*root*math.Exp2(intervals[rng.IntN(5)]/12), 0.3+0.4*rng.Float64())
	}

	s.fadeEnds()

	return s
}

// addNote adds a decaying note; pan is 0 (left) to 1.
func (s track) addNote(at int, pitch, pan float64) {
	for n := range min(sampleRate, len(s)/2-at) {
		t := float64(n) / sampleRate
		v := 0.05 * math.Exp(-5*t) * math.Min(1, t*250) * (math.Sin(2*math.Pi*pitch*t) + 0.3*math.Sin(4*math.Pi*pitch*t))
		s[2*(at+n)] += float32(v * (1 - pan))
		s[2*(at+n)+1] += float32(v * pan)
	}
}

// fadeEnds fades the track in and out, over a fifth of a second each.
func (s track) fadeEnds() {
	const fade = sampleRate / 5 * 2
	for i := range s {
		s[i] *= float32(math.Min(1, float64(min(i+200, len(s)-i+200))/fade))
	}
}
