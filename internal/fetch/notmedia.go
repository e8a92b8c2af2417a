package fetch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"unicode/utf8"
)

// acceptedMediaHint lists the accepted types.
const acceptedMediaHint = " Give a PNG, JPEG, WebP or BMP picture, an MP4 or MOV video, or a WAV or MP3 sound."

// describeNonMedia describes a file that is not media, as far as its first bytes tell, and
// says what to give instead.
func describeNonMedia(head []byte) string {
	text := strings.ToLower(strings.TrimLeft(strings.TrimPrefix(string(head), "\ufeff"), " \t\r\n"))
	for _, signature := range []struct{ prefix, message string }{
		{"#extm3u", "The file is a playlist: it only names other files. Give the video itself."},
		{"#ext", "The file is a playlist: it only names other files. Give the video itself."},
		{"[playlist]", "The file is a playlist: it only names other files. Give the video itself."},
		{"ffconcat", "The file is a list of files to join: it only names others. Give the video itself."},
		{"<mpd", "The file is a streaming manifest: it only names other files. Give the video itself."},
		{"<svg", "The file is an SVG drawing. Save it as a PNG."},
		{"<?xml", "The file is XML: a drawing, a manifest or a list, not a picture or video." + acceptedMediaHint},
		{"<!doctype", "The file is a web page, not the picture or video on it. Give the address of the file itself."},
		{"<html", "The file is a web page, not the picture or video on it. Give the address of the file itself."},
		{"v=0", "The file is the description of a stream (SDP), not the stream. Give the video itself."},
		{"PK\x03\x04", "The file is a ZIP archive. Unpack it first."},
		{"\x1f\x8b", "The file is packed with gzip. Unpack it first."},
		{"%PDF", "The file is a PDF. Save its page as a picture."},
	} {
		if strings.HasPrefix(text, signature.prefix) || bytes.HasPrefix(head, []byte(signature.prefix)) {
			return signature.message
		}
	}

	if len(head) >= 12 && string(head[4:8]) == "ftyp" {
		return "The file belongs to the MP4 family, but its type is not supported, such as HEIC or AVIF." + acceptedMediaHint
	}

	if isText(head) {
		return "The file is text, whatever its name says." + acceptedMediaHint
	}

	return "The file's bytes are not a picture, video or sound of a known type, whatever its name says." + acceptedMediaHint
}

// isText reports whether the bytes could be the beginning of a text.
func isText(head []byte) bool {
	for len(head) > 0 {
		r, n := utf8.DecodeRune(head)
		if r == utf8.RuneError && n == 1 && len(head) >= utf8.UTFMax || r < ' ' && !strings.ContainsRune("\t\r\n\f", r) {
			return false
		}

		head = head[n:]
	}

	return true
}

var errWAVChunks = errors.New("malformed chunks")

// checkWAV visits the chunks of a WAV up to its sound, which must be within the file. A
// program that writes to a pipe does not know the size and writes the maximum or 0.
func checkWAV(r io.ReaderAt, size int64) error {
	var head [8]byte
	for at, n := int64(12), 0; n < 1000; n++ {
		if _, err := r.ReadAt(head[:], at); err != nil {
			return errWAVChunks
		}

		length := int64(binary.LittleEndian.Uint32(head[4:]))

		at += 8
		if bytes.Equal(head[:4], []byte("data")) {
			if length == 0 || length >= 1<<32-256 || length <= size-at {
				return nil
			}

			return errWAVChunks
		}

		at += length + length&1
	}

	return errWAVChunks
}
