package animatic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // pictures are measured by the decoders registered here
	_ "image/png"
	"os"
	"strconv"
	"strings"
	"time"

	_ "golang.org/x/image/bmp"
	_ "golang.org/x/image/webp"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
)

// Bounds of what is opened: a file that claims more is refused before it is decoded.
const (
	mostSide      = 8000             // pixels, of pictures and videos
	mostLength    = 2 * time.Hour    // of videos and sounds
	probeTime     = 20 * time.Second // for one ffprobe
	decodeTime    = 60 * time.Second // for one picture or sound
	mostProbeText = 256 << 10        // bytes of ffprobe's answer
)

// The containers that are opened, by the names of ffmpeg's readers. A playlist
// or a script that dresses up as a video is none of them.
const containers = "mov,mp3,wav,aac,matroska,ogg,flac,jpeg_pipe,png_pipe,bmp_pipe,webp_pipe"

// readers are the ffmpeg readers of the picture formats, by Go's names for these.
var readers = map[string]string{"jpeg": "jpeg_pipe", "png": "png_pipe", "bmp": "bmp_pipe", "webp": "webp_pipe"}

// media is one reference on our disk, measured.
type media struct {
	kind   string // "image", "video", "audio"
	param  string
	path   string
	reader string // of a picture: ffmpeg's name of its format
	w, h   int    // pixels as shown: turned and with square pixels
	length time.Duration
	sound  bool
}

// badReference is what the customer is told about a reference that cannot be used.
func badReference(param, detail string, cause error) *provider.Failure {
	return &provider.Failure{
		Taken: provider.NotTaken, Class: provider.Refused, Err: cause,
		Fault: fault.New(fault.CodeBadReference, param, detail).Because(cause),
	}
}

// measure finds out what a file is and refuses what is too large to open.
func (t *tools) measure(ctx context.Context, kind, param, path string) (media, error) {
	m := media{kind: kind, param: param, path: path}
	if kind == "image" {
		return measurePicture(m)
	}

	return t.measureStream(ctx, m)
}

func measurePicture(m media) (media, error) {
	f, err := os.Open(m.path)
	if err != nil {
		return m, fmt.Errorf("open picture: %w", err)
	}
	defer func() { _ = f.Close() }()

	c, format, err := image.DecodeConfig(f)
	if err != nil {
		return m, badReference(m.param, "The picture cannot be read. Send a PNG, JPEG, BMP or WEBP picture.", err)
	}

	if c.Width < 1 || c.Height < 1 || c.Width > mostSide || c.Height > mostSide {
		return m, tooLarge(m.param, c.Width, c.Height)
	}

	m.reader = readers[format]
	m.w = c.Width

	m.h = c.Height
	if m.reader == "" {
		return m, badReference(m.param, "The picture is of a format that is not taken. Send a PNG, JPEG, BMP or WEBP picture.", nil)
	}

	return m, nil
}

func tooLarge(param string, w, h int) *provider.Failure {
	return badReference(param, fmt.Sprintf("It is %d x %d pixels; at most %d x %d are taken. Send a smaller one.", w, h, mostSide, mostSide), nil)
}

// seen is the part of ffprobe's answer that is used.
type seen struct {
	Streams []struct {
		Type     string `json:"codec_type"`
		Width    int    `json:"width"`
		Height   int    `json:"height"`
		Shape    string `json:"sample_aspect_ratio"`
		SideData []struct {
			Rotation float64 `json:"rotation"`
		} `json:"side_data_list"`
		Disposition struct {
			Cover int `json:"attached_pic"`
		} `json:"disposition"`
	} `json:"streams"`
	Format struct {
		Duration string `json:"duration"`
	} `json:"format"`
}

func (t *tools) measureStream(ctx context.Context, m media) (media, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, probeTime, errSlow)
	defer cancel()

	out := &limited{limit: mostProbeText}

	err := t.run(ctx, call{program: t.ffprobe, out: out, args: []string{
		"-hide_banner", "-loglevel", "error", "-protocol_whitelist", "file,pipe", "-format_whitelist", containers,
		"-max_pixels", strconv.Itoa(mostSide * mostSide), "-show_entries",
		"stream=codec_type,width,height,sample_aspect_ratio:stream_side_data=rotation:stream_disposition=attached_pic:format=duration",
		"-of", "json", "-i", m.path,
	}})
	if ctx.Err() != nil && !errors.Is(context.Cause(ctx), errSlow) {
		return m, context.Cause(ctx)
	}

	var s seen
	if err == nil {
		err = json.Unmarshal(out.kept, &s)
	}

	if err != nil {
		return m, unreadable(m, err)
	}

	return m.with(s)
}

func unreadable(m media, err error) *provider.Failure {
	if m.kind == "audio" {
		return badReference(m.param, "The sound cannot be read. Send an MP3, WAV, AAC or M4A file.", err)
	}

	return badReference(m.param, "The video cannot be read. Send an MP4 or MOV file whose video plays.", err)
}

// with takes over what ffprobe saw.
func (m media) with(s seen) (media, error) {
	seconds, _ := strconv.ParseFloat(s.Format.Duration, 64)

	m.length = time.Duration(seconds * float64(time.Second))
	if m.length > mostLength || m.length < 0 {
		return m, badReference(m.param, "It is longer than two hours. Send a shorter one.", nil)
	}

	for _, v := range s.Streams {
		switch {
		case v.Type == "audio":
			m.sound = true
		case v.Type == "video" && v.Disposition.Cover == 0 && m.w == 0:
			if v.Width < 1 || v.Height < 1 || v.Width > mostSide || v.Height > mostSide {
				return m, tooLarge(m.param, v.Width, v.Height)
			}

			m.w, m.h = shown(v.Width, v.Height, v.Shape)
			for _, side := range v.SideData {
				if int(side.Rotation)%180 != 0 {
					m.w, m.h = m.h, m.w
				}
			}
		}
	}

	if m.kind == "audio" && !m.sound || m.kind == "video" && m.w == 0 {
		return m, unreadable(m, errors.New("no stream of its kind"))
	}

	return m, nil
}

// shown is the size with square pixels; shape is ffprobe's "16:15".
func shown(w, h int, shape string) (int, int) {
	across, down, ok := strings.Cut(shape, ":")
	a, errA := strconv.Atoi(across)

	d, errD := strconv.Atoi(down)
	if !ok || errA != nil || errD != nil || a < 1 || d < 1 || a > 10*d || d > 10*a {
		return w, h
	}

	return max(1, w*a/d), h
}
