package animatic

import (
	"encoding/binary"
	"math"
)

// brush draws one plane into another at any scale and at positions between
// samples, so that a slow move glides instead of stepping. It keeps its scratch
// rows between frames: one brush per film, used by one goroutine.
//
// Four samples are mixed at once, each in 16 bits of a word: a row keeps them in
// half steps (0 to 510), and the share of the row below is of 128, so that no
// product leaves its 16 bits.
type brush struct {
	columns []column
	rows    [2]struct {
		index int
		words []uint64
	}
}

// column is where a column of the target lies in the source: between a sample and
// its right neighbour.
type column struct {
	at          int32
	left, right uint16 // their shares, of 256
}

// draw paints the part from of src onto the part to of f. What falls outside f
// is cut off; edges between samples are mixed with what is there already. soft
// dithers: for gradients, which band otherwise.
func (b *brush) draw(f, src *frame, from, to box, soft bool) {
	b.drawPlane(f.y, src.y, from, to, soft)
	b.drawPlane(f.u, src.u, from.half(), to.half(), soft)
	b.drawPlane(f.v, src.v, from.half(), to.half(), soft)
}

func (b box) half() box { return box{b.x / 2, b.y / 2, b.w / 2, b.h / 2} }

// whole is the box of all of f.
func (f *frame) whole() box { return box{0, 0, float64(f.y.w), float64(f.y.h)} }

func (b *brush) drawPlane(d, s plane, from, to box, soft bool) {
	x0 := max(0, int(math.Floor(to.x)))
	x1 := min(d.w, int(math.Ceil(to.x+to.w)))
	y0 := max(0, int(math.Floor(to.y)))

	y1 := min(d.h, int(math.Ceil(to.y+to.h)))
	if x0 >= x1 || y0 >= y1 || to.w <= 0 || to.h <= 0 {
		return
	}

	n := x1 - x0
	b.reserve(n)

	for i := range n {
		at, share := between(span{from.x, from.w}, span{to.x, to.w}, x0+i, s.w)
		b.columns[i] = column{at, uint16(256 - share), uint16(share)}
	}

	line := make([]byte, n)

	for y := y0; y < y1; y++ {
		row, low := between(span{from.y, from.h}, span{to.y, to.h}, y, s.h)
		upper := b.row(s, int(row), -1)
		lower := b.row(s, min(int(row)+1, s.h-1), int(row))

		out := d.pix[y*d.w+x0 : y*d.w+x1]
		if covered := cover(to.y, to.h, y); covered < 256 {
			mix(line, upper, lower, low, rounding(y, soft))

			for i, v := range line {
				out[i] = lerp(out[i], v, covered)
			}

			continue
		}

		left := out[0]
		right := out[n-1]
		mix(out, upper, lower, low, rounding(y, soft))
		out[0] = lerp(left, out[0], cover(to.x, to.w, x0))
		out[n-1] = lerp(right, out[n-1], cover(to.x, to.w, x1-1))
	}
}

func (b *brush) reserve(n int) {
	words := (n + 3) / 4
	if cap(b.columns) < 4*words {
		b.columns = make([]column, 4*words)
		b.rows[0].words = make([]uint64, words)
		b.rows[1].words = make([]uint64, words)
	}

	b.columns = b.columns[:4*words]
	clear(b.columns[n:]) // what fills the last word up is drawn nowhere

	for i := range b.rows {
		b.rows[i].index = -1
		b.rows[i].words = b.rows[i].words[:words]
	}
}

// span is one side of a box.
type span struct{ start, length float64 }

// between finds which samples of the source column (or row) i of the target lies
// between: at and the next one, whose share it gives.
func between(from, to span, i, limit int) (at, share int32) {
	pos := from.start + (float64(i)+0.5-to.start)*from.length/to.length - 0.5
	pos = math.Max(0, math.Min(pos, float64(limit-1)))
	at = int32(min(int(pos), max(0, limit-2)))

	return at, int32((pos - float64(at)) * 256)
}

// row gives source row r stretched to the columns asked for; it is kept, since
// the next target row mostly needs it again. The row keep is not overwritten.
func (b *brush) row(s plane, r, keep int) []uint64 {
	slot := 0

	for i := range b.rows {
		if b.rows[i].index == r {
			return b.rows[i].words
		}

		if b.rows[i].index == keep && keep >= 0 {
			slot = 1 - i
		}
	}

	if keep < 0 && b.rows[0].index == r+1 {
		slot = 1
	}

	b.rows[slot].index = r
	out := b.rows[slot].words

	src := s.pix[r*s.w : (r+1)*s.w]
	if len(src) == 1 {
		src = []byte{src[0], src[0]}
	}

	columns := b.columns[:4*len(out)]
	for i := range out {
		c := columns[4*i : 4*i+4 : 4*i+4]
		out[i] = c[0].of(src) | c[1].of(src)<<16 | c[2].of(src)<<32 | c[3].of(src)<<48
	}

	return out
}

// of is the column's value in half steps.
func (c column) of(src []byte) uint64 {
	left := uint32(src[c.at])
	right := uint32(src[c.at+1])

	return uint64(left*uint32(c.left)+right*uint32(c.right)+64) >> 7
}

// bayer is the 4 x 4 ordered dither, in sixteenths.
var bayer = [4][4]uint64{{0, 8, 2, 10}, {12, 4, 14, 6}, {3, 11, 1, 9}, {15, 7, 13, 5}}

// rounding is what is added to row y's four samples before their fractions of 256
// are cut off.
func rounding(y int, soft bool) uint64 {
	if !soft {
		return 0x0080_0080_0080_0080
	}

	r := bayer[y&3]

	return 0x0008_0008_0008_0008 + r[0]<<4 + r[1]<<20 + r[2]<<36 + r[3]<<52
}

// mix puts between two stretched rows onto out; low is the lower one's share of 256.
func mix(out []byte, upper, lower []uint64, low int32, round uint64) {
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

// cover says how much of sample i lies inside the box, of 256.
func cover(start, length float64, i int) int32 {
	inside := math.Min(start+length, float64(i+1)) - math.Max(start, float64(i))
	return int32(math.Round(math.Max(0, math.Min(1, inside)) * 256))
}

func lerp(a, b byte, share int32) byte {
	return byte((int32(a)<<8 + (int32(b)-int32(a))*share + 128) >> 8)
}
