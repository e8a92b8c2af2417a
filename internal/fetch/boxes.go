package fetch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

const maxBoxes = 100_000 // fragments of a long film; a hostile file has more

var errBoxes = errors.New("boxes do not fit")

// layout is where the parts of an ISO media file lie that matter to a player.
type layout struct {
	moov, mdat int64 // offsets in bytes, -1 when absent; of mdat the first
}

// FastStart says whether an MP4 or MOV file can be played while it is still
// being downloaded: its index lies before its media. A file that is none, or
// that is cut off, is an error.
func FastStart(path string) (bool, error) {
	file, err := os.Open(path)
	if err != nil {
		return false, fmt.Errorf("read boxes: %w", err)
	}
	defer file.Close()
	l, err := walk(file, fileSize(file))
	if err != nil {
		return false, fmt.Errorf("read boxes: %w", err)
	}
	return l.mdat < 0 || l.moov < l.mdat, nil
}

// walk goes over the outermost boxes, reading only their headers. Each must end
// where the file still is, and there must be an index.
func walk(r io.ReaderAt, size int64) (layout, error) {
	l := layout{moov: -1, mdat: -1}
	var head [16]byte
	for at, n := int64(0), 0; at < size; n++ {
		if n == maxBoxes {
			return l, fmt.Errorf("%w: too many", errBoxes)
		}
		got, err := r.ReadAt(head[:min(16, size-at)], at)
		if err != nil && !errors.Is(err, io.EOF) {
			return l, err
		}
		if got < 8 {
			return l, fmt.Errorf("%w: %d bytes at the end", errBoxes, got)
		}
		length := int64(binary.BigEndian.Uint32(head[:]))
		least := int64(8)
		switch length {
		case 0:
			length = size - at
		case 1:
			if got < 16 {
				return l, fmt.Errorf("%w: cut off in a header", errBoxes)
			}
			length, least = int64(binary.BigEndian.Uint64(head[8:])), 16
		}
		if length < least || length > size-at {
			return l, fmt.Errorf("%w: %q at %d has %d of %d bytes", errBoxes, head[4:8], at, length, size-at)
		}
		switch string(head[4:8]) {
		case "moov":
			l.moov = at
		case "mdat":
			if l.mdat < 0 {
				l.mdat = at
			}
		}
		at += length
	}
	if l.moov < 0 {
		return l, fmt.Errorf("%w: no moov", errBoxes)
	}
	return l, nil
}
