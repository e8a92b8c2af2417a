package animatic

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// exactSample is the value that the scaler approximates: the mean of the four nearest
// samples, weighted by how near each is.
func exactSample(s plane, from, to box, x, y int) float64 {
	at := func(start, length, target, size float64, i, limit int) (int, float64) {
		pos := start + (float64(i)+0.5-target)*length/size - 0.5
		pos = math.Max(0, math.Min(pos, float64(limit-1)))
		low := min(int(pos), max(0, limit-2))

		return low, pos - float64(low)
	}
	col, across := at(from.x, from.w, to.x, to.w, x, s.w)
	row, down := at(from.y, from.h, to.y, to.h, y, s.h)
	value := func(r, c int) float64 { return float64(s.pix[min(r, s.h-1)*s.w+min(c, s.w-1)]) }
	upper := value(row, col)*(1-across) + value(row, col+1)*across
	lower := value(row+1, col)*(1-across) + value(row+1, col+1)*across

	return upper*(1-down) + lower*down
}

// However a plane is scaled and clipped, each sample is the exact one, except for the
// rounding to half steps and to the weights that fit into a word; dither adds one step.
func TestScalerMatchesExactSample(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		side := rapid.IntRange(1, 40)
		s := plane{w: side.Draw(t, "w"), h: side.Draw(t, "h")}
		s.pix = rapid.SliceOfN(rapid.Byte(), s.w*s.h, s.w*s.h).Draw(t, "pix")
		d := plane{w: side.Draw(t, "dw"), h: side.Draw(t, "dh")}
		d.pix = make([]byte, d.w*d.h)
		from := box{w: float64(s.w), h: float64(s.h)}
		over := rapid.Float64Range(0, 30)
		to := box{x: -over.Draw(t, "left"), y: -over.Draw(t, "up")}
		to.w, to.h = float64(d.w)-to.x+over.Draw(t, "right"), float64(d.h)-to.y+over.Draw(t, "down")
		dither := rapid.Bool().Draw(t, "dither")

		var b scaler
		b.drawPlane(d, s, from, to, dither)

		tolerance := 2.5
		if dither {
			tolerance++
		}

		for i, got := range d.pix {
			if want := exactSample(s, from, to, i%d.w, i/d.w); math.Abs(float64(got)-want) > tolerance {
				t.Fatalf("sample %d,%d is %d, want %.2f", i%d.w, i/d.w, got, want)
			}
		}
	})
}

// An area of one level keeps exactly that level.
func TestScalerKeepsUniformLuma(t *testing.T) {
	var b scaler

	for level := range 256 {
		s := plane{w: 7, h: 5, pix: make([]byte, 35)}

		d := plane{w: 18, h: 11, pix: make([]byte, 18*11)}
		for i := range s.pix {
			s.pix[i] = byte(level)
		}

		b.drawPlane(d, s, box{w: 7, h: 5}, box{x: -0.7, y: -0.3, w: 19.4, h: 12.1}, level%2 == 0)

		for i, got := range d.pix {
			if int(got) != level {
				t.Fatalf("level %d became %d at %d", level, got, i)
			}
		}
	}
}
