package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

const (
	thumbnailTimeout  = 60 * time.Second
	maxThumbnailSide  = 640     // pixels
	maxThumbnailBytes = 4 << 20 // of the JPEG
)

// Thumbnail writes one frame of a video as a JPEG whose longest side is at most 640
// pixels: the frame shown at the given time, or the first frame if the video is shorter.
// A problem with the video is a *fault.Fault. After an error there is no file at outPath.
func (f *Fetcher) Thumbnail(ctx context.Context, videoPath, outPath string, at time.Duration) error {
	kind, err := sniffFile(videoPath)
	if err != nil {
		return fmt.Errorf("thumbnail: %w", err)
	}

	if kind.Kind != Video {
		return invalidReference("The file is not a video.", nil)
	}

	for _, offset := range []time.Duration{max(at, 0), 0} {
		if err := f.extractFrame(ctx, kind, videoPath, outPath, offset); err != nil {
			os.Remove(outPath)
			return err
		}

		if info, err := os.Stat(outPath); err == nil && info.Size() > 0 {
			return nil
		}
	}

	os.Remove(outPath)

	return invalidReference("The video has no frame that can be shown.", nil)
}

// extractFrame runs ffmpeg. Past the video's end ffmpeg writes nothing and reports no error.
func (f *Fetcher) extractFrame(ctx context.Context, kind Type, videoPath, outPath string, at time.Duration) error {
	input, err := inputArgs(videoPath, kind)
	if err != nil {
		return err
	}

	out, err := filepath.Abs(outPath)
	if err != nil {
		return fmt.Errorf("thumbnail: %w", err)
	}

	side := strconv.Itoa(maxThumbnailSide)

	args := append([]string{"-nostdin", "-v", "error", "-y", "-threads", "1", "-ss", strconv.FormatFloat(at.Seconds(), 'f', 3, 64)}, input...)
	args = append(args, "-map", "0:V:0", "-frames:v", "1", "-an", "-sn", "-dn",
		"-vf", "scale='min("+side+",iw)':'min("+side+",ih)':force_original_aspect_ratio=decrease,format=yuvj420p",
		"-c:v", "mjpeg", "-threads", "1", "-q:v", "4", "-map_metadata", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact",
		"-f", "image2", "-update", "1", "file:"+out)
	_, err = f.runSandboxed(ctx, command{
		name:         f.options.FFmpeg,
		args:         args,
		timeout:      thumbnailTimeout,
		maxOutput:    1 << 10,
		maxMemory:    2 << 30,
		maxFileBytes: maxThumbnailBytes,
	})

	var fileErr *fileError
	if errors.As(err, &fileErr) {
		return invalidReference("No frame of the video could be decoded: the file is damaged.", err)
	}

	if err != nil {
		return fmt.Errorf("thumbnail: %w", err)
	}

	return nil
}

func sniffFile(path string) (Type, error) {
	file, err := os.Open(path)
	if err != nil {
		return Type{}, err
	}
	defer file.Close()

	head, err := io.ReadAll(io.LimitReader(file, SniffBytes))
	if err != nil {
		return Type{}, err
	}

	kind, _ := Sniff(head)

	return kind, nil
}
