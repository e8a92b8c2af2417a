package animatic

// scene is what a shot shows. It draws frame n of its shot, from 0 upwards and
// each once; close ends what it runs.
type scene interface {
	draw(onto *frame, n int) error
	close()
}

// still is a picture that the camera moves over.
type still struct {
	picture *frame
	ground  *frame // blurred surroundings
	way     move
	frames  int
	brush   *brush
}

func (s *still) close() {}

func (s *still) draw(onto *frame, n int) error {
	u := float64(n) / float64(max(1, s.frames-1))
	s.brush.place(onto, s.picture, s.ground, s.way, u)

	return nil
}

// place draws a source where the camera sees it, on its blurred ground when it
// leaves some of the film free.
func (b *brush) place(onto, source, ground *frame, way move, u float64) {
	film := onto.whole()

	to := way.at(u, source.whole(), film)
	if !to.covers(film) {
		// The ground goes the other way, slower: it lies farther off.
		far := ground.whole()
		k := 0.06 * u
		b.draw(onto, ground, box{far.w * k / 2, far.h * k / 2, far.w * (1 - k), far.h * (1 - k)}, film, true)
		b.shade(onto, to)
	}

	b.draw(onto, source, source.whole(), to, false)
}

// shade darkens the ground beside a source, as if the source stood before it.
func (b *brush) shade(onto *frame, to box) {
	reach := int(0.03 * float64(min(onto.y.w, onto.y.h)))
	w := onto.y.w

	for d := range reach {
		k := int32(80 * (reach - d) * (reach - d) / (reach * reach))
		for _, y := range []int{int(to.y) - d, int(to.y+to.h) + d} {
			if to.h >= float64(onto.y.h) || y < 0 || y >= onto.y.h {
				continue
			}

			row := onto.y.pix[y*w : (y+1)*w]
			for i, v := range row {
				row[i] = lerp(v, black, k)
			}
		}

		for _, x := range []int{int(to.x) - d, int(to.x+to.w) + d} {
			if to.w >= float64(w) || x < 0 || x >= w {
				continue
			}

			for i := x; i < len(onto.y.pix); i += w {
				onto.y.pix[i] = lerp(onto.y.pix[i], black, k)
			}
		}
	}
}

// groundStep is how many times coarser than the film a blurred ground is.
const groundStep = 8

// groundOf fills a small frame of the film's shape with a source, blurred and
// darkened.
func groundOf(source *frame, film box) *frame {
	g := newFrame(max(16, int(film.w)/groundStep), max(16, int(film.h)/groundStep))
	small := g.whole()
	to := view{zoom: 1.12, x: 0.5, y: 0.4}.place(source.whole(), small)
	shrink(g.y, source.y, to)
	shrink(g.u, source.u, to.half())
	shrink(g.v, source.v, to.half())

	reach := max(2, g.y.w/26)
	for range 3 {
		blur(g.y, reach)
		blur(g.u, max(1, reach/2))
		blur(g.v, max(1, reach/2))
	}

	for i, v := range g.y.pix {
		g.y.pix[i] = byte(black + (int(v)-black)*150/256)
	}

	return g
}

// shrink draws a plane much smaller: each sample is the mean of what it covers.
func shrink(d, s plane, to box) {
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

// blur takes the mean of 2 reach + 1 samples, across and down.
func blur(p plane, reach int) {
	line := make([]byte, max(p.w, p.h))
	for y := range p.h {
		blurLine(p.pix[y*p.w:], line[:p.w], 1, reach)
	}

	for x := range p.w {
		blurLine(p.pix[x:], line[:p.h], p.w, reach)
	}
}

func blurLine(pix, line []byte, step, reach int) {
	n := len(line)
	for i := range line {
		line[i] = pix[i*step]
	}

	sum := int(line[0]) * reach
	for i := range reach {
		sum += int(line[min(i, n-1)])
	}

	for i := range n {
		sum += int(line[min(i+reach, n-1)])
		pix[i*step] = byte(sum / (2*reach + 1))
		sum -= int(line[max(i-reach, 0)])
	}
}
