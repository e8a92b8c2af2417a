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

// maxIndexBytes limits the index of a video, in bytes: ten minutes of video need a few
// hundred kB.
const maxIndexBytes = 32 << 20

// ProbeResult measures a supplier's result. The index of an MP4 has everything that is
// needed and is read here, without starting a process for each video. Any file that is
// not a plain MP4 is measured by Probe.
func (f *Fetcher) ProbeResult(ctx context.Context, path string) (Media, error) {
	if m, err := probeIndex(path); err == nil {
		return m, nil
	}

	return f.Probe(ctx, path)
}

var errNotPlainMP4 = errors.New("not a plain MP4")

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
		return m, errNotPlainMP4
	}

	parts, err := findLayout(file, size)
	if err != nil {
		return m, err
	}

	moov, err := decodeIndex(file, parts.moov)
	if err != nil {
		return m, err
	}

	m = Media{Kind: Video, Type: kind.Name, Bytes: size}

	return m, measureIndex(moov, &m)
}

// decodeIndex decodes the moov box at an offset. It recovers from a panic of the library,
// so that hostile bytes cannot end the program.
func decodeIndex(file *os.File, at int64) (moov *iso.MoovBox, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errNotPlainMP4, r)
		}
	}()

	if _, err := file.Seek(at, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read index: %w", err)
	}

	decoded, err := iso.DecodeBox(uint64(at), io.LimitReader(file, maxIndexBytes))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotPlainMP4, err)
	}

	moov, ok := decoded.(*iso.MoovBox)
	if !ok || moov.Mvhd == nil || moov.Mvhd.Timescale == 0 || moov.Mvex != nil {
		return nil, errNotPlainMP4
	}

	return moov, nil
}

// measureIndex reads size, duration, frame rate and sound from the tracks.
func measureIndex(moov *iso.MoovBox, m *Media) error {
	for _, track := range moov.Traks {
		if track.Tkhd == nil || track.Mdia == nil || track.Mdia.Hdlr == nil || track.Mdia.Mdhd == nil || track.Mdia.Mdhd.Timescale == 0 || track.Mdia.Minf == nil || track.Mdia.Minf.Stbl == nil {
			return errNotPlainMP4
		}

		millis := int64(track.Mdia.Mdhd.Duration * 1000 / uint64(track.Mdia.Mdhd.Timescale))
		switch track.Mdia.Hdlr.HandlerType {
		case "soun":
			m.Sound = true
			m.SoundCodec = audioCodec(track.Mdia.Minf.Stbl.Stsd)

			if m.SoundCodec == "" {
				return errNotPlainMP4
			}
		case "vide":
			samples := track.Mdia.Minf.Stbl.Stsz

			stsd := track.Mdia.Minf.Stbl.Stsd
			if m.Width != 0 || samples == nil || samples.SampleNumber == 0 || stsd == nil || len(stsd.Children) == 0 || millis == 0 {
				return errNotPlainMP4
			}

			if track.Tkhd.Width == 0 || track.Tkhd.Height == 0 {
				return errNotPlainMP4
			}

			m.Width = int64(track.Tkhd.Width >> 16)
			m.Height = int64(track.Tkhd.Height >> 16)
			m.Millis = millis
			m.MilliFPS = (int64(samples.SampleNumber)*1_000_000 + millis/2) / millis
			m.Codec = sampleCodec(stsd.Children[0].Type())
		}
	}

	if m.Width == 0 {
		return errNotPlainMP4
	}

	return nil
}

// sampleCodec returns ffprobe's name for the codec of a sample entry.
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

// audioCodec returns ffprobe's name for the codec of a sound track, or "" to let ffprobe decide.
func audioCodec(stsd *iso.StsdBox) string {
	if stsd == nil || stsd.Mp4a == nil || stsd.Mp4a.Type() != "mp4a" || stsd.Mp4a.Esds == nil || stsd.Mp4a.Esds.DecConfigDescriptor == nil {
		return ""
	}

	switch stsd.Mp4a.Esds.DecConfigDescriptor.ObjectType {
	case 0x40, 0x66, 0x67, 0x68: // MPEG-4 and MPEG-2 AAC
		return "aac"
	case 0x69, 0x6b: // MPEG-2 and MPEG-1 layer 3
		return "mp3"
	}

	return ""
}
