package animatic

import (
	"encoding/binary"
	"math"
)

// scaler draws one plane into another at any scale and at positions between samples, so
// that a slow move is smooth. It reuses its row buffers between frames, so each video has
// one scaler, used by one goroutine.
//
// It computes four samples at once, each in 16 bits of a 64-bit word. A row holds samples
// in half steps (0 to 510), and the weight of the lower row is at most 128, so that no
// product exceeds its 16 bits.
type scaler struct {
	columns []column
	rows    [2]struct {
		index  int
		packed []uint64
	}
}

// column is the position of a target column in the source: between a sample and its right
// neighbour.
type column struct {
	at          int32
	left, right uint16 // the weights of the two samples, of 256
}

// draw draws the part from of src onto the part to of f. What lies outside f is clipped;
// edges between samples are mixed with what is already there. dither is for gradients,
// which would otherwise show bands.
func (sc *scaler) draw(f, src *frame, from, to box, dither bool) {
	sc.drawPlane(f.y, src.y, from, to, dither)
	sc.drawPlane(f.u, src.u, from.half(), to.half(), dither)
	sc.drawPlane(f.v, src.v, from.half(), to.half(), dither)
}

func (b box) half() box { return box{b.x / 2, b.y / 2, b.w / 2, b.h / 2} }

// whole returns the box of the whole frame.
func (f *frame) whole() box { return box{0, 0, float64(f.y.w), float64(f.y.h)} }

func (sc *scaler) drawPlane(d, s plane, from, to box, dither bool) {
	x0 := max(0, int(math.Floor(to.x)))
	x1 := min(d.w, int(math.Ceil(to.x+to.w)))
	y0 := max(0, int(math.Floor(to.y)))

	y1 := min(d.h, int(math.Ceil(to.y+to.h)))
	if x0 >= x1 || y0 >= y1 || to.w <= 0 || to.h <= 0 {
		return
	}

	n := x1 - x0
	sc.reserve(n)

	for i := range n {
		at, share := locate(span{from.x, from.w}, span{to.x, to.w}, x0+i, s.w)
		sc.columns[i] = column{at, uint16(256 - share), uint16(share)}
	}

	line := make([]byte, n)

	for y := y0; y < y1; y++ {
		row, low := locate(span{from.y, from.h}, span{to.y, to.h}, y, s.h)
		upper := sc.row(s, int(row), -1)
		lower := sc.row(s, min(int(row)+1, s.h-1), int(row))

		out := d.pix[y*d.w+x0 : y*d.w+x1]
		if covered := coverage(to.y, to.h, y); covered < 256 {
			interpolate(line, upper, lower, low, rounding(y, dither))

			for i, v := range line {
				out[i] = lerp(out[i], v, covered)
			}

			continue
		}

		left := out[0]
		right := out[n-1]
		interpolate(out, upper, lower, low, rounding(y, dither))
		out[0] = lerp(left, out[0], coverage(to.x, to.w, x0))
		out[n-1] = lerp(right, out[n-1], coverage(to.x, to.w, x1-1))
	}
}

func (sc *scaler) reserve(n int) {
	words := (n + 3) / 4
	if cap(sc.columns) < 4*words {
		sc.columns = make([]column, 4*words)
		sc.rows[0].packed = make([]uint64, words)
		sc.rows[1].packed = make([]uint64, words)
	}

	sc.columns = sc.columns[:4*words]
	clear(sc.columns[n:]) // columns that fill up the last word are not drawn

	for i := range sc.rows {
		sc.rows[i].index = -1
		sc.rows[i].packed = sc.rows[i].packed[:words]
	}
}

// span is one dimension of a box.
type span struct{ start, length float64 }

// locate returns the source samples between which column (or row) i of the target lies:
// sample at and the next one, whose weight is share.
func locate(from, to span, i, limit int) (at, share int32) {
	pos := from.start + (float64(i)+0.5-to.start)*from.length/to.length - 0.5
	pos = math.Max(0, math.Min(pos, float64(limit-1)))
	at = int32(min(int(pos), max(0, limit-2)))

	return at, int32((pos - float64(at)) * 256)
}

// row returns source row r, scaled to the target's columns. It caches two rows, since the
// next target row usually needs them again. The row keep is not overwritten.
func (sc *scaler) row(s plane, r, keep int) []uint64 {
	slot := 0

	for i := range sc.rows {
		if sc.rows[i].index == r {
			return sc.rows[i].packed
		}

		if sc.rows[i].index == keep && keep >= 0 {
			slot = 1 - i
		}
	}

	if keep < 0 && sc.rows[0].index == r+1 {
		slot = 1
	}

	sc.rows[slot].index = r
	out := sc.rows[slot].packed

	src := s.pix[r*s.w : (r+1)*s.w]
	if len(src) == 1 {
		src = []byte{src[0], src[0]}
	}

	columns := sc.columns[:4*len(out)]
	for i := range out {
		c := columns[4*i : 4*i+4 : 4*i+4]
		out[i] = c[0].sample(src) | c[1].sample(src)<<16 | c[2].sample(src)<<32 | c[3].sample(src)<<48
	}

	return out
}

// sample returns the column's value in half steps.
func (c column) sample(src []byte) uint64 {
	left := uint32(src[c.at])
	right := uint32(src[c.at+1])

	return uint64(left*uint32(c.left)+right*uint32(c.right)+64) >> 7
}

// bayer is the 4 x 4 ordered dither, in sixteenths.
var bayer = [4][4]uint64{{0, 8, 2, 10}, {12, 4, 14, 6}, {3, 11, 1, 9}, {15, 7, 13, 5}}

// rounding returns what is added to the four samples of row y before their fractions of
// 256 are cut off.
func rounding(y int, dither bool) uint64 {
	if !dither {
		return 0x0080_0080_0080_0080
	}

	r := bayer[y&3]

	return 0x0008_0008_0008_0008 + r[0]<<4 + r[1]<<20 + r[2]<<36 + r[3]<<52
}

// interpolate writes the mix of two scaled rows to out; low is the weight of the lower row, of 256.
func interpolate(out []byte, upper, lower []uint64, low int32, round uint64) {
	down := uint64(low+1) >> 1
	up := 128 - down

	lower = lower[:len(upper)]
	for i, u := range upper {
		v := (u*up + lower[i]*down + round) >> 8 & 0x00ff_00ff_00ff_00ff
		v = (v | v>>8) & 0x0000_ffff_0000_ffff

		four := uint32(v | v>>16)
		if at := 4 * i; at+4 <= len(out) {
			binary.LittleEndian.PutUint32(out[at:], four)
			continue
		}

		for j := 4 * i; j < len(out); j++ {
			out[j] = byte(four >> (8 * (j - 4*i)))
		}
	}
}

// coverage returns how much of sample i lies inside the box, of 256.
func coverage(start, length float64, i int) int32 {
	inside := math.Min(start+length, float64(i+1)) - math.Max(start, float64(i))
	return int32(math.Round(math.Max(0, math.Min(1, inside)) * 256))
}

func lerp(a, b byte, weight int32) byte {
	return byte((int32(a)<<8 + (int32(b)-int32(a))*weight + 128) >> 8)
}
