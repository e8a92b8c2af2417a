package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strconv"
	"time"
)

// framesPerSecond is the frame rate of every video.
const framesPerSecond = 30

// videoSpec describes the expected properties of a video.
type videoSpec struct {
	width, height int // pixels
	seconds       int
	audio         bool
}

// String returns a description such as "1280x720, 5 s, 30 fps, H.264, silent".
func (want videoSpec) String() string {
	sound := "silent"
	if want.audio {
		sound = "AAC sound"
	}

	return fmt.Sprintf("%dx%d, %d s, %d fps, H.264, %s", want.width, want.height, want.seconds, framesPerSecond, sound)
}

// stream is one stream as reported by ffprobe.
type stream struct {
	Type   string `json:"codec_type"`
	Codec  string `json:"codec_name"`
	Width  int    `json:"width"`
	Height int    `json:"height"`
	Rate   string `json:"avg_frame_rate"`
	Frames string `json:"nb_read_frames"`
}

// probe decodes a video with ffprobe and returns its streams.
func probe(ctx context.Context, ffprobe, path string) ([]stream, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()

	out, err := exec.CommandContext(ctx, ffprobe, "-v", "error", "-count_frames", "-show_streams", "-of", "json", "file:"+path).Output()
	if err != nil {
		return nil, fmt.Errorf("probe %s with ffprobe: %w", path, err)
	}

	return parseProbe(out)
}

func parseProbe(text []byte) ([]stream, error) {
	var found struct {
		Streams []stream `json:"streams"`
	}
	if err := json.Unmarshal(text, &found); err != nil {
		return nil, fmt.Errorf("decode ffprobe's output: %w", err)
	}

	return found.Streams, nil
}

// check returns an error if the streams differ from the specification. One frame more or
// less is accepted.
func (want videoSpec) check(streams []stream) error {
	hasAudio := false
	videoStreams := 0

	for _, s := range streams {
		switch s.Type {
		case "audio":
			if hasAudio = true; s.Codec != "aac" {
				return fmt.Errorf("its sound is %s, not aac", s.Codec)
			}
		case "video":
			videoStreams++
			frames, err := strconv.Atoi(s.Frames)

			difference := frames - want.seconds*framesPerSecond
			switch {
			case s.Codec != "h264":
				return fmt.Errorf("its codec is %s, not h264", s.Codec)
			case s.Width != want.width || s.Height != want.height:
				return fmt.Errorf("it is %dx%d, not %dx%d", s.Width, s.Height, want.width, want.height)
			case s.Rate != fmt.Sprintf("%d/1", framesPerSecond):
				return fmt.Errorf("its rate is %s, not %d frames per second", s.Rate, framesPerSecond)
			case err != nil || difference < -1 || difference > 1:
				return fmt.Errorf("it has %s frames, not %d", s.Frames, want.seconds*framesPerSecond)
			}
		}
	}

	if videoStreams != 1 {
		return fmt.Errorf("it has %d video streams, not 1", videoStreams)
	}

	if hasAudio != want.audio {
		return fmt.Errorf("sound: %t, not %t", hasAudio, want.audio)
	}

	return nil
}
