package fetch

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"image"
	gifs "image/gif"
	jpegs "image/jpeg"
	pngs "image/png"
	"io"
	"os"
	"time"

	bmps "golang.org/x/image/bmp"
	webps "golang.org/x/image/webp"
)

// maxPixels is how large a picture may be to be decoded at all: what the largest
// side of any model, 8000, makes of a square.
const maxPixels = 8192 * 8192

// pictureWait bounds the decoding of one picture: a few bytes of a JPEG can ask for
// another pass over all of it, thousands of times.
const pictureWait = 20 * time.Second

var errPictureWait = errors.New("decoding takes too long")

// codec reads one type of picture.
type codec struct {
	config func(io.Reader) (image.Config, error)
	decode func(io.Reader) (image.Image, error)
	weight int64 // bytes that decoding takes for a pixel, at most
}

func codecOf(name string) (codec, string) {
	switch name {
	case png.Name:
		return codec{pngs.DecodeConfig, pngs.Decode, 8}, "png"
	case jpeg.Name:
		return codec{jpegs.DecodeConfig, jpegs.Decode, 16}, "jpeg"
	case webp.Name:
		return codec{webps.DecodeConfig, webps.Decode, 8}, "webp"
	case gif.Name:
		return codec{gifs.DecodeConfig, gifs.Decode, 2}, "gif"
	default:
		return codec{bmps.DecodeConfig, bmps.Decode, 4}, "bmp"
	}
}

// probePicture reads the header, and only when what it claims is bearable the
// pixels: a picture counts when all of it can be decoded. Pictures wait for each
// other so that together they stay below pictureMemory.
func (f *Fetcher) probePicture(ctx context.Context, file *os.File, kind Type) (Media, error) {
	c, name := codecOf(kind.Name)
	if animated(file, kind) {
		return Media{}, invalid("The picture is an animation. Give a still one, or a video.", nil)
	}

	config, err := c.config(fromStart(ctx, file))
	if err != nil {
		return Media{}, badPicture(ctx, kind, err)
	}

	w := int64(config.Width)

	h := int64(config.Height)
	if w <= 0 || h <= 0 || w > maxPixels/h {
		return Media{}, invalid(fmt.Sprintf("The picture claims %d x %d pixels, more than is taken. Give a smaller one.", w, h), nil)
	}

	if fileSize(file) < leastBytes(kind, w, h) {
		return Media{}, invalid(fmt.Sprintf("The picture claims %d x %d pixels and has not the bytes for them: it is damaged or cut off. Give another one.", w, h), nil)
	}

	weight := min(w*h*c.weight, pictureMemory)
	if err := f.pictures.Acquire(ctx, weight); err != nil {
		return Media{}, fmt.Errorf("probe: %w", err)
	}
	defer f.pictures.Release(weight)

	ctx, done := context.WithTimeoutCause(ctx, f.patience, errPictureWait)
	defer done()

	picture, err := c.decode(fromStart(ctx, file))
	if err != nil {
		return Media{}, badPicture(ctx, kind, err)
	}

	return Media{Kind: Image, Type: kind.Name, Width: w, Height: h, Alpha: seeThrough(picture, kind), Codec: name}, nil
}

func badPicture(ctx context.Context, kind Type, err error) error {
	if errors.Is(context.Cause(ctx), errPictureWait) {
		return invalid("The picture takes too long to decode. Save it anew and give that one.", errPictureWait)
	}

	if ctx.Err() != nil {
		return fmt.Errorf("probe: %w", context.Cause(ctx))
	}

	var ours *os.PathError
	if errors.As(err, &ours) {
		return fmt.Errorf("probe: %w", err)
	}

	return invalid("The picture could not be decoded as "+kind.Name+": it is damaged or cut off. Give another one.", err)
}

// animated says whether a WebP is one of several pictures, by a bit in its header.
func animated(file *os.File, kind Type) bool {
	var head [21]byte

	_, err := file.ReadAt(head[:], 0)

	return err == nil && kind.Name == webp.Name && string(head[12:16]) == "VP8X" && head[20]&2 != 0
}

// leastBytes is what a picture of a size takes as a file, at least, where that can
// be told: a BMP here has a bit for each pixel, and PNG packs bits to a 1032nd at
// most. So memory is had only for what may be there.
func leastBytes(kind Type, w, h int64) int64 {
	switch kind.Name {
	case bmp.Name:
		return w * h / 8
	case png.Name:
		return w * h / 8 / 1032
	}

	return 0
}

// seeThrough says whether a picture has an alpha channel: suppliers refuse a PNG
// for having one, used or not. WebP's lossless form always decodes to one; so
// there, as in palettes, what counts is its use.
func seeThrough(picture image.Image, kind Type) bool {
	switch p := picture.(type) {
	case *image.NRGBA:
		return kind.Name == png.Name || !p.Opaque()
	case *image.NRGBA64, *image.NYCbCrA:
		return true
	case *image.Paletted:
		for _, c := range p.Palette {
			if _, _, _, a := c.RGBA(); a < 0xffff {
				return true
			}
		}
	}

	return false
}

// fromStart reads a file from its start, and ends with ctx. It reads little at a
// time, so that a decoder soon hears of the end.
func fromStart(ctx context.Context, file *os.File) io.Reader {
	return bufio.NewReaderSize(untilDone{ctx, io.NewSectionReader(file, 0, 1<<62)}, 4<<10)
}

type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}

	return u.r.Read(p)
}
