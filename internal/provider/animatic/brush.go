package animatic

import "math"

// brush draws one plane into another at any scale and at positions between
// samples, so that a slow move glides instead of stepping. It keeps its scratch
// rows between frames: one brush per film, used by one goroutine.
type brush struct {
	at, share []int32 // per column: the left sample and the share of its right neighbour, of 256
	rows      [2]struct {
		index int
		pix   []uint16
	}
	line []byte
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
	x0, x1 := max(0, int(math.Floor(to.x))), min(d.w, int(math.Ceil(to.x+to.w)))
	y0, y1 := max(0, int(math.Floor(to.y))), min(d.h, int(math.Ceil(to.y+to.h)))
	if x0 >= x1 || y0 >= y1 || to.w <= 0 || to.h <= 0 {
		return
	}
	n := x1 - x0
	b.reserve(n)
	for i := range n {
		b.at[i], b.share[i] = sample(span{from.x, from.w}, span{to.x, to.w}, x0+i, s.w)
	}
	for y := y0; y < y1; y++ {
		row, low := sample(span{from.y, from.h}, span{to.y, to.h}, y, s.h)
		upper, lower := b.row(s, int(row), -1), b.row(s, min(int(row)+1, s.h-1), int(row))
		b.mix(upper, lower, low, y, soft)
		out := d.pix[y*d.w+x0 : y*d.w+x1]
		if covered := cover(to.y, to.h, y); covered < 256 {
			for i, v := range b.line {
				out[i] = lerp(out[i], v, covered)
			}
			continue
		}
		left, right := out[0], out[n-1]
		copy(out, b.line)
		out[0] = lerp(left, out[0], cover(to.x, to.w, x0))
		out[n-1] = lerp(right, out[n-1], cover(to.x, to.w, x1-1))
	}
}

func (b *brush) reserve(n int) {
	if cap(b.at) < n {
		b.at, b.share, b.line = make([]int32, n), make([]int32, n), make([]byte, n)
		b.rows[0].pix, b.rows[1].pix = make([]uint16, n), make([]uint16, n)
	}
	b.at, b.share, b.line = b.at[:n], b.share[:n], b.line[:n]
	for i := range b.rows {
		b.rows[i].index, b.rows[i].pix = -1, b.rows[i].pix[:n]
	}
}

// span is one side of a box.
type span struct{ start, length float64 }

// sample finds where column (or row) i of the target lies in the source.
func sample(from, to span, i, limit int) (at, share int32) {
	pos := from.start + (float64(i)+0.5-to.start)*from.length/to.length - 0.5
	pos = math.Max(0, math.Min(pos, float64(limit-1)))
	at = int32(pos)
	return at, int32((pos - float64(at)) * 256)
}

// row gives source row r stretched to the columns asked for; it is kept, since
// the next target row mostly needs it again. The row keep is not overwritten.
func (b *brush) row(s plane, r, keep int) []uint16 {
	slot := 0
	for i := range b.rows {
		if b.rows[i].index == r {
			return b.rows[i].pix
		}
		if b.rows[i].index == keep && keep >= 0 {
			slot = 1 - i
		}
	}
	if keep < 0 && b.rows[0].index == r+1 {
		slot = 1
	}
	b.rows[slot].index = r
	out, share := b.rows[slot].pix[:len(b.at)], b.share[:len(b.at)]
	src := s.pix[r*s.w : (r+1)*s.w]
	last := int32(len(src) - 1)
	for i, at := range b.at {
		left := int32(src[at])
		right := int32(src[min(at+1, last)])
		out[i] = uint16(left<<8 + (right-left)*share[i])
	}
	return out
}

// bayer is the 4 x 4 ordered dither, in sixteenths.
var bayer = [4][4]int32{{0, 8, 2, 10}, {12, 4, 14, 6}, {3, 11, 1, 9}, {15, 7, 13, 5}}

func (b *brush) mix(upper, lower []uint16, low int32, y int, soft bool) {
	round := [4]int32{1 << 15, 1 << 15, 1 << 15, 1 << 15}
	if soft {
		for i := range round {
			round[i] = bayer[y&3][i]<<12 + 1<<11
		}
	}
	line := b.line[:len(upper)]
	lower = lower[:len(upper)]
	for i, p := range upper {
		u := int32(p)
		line[i] = byte((u<<8 + (int32(lower[i])-u)*low + round[i&3]) >> 16)
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
