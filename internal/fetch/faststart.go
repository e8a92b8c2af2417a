package fetch

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// errNotMoved says that a film's index is left where it is.
var errNotMoved = errors.New("the index cannot be moved safely")

// MoveIndex writes a film anew with its index before its media, so that it plays
// while it is still being downloaded. Nothing is coded again: but for the order of
// the boxes and the addresses in the index, each byte stays, labels and unknown
// boxes too. What is not plain, or fast already, is an error, and with any error
// there is no file at outPath.
func MoveIndex(ctx context.Context, path, outPath string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("move index: %w", err)
	}
	defer file.Close()

	order, index, err := reorder(file, fileSize(file))
	if err != nil {
		return fmt.Errorf("move index: %w", err)
	}

	out, err := os.OpenFile(outPath, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("move index: %w", err)
	}

	for _, b := range order {
		from := io.Reader(io.NewSectionReader(file, b.at, b.size))
		if b.name == "moov" {
			from = bytes.NewReader(index)
		}

		if _, err = io.Copy(out, untilDone{ctx, from}); err != nil {
			break
		}
	}

	if err := errors.Join(err, out.Close()); err != nil {
		os.Remove(outPath)
		return fmt.Errorf("move index: %w", err)
	}

	return nil
}

// reorder says in which order the outermost boxes are to be written, and gives the
// index as it is then right.
func reorder(r io.ReaderAt, size int64) (order []atom, index []byte, err error) {
	var moov atom

	err = boxes(r, 0, size, func(b atom) error {
		switch b.name {
		case "ftyp", "free", "skip", "wide", "uuid", "udta", "mdat":
		case "moov":
			if moov.size != 0 || b.body-b.at != 8 {
				return fmt.Errorf("%w: more than one, or a long header", errNotMoved)
			}

			moov = b
		default:
			return fmt.Errorf("%w: it has a box %q", errNotMoved, b.name)
		}

		order = append(order, b)

		return nil
	})
	if err != nil {
		return nil, nil, err
	}

	if len(order) < 3 || order[0].name != "ftyp" || moov.size == 0 || moov.size > maxIndex {
		return nil, nil, fmt.Errorf("%w: no plain film", errNotMoved)
	}

	at := slices.Index(order, moov)
	if !slices.ContainsFunc(order[:at], func(b atom) bool { return b.name == "mdat" }) {
		return nil, nil, fmt.Errorf("%w: it is before the media already", errNotMoved)
	}

	index = make([]byte, moov.size)
	if _, err := r.ReadAt(index, moov.at); err != nil {
		return nil, nil, err
	}

	if binary.BigEndian.Uint32(index) == 0 { // it reached to the end of the file
		binary.BigEndian.PutUint32(index, uint32(moov.size))
	}

	p := patch{index: index, media: order, moov: moov}
	if err := p.within(moov.body-moov.at, moov.size, 0); err != nil {
		return nil, nil, err
	}

	if p.tables == 0 {
		return nil, nil, fmt.Errorf("%w: it has no addresses", errNotMoved)
	}

	return slices.Insert(slices.Delete(order, at, at+1), 1, moov), index, nil
}

// patch makes the addresses in an index right for media that begin later by the
// size of the index.
type patch struct {
	index  []byte
	media  []atom
	moov   atom
	tables int
}

// within patches the boxes between two offsets of the index. What may hold an
// address that is not known here is refused.
func (p *patch) within(from, to int64, depth int) error {
	if depth == maxDepth {
		return fmt.Errorf("%w: too deep", errBoxes)
	}

	return boxes(bytes.NewReader(p.index), from, to, func(b atom) error {
		switch b.name {
		case "trak", "mdia", "minf", "stbl", "dinf":
			return p.within(b.body, b.end(), depth+1)
		case "stco":
			return p.table(b, 4)
		case "co64":
			return p.table(b, 8)
		case "dref":
			return ownMedia(bytes.NewReader(p.index), b)
		case "meta":
			if bytes.Contains(p.index[b.body:b.end()], []byte("iloc")) {
				return fmt.Errorf("%w: its items have addresses", errNotMoved)
			}
		case "cmov", "mvex", "saio", "saiz", "senc", "gmhd": // packed, in fragments, encrypted, QuickTime's own
			return fmt.Errorf("%w: it has a box %q", errNotMoved, b.name)
		}

		return nil
	})
}

// table patches one table of addresses, of so many bytes each.
func (p *patch) table(b atom, width int64) error {
	t := p.index[b.body:b.end()]
	if len(t) < 8 || int64(binary.BigEndian.Uint32(t[4:]))*width != int64(len(t)-8) {
		return fmt.Errorf("%w: a table of addresses has another size than it says", errNotMoved)
	}

	for t = t[8:]; len(t) > 0; t = t[width:] {
		var was uint64
		if width == 4 {
			was = uint64(binary.BigEndian.Uint32(t))
		} else {
			was = binary.BigEndian.Uint64(t)
		}

		now, ok := p.moved(was)
		if !ok || width == 4 && now >= 1<<32 {
			return fmt.Errorf("%w: an address is outside the media, or would be too large", errNotMoved)
		}

		if width == 4 {
			binary.BigEndian.PutUint32(t, uint32(now))
		} else {
			binary.BigEndian.PutUint64(t, now)
		}
	}

	p.tables++

	return nil
}

// moved is where a byte of the media lies afterwards.
func (p *patch) moved(at uint64) (uint64, bool) {
	for _, b := range p.media {
		if b.name != "mdat" || at < uint64(b.body) || at > uint64(b.end()) {
			continue
		}

		if b.at < p.moov.at {
			at += uint64(p.moov.size)
		}

		return at, true
	}

	return 0, false
}
