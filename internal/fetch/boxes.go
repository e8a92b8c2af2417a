package fetch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

const maxBoxes = 100_000 // enough for the fragments of a long video, but not for a hostile file

var errMalformedBoxes = errors.New("malformed boxes")

// box is one box of an ISO media file: size bytes at offset, with its content at body.
type box struct {
	name               string
	offset, body, size int64
}

// end returns the offset after the box.
func (b box) end() int64 { return b.offset + b.size }

// layout holds the positions of the parts of an ISO media file that matter to a player.
type layout struct {
	moov, mdat int64 // offsets in bytes, -1 if absent; for mdat the first one
}

// IsFastStart reports whether an MP4 or MOV file can be played while it is still being
// downloaded, because its index precedes its media. It returns an error for any other
// file and for a truncated one.
func IsFastStart(path string) (bool, error) {
	file, err := os.Open(path)
	if err != nil {
		return false, fmt.Errorf("read boxes: %w", err)
	}
	defer file.Close()

	l, err := findLayout(file, fileSize(file))
	if err != nil {
		return false, fmt.Errorf("read boxes: %w", err)
	}

	return l.mdat < 0 || l.moov < l.mdat, nil
}

// findLayout visits the outermost boxes and reads only their headers. Each box must end
// within the file, and there must be an index.
func findLayout(r io.ReaderAt, size int64) (layout, error) {
	l := layout{moov: -1, mdat: -1}

	err := eachBox(r, 0, size, func(b box) error {
		switch b.name {
		case "moov":
			l.moov = b.offset
		case "mdat":
			if l.mdat < 0 {
				l.mdat = b.offset
			}
		}

		return nil
	})
	if err != nil {
		return l, err
	}

	if l.moov < 0 {
		return l, fmt.Errorf("%w: no moov", errMalformedBoxes)
	}

	return l, nil
}

var (
	errTooManyTracks = errors.New("too many tracks")
	errExternalMedia = errors.New("the media are in another file")
)

// maxDepth is how deeply boxes may be nested: a table of offsets is at the fifth level.
const maxDepth = 8

// validateIndex checks an index before a decoder uses it: the number of tracks, whether
// their media are in the same file, and whether tables have as many entries as they claim.
func validateIndex(r io.ReaderAt, moov, size int64) error {
	b, err := readBox(r, moov, size)
	if err != nil {
		return err
	}

	v := indexValidator{r: r}

	return v.validate(b, 0)
}

type indexValidator struct {
	r             io.ReaderAt
	boxes, tracks int
}

func (v *indexValidator) validate(outer box, depth int) error {
	if depth == maxDepth {
		return fmt.Errorf("%w: too deep", errMalformedBoxes)
	}

	return eachBox(v.r, outer.body, outer.end(), func(b box) error {
		if v.boxes++; v.boxes > maxBoxes {
			return fmt.Errorf("%w: too many", errMalformedBoxes)
		}

		switch b.name {
		case "trak":
			if v.tracks++; v.tracks > maxStreams {
				return errTooManyTracks
			}

			return v.validate(b, depth+1)
		case "mdia", "minf", "stbl", "dinf":
			return v.validate(b, depth+1)
		case "dref":
			return checkDataRefs(v.r, b)
		case "stco", "stss":
			return v.checkTable(b, 4)
		case "co64", "stts", "ctts":
			return v.checkTable(b, 8)
		case "stsc":
			return v.checkTable(b, 12)
		}

		return nil
	})
}

// checkTable compares a table's claimed number of entries, width bytes each, with its size.
func (v *indexValidator) checkTable(b box, width int64) error {
	var head [8]byte
	if _, err := v.r.ReadAt(head[:], b.body); err != nil && !errors.Is(err, io.EOF) {
		return err
	}

	if n := int64(binary.BigEndian.Uint32(head[4:])); b.body+8 > b.end() || n*width > b.end()-b.body-8 {
		return fmt.Errorf("%w: %s claims %d entries", errMalformedBoxes, b.name, n)
	}

	return nil
}

// checkDataRefs returns an error if a table of data references refers to another file.
func checkDataRefs(r io.ReaderAt, b box) error {
	if b.body+8 > b.end() {
		return fmt.Errorf("%w: dref is cut off", errMalformedBoxes)
	}

	return eachBox(r, b.body+8, b.end(), func(b box) error {
		var flags [4]byte
		if _, err := r.ReadAt(flags[:], b.body); err != nil && !errors.Is(err, io.EOF) {
			return err
		}

		if b.body+4 > b.end() || flags[3]&1 == 0 {
			return errExternalMedia
		}

		return nil
	})
}

// eachBox visits the boxes between two offsets in order. The range must consist of boxes
// only, and of at most maxBoxes.
func eachBox(r io.ReaderAt, from, to int64, visit func(box) error) error {
	for at, n := from, 0; at < to; n++ {
		if n == maxBoxes {
			return fmt.Errorf("%w: too many", errMalformedBoxes)
		}

		b, err := readBox(r, at, to)
		if err != nil {
			return err
		}

		if err := visit(b); err != nil {
			return err
		}

		at = b.end()
	}

	return nil
}

// readBox reads the header of the box at offset at. The box must end at to or before.
func readBox(r io.ReaderAt, at, to int64) (box, error) {
	var head [16]byte

	got, err := r.ReadAt(head[:min(16, to-at)], at)
	if err != nil && !errors.Is(err, io.EOF) {
		return box{}, err
	}

	if got < 8 {
		return box{}, fmt.Errorf("%w: %d bytes at the end", errMalformedBoxes, got)
	}

	b := box{name: string(head[4:8]), offset: at, body: at + 8, size: int64(binary.BigEndian.Uint32(head[:]))}
	switch b.size {
	case 0:
		b.size = to - at
	case 1:
		if got < 16 {
			return b, fmt.Errorf("%w: cut off in a header", errMalformedBoxes)
		}

		b.body = at + 16
		b.size = int64(binary.BigEndian.Uint64(head[8:]))
	}

	if b.size < b.body-at || b.size > to-at {
		return b, fmt.Errorf("%w: %q at %d has %d of %d bytes", errMalformedBoxes, b.name, at, b.size, to-at)
	}

	return b, nil
}
