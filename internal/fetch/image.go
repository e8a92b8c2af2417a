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

// maxPixels is the largest size of a picture that is decoded. It allows a square with
// 8000 pixels a side, the largest that any model accepts.
const maxPixels = 8192 * 8192

// imageTimeout limits the decoding of one picture: a few bytes of a JPEG can require
// another pass over all pixels, thousands of times.
const imageTimeout = 20 * time.Second

var errImageTimeout = errors.New("decoding takes too long")

// codec decodes one type of picture.
type codec struct {
	config        func(io.Reader) (image.Config, error)
	decode        func(io.Reader) (image.Image, error)
	bytesPerPixel int64 // memory that decoding takes for a pixel, at most
}

func codecFor(name string) (codec, string) {
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

// probeImage reads the header and, if the claimed size is acceptable, the pixels: a picture
// is valid only if all of it can be decoded. Pictures wait for each other, so that
// together they use less memory than maxImageMemory.
func (f *Fetcher) probeImage(ctx context.Context, file *os.File, kind Type) (Media, error) {
	imageCodec, name := codecFor(kind.Name)
	if isAnimated(file, kind) {
		return Media{}, invalidReference("The picture is an animation. Give a still one, or a video.", nil)
	}

	config, err := imageCodec.config(newContextReader(ctx, file))
	if err != nil {
		return Media{}, imageError(ctx, kind, err)
	}

	w := int64(config.Width)

	h := int64(config.Height)
	if w <= 0 || h <= 0 || w > maxPixels/h {
		return Media{}, invalidReference(fmt.Sprintf("The picture claims %d x %d pixels, which is more than the limit. Give a smaller one.", w, h), nil)
	}

	if fileSize(file) < minImageBytes(kind, w, h) {
		return Media{}, invalidReference(fmt.Sprintf("The picture claims %d x %d pixels but does not have the bytes for them: it is damaged or cut off. Give another one.", w, h), nil)
	}

	memory := min(w*h*imageCodec.bytesPerPixel, maxImageMemory)
	if err := f.imageMemory.Acquire(ctx, memory); err != nil {
		return Media{}, fmt.Errorf("probe: %w", err)
	}
	defer f.imageMemory.Release(memory)

	ctx, cancel := context.WithTimeoutCause(ctx, f.imageTimeout, errImageTimeout)
	defer cancel()

	picture, err := imageCodec.decode(newContextReader(ctx, file))
	if err != nil {
		return Media{}, imageError(ctx, kind, err)
	}

	return Media{
		Kind:   Image,
		Type:   kind.Name,
		Width:  w,
		Height: h,
		Alpha:  hasAlpha(picture, kind),
		Codec:  name,
	}, nil
}

func imageError(ctx context.Context, kind Type, err error) error {
	if errors.Is(context.Cause(ctx), errImageTimeout) {
		return invalidReference("The picture takes too long to decode. Save it again and give the new file.", errImageTimeout)
	}

	if ctx.Err() != nil {
		return fmt.Errorf("probe: %w", context.Cause(ctx))
	}

	var pathErr *os.PathError
	if errors.As(err, &pathErr) {
		return fmt.Errorf("probe: %w", err)
	}

	return invalidReference("The picture could not be decoded as "+kind.Name+": it is damaged or cut off. Give another one.", err)
}

// isAnimated reports whether a WebP is an animation, from a bit in its header.
func isAnimated(file *os.File, kind Type) bool {
	var head [21]byte

	_, err := file.ReadAt(head[:], 0)

	return err == nil && kind.Name == webp.Name && string(head[12:16]) == "VP8X" && head[20]&2 != 0
}

// minImageBytes returns the smallest possible file size of a picture, where that is known:
// a BMP has at least one bit for each pixel, and PNG compresses to no less than 1/1032. So
// memory is allocated only for pixels that the file can contain.
func minImageBytes(kind Type, w, h int64) int64 {
	switch kind.Name {
	case bmp.Name:
		return w * h / 8
	case png.Name:
		return w * h / 8 / 1032
	}

	return 0
}

// hasAlpha reports whether a picture has an alpha channel. Suppliers reject a PNG that has
// one, even if it is opaque. Lossless WebP always decodes to an image with alpha, so for
// WebP, as for palettes, it counts only if a pixel or colour is not opaque.
func hasAlpha(picture image.Image, kind Type) bool {
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

// newContextReader returns a reader of the file from its start that fails when ctx ends. Its
// buffer is small, so that a decoder notices the end soon.
func newContextReader(ctx context.Context, file *os.File) io.Reader {
	return bufio.NewReaderSize(contextReader{ctx, io.NewSectionReader(file, 0, 1<<62)}, 4<<10)
}

type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}

	return c.r.Read(p)
}
