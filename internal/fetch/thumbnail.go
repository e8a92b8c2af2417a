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
	thumbnailWait  = 60 * time.Second
	thumbnailSide  = 640     // pixels
	thumbnailBytes = 4 << 20 // what is written, at most
)

// Thumbnail writes one frame of a video as a JPEG whose longest side is at most
// 640 pixels: the frame shown at the time given, or the first where the video is
// shorter. What is wrong with the video comes as a *fault.Fault; with any error
// there is no file at outPath.
func (f *Fetcher) Thumbnail(ctx context.Context, videoPath, outPath string, at time.Duration) error {
	kind, err := sniffFile(videoPath)
	if err != nil {
		return fmt.Errorf("thumbnail: %w", err)
	}

	if kind.Kind != Video {
		return invalid("The file is not a video.", nil)
	}

	for _, from := range []time.Duration{max(at, 0), 0} {
		if err := f.still(ctx, kind, videoPath, outPath, from); err != nil {
			os.Remove(outPath)
			return err
		}

		if info, err := os.Stat(outPath); err == nil && info.Size() > 0 {
			return nil
		}
	}

	os.Remove(outPath)

	return invalid("The video has no frame that can be shown.", nil)
}

// still runs ffmpeg; past the video's end it writes nothing and is content.
func (f *Fetcher) still(ctx context.Context, kind Type, videoPath, outPath string, at time.Duration) error {
	input, err := inputOf(videoPath, kind)
	if err != nil {
		return err
	}

	out, err := filepath.Abs(outPath)
	if err != nil {
		return fmt.Errorf("thumbnail: %w", err)
	}

	side := strconv.Itoa(thumbnailSide)

	args := append([]string{"-nostdin", "-v", "error", "-y", "-threads", "1", "-ss", strconv.FormatFloat(at.Seconds(), 'f', 3, 64)}, input...)
	args = append(args, "-map", "0:V:0", "-frames:v", "1", "-an", "-sn", "-dn",
		"-vf", "scale='min("+side+",iw)':'min("+side+",ih)':force_original_aspect_ratio=decrease,format=yuvj420p",
		"-c:v", "mjpeg", "-threads", "1", "-q:v", "4", "-map_metadata", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact",
		"-f", "image2", "-update", "1", "file:"+out)
	_, err = f.run(ctx, tool{name: f.options.FFmpeg, args: args, wait: thumbnailWait, output: 1 << 10, memory: 2 << 30, writes: thumbnailBytes})

	var bad *badFile
	if errors.As(err, &bad) {
		return invalid("No frame of the video could be decoded: the file is damaged.", err)
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
