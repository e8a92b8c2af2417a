package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strconv"
	"time"
)

// framesPerSecond is what every video has.
const framesPerSecond = 30

// look is what a video is to look like.
type look struct {
	width, height int // pixels
	seconds       int
	sound         bool
}

// String says it in words.
func (l look) String() string {
	sound := "silent"
	if l.sound {
		sound = "AAC sound"
	}

	return fmt.Sprintf("%dx%d, %d s, %d fps, H.264, %s", l.width, l.height, l.seconds, framesPerSecond, sound)
}

// stream is one stream as ffprobe tells it.
type stream struct {
	Type   string `json:"codec_type"`
	Codec  string `json:"codec_name"`
	Width  int    `json:"width"`
	Height int    `json:"height"`
	Rate   string `json:"avg_frame_rate"`
	Frames string `json:"nb_read_frames"`
}

// probe decodes a video and lists its streams.
func probe(ctx context.Context, ffprobe, path string) ([]stream, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()

	out, err := exec.CommandContext(ctx, ffprobe, "-v", "error", "-count_frames", "-show_streams", "-of", "json", "file:"+path).Output()
	if err != nil {
		return nil, fmt.Errorf("look at %s with ffprobe: %w", path, err)
	}

	return parseProbe(out)
}

func parseProbe(text []byte) ([]stream, error) {
	var found struct {
		Streams []stream `json:"streams"`
	}
	if err := json.Unmarshal(text, &found); err != nil {
		return nil, fmt.Errorf("read what ffprobe says: %w", err)
	}

	return found.Streams, nil
}

// check says how the streams differ from what is wanted, nil when they do not.
// A frame more or less is no difference.
func (l look) check(streams []stream) error {
	sound := false
	pictures := 0

	for _, s := range streams {
		switch s.Type {
		case "audio":
			if sound = true; s.Codec != "aac" {
				return fmt.Errorf("its sound is %s, not aac", s.Codec)
			}
		case "video":
			pictures++
			frames, err := strconv.Atoi(s.Frames)

			off := frames - l.seconds*framesPerSecond
			switch {
			case s.Codec != "h264":
				return fmt.Errorf("its codec is %s, not h264", s.Codec)
			case s.Width != l.width || s.Height != l.height:
				return fmt.Errorf("it is %dx%d, not %dx%d", s.Width, s.Height, l.width, l.height)
			case s.Rate != fmt.Sprintf("%d/1", framesPerSecond):
				return fmt.Errorf("its rate is %s, not %d frames a second", s.Rate, framesPerSecond)
			case err != nil || off < -1 || off > 1:
				return fmt.Errorf("it has %s frames, not %d", s.Frames, l.seconds*framesPerSecond)
			}
		}
	}

	if pictures != 1 {
		return fmt.Errorf("it has %d video streams, not 1", pictures)
	}

	if sound != l.sound {
		return fmt.Errorf("sound: %t, not %t", sound, l.sound)
	}

	return nil
}
