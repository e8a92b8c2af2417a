package fetch

import (
	"bytes"
	"encoding/binary"
)

// Kind is a kind of media.
type Kind string

// The kinds of media.
const (
	Image Kind = "image"
	Video Kind = "video"
	Audio Kind = "audio"
)

// SniffBytes is the number of bytes at the start of a file that Sniff needs.
const SniffBytes = 64

// Type is a media type as detected from a file's first bytes.
type Type struct {
	Kind      Kind
	Name      string // the media type, "video/mp4"
	Extension string // of a file name, ".mp4"

	demuxer       string // the demuxer that ffmpeg must use; "" for pictures
	demuxerFamily string // all names of that demuxer, for ffmpeg's whitelist
}

const movDemuxers = "mov,mp4,m4a,3gp,3g2,mj2"

var (
	png       = Type{Image, "image/png", ".png", "", ""}
	jpeg      = Type{Image, "image/jpeg", ".jpg", "", ""}
	webp      = Type{Image, "image/webp", ".webp", "", ""}
	bmp       = Type{Image, "image/bmp", ".bmp", "", ""}
	gif       = Type{Image, "image/gif", ".gif", "", ""}
	mp4       = Type{Video, "video/mp4", ".mp4", "mov", movDemuxers}
	quicktime = Type{Video, "video/quicktime", ".mov", "mov", movDemuxers}
	matroska  = Type{Video, "video/x-matroska", ".mkv", "matroska", "matroska,webm"}
	webm      = Type{Video, "video/webm", ".webm", "matroska", "matroska,webm"}
	m4a       = Type{Audio, "audio/mp4", ".m4a", "mov", movDemuxers}
	mp3       = Type{Audio, "audio/mpeg", ".mp3", "mp3", "mp3"}
	wav       = Type{Audio, "audio/wav", ".wav", "wav", "wav"}
	aac       = Type{Audio, "audio/aac", ".aac", "aac", "aac"}
	flac      = Type{Audio, "audio/flac", ".flac", "flac", "flac"}
	ogg       = Type{Audio, "audio/ogg", ".ogg", "ogg", "ogg"}
)

// Sniff detects a file's type from its first bytes (SniffBytes are enough), and from
// nothing else: neither its name nor the server's content type. Text is never media, so
// playlists and scripts that would make a player open other files are not media either.
func Sniff(head []byte) (Type, bool) {
	hasMagic := func(at int, magic string) bool {
		return len(head) >= at+len(magic) && string(head[at:at+len(magic)]) == magic
	}
	switch {
	case hasMagic(0, "\x89PNG\r\n\x1a\n"):
		return png, true
	case hasMagic(0, "\xff\xd8\xff"):
		return jpeg, true
	case hasMagic(0, "RIFF") && hasMagic(8, "WEBPVP8"):
		return webp, true
	case hasMagic(0, "RIFF") && hasMagic(8, "WAVE"), hasMagic(0, "RF64") && hasMagic(8, "WAVEds64"):
		return wav, true
	case hasMagic(0, "GIF87a"), hasMagic(0, "GIF89a"):
		return gif, true
	case hasMagic(0, "BM") && isBMP(head):
		return bmp, true
	case hasMagic(0, "\x1aE\xdf\xa3"):
		if bytes.Contains(head[:min(len(head), SniffBytes)], []byte("webm")) {
			return webm, true
		}

		return matroska, true
	case hasMagic(0, "fLaC"):
		return flac, true
	case hasMagic(0, "OggS\x00"):
		return ogg, true
	case hasMagic(0, "ID3") && len(head) > 9 && head[3] < 0xff && head[4] < 0xff && head[6]|head[7]|head[8]|head[9] < 0x80:
		return mp3, true
	}

	if t, ok := sniffBoxes(head); ok {
		return t, true
	}

	return sniffMPEGAudio(head)
}

func isBMP(head []byte) bool {
	if len(head) < 18 || binary.LittleEndian.Uint32(head[6:]) != 0 {
		return false
	}

	switch binary.LittleEndian.Uint32(head[14:]) {
	case 12, 40, 52, 56, 64, 108, 124:
		return true
	}

	return false
}

// sniffBoxes detects ISO media by the brand in its first box, and old QuickTime files by
// first boxes that no other type has.
func sniffBoxes(head []byte) (Type, bool) {
	if len(head) < 12 {
		return Type{}, false
	}

	size := binary.BigEndian.Uint32(head)
	switch string(head[4:8]) {
	case "ftyp":
		if size < 16 || size > 4096 {
			return Type{}, false
		}

		return typeOfBrand(string(head[8:12]))
	case "moov", "mdat", "wide", "pnot", "free", "skip":
		// Text read as a size would be about a billion. An mdat may have a 64-bit size.
		if size == 1 || (size >= 8 && size < 0x20000000) {
			return quicktime, true
		}
	}

	return Type{}, false
}

func typeOfBrand(name string) (Type, bool) {
	switch name {
	case "qt  ":
		return quicktime, true
	case "M4A ", "M4B ":
		return m4a, true
	case "isom", "iso2", "iso3", "iso4", "iso5", "iso6", "iso7", "iso8", "iso9", "mp41", "mp42", "mp71", "avc1", "hvc1", "hev1",
		"M4V ", "M4VH", "M4VP", "MSNV", "XAVC", "dash", "msdh", "f4v ", "F4V ", "mmp4", "cmfc", "cmf2", "NDSC", "NDSH", "NDSM", "NDSP", "NDSS", "NDXC", "NDXH", "NDXM", "NDXP", "NDXS",
		"3gp4", "3gp5", "3gp6", "3gp7", "3g2a", "3g2b", "3g2c", "av01":
		return mp4, true
	}

	return Type{}, false // pictures in boxes (HEIC, AVIF) and unknown brands
}

// sniffMPEGAudio detects MPEG sound by the header of its first frame.
func sniffMPEGAudio(head []byte) (Type, bool) {
	if len(head) < 4 || head[0] != 0xff || head[1]&0xe0 != 0xe0 {
		return Type{}, false
	}

	layer := head[1] >> 1 & 3

	version := head[1] >> 3 & 3
	if layer == 0 && head[1]&0xf0 == 0xf0 { // ADTS
		return aac, head[2]>>2&0xf < 13
	}

	rate := head[2] >> 4
	frequency := head[2] >> 2 & 3

	return mp3, layer == 1 && version != 1 && rate != 0 && rate != 15 && frequency != 3
}
