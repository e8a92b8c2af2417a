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

// Media is what a file measures.
type Media struct {
	Kind       Kind
	Type       string // media type, "video/mp4"
	Bytes      int64
	Width      int64 // pixels as shown (a turned video is turned); 0 for sound
	Height     int64
	Millis     int64  // length; 0 for pictures
	FPS        int64  // frames in 1000 seconds, 30000 for 30 a second; 0 for pictures and sound
	Alpha      bool   // whether a picture or video has transparency
	Sound      bool   // whether there is a sound track
	Codec      string // of the picture or video, else of the sound: "h264", "png", "mp3"
	SoundCodec string // of the sound track, "" without one: "aac"
}

const (
	probeWait   = 20 * time.Second
	probeOutput = 1 << 20 // bytes of ffprobe's answer
	maxStreams  = 64
)

// Probe measures a file that is on our disk. What is wrong with the file comes as
// a *fault.Fault of code reference_invalid; other errors are ours (ErrNoTool, the
// end of ctx).
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
		return Media{}, invalid("The file is empty. Give one with a picture, video or sound.", nil)
	}

	kind, ok := Sniff(head[:n])
	if !ok {
		return Media{}, invalid(stranger(head[:n]), nil)
	}

	var m Media
	if kind.Kind == Image {
		m, err = f.probePicture(ctx, file, kind)
	} else {
		m, err = f.probeStreams(ctx, file, kind)
	}

	m.Bytes = info.Size()

	if err != nil {
		return Media{}, err
	}

	return m, nil
}

// probeStreams asks ffprobe, which reads the file as what it was sniffed to be
// and as nothing else.
func (f *Fetcher) probeStreams(ctx context.Context, file *os.File, kind Type) (Media, error) {
	if err := whole(file, kind); err != nil {
		return Media{}, err
	}

	input, err := inputOf(file.Name(), kind)
	if err != nil {
		return Media{}, err
	}

	args := append([]string{
		"-v", "error", "-of", "json", "-show_entries",
		"format=duration:stream=codec_type,codec_name,width,height,avg_frame_rate,r_frame_rate,duration,pix_fmt:stream_disposition=attached_pic:stream_side_data=rotation",
	}, input...)
	answer, err := f.run(ctx, tool{name: f.options.FFprobe, args: args, wait: probeWait, output: probeOutput, memory: 1 << 30})

	var bad *badFile
	if errors.As(err, &bad) {
		return Media{}, invalid("The file could not be read as "+kind.Name+": it is damaged or uses something unknown. Give another one.", err)
	}

	if err != nil {
		return Media{}, fmt.Errorf("probe: %w", err)
	}

	return measure(answer, kind)
}

// whole looks at what a file says of its own parts, before a decoder believes it.
func whole(file *os.File, kind Type) error {
	size := fileSize(file)

	switch kind.demuxer {
	case "mov":
		l, err := walk(file, size)
		if err == nil {
			err = inspect(file, l.moov, size)
		}

		switch {
		case errors.Is(err, errTracks):
			return invalid("The file has too many tracks. Give one with a picture and a sound track.", nil)
		case errors.Is(err, errElsewhere):
			return invalid("The file refers to another one for its pictures or sound. Give one that holds them itself.", nil)
		case err != nil:
			return invalid("The video file is cut off or damaged. Give a whole one.", err)
		}
	case "wav":
		if err := wholeSound(file, size); err != nil {
			return invalid("The sound file is cut off or damaged: it says that it has more sound than it has. Give a whole one.", err)
		}
	}

	return nil
}

// inputOf is how ffmpeg's programs are given a file: by the file protocol, with
// the demuxer fixed and every nested one too.
func inputOf(path string, kind Type) ([]string, error) {
	whole, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}

	return []string{"-protocol_whitelist", "file", "-format_whitelist", kind.family, "-f", kind.demuxer, "-i", "file:" + whole}, nil
}

type streams struct {
	Format struct {
		Duration string `json:"duration"`
	} `json:"format"`
	Streams []stream `json:"streams"`
}

type stream struct {
	Type        string `json:"codec_type"`
	Codec       string `json:"codec_name"`
	Width       int64  `json:"width"`
	Height      int64  `json:"height"`
	Average     string `json:"avg_frame_rate"`
	Real        string `json:"r_frame_rate"`
	Duration    string `json:"duration"`
	Pixels      string `json:"pix_fmt"`
	Disposition struct {
		Cover int `json:"attached_pic"`
	} `json:"disposition"`
	Side []struct {
		Rotation json.Number `json:"rotation"`
	} `json:"side_data_list"`
}

// measure reads ffprobe's JSON.
func measure(answer []byte, kind Type) (Media, error) {
	var s streams
	if err := json.Unmarshal(answer, &s); err != nil {
		return Media{}, fmt.Errorf("probe: read ffprobe's answer: %w", err)
	}

	if len(s.Streams) > maxStreams {
		return Media{}, invalid("The file has too many tracks. Give one with a picture and a sound track.", nil)
	}

	var picture, sound *stream

	for i := range s.Streams {
		t := &s.Streams[i]
		if t.Type == "video" && t.Disposition.Cover == 0 && picture == nil {
			picture = t
		}

		if t.Type == "audio" && sound == nil {
			sound = t
		}
	}

	m := Media{Kind: kind.Kind, Type: kind.Name, Sound: sound != nil, Millis: millis(s.Format.Duration)}
	if sound != nil {
		m.SoundCodec = sound.Codec
	}

	switch {
	case picture != nil && kind.Kind == Video:
		m.frame(picture)
	case sound != nil:
		m.Kind = Audio

		m.Codec = sound.Codec
		if kind.Kind == Video {
			m.Type = "audio/" + strings.TrimPrefix(kind.Name, "video/")
		}
	default:
		return Media{}, invalid("The file has neither a picture nor a sound track. Give another one.", nil)
	}

	if m.Millis <= 0 {
		return Media{}, invalid("The file does not say how long it plays, or plays no time at all. Give a whole one.", nil)
	}

	if m.Kind == Video && (m.Width <= 0 || m.Height <= 0) {
		return Media{}, invalid("The video's picture has no size: the file is damaged. Give another one.", nil)
	}

	return m, nil
}

// frame takes over what the picture track says.
func (m *Media) frame(s *stream) {
	m.Width = s.Width
	m.Height = s.Height
	m.Codec = s.Codec

	m.FPS = perThousand(s.Average)
	if m.FPS == 0 {
		m.FPS = perThousand(s.Real)
	}

	if own := millis(s.Duration); own > 0 {
		m.Millis = own
	}

	for _, alpha := range []string{"yuva", "rgba", "bgra", "argb", "abgr", "gbrap", "ya8", "ya16"} {
		m.Alpha = m.Alpha || strings.HasPrefix(s.Pixels, alpha)
	}

	for _, d := range s.Side {
		if turn, err := d.Rotation.Int64(); err == nil && turn%180 != 0 {
			m.Width = s.Height
			m.Height = s.Width
		}
	}
}

// millis reads seconds with decimals, "5.005000", to the nearest millisecond; 0
// when they are not there.
func millis(text string) int64 {
	whole, part, _ := strings.Cut(text, ".")

	s, err := strconv.ParseInt(whole, 10, 32)
	if err != nil || s < 0 {
		return 0
	}

	ms, err := strconv.ParseInt((part + "0000")[:4], 10, 32)
	if err != nil || ms < 0 {
		return 0
	}

	return s*1000 + (ms+5)/10
}

// perThousand reads a fraction of frames a second, "30000/1001", as frames in
// 1000 seconds.
func perThousand(text string) int64 {
	above, below, _ := strings.Cut(text, "/")
	n, err := strconv.ParseInt(above, 10, 32)

	d, err2 := strconv.ParseInt(below, 10, 32)
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
