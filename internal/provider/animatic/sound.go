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

// hertz is the samples per second of every sound track; it is in stereo.
const hertz = 48000

// quietest is the loudest sample below which a video's own sound counts as none.
const quietest = 60

// track is a sound track: pairs of samples, left and right, -1 to 1.
type track []float32

// decodeSound reads frames (of the film) of a file's sound, from frame start.
// What the file lacks at its end is silence.
func (t *tools) decodeSound(ctx context.Context, m media, start, frames int) (track, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, decodeTime, errSlow)
	defer cancel()

	pairs := frames * hertz / rate
	out := &limited{limit: 4*pairs + 1<<16}

	args := quiet()
	if start > 0 {
		args = append(args, "-ss", strconv.FormatFloat(float64(start)/rate, 'f', 3, 64))
	}

	err := t.run(ctx, call{program: t.ffmpeg, out: out, args: append(args, "-i", m.path, "-map", "0:a:0", "-vn", "-sn",
		"-ac", "2", "-ar", strconv.Itoa(hertz), "-t", strconv.FormatFloat(float64(frames)/rate, 'f', 3, 64), "-f", "s16le", "pipe:1")})
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}

		return nil, badReference(m.param, "The sound cannot be decoded: it is damaged or cut short. Send it again.", err)
	}

	s := make(track, 2*pairs)
	for i := range min(len(s), len(out.kept)/2) {
		s[i] = float32(int16(binary.LittleEndian.Uint16(out.kept[2*i:]))) / 32768
	}

	return s, nil
}

// sound makes the film's sound track: the guide; else the videos' own sound at
// their turns over a quiet bed; else the bed.
func (f *film) sound(ctx context.Context) (string, error) {
	if !f.order.Sound {
		return "", nil
	}

	if f.guide != nil {
		s, err := f.tools.decodeSound(ctx, *f.guide, 0, f.frames)
		if err != nil {
			return "", err
		}

		return f.keepSound(s)
	}

	s := bed(f.rng(saltSound), f.frames*hertz/rate)
	for _, shot := range f.shots {
		if f.order.Mode == provider.T2V || !f.sources[shot.source].sound {
			continue
		}

		own, err := f.tools.decodeSound(ctx, f.sources[shot.source], shot.start, shot.to-shot.from)
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}

		if err == nil && own.loudest()*32768 > quietest {
			s.cutIn(own, 2*shot.from*hertz/rate)
		}
	}

	return f.keepSound(s)
}

func (f *film) keepSound(s track) (string, error) {
	path := filepath.Join(f.folder, "sound")

	raw := make([]byte, 2*len(s))
	for i, v := range s {
		binary.LittleEndian.PutUint16(raw[2*i:], uint16(int16(math.Max(-1, math.Min(1, float64(v)))*32767)))
	}

	if err := os.WriteFile(path, raw, 0o600); err != nil {
		return "", fmt.Errorf("keep sound: %w", err)
	}

	return path, nil
}

func (s track) loudest() float64 {
	most := float32(0)
	for _, v := range s {
		most = max(most, v, -v)
	}

	return float64(most)
}

// cutIn lays own over s from sample at, softly at both ends, with s low beneath.
func (s track) cutIn(own track, at int) {
	const soft = hertz / 20 * 2

	for i, v := range own {
		if at+i >= len(s) {
			return
		}

		k := float32(min(1, float64(min(i, len(own)-i))/soft))
		s[at+i] = s[at+i]*(1-0.85*k) + v*k
	}
}

// modes are the scales that a bed may have, in half tones.
var modes = [...][5]float64{{0, 3, 7, 10, 14}, {0, 4, 7, 11, 14}, {0, 5, 7, 12, 14}}

// bed is a quiet chord that breathes, with a few plucked notes above it.
func bed(rng *rand.Rand, pairs int) track {
	s := make(track, 2*pairs)
	root := 98 * math.Exp2(float64(rng.IntN(12))/12)

	mode := modes[rng.IntN(len(modes))]
	for i, half := range mode[:4] {
		pitch := root * math.Exp2(half/12)
		for side := range 2 {
			// The sides differ a little in pitch: that is what makes it wide.
			step := 2 * math.Pi * (pitch + 0.4*float64(2*side-1)) / hertz
			phase := 6 * rng.Float64()
			breath := 2 * math.Pi * (0.09 + 0.05*rng.Float64()) / hertz
			gain := 0.022 / (1 + 0.35*float64(i))

			for n := range pairs {
				t := float64(n)
				s[2*n+side] += float32(gain * (0.7 + 0.3*math.Sin(breath*t+phase)) * math.Sin(step*t+phase))
			}
		}
	}

	beat := int(hertz * (0.42 + 0.2*rng.Float64()))
	for at := beat / 2; at < pairs; at += beat * (1 + rng.IntN(2)) {
		s.pluck(at, 2*root*math.Exp2(mode[rng.IntN(5)]/12), 0.3+0.4*rng.Float64())
	}

	s.soften()

	return s
}

// pluck is a note that dies away; pan is 0 (left) to 1.
func (s track) pluck(at int, pitch, pan float64) {
	for n := range min(hertz, len(s)/2-at) {
		t := float64(n) / hertz
		v := 0.05 * math.Exp(-5*t) * math.Min(1, t*250) * (math.Sin(2*math.Pi*pitch*t) + 0.3*math.Sin(4*math.Pi*pitch*t))
		s[2*(at+n)] += float32(v * (1 - pan))
		s[2*(at+n)+1] += float32(v * pan)
	}
}

// soften fades the ends of a track over a fifth of a second.
func (s track) soften() {
	const soft = hertz / 5 * 2
	for i := range s {
		s[i] *= float32(math.Min(1, float64(min(i+200, len(s)-i+200))/soft))
	}
}
