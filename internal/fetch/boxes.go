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

// atom is one box of an ISO media file: size bytes from at, its content from body.
type atom struct {
	name           string
	at, body, size int64
}

// end is the offset behind the box.
func (b atom) end() int64 { return b.at + b.size }

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

	err := boxes(r, 0, size, func(b atom) error {
		switch b.name {
		case "moov":
			l.moov = b.at
		case "mdat":
			if l.mdat < 0 {
				l.mdat = b.at
			}
		}

		return nil
	})
	if err != nil {
		return l, err
	}

	if l.moov < 0 {
		return l, fmt.Errorf("%w: no moov", errBoxes)
	}

	return l, nil
}

var (
	errTracks    = errors.New("too many tracks")
	errElsewhere = errors.New("its media lie in another file")
)

// maxDepth is how deep boxes may lie in boxes: an address table is the fifth.
const maxDepth = 8

// inspect looks at an index before a decoder believes it: how many tracks there
// are, whether their media are in the same file, and whether tables have what they
// say.
func inspect(r io.ReaderAt, moov, size int64) error {
	b, err := boxAt(r, moov, size)
	if err != nil {
		return err
	}

	i := inspection{r: r}

	return i.within(b, 0)
}

type inspection struct {
	r             io.ReaderAt
	boxes, tracks int
}

func (i *inspection) within(outer atom, depth int) error {
	if depth == maxDepth {
		return fmt.Errorf("%w: too deep", errBoxes)
	}

	return boxes(i.r, outer.body, outer.end(), func(b atom) error {
		if i.boxes++; i.boxes > maxBoxes {
			return fmt.Errorf("%w: too many", errBoxes)
		}

		switch b.name {
		case "trak":
			if i.tracks++; i.tracks > maxStreams {
				return errTracks
			}

			return i.within(b, depth+1)
		case "mdia", "minf", "stbl", "dinf":
			return i.within(b, depth+1)
		case "dref":
			return ownMedia(i.r, b)
		case "stco", "stss":
			return i.table(b, 4)
		case "co64", "stts", "ctts":
			return i.table(b, 8)
		case "stsc":
			return i.table(b, 12)
		}

		return nil
	})
}

// table holds a table's count against its bytes, so many for each.
func (i *inspection) table(b atom, width int64) error {
	var head [8]byte
	if _, err := i.r.ReadAt(head[:], b.body); err != nil && !errors.Is(err, io.EOF) {
		return err
	}

	if n := int64(binary.BigEndian.Uint32(head[4:])); b.body+8 > b.end() || n*width > b.end()-b.body-8 {
		return fmt.Errorf("%w: %s says that it has %d entries", errBoxes, b.name, n)
	}

	return nil
}

// ownMedia says in a table of data references whether one is not this file.
func ownMedia(r io.ReaderAt, b atom) error {
	if b.body+8 > b.end() {
		return fmt.Errorf("%w: dref is cut off", errBoxes)
	}

	return boxes(r, b.body+8, b.end(), func(b atom) error {
		var flags [4]byte
		if _, err := r.ReadAt(flags[:], b.body); err != nil && !errors.Is(err, io.EOF) {
			return err
		}

		if b.body+4 > b.end() || flags[3]&1 == 0 {
			return errElsewhere
		}

		return nil
	})
}

// boxes visits the boxes between two offsets, one after the other. All of it must
// be boxes, and not too many.
func boxes(r io.ReaderAt, from, to int64, visit func(atom) error) error {
	for at, n := from, 0; at < to; n++ {
		if n == maxBoxes {
			return fmt.Errorf("%w: too many", errBoxes)
		}

		b, err := boxAt(r, at, to)
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

// boxAt reads the header of the box that begins at an offset and must not reach
// beyond another.
func boxAt(r io.ReaderAt, at, to int64) (atom, error) {
	var head [16]byte

	got, err := r.ReadAt(head[:min(16, to-at)], at)
	if err != nil && !errors.Is(err, io.EOF) {
		return atom{}, err
	}

	if got < 8 {
		return atom{}, fmt.Errorf("%w: %d bytes at the end", errBoxes, got)
	}

	b := atom{name: string(head[4:8]), at: at, body: at + 8, size: int64(binary.BigEndian.Uint32(head[:]))}
	switch b.size {
	case 0:
		b.size = to - at
	case 1:
		if got < 16 {
			return b, fmt.Errorf("%w: cut off in a header", errBoxes)
		}

		b.body = at + 16
		b.size = int64(binary.BigEndian.Uint64(head[8:]))
	}

	if b.size < b.body-at || b.size > to-at {
		return b, fmt.Errorf("%w: %q at %d has %d of %d bytes", errBoxes, b.name, at, b.size, to-at)
	}

	return b, nil
}
