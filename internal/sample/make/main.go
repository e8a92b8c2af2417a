// Command make generates the sample references in internal/sample: two product pictures,
// a short clip with a moving subject, and a melody. Everything is computed from shapes,
// light and sine waves, so that no picture, face or song of somebody else ships with the
// program. It needs ffmpeg for encoding, is run by hand (make samples), and is not part
// of the program. The same machine with the same ffmpeg generates the same bytes again.
package main

import (
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"path/filepath"
)

const (
	folder = "internal/sample"
	fps    = 24
	frames = 96 // 4 s
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "make samples:", err)
		os.Exit(1)
	}
}

func run() error {
	if err := writeImage("ref-1.png", vase()); err != nil {
		return err
	}

	if err := writeImage("ref-2.png", lamp()); err != nil {
		return err
	}

	if err := writeMelody("guide-audio.mp3"); err != nil {
		return err
	}

	return writeClip("reference-shot-1.mp4")
}

func writeImage(name string, s scene) error {
	f, err := os.Create(filepath.Join(folder, name))
	if err != nil {
		return fmt.Errorf("create %s: %w", name, err)
	}

	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(f, opaque{s.render(1024, 1024, 2)}); err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}

	return f.Close()
}

// opaque makes the encoder omit the alpha channel, which the models do not accept.
type opaque struct{ *image.RGBA }

func (opaque) Opaque() bool { return true }

func writeMelody(name string) error {
	return encode(name, samples(melodyNotes(), 6.2), "-f", "s16le", "-ar", fmt.Sprint(sampleRate), "-ac", "2", "-i", "pipe:0",
		"-c:a", "libmp3lame", "-b:a", "96k", "-id3v2_version", "0", "-write_xing", "1")
}

func writeClip(name string) error {
	sound := filepath.Join(os.TempDir(), "unireel-sample.pcm")
	if err := os.WriteFile(sound, samples(roverNotes(), float64(frames)/fps), 0o600); err != nil {
		return fmt.Errorf("write the sound: %w", err)
	}
	defer os.Remove(sound)

	reader, writer := io.Pipe()

	go func() {
		for n := range frames {
			if _, err := writer.Write(rawRGB(rover(float64(n)/fps).render(640, 360, 1))); err != nil {
				break
			}
		}

		writer.Close()
	}()

	return encodeFrom(name, reader, "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "640x360", "-r", fmt.Sprint(fps), "-i", "pipe:0",
		"-f", "s16le", "-ar", fmt.Sprint(sampleRate), "-ac", "2", "-i", sound,
		"-c:v", "libx264", "-preset", "veryslow", "-crf", "22", "-pix_fmt", "yuv420p", "-threads", "1",
		"-c:a", "aac", "-b:a", "80k", "-movflags", "+faststart", "-shortest")
}

func rawRGB(picture *image.RGBA) []byte {
	raw := make([]byte, 0, len(picture.Pix)/4*3)
	for i := 0; i < len(picture.Pix); i += 4 {
		raw = append(raw, picture.Pix[i:i+3]...)
	}

	return raw
}
