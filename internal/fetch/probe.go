package fetch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Media describes a media file.
type Media struct {
	Kind       Kind
	Type       string // media type, "video/mp4"
	Bytes      int64
	Width      int64 // pixels as shown, after rotation; 0 for sound
	Height     int64
	Millis     int64  // length; 0 for pictures
	MilliFPS   int64  // frames in 1000 seconds, 30000 for 30 a second; 0 for pictures and sound
	Alpha      bool   // whether a picture or video has transparency
	Sound      bool   // whether there is a sound track
	Codec      string // of the picture or video, else of the sound: "h264", "png", "mp3"
	SoundCodec string // of the sound track, "" without one: "aac"
}

const (
	probeTimeout   = 20 * time.Second
	maxProbeOutput = 1 << 20 // bytes of ffprobe's output
	maxStreams     = 64
)

// Probe measures a file on our disk. A problem with the file is a *fault.Fault of code
// reference_invalid; other errors are ours (ErrToolMissing, or ctx has ended).
func (f *Fetcher) Probe(ctx context.Context, path string) (Media, error) {
	file, err := os.Open(path)
	if err != nil {
		return Media{}, fmt.Errorf("probe: %w", err)
	}
	defer file.Close()

	info, err := file.Stat()
	if err != nil {
		return Media{}, fmt.Errorf("probe: %w", err)
	}

	head := make([]byte, SniffBytes)

	n, err := io.ReadFull(file, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return Media{}, fmt.Errorf("probe: %w", err)
	}

	if n == 0 {
		return Media{}, invalidReference("The file is empty. Give one with a picture, video or sound.", nil)
	}

	kind, ok := Sniff(head[:n])
	if !ok {
		return Media{}, invalidReference(describeNonMedia(head[:n]), nil)
	}

	var m Media
	if kind.Kind == Image {
		m, err = f.probeImage(ctx, file, kind)
	} else {
		m, err = f.probeStreams(ctx, file, kind)
	}

	m.Bytes = info.Size()

	if err != nil {
		return Media{}, err
	}

	return m, nil
}

// probeStreams measures a video or sound with ffprobe, which must read the file as the
// type that Sniff detected and as no other.
func (f *Fetcher) probeStreams(ctx context.Context, file *os.File, kind Type) (Media, error) {
	if err := checkContainer(file, kind); err != nil {
		return Media{}, err
	}

	input, err := inputArgs(file.Name(), kind)
	if err != nil {
		return Media{}, err
	}

	args := append([]string{
		"-v", "error", "-of", "json", "-show_entries",
		"format=duration:stream=codec_type,codec_name,width,height,avg_frame_rate,r_frame_rate,duration,pix_fmt:stream_disposition=attached_pic:stream_side_data=rotation",
	}, input...)
	output, err := f.runSandboxed(ctx, command{
		name:      f.options.FFprobe,
		args:      args,
		timeout:   probeTimeout,
		maxOutput: maxProbeOutput,
		maxMemory: 1 << 30,
	})

	var fileErr *fileError
	if errors.As(err, &fileErr) {
		return Media{}, invalidReference("The file could not be read as "+kind.Name+": it is damaged or uses something unknown. Give another one.", err)
	}

	if err != nil {
		return Media{}, fmt.Errorf("probe: %w", err)
	}

	return parseProbe(output, kind)
}

// checkContainer checks the structure of a file before a decoder reads it.
func checkContainer(file *os.File, kind Type) error {
	size := fileSize(file)

	switch kind.demuxer {
	case "mov":
		l, err := findLayout(file, size)
		if err == nil {
			err = validateIndex(file, l.moov, size)
		}

		switch {
		case errors.Is(err, errTooManyTracks):
			return invalidReference("The file has too many tracks. Give one with a picture and a sound track.", nil)
		case errors.Is(err, errExternalMedia):
			return invalidReference("The file refers to another one for its pictures or sound. Give one that contains them.", nil)
		case err != nil:
			return invalidReference("The video file is cut off or damaged. Give a whole one.", err)
		}
	case "wav":
		if err := checkWAV(file, size); err != nil {
			return invalidReference("The sound file is cut off or damaged: its header announces more sound than it has. Give a whole one.", err)
		}
	}

	return nil
}

// inputArgs returns the arguments with which ffmpeg and ffprobe get a file: only the file
// protocol, and a fixed demuxer, also for anything nested in the file.
func inputArgs(path string, kind Type) ([]string, error) {
	absPath, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}

	return []string{"-protocol_whitelist", "file", "-format_whitelist", kind.demuxerFamily, "-f", kind.demuxer, "-i", "file:" + absPath}, nil
}

type ffprobeOutput struct {
	Format struct {
		Duration string `json:"duration"`
	} `json:"format"`
	Streams []ffprobeStream `json:"streams"`
}

type ffprobeStream struct {
	Type          string `json:"codec_type"`
	Codec         string `json:"codec_name"`
	Width         int64  `json:"width"`
	Height        int64  `json:"height"`
	AvgFrameRate  string `json:"avg_frame_rate"`
	RealFrameRate string `json:"r_frame_rate"`
	Duration      string `json:"duration"`
	PixelFormat   string `json:"pix_fmt"`
	Disposition   struct {
		AttachedPic int `json:"attached_pic"`
	} `json:"disposition"`
	SideData []struct {
		Rotation json.Number `json:"rotation"`
	} `json:"side_data_list"`
}

// parseProbe reads ffprobe's JSON.
func parseProbe(output []byte, kind Type) (Media, error) {
	var parsed ffprobeOutput
	if err := json.Unmarshal(output, &parsed); err != nil {
		return Media{}, fmt.Errorf("probe: read ffprobe's output: %w", err)
	}

	if len(parsed.Streams) > maxStreams {
		return Media{}, invalidReference("The file has too many tracks. Give one with a picture and a sound track.", nil)
	}

	var video, audio *ffprobeStream

	for i := range parsed.Streams {
		track := &parsed.Streams[i]
		if track.Type == "video" && track.Disposition.AttachedPic == 0 && video == nil {
			video = track
		}

		if track.Type == "audio" && audio == nil {
			audio = track
		}
	}

	m := Media{Kind: kind.Kind, Type: kind.Name, Sound: audio != nil, Millis: parseMillis(parsed.Format.Duration)}
	if audio != nil {
		m.SoundCodec = audio.Codec
	}

	switch {
	case video != nil && kind.Kind == Video:
		m.setVideo(video)
	case audio != nil:
		m.Kind = Audio
		m.Codec = audio.Codec

		if kind.Kind == Video {
			m.Type = "audio/" + strings.TrimPrefix(kind.Name, "video/")
		}
	default:
		return Media{}, invalidReference("The file has neither a picture nor a sound track. Give another one.", nil)
	}

	if m.Millis <= 0 {
		return Media{}, invalidReference("The file has no duration, or a duration of zero. Give a whole one.", nil)
	}

	if m.Kind == Video && (m.Width <= 0 || m.Height <= 0) {
		return Media{}, invalidReference("The video's picture has no size: the file is damaged. Give another one.", nil)
	}

	return m, nil
}

// setVideo sets the fields that describe the picture track.
func (m *Media) setVideo(s *ffprobeStream) {
	m.Width = s.Width
	m.Height = s.Height
	m.Codec = s.Codec
	m.MilliFPS = parseFrameRate(s.AvgFrameRate)

	if m.MilliFPS == 0 {
		m.MilliFPS = parseFrameRate(s.RealFrameRate)
	}

	if duration := parseMillis(s.Duration); duration > 0 {
		m.Millis = duration
	}

	for _, alpha := range []string{"yuva", "rgba", "bgra", "argb", "abgr", "gbrap", "ya8", "ya16"} {
		m.Alpha = m.Alpha || strings.HasPrefix(s.PixelFormat, alpha)
	}

	for _, d := range s.SideData {
		if rotation, err := d.Rotation.Int64(); err == nil && rotation%180 != 0 {
			m.Width = s.Height
			m.Height = s.Width
		}
	}
}

// parseMillis parses seconds with decimals, "5.005000", and rounds to the nearest
// millisecond. It returns 0 if there are none.
func parseMillis(text string) int64 {
	seconds, fraction, _ := strings.Cut(text, ".")

	s, err := strconv.ParseInt(seconds, 10, 32)
	if err != nil || s < 0 {
		return 0
	}

	ms, err := strconv.ParseInt((fraction + "0000")[:4], 10, 32)
	if err != nil || ms < 0 {
		return 0
	}

	return s*1000 + (ms+5)/10
}

// parseFrameRate parses a fraction of frames per second, "30000/1001", and returns frames
// in 1000 seconds.
func parseFrameRate(text string) int64 {
	numerator, denominator, _ := strings.Cut(text, "/")
	n, err := strconv.ParseInt(numerator, 10, 32)

	d, err2 := strconv.ParseInt(denominator, 10, 32)
	if err != nil || err2 != nil || n <= 0 || d <= 0 {
		return 0
	}

	return (n*1000 + d/2) / d
}

func fileSize(file *os.File) int64 {
	info, err := file.Stat()
	if err != nil {
		return 0
	}

	return info.Size()
}
