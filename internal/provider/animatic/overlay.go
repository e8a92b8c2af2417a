package animatic

import "image"

// overlay is a grey layer with transparency over a part of the video.
type overlay struct {
	x, y, w, h  int    // even
	luma, alpha []byte // luma is multiplied by alpha
}

// newOverlay returns a transparent layer. It grows to even edges and stays within the output.
func newOverlay(r image.Rectangle, output box) *overlay {
	r = r.Intersect(image.Rect(0, 0, int(output.w), int(output.h)))
	x := r.Min.X &^ 1
	y := r.Min.Y &^ 1
	w := (r.Max.X - x + 1) &^ 1
	h := (r.Max.Y - y + 1) &^ 1

	return &overlay{x: x, y: y, w: w, h: h, luma: make([]byte, w*h), alpha: make([]byte, w*h)}
}

// addMask draws luma through a mask onto the layer; opacity is of 256. The mask is in
// output pixels.
func (o *overlay) addMask(mask *image.Alpha, luma byte, opacity int) {
	for y := range o.h {
		for x := range o.w {
			o.add(y*o.w+x, int(mask.AlphaAt(o.x+x, o.y+y).A)*opacity>>8, luma)
		}
	}
}

func (o *overlay) add(i, a int, luma byte) {
	if a == 0 {
		return
	}

	o.luma[i] = byte((int(o.luma[i])*(255-a) + int(luma)*a) / 255)
	o.alpha[i] = byte(a + int(o.alpha[i])*(255-a)/255)
}

// addGradient darkens the layer from nothing at the top to opacity (of 256) at the bottom.
func (o *overlay) addGradient(opacity int) {
	for y := range o.h {
		u := float64(y) / float64(o.h)

		a := int(u * u * (3 - 2*u) * float64(opacity))
		for x := range o.w {
			o.add(y*o.w+x, min(255, a), blackLuma)
		}
	}
}

// drawOn draws the layer over a frame; opacity (of 256) fades it.
func (o *overlay) drawOn(f *frame, opacity int) {
	k := int32(max(0, min(256, opacity)))
	if k == 0 {
		return
	}

	for y := range o.h {
		alpha := o.alpha[y*o.w : (y+1)*o.w]
		luma := o.luma[y*o.w : (y+1)*o.w]

		row := f.y.pix[(o.y+y)*f.y.w+o.x:][:o.w]
		for x, a := range alpha {
			if a != 0 {
				row[x] = byte(int32(row[x]) - (int32(row[x])*int32(a)*k/255-int32(luma[x])*k)>>8)
			}
		}

		if y&1 == 0 {
			at := (o.y+y)/2*f.u.w + o.x/2
			fadeChroma(f.u.pix[at:at+o.w/2], alpha, k)
			fadeChroma(f.v.pix[at:at+o.w/2], alpha, k)
		}
	}
}

func fadeChroma(row, alpha []byte, k int32) {
	for x, v := range row {
		if a := int32(alpha[2*x]); a != 0 {
			row[x] = lerp(v, neutralChroma, a*k/255)
		}
	}
}
