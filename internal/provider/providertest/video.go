package providertest

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/unireel/unireel/internal/provider"
)

type probeOutput struct {
	Streams []struct {
		Kind     string `json:"codec_type"`
		Codec    string `json:"codec_name"`
		Width    int    `json:"width"`
		Height   int    `json:"height"`
		Rate     string `json:"r_frame_rate"`
		Duration string `json:"duration"`
	} `json:"streams"`
}

// checkVideo decodes the bytes and compares them with the submission: H.264 of
// exactly the requested size, 30 frames a second, a duration within one frame of
// the requested one, and sound if it was requested.
func checkVideo(t *testing.T, video []byte, o provider.Submission) {
	t.Helper()

	path := filepath.Join(t.TempDir(), "result.mp4")
	if err := os.WriteFile(path, video, 0o600); err != nil {
		t.Fatal(err)
	}

	runTool(t, "ffmpeg", "-nostdin", "-v", "error", "-xerror", "-i", path, "-f", "null", "-")

	var p probeOutput
	if err := json.Unmarshal(runTool(t, "ffprobe", "-v", "error", "-show_streams", "-of", "json", path), &p); err != nil {
		t.Fatal(err)
	}

	videoTracks := 0
	audioTracks := 0

	for _, s := range p.Streams {
		seconds, _ := strconv.ParseFloat(s.Duration, 64)
		switch s.Kind {
		case "video":
			videoTracks++

			if s.Codec != "h264" || s.Width != o.Width || s.Height != o.Height || s.Rate != "30/1" {
				t.Errorf("video is %s %dx%d at %s; want h264 %dx%d at 30/1", s.Codec, s.Width, s.Height, s.Rate, o.Width, o.Height)
			}

			if math.Abs(seconds-float64(o.Seconds)) > 1.01/30 {
				t.Errorf("video lasts %.3f s, want %d", seconds, o.Seconds)
			}
		case "audio":
			audioTracks++

			if s.Codec != "aac" {
				t.Errorf("sound is %s, want aac", s.Codec)
			}
		}
	}

	if videoTracks != 1 || (audioTracks == 1) != o.Sound || audioTracks > 1 {
		t.Errorf("%d video and %d sound tracks; want 1 and sound = %v", videoTracks, audioTracks, o.Sound)
	}
}

func runTool(t *testing.T, name string, args ...string) []byte {
	t.Helper()

	if _, err := exec.LookPath(name); err != nil {
		t.Fatalf("%s is missing; install it: apt-get install ffmpeg", name)
	}

	cmd := exec.CommandContext(suiteContext(t), name, args...)

	out, err := cmd.Output()
	if err != nil {
		if exit := new(exec.ExitError); errors.As(err, &exit) {
			t.Fatalf("%s: %v\n%s", name, err, exit.Stderr)
		}

		t.Fatalf("%s: %v", name, err)
	}

	return out
}
