package animatic

import (
	"context"
	"math/rand/v2"
	"path/filepath"

	"github.com/unireel/unireel/internal/provider"
)

// composer composes one video: from references to one file.
type composer struct {
	tools      *tools
	font       *typeface
	submission provider.Submission
	seed       uint64
	folder     string

	size    box
	frames  int
	sources []media // in character order
	guide   *media
	shots   []shot
	text    *textLayer

	scaler      scaler
	stills      map[int]*stillScene // decoded pictures and their backdrops, by source
	activeShots []activeShot
	current     *frame
	incoming    *frame
	previous    *frame
	lastChange  float64 // distance between the last two frames
	cuts        int
	slate       slate
	flashback   *frame // the end of the first reference's segment
	hue         float64
}

// activeShot is a shot that is visible now.
type activeShot struct {
	shot  shot
	scene scene
}

// Salts give each decision its own random numbers: one more for the sound changes no picture.
const (
	saltPlan = iota + 1
	saltSound
	saltShot // and the following ones, one for each shot
)

func (c *composer) rng(salt uint64) *rand.Rand { return rand.New(rand.NewPCG(c.seed, salt)) }

func (c *composer) isMultiShot() bool { return c.submission.ShotType == "multi" }

// compose renders the video and returns its path. It calls progress with the number of
// frames that are done.
func (c *composer) compose(ctx context.Context, progress func(framesDone int)) (string, error) {
	c.size = box{w: float64(c.submission.Width), h: float64(c.submission.Height)}
	c.frames = c.submission.Seconds * frameRate
	c.stills = map[int]*stillScene{}
	c.hue = c.rng(saltPlan).Float64()

	if err := c.collectReferences(ctx); err != nil {
		return "", err
	}

	c.planShots()

	if err := c.layOutText(); err != nil {
		return "", err
	}

	sound, err := c.makeSound(ctx)
	if err != nil {
		return "", err
	}

	w := c.submission.Width
	h := c.submission.Height
	c.current = newFrame(w, h)
	c.incoming = newFrame(w, h)
	c.previous = newFrame(w, h)

	defer func() {
		for _, p := range c.activeShots {
			p.scene.close()
		}
	}()

	e := encoder{w: w, h: h, frames: c.frames, soundPath: sound, outPath: filepath.Join(c.folder, "video.mp4")}
	next := func(n int) (*frame, error) { return c.drawFrame(ctx, n) }

	return e.outPath, c.tools.encode(ctx, e, next, progress)
}

// planShots plans the shots and where in their videos they start.
func (c *composer) planShots() {
	segments := len(c.sources)
	if c.submission.Mode == provider.T2V {
		segments = 1
	}

	c.shots = planShots(c.rng(saltPlan), segments, c.frames, c.isMultiShot())
	if c.submission.Mode == provider.T2V {
		return
	}

	nextFrame := make([]int, segments)

	for i := range c.shots {
		s := &c.shots[i]
		s.sourceStart = nextFrame[s.source]
		nextFrame[s.source] = c.sources[s.source].nextStart(s.sourceStart, s.to-s.from)
	}
}

// layOutText lays out all text: captions over references, or the prompt as title cards.
func (c *composer) layOutText() error {
	var err error

	watermark := c.submission.Watermark != nil && *c.submission.Watermark
	if c.text, err = newTextLayer(c.font, c.size, watermark); err != nil {
		return err
	}

	if c.submission.Mode != provider.T2V {
		return c.text.addCaptions(c.submission.Prompt, c.frames)
	}

	spans := c.shots
	if !c.isMultiShot() {
		spans = evenSpans(c.frames, max(1, c.submission.Seconds*10/22))
	}

	return c.text.addTitles(c.submission.Prompt, spans, c.isDarkCard)
}

// isDarkCard reports whether a title card is dark. A continuous video stays dark. The
// cards of several shots alternate, so that each change is a visible cut.
func (c *composer) isDarkCard(i int) bool { return !c.isMultiShot() || i%2 == 0 }

// evenSpans divides frames into n spans. No span begins or ends near a third of the
// length, where the thumbnail is taken.
func evenSpans(frames, n int) []shot {
	border := func(i int) int {
		b := frames * i / n

		thumbnailFrame := frames / 3
		if i > 0 && i < n && abs(float64(b-thumbnailFrame)) < textFadeFrames+3 {
			return thumbnailFrame + textFadeFrames + 3
		}

		return b
	}

	spans := make([]shot, n)
	for i := range spans {
		spans[i] = shot{from: border(i), to: border(i + 1)}
	}

	return spans
}

// drawFrame draws frame n of the video.
func (c *composer) drawFrame(ctx context.Context, n int) (*frame, error) {
	if err := c.updateActiveShots(ctx, n); err != nil {
		return nil, err
	}

	for i, p := range c.activeShots {
		dst := c.current
		if i > 0 {
			dst = c.incoming
		}

		if err := p.scene.draw(dst, n-p.shot.from); err != nil {
			return nil, err
		}

		if i > 0 {
			u := float64(n-p.shot.from+1) / float64(p.shot.fade+1)
			c.current.blend(c.incoming, int(256*u*u*(3-2*u)))
		}
	}

	if err := c.enforceCuts(n); err != nil {
		return nil, err
	}

	c.previous.copyFrom(c.current)
	c.text.drawOn(c.current, n, c.frames)

	return c.current, nil
}

// updateActiveShots opens the shots that begin at frame n and closes those that have ended.
func (c *composer) updateActiveShots(ctx context.Context, n int) error {
	active := c.activeShots[:0]
	for _, p := range c.activeShots {
		if p.shot.to <= n {
			p.scene.close()
			continue
		}

		active = append(active, p)
	}

	c.activeShots = active
	for i, s := range c.shots {
		if s.from != n {
			continue
		}

		sc, err := c.openScene(ctx, i, s)
		if err != nil {
			return err
		}

		c.activeShots = append(c.activeShots, activeShot{s, sc})
	}

	return nil
}

// openScene opens the scene of a shot.
func (c *composer) openScene(ctx context.Context, i int, s shot) (scene, error) {
	rng := c.rng(saltShot + uint64(i))
	if c.submission.Mode == provider.T2V {
		return newTitleCard(rng, c.hue+0.37*float64(i), c.isDarkCard(i), c.size, &c.scaler), nil
	}

	frames := s.to - s.from
	m := c.sources[s.source]
	seconds := float64(frames) / frameRate
	planCamera := func(source *frame) cameraMove {
		if i == 0 || c.shots[i-1].source != s.source {
			s.framing = establishingFraming(s.framing, source.whole(), c.size)
		}

		return planMove(rng, s.framing, source.whole(), c.size, seconds)
	}

	if m.kind == "video" {
		w, h := workingSize(m.w, m.h, c.size, 1.1)
		video := &clip{
			tools:      c.tools,
			ctx:        ctx,
			media:      m,
			frame:      newFrame(w, h),
			output:     c.size,
			frames:     frames,
			startFrame: s.sourceStart,
			scaler:     &c.scaler,
		}
		video.move = planCamera(video.frame)

		return video, nil
	}

	cached := c.stills[s.source]
	if cached == nil {
		picture, err := c.tools.decodeImage(ctx, m, c.size)
		if err != nil {
			return nil, err
		}

		cached = &stillScene{image: picture, backdrop: newBackdrop(picture, c.size), scaler: &c.scaler}
		c.stills[s.source] = cached
	}

	return &stillScene{
		image:    cached.image,
		backdrop: cached.backdrop,
		scaler:   &c.scaler,
		frames:   frames,
		move:     planCamera(cached.image),
	}, nil
}
