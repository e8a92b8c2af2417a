package animatic

import (
	"image"
	"math"
)

// plane is one component of a picture, one byte for each sample.
type plane struct {
	w, h int
	pix  []byte
}

// frame is a picture in yuv420p, BT.709, limited range. Its planes are slices of raw,
// which has the layout of ffmpeg's rawvideo.
type frame struct {
	y, u, v plane
	raw     []byte
}

// box is a rectangle in samples; its edges may lie between samples.
type box struct{ x, y, w, h float64 }

const (
	blackLuma     = 16  // luma of black in limited range
	whiteLuma     = 235 // luma of white in limited range
	neutralChroma = 128 // chroma of grey
)

// newFrame returns a frame of w x h samples. Odd sizes have one more chroma sample.
func newFrame(w, h int) *frame {
	cw := (w + 1) / 2
	ch := (h + 1) / 2
	raw := make([]byte, w*h+2*cw*ch)

	return frameFromRaw(w, h, raw)
}

func frameFromRaw(w, h int, raw []byte) *frame {
	cw := (w + 1) / 2
	ch := (h + 1) / 2

	return &frame{
		y:   plane{w, h, raw[:w*h]},
		u:   plane{cw, ch, raw[w*h : w*h+cw*ch]},
		v:   plane{cw, ch, raw[w*h+cw*ch:]},
		raw: raw,
	}
}

func (f *frame) copyFrom(src *frame) { copy(f.raw, src.raw) }

// blend mixes other into f: weight 0 leaves f as it is, 256 replaces it.
func (f *frame) blend(other *frame, weight int) {
	k := int32(weight)
	dst := f.raw

	src := other.raw[:len(f.raw)]
	for i, d := range dst {
		dst[i] = byte((int32(d)<<8 + (int32(src[i])-int32(d))*k + 128) >> 8)
	}
}

// distance returns the mean difference of luma in percent of its 256 steps, as ffmpeg's
// scdet measures it; it uses every fourth row.
func (f *frame) distance(other *frame) float64 {
	var sum, n int

	for row := 0; row < f.y.h; row += 4 {
		a := f.y.pix[row*f.y.w : (row+1)*f.y.w]

		b := other.y.pix[row*f.y.w : (row+1)*f.y.w]
		for i, p := range a {
			d := int(p) - int(b[i])
			if d < 0 {
				d = -d
			}

			sum += d
		}

		n += len(a)
	}

	return float64(sum) / float64(n) * 100 / 256
}

// meanLuma returns the mean luma, 16 to 235.
func (f *frame) meanLuma() float64 {
	var sum, n int
	for i := 0; i < len(f.y.pix); i += 7 {
		sum += int(f.y.pix[i])
		n++
	}

	return float64(sum) / float64(n)
}

// yuv is a colour in a frame's format.
type yuv struct{ y, u, v byte }

// yuvFromRGB converts full-range RGB to BT.709 limited range.
func yuvFromRGB(r, g, b float64) yuv {
	luma := 0.2126*r + 0.7152*g + 0.0722*b

	return yuv{
		y: clampByte(16 + luma*219/255),
		u: clampByte(128 + (b-luma)/1.8556*224/255),
		v: clampByte(128 + (r-luma)/1.5748*224/255),
	}
}

func clampByte(v float64) byte {
	return byte(math.Max(0, math.Min(255, math.Round(v))))
}

// backgroundLevel is the grey level behind a transparent picture.
const backgroundLevel = 244

// frameFromImage draws a picture on that background and converts it.
func frameFromImage(m *image.NRGBA) *frame {
	w := m.Rect.Dx()
	h := m.Rect.Dy()
	f := newFrame(w, h)
	sumU := make([]int32, f.u.w)
	sumV := make([]int32, f.u.w)

	for row := range h {
		line := m.Pix[row*m.Stride : row*m.Stride+4*w]
		for x := range w {
			p := line[4*x : 4*x+4 : 4*x+4]
			a := int32(p[3])
			r := (int32(p[0])*a + backgroundLevel*(255-a)) / 255
			g := (int32(p[1])*a + backgroundLevel*(255-a)) / 255
			b := (int32(p[2])*a + backgroundLevel*(255-a)) / 255
			f.y.pix[row*w+x] = byte((11966*r + 40254*g + 4064*b + 16<<16 + 1<<15) >> 16)
			sumU[x/2] += -6596*r - 22189*g + 28784*b
			sumV[x/2] += 28784*r - 26145*g - 2639*b
		}

		if row%2 == 0 && row != h-1 {
			continue
		}

		rows := int32(1 + row%2)
		for x := range sumU {
			n := rows * int32(min(2, w-2*x))
			f.u.pix[row/2*f.u.w+x] = byte((sumU[x]/n + 128<<16 + 1<<15) >> 16)
			f.v.pix[row/2*f.v.w+x] = byte((sumV[x]/n + 128<<16 + 1<<15) >> 16)
			sumU[x] = 0
			sumV[x] = 0
		}
	}

	return f
}
