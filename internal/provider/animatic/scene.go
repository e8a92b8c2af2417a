package animatic

// scene is what a shot shows. draw is called once for each frame n of the shot, from 0
// upwards; close stops the processes of the scene.
type scene interface {
	draw(onto *frame, n int) error
	close()
}

// stillScene is a picture over which the camera moves.
type stillScene struct {
	image    *frame
	backdrop *frame // blurred surroundings
	move     cameraMove
	frames   int
	scaler   *scaler
}

func (s *stillScene) close() {}

func (s *stillScene) draw(dst *frame, n int) error {
	u := float64(n) / float64(max(1, s.frames-1))
	s.scaler.drawPlaced(dst, s.image, s.backdrop, s.move, u)

	return nil
}

// drawPlaced draws a source where the camera sees it. If it does not cover the output, it
// is drawn on its blurred backdrop.
func (sc *scaler) drawPlaced(dst, source, backdrop *frame, m cameraMove, u float64) {
	output := dst.whole()

	target := m.placement(u, source.whole(), output)
	if !target.covers(output) {
		// The backdrop moves slower and in the opposite direction, as if it were farther away.
		whole := backdrop.whole()
		k := 0.06 * u
		sc.draw(dst, backdrop, box{whole.w * k / 2, whole.h * k / 2, whole.w * (1 - k), whole.h * (1 - k)}, output, true)
		sc.drawShadow(dst, target)
	}

	sc.draw(dst, source, source.whole(), target, false)
}

// drawShadow darkens the backdrop beside a source, as if the source stood in front of it.
func (sc *scaler) drawShadow(dst *frame, target box) {
	radius := int(0.03 * float64(min(dst.y.w, dst.y.h)))
	w := dst.y.w

	for d := range radius {
		k := int32(80 * (radius - d) * (radius - d) / (radius * radius))
		for _, y := range []int{int(target.y) - d, int(target.y+target.h) + d} {
			if target.h >= float64(dst.y.h) || y < 0 || y >= dst.y.h {
				continue
			}

			row := dst.y.pix[y*w : (y+1)*w]
			for i, v := range row {
				row[i] = lerp(v, blackLuma, k)
			}
		}

		for _, x := range []int{int(target.x) - d, int(target.x+target.w) + d} {
			if target.w >= float64(w) || x < 0 || x >= w {
				continue
			}

			for i := x; i < len(dst.y.pix); i += w {
				dst.y.pix[i] = lerp(dst.y.pix[i], blackLuma, k)
			}
		}
	}
}

// backdropScale is how many times smaller than the output a backdrop is.
const backdropScale = 8

// newBackdrop returns a small frame of the output's shape, filled with the source, blurred
// and darkened.
func newBackdrop(source *frame, output box) *frame {
	g := newFrame(max(16, int(output.w)/backdropScale), max(16, int(output.h)/backdropScale))
	small := g.whole()
	to := view{zoom: 1.12, x: 0.5, y: 0.4}.placement(source.whole(), small)
	downscale(g.y, source.y, to)
	downscale(g.u, source.u, to.half())
	downscale(g.v, source.v, to.half())

	radius := max(2, g.y.w/26)
	for range 3 {
		blur(g.y, radius)
		blur(g.u, max(1, radius/2))
		blur(g.v, max(1, radius/2))
	}

	for i, v := range g.y.pix {
		g.y.pix[i] = byte(blackLuma + (int(v)-blackLuma)*150/256)
	}

	return g
}

// downscale draws a plane much smaller: each sample is the mean of those that it covers.
func downscale(d, s plane, to box) {
	sx := float64(s.w) / to.w

	sy := float64(s.h) / to.h
	for y := range d.h {
		y0 := min(s.h-1, max(0, int((float64(y)-to.y)*sy)))

		y1 := min(s.h, max(y0+1, int((float64(y+1)-to.y)*sy)))
		for x := range d.w {
			x0 := min(s.w-1, max(0, int((float64(x)-to.x)*sx)))
			x1 := min(s.w, max(x0+1, int((float64(x+1)-to.x)*sx)))
			sum := 0

			for row := y0; row < y1; row++ {
				for _, v := range s.pix[row*s.w+x0 : row*s.w+x1] {
					sum += int(v)
				}
			}

			d.pix[y*d.w+x] = byte(sum / ((y1 - y0) * (x1 - x0)))
		}
	}
}

// blur replaces each sample by the mean of 2*radius+1 samples, horizontally and vertically.
func blur(p plane, radius int) {
	line := make([]byte, max(p.w, p.h))
	for y := range p.h {
		blurLine(p.pix[y*p.w:], line[:p.w], 1, radius)
	}

	for x := range p.w {
		blurLine(p.pix[x:], line[:p.h], p.w, radius)
	}
}

func blurLine(pix, line []byte, step, radius int) {
	n := len(line)
	for i := range line {
		line[i] = pix[i*step]
	}

	sum := int(line[0]) * radius
	for i := range radius {
		sum += int(line[min(i, n-1)])
	}

	for i := range n {
		sum += int(line[min(i+radius, n-1)])
		pix[i*step] = byte(sum / (2*radius + 1))
		sum -= int(line[max(i-radius, 0)])
	}
}
