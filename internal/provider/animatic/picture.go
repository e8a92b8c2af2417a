package animatic

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"math"
)

// spare is how many times finer than the film a source is kept, so that the
// camera can go near without enlarging samples.
const spare = 1.3

// mostSource bounds a source's samples, in films' pixels: a very long strip is
// kept coarser.
const mostSource = 4.0

// keptSize is the size at which a source of w x h is kept for a film: it covers
// the film with some to spare. It is even, so that chroma falls in place.
func keptSize(w, h int, film box, spare float64) (int, int) {
	fw := float64(w)
	fh := float64(h)
	scale := spare * math.Max(film.w/fw, film.h/fh)
	most := math.Sqrt(mostSource * film.w * film.h / (fw * fh))
	scale = math.Min(scale, most)
	even := func(v float64) int { return min(mostSide, max(16, int(math.Round(v*scale/2))*2)) }

	return even(fw), even(fh)
}

// picture decodes a picture at the size it is kept in. ffmpeg does it in a
// process of its own, so that a hostile file can hurt only that.
func (t *tools) picture(ctx context.Context, m media, film box) (*frame, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, decodeTime, errSlow)
	defer cancel()

	w, h := keptSize(m.w, m.h, film, spare)
	out := &limited{limit: 8*int(mostSource*film.w*film.h) + 1<<20, kept: make([]byte, 0, 4*w*h+64<<10)} // mostly it need not grow

	err := t.run(ctx, call{program: t.ffmpeg, out: out, args: append(quiet(),
		"-xerror", "-f", m.reader, "-i", m.path, "-frames:v", "1", "-map", "0:v:0", "-an",
		"-vf", scaleTo(film)+":flags=bicubic+accurate_rnd,format=rgba",
		"-c:v", "png", "-pred", "none", "-compression_level", "0", "-threads", "1", "-f", "image2pipe", "pipe:1")})
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}

		return nil, badReference(m.param, "The picture cannot be decoded: it is damaged or cut short. Send it again.", err)
	}

	decoded, err := png.Decode(bytes.NewReader(out.kept))
	if err != nil {
		return nil, badReference(m.param, "The picture cannot be decoded: it is damaged or cut short. Send it again.", err)
	}

	flat, ok := decoded.(*image.NRGBA)
	if !ok {
		flat = image.NewNRGBA(decoded.Bounds())
		draw.Draw(flat, flat.Rect, decoded, decoded.Bounds().Min, draw.Src)
	}

	return frameOfPicture(flat), nil
}

// scaleTo is keptSize as ffmpeg's expression: of a photograph that lies on its
// side only ffmpeg knows, once it has turned it, which way is up.
func scaleTo(film box) string {
	scale := fmt.Sprintf("min(%g*max(%g/iw\\,%g/ih)\\,sqrt(%g/(iw*ih)))", spare, film.w, film.h, mostSource*film.w*film.h)
	side := "max(16\\,min(%d\\,2*round(%s*%s/2)))"

	return "scale=w=" + fmt.Sprintf(side, mostSide, "iw", scale) + ":h=" + fmt.Sprintf(side, mostSide, "ih", scale)
}

// quiet is how every ffmpeg is started: it asks nothing, opens nothing but files
// of known formats, and speaks only of errors.
func quiet() []string {
	return []string{
		"-hide_banner", "-nostdin", "-loglevel", "error", "-y", "-threads", "2",
		"-protocol_whitelist", "file,pipe", "-format_whitelist", containers,
		"-max_pixels", fmt.Sprint(mostSide * mostSide),
	}
}
