package animatic

import (
	"context"
	"math/rand/v2"
	"path/filepath"

	"github.com/unireel/unireel/internal/provider"
)

// film is the making of one video: references in, one file out.
type film struct {
	tools   *tools
	letters *letters
	order   provider.Order
	seed    uint64
	folder  string

	size    box
	frames  int
	sources []media // in character order
	guide   *media
	shots   []shot
	words   *words

	brush   brush
	stills  map[int]*still // decoded pictures and their grounds, by source
	playing []playing
	canvas  *frame
	under   *frame
	last    *frame
	moved   float64 // distance of the last two frames
	cuts    int
	slate   slate
	back    *frame // the end of the first reference's turn
	hue     float64
}

// playing is a shot that is seen now.
type playing struct {
	shot  shot
	scene scene
}

// Salts keep the film's decisions apart: one more draw for the sound changes no picture.
const (
	saltPlan = iota + 1
	saltSound
	saltShot // and upwards, one a shot
)

func (f *film) rng(salt uint64) *rand.Rand { return rand.New(rand.NewPCG(f.seed, salt)) }

func (f *film) several() bool { return f.order.ShotType == "multi" }

// make renders the film and returns its path. progress is told how many of the
// film's frames are done.
func (f *film) make(ctx context.Context, progress func(done int)) (string, error) {
	f.size = box{w: float64(f.order.Width), h: float64(f.order.Height)}
	f.frames = f.order.Seconds * rate
	f.stills = map[int]*still{}

	f.hue = f.rng(saltPlan).Float64()
	if err := f.gather(ctx); err != nil {
		return "", err
	}

	f.lay()

	if err := f.write(); err != nil {
		return "", err
	}

	sound, err := f.sound(ctx)
	if err != nil {
		return "", err
	}

	w := f.order.Width
	h := f.order.Height
	f.canvas = newFrame(w, h)
	f.under = newFrame(w, h)

	f.last = newFrame(w, h)
	defer func() {
		for _, p := range f.playing {
			p.scene.close()
		}
	}()

	e := encoder{w: w, h: h, frames: f.frames, sound: sound, film: filepath.Join(f.folder, "film.mp4")}
	next := func(n int) (*frame, error) { return f.frame(ctx, n) }

	return e.film, f.tools.encode(ctx, e, next, progress)
}

// lay plans the shots.
func (f *film) lay() {
	turns := len(f.sources)
	if f.order.Mode == provider.T2V {
		turns = 1
	}

	f.shots = plan(f.rng(saltPlan), turns, f.frames, f.several())
	if f.order.Mode == provider.T2V {
		return
	}

	at := make([]int, turns)

	for i := range f.shots {
		s := &f.shots[i]
		s.start = at[s.source]
		at[s.source] = f.sources[s.source].after(s.start, s.to-s.from)
	}
}

// write sets all type: captions under references, or the prompt as title cards.
func (f *film) write() error {
	var err error

	mark := f.order.Watermark != nil && *f.order.Watermark
	if f.words, err = newWords(f.letters, f.size, mark); err != nil {
		return err
	}

	if f.order.Mode != provider.T2V {
		return f.words.caption(f.order.Prompt, f.frames)
	}

	spans := f.shots
	if !f.several() {
		spans = even(f.frames, max(1, f.order.Seconds*10/22))
	}

	return f.words.titles(f.order.Prompt, spans, f.dark)
}

// dark says which cards are dark. A continuous film stays dark; the cards of
// several shots alternate, which makes every cut one.
func (f *film) dark(i int) bool { return !f.several() || i%2 == 0 }

// even divides frames into n spans. None begins or ends about a third of the
// way, where the thumbnail is taken.
func even(frames, n int) []shot {
	border := func(i int) int {
		b := frames * i / n

		still := frames / 3
		if i > 0 && i < n && abs(float64(b-still)) < blink+3 {
			return still + blink + 3
		}

		return b
	}

	spans := make([]shot, n)
	for i := range spans {
		spans[i] = shot{from: border(i), to: border(i + 1)}
	}

	return spans
}

// frame draws frame n of the film.
func (f *film) frame(ctx context.Context, n int) (*frame, error) {
	if err := f.turn(ctx, n); err != nil {
		return nil, err
	}

	for i, p := range f.playing {
		onto := f.canvas
		if i > 0 {
			onto = f.under
		}

		if err := p.scene.draw(onto, n-p.shot.from); err != nil {
			return nil, err
		}

		if i > 0 {
			u := float64(n-p.shot.from+1) / float64(p.shot.fade+1)
			f.canvas.blend(f.under, int(256*u*u*(3-2*u)))
		}
	}

	if err := f.join(n); err != nil {
		return nil, err
	}

	f.last.copyFrom(f.canvas)
	f.words.lay(f.canvas, n, f.frames)

	return f.canvas, nil
}

// turn opens the shots that begin at frame n and closes those that are over.
func (f *film) turn(ctx context.Context, n int) error {
	kept := f.playing[:0]
	for _, p := range f.playing {
		if p.shot.to <= n {
			p.scene.close()
			continue
		}

		kept = append(kept, p)
	}

	f.playing = kept
	for i, s := range f.shots {
		if s.from != n {
			continue
		}

		sc, err := f.scene(ctx, i, s)
		if err != nil {
			return err
		}

		f.playing = append(f.playing, playing{s, sc})
	}

	return nil
}

// scene opens what a shot shows.
func (f *film) scene(ctx context.Context, i int, s shot) (scene, error) {
	rng := f.rng(saltShot + uint64(i))
	if f.order.Mode == provider.T2V {
		return newCard(rng, f.hue+0.37*float64(i), f.dark(i), f.size, &f.brush), nil
	}

	frames := s.to - s.from
	m := f.sources[s.source]
	seconds := float64(frames) / rate
	look := func(source *frame) move {
		if i == 0 || f.shots[i-1].source != s.source {
			s.how = establish(s.how, source.whole(), f.size)
		}

		return direct(rng, s.how, source.whole(), f.size, seconds)
	}

	if m.kind == "video" {
		w, h := keptSize(m.w, m.h, f.size, 1.1)
		c := &clip{tools: f.tools, ctx: ctx, media: m, kept: newFrame(w, h), film: f.size, frames: frames, start: s.start, brush: &f.brush}
		c.way = look(c.kept)

		return c, nil
	}

	kept := f.stills[s.source]
	if kept == nil {
		picture, err := f.tools.picture(ctx, m, f.size)
		if err != nil {
			return nil, err
		}

		kept = &still{picture: picture, ground: groundOf(picture, f.size), brush: &f.brush}
		f.stills[s.source] = kept
	}

	return &still{picture: kept.picture, ground: kept.ground, brush: &f.brush, frames: frames, way: look(kept.picture)}, nil
}
