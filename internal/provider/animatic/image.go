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

// oversampling is how much larger than the output a source is kept, so that the camera can
// zoom in without enlarging samples.
const oversampling = 1.3

// maxSourceArea limits a source's area, in areas of the output: a very long strip is kept
// at a lower resolution.
const maxSourceArea = 4.0

// workingSize returns the size at which a source of w x h is kept: it covers the output
// with some margin. It is even, so that chroma samples align.
func workingSize(w, h int, output box, factor float64) (int, int) {
	fw := float64(w)
	fh := float64(h)
	scale := factor * math.Max(output.w/fw, output.h/fh)
	maxScale := math.Sqrt(maxSourceArea * output.w * output.h / (fw * fh))
	scale = math.Min(scale, maxScale)
	even := func(v float64) int { return min(maxSide, max(16, int(math.Round(v*scale/2))*2)) }

	return even(fw), even(fh)
}

// decodeImage decodes a picture at its working size. ffmpeg does it in a process of its
// own, so that a hostile file can harm only that process.
func (t *tools) decodeImage(ctx context.Context, m media, output box) (*frame, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, decodeTimeout, errTimeout)
	defer cancel()

	w, h := workingSize(m.w, m.h, output, oversampling)
	out := &limitedBuffer{limit: 8*int(maxSourceArea*output.w*output.h) + 1<<20, buf: make([]byte, 0, 4*w*h+64<<10)} // usually large enough

	err := t.run(ctx, invocation{program: t.ffmpeg, stdout: out, args: append(baseArgs(),
		"-xerror", "-f", m.demuxer, "-i", m.path, "-frames:v", "1", "-map", "0:v:0", "-an",
		"-vf", scaleFilter(output)+":flags=bicubic+accurate_rnd,format=rgba",
		"-c:v", "png", "-pred", "none", "-compression_level", "0", "-threads", "1", "-f", "image2pipe", "pipe:1")})
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}

		return nil, badReference(m.param, "The picture cannot be decoded: it is damaged or cut off. Send it again.", err)
	}

	decoded, err := png.Decode(bytes.NewReader(out.buf))
	if err != nil {
		return nil, badReference(m.param, "The picture cannot be decoded: it is damaged or cut off. Send it again.", err)
	}

	flat, ok := decoded.(*image.NRGBA)
	if !ok {
		flat = image.NewNRGBA(decoded.Bounds())
		draw.Draw(flat, flat.Rect, decoded, decoded.Bounds().Min, draw.Src)
	}

	return frameFromImage(flat), nil
}

// scaleFilter is workingSize as an expression for ffmpeg: only ffmpeg knows the size of a
// photograph after rotating it upright.
func scaleFilter(output box) string {
	scale := fmt.Sprintf("min(%g*max(%g/iw\\,%g/ih)\\,sqrt(%g/(iw*ih)))", oversampling, output.w, output.h, maxSourceArea*output.w*output.h)
	side := "max(16\\,min(%d\\,2*round(%s*%s/2)))"

	return "scale=w=" + fmt.Sprintf(side, maxSide, "iw", scale) + ":h=" + fmt.Sprintf(side, maxSide, "ih", scale)
}

// baseArgs returns the arguments of every ffmpeg process: it asks no questions, opens only
// files of known formats, and prints only errors.
func baseArgs() []string {
	return []string{
		"-hide_banner", "-nostdin", "-loglevel", "error", "-y", "-threads", "2",
		"-protocol_whitelist", "file,pipe", "-format_whitelist", allowedDemuxers,
		"-max_pixels", fmt.Sprint(maxSide * maxSide),
	}
}
