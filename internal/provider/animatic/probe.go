package animatic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg" // decoders that measure pictures
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

// Limits for references: a file that claims more is rejected before it is decoded.
const (
	maxSide        = 8000             // pixels, of pictures and videos
	maxDuration    = 2 * time.Hour    // of videos and sounds
	probeTimeout   = 20 * time.Second // for one ffprobe
	decodeTimeout  = 60 * time.Second // for one picture or sound
	maxProbeOutput = 256 << 10        // bytes of ffprobe's output
)

// allowedDemuxers lists the containers that may be opened, by the names of ffmpeg's
// demuxers. A playlist or a script disguised as a video is none of them.
const allowedDemuxers = "mov,mp3,wav,aac,matroska,ogg,flac,jpeg_pipe,png_pipe,bmp_pipe,webp_pipe"

// imageDemuxers are ffmpeg's demuxers for the picture formats, by Go's names for the formats.
var imageDemuxers = map[string]string{"jpeg": "jpeg_pipe", "png": "png_pipe", "bmp": "bmp_pipe", "webp": "webp_pipe"}

// media is one reference on our disk with its measurements.
type media struct {
	kind    string // "image", "video", "audio"
	param   string
	path    string
	demuxer string // of a picture: ffmpeg's demuxer for its format
	w, h    int    // pixels as shown: after rotation and with square pixels
	length  time.Duration
	sound   bool
}

// badReference returns the failure for a reference that cannot be used.
func badReference(param, detail string, cause error) *provider.Failure {
	return &provider.Failure{
		Acceptance: provider.NotAccepted,
		Class:      provider.InvalidRequest,
		Err:        cause,
		Fault:      fault.New(fault.CodeReferenceInvalid, param, detail).WithCause(cause),
	}
}

// probe measures a file and rejects one that is too large to open.
func (t *tools) probe(ctx context.Context, kind, param, path string) (media, error) {
	m := media{kind: kind, param: param, path: path}
	if kind == "image" {
		return probeImage(m)
	}

	return t.probeStreams(ctx, m)
}

func probeImage(m media) (media, error) {
	f, err := os.Open(m.path)
	if err != nil {
		return m, fmt.Errorf("open picture: %w", err)
	}
	defer func() { _ = f.Close() }()

	c, format, err := image.DecodeConfig(f)
	if err != nil {
		return m, badReference(m.param, "The picture cannot be read. Send a PNG, JPEG, BMP or WEBP picture.", err)
	}

	if c.Width < 1 || c.Height < 1 || c.Width > maxSide || c.Height > maxSide {
		return m, tooLarge(m.param, c.Width, c.Height)
	}

	m.demuxer = imageDemuxers[format]
	m.w = c.Width
	m.h = c.Height

	if m.demuxer == "" {
		return m, badReference(m.param, "The picture's format is not supported. Send a PNG, JPEG, BMP or WEBP picture.", nil)
	}

	return m, nil
}

func tooLarge(param string, w, h int) *provider.Failure {
	return badReference(param, fmt.Sprintf("It has %d x %d pixels; the limit is %d x %d. Send a smaller one.", w, h, maxSide, maxSide), nil)
}

// ffprobeOutput is the part of ffprobe's output that is used.
type ffprobeOutput struct {
	Streams []struct {
		Type              string `json:"codec_type"`
		Width             int    `json:"width"`
		Height            int    `json:"height"`
		SampleAspectRatio string `json:"sample_aspect_ratio"`
		SideData          []struct {
			Rotation float64 `json:"rotation"`
		} `json:"side_data_list"`
		Disposition struct {
			AttachedPic int `json:"attached_pic"`
		} `json:"disposition"`
	} `json:"streams"`
	Format struct {
		Duration string `json:"duration"`
	} `json:"format"`
}

func (t *tools) probeStreams(ctx context.Context, m media) (media, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, probeTimeout, errTimeout)
	defer cancel()

	out := &limitedBuffer{limit: maxProbeOutput}

	err := t.run(ctx, invocation{program: t.ffprobe, stdout: out, args: []string{
		"-hide_banner", "-loglevel", "error", "-protocol_whitelist", "file,pipe", "-format_whitelist", allowedDemuxers,
		"-max_pixels", strconv.Itoa(maxSide * maxSide), "-show_entries",
		"stream=codec_type,width,height,sample_aspect_ratio:stream_side_data=rotation:stream_disposition=attached_pic:format=duration",
		"-of", "json", "-i", m.path,
	}})
	if ctx.Err() != nil && !errors.Is(context.Cause(ctx), errTimeout) {
		return m, context.Cause(ctx)
	}

	var s ffprobeOutput
	if err == nil {
		err = json.Unmarshal(out.buf, &s)
	}

	if err != nil {
		return m, unreadableReference(m, err)
	}

	return m.withProbe(s)
}

func unreadableReference(m media, err error) *provider.Failure {
	if m.kind == "audio" {
		return badReference(m.param, "The sound cannot be read. Send an MP3, WAV, AAC or M4A file.", err)
	}

	return badReference(m.param, "The video cannot be read. Send an MP4 or MOV file whose video plays.", err)
}

// withProbe returns m with the measurements of ffprobe.
func (m media) withProbe(s ffprobeOutput) (media, error) {
	seconds, _ := strconv.ParseFloat(s.Format.Duration, 64)

	m.length = time.Duration(seconds * float64(time.Second))
	if m.length > maxDuration || m.length < 0 {
		return m, badReference(m.param, "It is longer than two hours. Send a shorter one.", nil)
	}

	for _, v := range s.Streams {
		switch {
		case v.Type == "audio":
			m.sound = true
		case v.Type == "video" && v.Disposition.AttachedPic == 0 && m.w == 0:
			if v.Width < 1 || v.Height < 1 || v.Width > maxSide || v.Height > maxSide {
				return m, tooLarge(m.param, v.Width, v.Height)
			}

			m.w, m.h = displaySize(v.Width, v.Height, v.SampleAspectRatio)
			for _, side := range v.SideData {
				if int(side.Rotation)%180 != 0 {
					m.w, m.h = m.h, m.w
				}
			}
		}
	}

	if m.kind == "audio" && !m.sound || m.kind == "video" && m.w == 0 {
		return m, unreadableReference(m, errors.New("no stream of its kind"))
	}

	return m, nil
}

// displaySize returns the size with square pixels; aspectRatio is ffprobe's, for example "16:15".
func displaySize(w, h int, aspectRatio string) (int, int) {
	across, down, ok := strings.Cut(aspectRatio, ":")
	a, errA := strconv.Atoi(across)

	d, errD := strconv.Atoi(down)
	if !ok || errA != nil || errD != nil || a < 1 || d < 1 || a > 10*d || d > 10*a {
		return w, h
	}

	return max(1, w*a/d), h
}
