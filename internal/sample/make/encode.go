package main

import (
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
)

func encode(name string, raw []byte, args ...string) error {
	return encodeFrom(name, bytes.NewReader(raw), args...)
}

// encodeFrom encodes raw input with ffmpeg into the named file, bit-exactly.
func encodeFrom(name string, raw io.Reader, args ...string) error {
	all := append([]string{"-hide_banner", "-loglevel", "error", "-y", "-bitexact"}, args...)
	all = append(all, "-map_metadata", "-1", "-fflags", "+bitexact", "-flags", "+bitexact", filepath.Join(folder, name))
	cmd := exec.Command("ffmpeg", all...) //nolint:noctx // it ends when its input ends

	cmd.Stdin = raw
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("encode %s (is ffmpeg installed? apt-get install ffmpeg): %w: %s", name, err, out)
	}

	return nil
}
