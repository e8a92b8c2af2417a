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

// errCannotMove means that a video's index stays where it is.
var errCannotMove = errors.New("the index cannot be moved safely")

// MakeFastStart writes a copy of a video with its index before its media, so that it
// plays while it is still being downloaded. Nothing is re-encoded: apart from the order of
// the boxes and the offsets in the index every byte is copied, including labels and
// unknown boxes. It returns an error if the file is not a plain one or already has its
// index first. After an error there is no file at outPath.
func MakeFastStart(ctx context.Context, path, outPath string) error {
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
		src := io.Reader(io.NewSectionReader(file, b.offset, b.size))
		if b.name == "moov" {
			src = bytes.NewReader(index)
		}

		if _, err = io.Copy(out, contextReader{ctx, src}); err != nil {
			break
		}
	}

	if err := errors.Join(err, out.Close()); err != nil {
		os.Remove(outPath)
		return fmt.Errorf("move index: %w", err)
	}

	return nil
}

// reorder returns the order in which the outermost boxes must be written, and the index
// with the offsets that are right for that order.
//
// Moving the index in front of the media shifts all media that preceded it by exactly the
// size of the index, which itself does not change. So it is enough to add that size to
// the offsets. Any box that may contain an offset unknown to this code is refused,
// because a wrong offset would destroy the video; the original remains playable.
func reorder(r io.ReaderAt, size int64) (order []box, index []byte, err error) {
	var moov box

	err = eachBox(r, 0, size, func(b box) error {
		switch b.name {
		case "ftyp", "free", "skip", "wide", "uuid", "udta", "mdat":
		case "moov":
			if moov.size != 0 || b.body-b.offset != 8 {
				return fmt.Errorf("%w: more than one index, or one with a 64-bit size", errCannotMove)
			}

			moov = b
		default:
			return fmt.Errorf("%w: it has a box %q", errCannotMove, b.name)
		}

		order = append(order, b)

		return nil
	})
	if err != nil {
		return nil, nil, err
	}

	if len(order) < 3 || order[0].name != "ftyp" || moov.size == 0 || moov.size > maxIndexBytes {
		return nil, nil, fmt.Errorf("%w: not a plain video", errCannotMove)
	}

	moovPosition := slices.Index(order, moov)
	if !slices.ContainsFunc(order[:moovPosition], func(b box) bool { return b.name == "mdat" }) {
		return nil, nil, fmt.Errorf("%w: the index already precedes the media", errCannotMove)
	}

	index = make([]byte, moov.size)
	if _, err := r.ReadAt(index, moov.offset); err != nil {
		return nil, nil, err
	}

	if binary.BigEndian.Uint32(index) == 0 { // 0 means up to the end of the file, which is no longer true
		binary.BigEndian.PutUint32(index, uint32(moov.size))
	}

	patcher := offsetPatcher{index: index, boxes: order, moov: moov}
	if err := patcher.patchBoxes(moov.body-moov.offset, moov.size, 0); err != nil {
		return nil, nil, err
	}

	if patcher.tables == 0 {
		return nil, nil, fmt.Errorf("%w: the index has no table of offsets", errCannotMove)
	}

	return slices.Insert(slices.Delete(order, moovPosition, moovPosition+1), 1, moov), index, nil
}

// offsetPatcher corrects the offsets in an index for media that are shifted by the size of
// the index.
type offsetPatcher struct {
	index  []byte
	boxes  []box
	moov   box
	tables int
}

// patchBoxes patches the boxes between two offsets of the index. It refuses boxes that may
// contain offsets that it does not know.
func (p *offsetPatcher) patchBoxes(from, to int64, depth int) error {
	if depth == maxDepth {
		return fmt.Errorf("%w: too deep", errMalformedBoxes)
	}

	return eachBox(bytes.NewReader(p.index), from, to, func(b box) error {
		switch b.name {
		case "trak", "mdia", "minf", "stbl", "dinf":
			return p.patchBoxes(b.body, b.end(), depth+1)
		case "stco":
			return p.patchTable(b, 4)
		case "co64":
			return p.patchTable(b, 8)
		case "dref":
			return checkDataRefs(bytes.NewReader(p.index), b)
		case "meta":
			if bytes.Contains(p.index[b.body:b.end()], []byte("iloc")) {
				return fmt.Errorf("%w: its items have offsets", errCannotMove)
			}
		case "cmov", "mvex", "saio", "saiz", "senc", "gmhd": // compressed, fragmented, encrypted, QuickTime's own
			return fmt.Errorf("%w: it has a box %q", errCannotMove, b.name)
		}

		return nil
	})
}

// patchTable patches one table of offsets, width bytes each.
func (p *offsetPatcher) patchTable(b box, width int64) error {
	entries := p.index[b.body:b.end()]
	if len(entries) < 8 || int64(binary.BigEndian.Uint32(entries[4:]))*width != int64(len(entries)-8) {
		return fmt.Errorf("%w: a table of offsets does not have the size that it claims", errCannotMove)
	}

	for entries = entries[8:]; len(entries) > 0; entries = entries[width:] {
		var oldOffset uint64
		if width == 4 {
			oldOffset = uint64(binary.BigEndian.Uint32(entries))
		} else {
			oldOffset = binary.BigEndian.Uint64(entries)
		}

		newOffset, ok := p.shifted(oldOffset)
		if !ok || width == 4 && newOffset >= 1<<32 {
			return fmt.Errorf("%w: an offset is outside the media, or would be too large", errCannotMove)
		}

		if width == 4 {
			binary.BigEndian.PutUint32(entries, uint32(newOffset))
		} else {
			binary.BigEndian.PutUint64(entries, newOffset)
		}
	}

	p.tables++

	return nil
}

// shifted returns the new offset of a byte of the media.
func (p *offsetPatcher) shifted(at uint64) (uint64, bool) {
	for _, b := range p.boxes {
		if b.name != "mdat" || at < uint64(b.body) || at > uint64(b.end()) {
			continue
		}

		if b.offset < p.moov.offset {
			at += uint64(p.moov.size)
		}

		return at, true
	}

	return 0, false
}
