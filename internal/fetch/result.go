package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	iso "github.com/Eyevinn/mp4ff/mp4"
)

// maxIndex bounds the index of a film, in bytes: ten minutes of video have a few
// hundred kB.
const maxIndex = 32 << 20

// ProbeResult measures a supplier's result. An MP4 says all that is asked in its
// index, which is read here, without a process for each video; whatever is not a
// plain MP4 is measured by Probe.
func (f *Fetcher) ProbeResult(ctx context.Context, path string) (Media, error) {
	if m, err := probeIndex(path); err == nil {
		return m, nil
	}

	return f.Probe(ctx, path)
}

var errIndex = errors.New("not a plain MP4")

// probeIndex reads the index of an MP4 with one video track.
func probeIndex(path string) (m Media, err error) {
	file, err := os.Open(path)
	if err != nil {
		return m, fmt.Errorf("read index: %w", err)
	}
	defer file.Close()

	size := fileSize(file)
	head := make([]byte, SniffBytes)

	n, err := io.ReadFull(file, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return m, fmt.Errorf("read index: %w", err)
	}

	kind, ok := Sniff(head[:n])
	if !ok || kind.Name != "video/mp4" {
		return m, errIndex
	}

	boxes, err := walk(file, size)
	if err != nil {
		return m, err
	}

	moov, err := openIndex(file, boxes.moov)
	if err != nil {
		return m, err
	}

	m = Media{Kind: Video, Type: kind.Name, Bytes: size}

	return m, measureIndex(moov, &m)
}

// openIndex decodes the moov box at an offset. A library that stumbles over
// hostile bytes must not take the program with it.
func openIndex(file *os.File, at int64) (moov *iso.MoovBox, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errIndex, r)
		}
	}()

	if _, err := file.Seek(at, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read index: %w", err)
	}

	box, err := iso.DecodeBox(uint64(at), io.LimitReader(file, maxIndex))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errIndex, err)
	}

	moov, ok := box.(*iso.MoovBox)
	if !ok || moov.Mvhd == nil || moov.Mvhd.Timescale == 0 || moov.Mvex != nil {
		return nil, errIndex
	}

	return moov, nil
}

// measureIndex reads size, length, frames and sound off the tracks.
func measureIndex(moov *iso.MoovBox, m *Media) error {
	for _, t := range moov.Traks {
		if t.Tkhd == nil || t.Mdia == nil || t.Mdia.Hdlr == nil || t.Mdia.Mdhd == nil || t.Mdia.Mdhd.Timescale == 0 || t.Mdia.Minf == nil || t.Mdia.Minf.Stbl == nil {
			return errIndex
		}

		millis := int64(t.Mdia.Mdhd.Duration * 1000 / uint64(t.Mdia.Mdhd.Timescale))
		switch t.Mdia.Hdlr.HandlerType {
		case "soun":
			m.Sound = true

			m.SoundCodec = soundCodec(t.Mdia.Minf.Stbl.Stsd)
			if m.SoundCodec == "" {
				return errIndex
			}
		case "vide":
			samples := t.Mdia.Minf.Stbl.Stsz

			coded := t.Mdia.Minf.Stbl.Stsd
			if m.Width != 0 || samples == nil || samples.SampleNumber == 0 || coded == nil || len(coded.Children) == 0 || millis == 0 {
				return errIndex
			}

			if t.Tkhd.Width == 0 || t.Tkhd.Height == 0 {
				return errIndex
			}

			m.Width = int64(t.Tkhd.Width >> 16)
			m.Height = int64(t.Tkhd.Height >> 16)
			m.Millis = millis
			m.FPS = (int64(samples.SampleNumber)*1_000_000 + millis/2) / millis
			m.Codec = sampleCodec(coded.Children[0].Type())
		}
	}

	if m.Width == 0 {
		return errIndex
	}

	return nil
}

// sampleCodec is ffprobe's name for a sample entry.
func sampleCodec(entry string) string {
	switch {
	case strings.HasPrefix(entry, "avc"):
		return "h264"
	case entry == "hvc1", entry == "hev1":
		return "hevc"
	case entry == "av01":
		return "av1"
	case entry == "vp09", entry == "vp08":
		return entry[:2] + entry[3:]
	case entry == "mp4v":
		return "mpeg4"
	}

	return entry
}

// soundCodec is ffprobe's name for the codec of a sound track; "" leaves it to ffprobe.
func soundCodec(coded *iso.StsdBox) string {
	if coded == nil || coded.Mp4a == nil || coded.Mp4a.Type() != "mp4a" || coded.Mp4a.Esds == nil || coded.Mp4a.Esds.DecConfigDescriptor == nil {
		return ""
	}

	switch coded.Mp4a.Esds.DecConfigDescriptor.ObjectType {
	case 0x40, 0x66, 0x67, 0x68: // MPEG-4 and MPEG-2 AAC
		return "aac"
	case 0x69, 0x6b: // MPEG-2 and MPEG-1 layer 3
		return "mp3"
	}

	return ""
}
