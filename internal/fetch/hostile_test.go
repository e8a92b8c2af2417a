package fetch

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/fault"
)

// The hostile files of the tests are built here byte by byte, so that a reader can see
// what is wrong with each.

func be16(n int) string { return string(binary.BigEndian.AppendUint16(nil, uint16(n))) }
func be32(n int) string { return string(binary.BigEndian.AppendUint32(nil, uint32(n))) }
func be64(n int) string { return string(binary.BigEndian.AppendUint64(nil, uint64(n))) }
func le16(n int) string { return string(binary.LittleEndian.AppendUint16(nil, uint16(n))) }
func le32(n int) string { return string(binary.LittleEndian.AppendUint32(nil, uint32(n))) }

// makeBox builds a box with the right size.
func makeBox(name string, parts ...string) string {
	data := strings.Join(parts, "")
	return be32(8+len(data)) + name + data
}

var ftypBox = makeBox("ftyp", "isom", be32(0), "isomiso2avc1mp41")

// pngChunk builds one chunk of a PNG.
func pngChunk(name, data string) string {
	return be32(len(data)) + name + data + be32(int(crc32.ChecksumIEEE([]byte(name+data))))
}

// zlibZeros is n zero bytes compressed with zlib.
func zlibZeros(n int) string {
	var b bytes.Buffer

	z := zlib.NewWriter(&b)
	for block := make([]byte, 1<<16); n > 0; n -= len(block) {
		_, _ = z.Write(block[:min(n, len(block))])
	}

	_ = z.Close()

	return b.String()
}

func makePNG(w, h int, chunks ...string) string {
	return "\x89PNG\r\n\x1a\n" + pngChunk("IHDR", be32(w)+be32(h)+"\x08\x02\x00\x00\x00") + strings.Join(chunks, "") + pngChunk("IEND", "")
}

func hostileImages() map[string]string {
	small := pngChunk("IDAT", zlibZeros(10*31))
	jpegHead := func(sof string, w, h int) string {
		return "\xff\xd8\xff\xc4" + be16(2+18) + "\x00\x01" + strings.Repeat("\x00", 15) + "\x00" +
			"\xff" + sof + be16(11) + "\x08" + be16(h) + be16(w) + "\x01\x01\x11\x00"
	}

	return map[string]string{
		"png of 2^31 pixels a side":    makePNG(1<<31-1, 1<<31-1, small),
		"png of 60000 a side":          makePNG(60000, 60000, small),
		"png of 8000 a side, no bytes": makePNG(8000, 8000, small),
		"png with a bomb in IDAT":      makePNG(10, 10, pngChunk("IDAT", zlibZeros(64<<20))),
		"png with nothing in IDAT":     makePNG(10, 10, pngChunk("IDAT", "")),
		"png with bombs beside it":     makePNG(10, 10, pngChunk("iCCP", "x\x00\x00"+zlibZeros(64<<20)), pngChunk("zTXt", "x\x00\x00"+zlibZeros(64<<20)), small),
		"png cut off in a chunk":       makePNG(10, 10, small)[:60],
		"png with a false checksum":    strings.Replace(makePNG(10, 10, small), "IDAT", "IDAT\x00", 1),
		"png with an endless chunk":    makePNG(10, 10)[:33] + be32(1<<31-1) + "IDAT",
		"gif of 65535 a side":          "GIF89a" + le16(65535) + le16(65535) + "\x00\x00\x00,\x00\x00\x00\x00" + le16(65535) + le16(65535) + "\x00\x08\x01\x00\x00;",
		"gif without a picture":        "GIF89a" + le16(10) + le16(10) + "\x00\x00\x00;",
		"gif larger than its screen":   "GIF89a" + le16(10) + le16(10) + "\x80\x00\x00" + "\x00\x00\x00\xff\xff\xff" + ",\x00\x00\x00\x00" + le16(60000) + le16(60000) + "\x00\x02\x01\x00\x00;",
		"gif of comments without end":  "GIF89a" + le16(10) + le16(10) + "\x00\x00\x00" + strings.Repeat("!\xfe\x01x\x00", 100_000),
		"webp of 16384 a side":         "RIFF" + le32(30) + "WEBPVP8L" + le32(18) + "\x2f\xff\xff\xff\x0f" + strings.Repeat("\x00", 13),
		"webp larger than its canvas":  "RIFF" + le32(60) + "WEBPVP8X" + le32(10) + "\x00\x00\x00\x00\x09\x00\x00\x09\x00\x00" + "VP8L" + le32(18) + "\x2f\xff\xff\xff\x0f" + strings.Repeat("\x00", 13),
		"webp of 2^24 a side":          "RIFF" + le32(40) + "WEBPVP8X" + le32(10) + "\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff",
		"webp with a lying size":       "RIFF\xff\xff\xff\xffWEBPVP8 \xff\xff\xff\xff" + "\x30\x01\x00\x9d\x01\x2a\xff\x3f\xff\x3f",
		"bmp of 2^31 a side":           "BM" + le32(54) + le32(0) + le32(54) + le32(40) + le32(1<<31-1) + le32(1<<31-1) + le16(1) + le16(24) + strings.Repeat("\x00", 24),
		"bmp of negative sizes":        "BM" + le32(54) + le32(0) + le32(54) + le32(40) + le32(-5) + le32(-1<<31) + le16(1) + le16(24) + strings.Repeat("\x00", 24),
		"bmp of 8000 a side, no bytes": "BM" + le32(54) + le32(0) + le32(54) + le32(40) + le32(8000) + le32(8000) + le16(1) + le16(32) + strings.Repeat("\x00", 24),
		"jpeg of 65535 a side":         jpegHead("\xc0", 65535, 65535) + "\xff\xda" + be16(8) + "\x01\x01\x00\x00\x3f\x00" + "\xff\xd9",
		"jpeg of nothing":              jpegHead("\xc0", 0, 0) + "\xff\xd9",
		"jpeg of passes without end":   jpegWithScans(20),
		"jpeg of markers alone":        "\xff\xd8" + strings.Repeat("\xff\xe0"+be16(2), 200_000),
	}
}

// jpegWithScans is a progressive JPEG of 8192*8192 with n scans over all of it, in about 75
// bytes each: a run of blocks without a change, 32 times.
func jpegWithScans(n int) string {
	table := func(class, symbol string) string {
		return "\xff\xc4" + be16(2+18) + class + "\x01" + strings.Repeat("\x00", 15) + symbol
	}
	// "0" is the symbol of a run; 14 bits say how many more than 2^14 blocks it covers.
	bits := strings.Repeat("0"+strings.Repeat("1", 14), 33) + "1"
	run := ""

	for ; bits != ""; bits = bits[8:] {
		n, _ := strconv.ParseUint(bits[:8], 2, 8)
		if run += string([]byte{byte(n)}); n == 0xff {
			run += "\x00" // or it would be a marker
		}
	}

	scan := "\xff\xda" + be16(8) + "\x01\x01\x00\x01\x3f\x00" + run

	return "\xff\xd8" + table("\x10", "\xe0") + "\xff\xc2" + be16(11) + "\x08" + be16(8192) + be16(8192) + "\x01\x01\x11\x00" + strings.Repeat(scan, n) + "\xff\xd9"
}

// moovBox builds an MP4 index with one picture track and the given tables.
func moovBox(seconds int, edits string, tables ...string) string {
	matrix := be32(1<<16) + be32(0) + be32(0) + be32(0) + be32(1<<16) + be32(0) + be32(0) + be32(0) + be32(1<<30)
	mvhd := makeBox("mvhd", be32(0), be32(0), be32(0), be32(1000), be32(seconds*1000), be32(1<<16), be16(1<<8), strings.Repeat("\x00", 10), matrix, strings.Repeat("\x00", 24), be32(2))
	tkhd := makeBox("tkhd", be32(3), be32(0), be32(0), be32(1), be32(0), be32(seconds*1000), strings.Repeat("\x00", 16), matrix, be32(64<<16), be32(64<<16))
	mdhd := makeBox("mdhd", be32(0), be32(0), be32(0), be32(1000), be32(seconds*1000), "\x55\xc4\x00\x00")
	hdlr := makeBox("hdlr", be32(0), be32(0), "vide", strings.Repeat("\x00", 12), "v\x00")

	return makeBox("moov", mvhd, makeBox("trak", tkhd, edits, makeBox("mdia", mdhd, hdlr, makeBox("minf", makeBox("vmhd", be32(1), be64(0)), strings.Join(tables, "")))))
}

func dinfBox(kind, target string) string {
	flags := 0
	if target == "" {
		flags = 1
	}

	return makeBox("dinf", makeBox("dref", be32(0), be32(1), makeBox(kind, be32(flags), target)))
}

// stblBox builds the tables of one sample of raw video.
func stblBox(stts string, offset int) string {
	entry := makeBox("raw ", strings.Repeat("\x00", 6), be16(1), strings.Repeat("\x00", 16), be16(64), be16(64), be32(0x480000), be32(0x480000), be32(0), be16(1), strings.Repeat("\x00", 32), be16(24), be16(-1))
	return makeBox("stbl", makeBox("stsd", be32(0), be32(1), entry), stts, makeBox("stsc", be32(0), be32(1), be32(1), be32(1), be32(1)), makeBox("stsz", be32(0), be32(0), be32(1), be32(64*64*3)), makeBox("stco", be32(0), be32(1), be32(offset)))
}

func hostileVideos(listenerURL string) map[string]string {
	sttsBox := makeBox("stts", be32(0), be32(1), be32(1), be32(2000))
	mdatBox := makeBox("mdat", strings.Repeat("\x00", 64*64*3))
	mdatOffset := len(ftypBox) + 8
	oversizedTable := func(name string) string { return makeBox(name, be32(0), be32(0x0fffffff), be32(1), be32(2000)) }
	withExternalMedia := func(kind, target string) string {
		return ftypBox + mdatBox + moovBox(2, "", dinfBox(kind, target), stblBox(sttsBox, 0))
	}
	fragment := makeBox("moof", makeBox("mfhd", be32(0), be32(1)))
	qt := makeBox("ftyp", "qt  ", be32(0), "qt  ")

	return map[string]string{
		"mp4 whose first box never ends":   ftypBox + be32(0) + "mdat" + strings.Repeat("\x00", 1000),
		"mp4 with boxes of no size":        ftypBox + strings.Repeat(be32(1)+"free"+be64(0), 100),
		"mp4 with a box inside itself":     ftypBox + makeBox("moov", be32(8)+"moov", be32(0)+"moov"),
		"mp4 with boxes without end":       ftypBox + strings.Repeat(makeBox("free"), maxBoxes+1) + makeBox("moov"),
		"mp4 nested ten thousand times":    ftypBox + nestedBoxes("moov", "trak", 10_000),
		"mp4 with 64 bit sizes":            ftypBox + be32(1) + "mdat" + be64(1<<62) + "x" + makeBox("moov"),
		"mp4 with a negative size":         ftypBox + be32(1) + "mdat" + be64(-16) + makeBox("moov"),
		"mp4 with a size that wraps":       ftypBox + be32(1) + "mdat" + be64(-1<<63) + makeBox("moov"),
		"mp4 with a huge stts":             ftypBox + mdatBox + moovBox(2, "", dinfBox("url ", ""), stblBox(oversizedTable("stts"), mdatOffset)),
		"mp4 with a huge ctts":             ftypBox + mdatBox + moovBox(2, "", dinfBox("url ", ""), stblBox(sttsBox+oversizedTable("ctts"), mdatOffset)),
		"mp4 with a huge stsz":             ftypBox + mdatBox + moovBox(2, "", dinfBox("url ", ""), stblBox(sttsBox+makeBox("stsz", be32(0), be32(1), be32(0x7fffffff)), mdatOffset)),
		"mp4 with a huge stco":             ftypBox + mdatBox + moovBox(2, "", dinfBox("url ", ""), stblBox(sttsBox+oversizedTable("stco")+oversizedTable("co64")+oversizedTable("stss"), mdatOffset)),
		"mp4 of samples without number":    ftypBox + mdatBox + moovBox(2, "", dinfBox("url ", ""), stblBox(makeBox("stts", be32(0), be32(1), be32(0x7fffffff), be32(1))+makeBox("stsz", be32(0), be32(1), be32(0x7fffffff)), mdatOffset)),
		"mp4 with a million tracks":        ftypBox + makeBox("moov", strings.Repeat(makeBox("trak"), 1_000_000)),
		"mp4 with a hundred tracks":        ftypBox + makeBox("moov", strings.Repeat(makeBox("trak"), 100)),
		"mp4 with an edit list of years":   ftypBox + mdatBox + moovBox(2, makeBox("edts", makeBox("elst", be32(0), be32(0x0fffffff), strings.Repeat(be32(-1)+be32(-1)+be32(1<<16), 2000))), dinfBox("url ", ""), stblBox(sttsBox, mdatOffset)),
		"mov with a file elsewhere":        qt + withExternalMedia("url ", "file:///etc/passwd\x00")[len(ftypBox):],
		"mov with an address elsewhere":    qt + withExternalMedia("url ", listenerURL+"\x00")[len(ftypBox):],
		"mov with an alias elsewhere":      qt + withExternalMedia("alis", be32(0)+be16(200)+be16(2)+strings.Repeat("\x00", 142)+be16(2)+be16(len("/etc/passwd"))+"/etc/passwd\x00"+be16(-1))[len(ftypBox):],
		"mov that refers to a film":        qt + makeBox("moov", makeBox("rmra", makeBox("rmda", makeBox("rdrf", be32(0), "url ", be32(len(listenerURL)+1), listenerURL+"\x00")))),
		"mov with a packed index":          qt + makeBox("moov", makeBox("cmov", makeBox("dcom", "zlib"), makeBox("cmvd", be32(0x7fffffff), zlibZeros(16<<20)))),
		"fragmented mp4 without end":       ftypBox + moovBox(0, "", dinfBox("url ", "")) + strings.Repeat(fragment+makeBox("mdat", "x"), 20_000),
		"fragmented mp4 cut off":           ftypBox + moovBox(0, "", dinfBox("url ", "")) + fragment + be32(1000) + "mdat",
		"fragment with a huge trun":        ftypBox + makeBox("moov", moovBox(0, "", dinfBox("url ", ""))[8:], makeBox("mvex", makeBox("trex", be32(0), be32(1), be32(1), be32(1), be32(1), be32(0)))) + makeBox("moof", makeBox("mfhd", be32(0), be32(1)), makeBox("traf", makeBox("tfhd", be32(0), be32(1)), makeBox("trun", be32(0), be32(0x7fffffff)))),
		"mp4 without anything":             ftypBox,
		"mp4 whose index is empty":         ftypBox + makeBox("moov"),
		"mp4 cut off in its index":         (ftypBox + moovBox(2, "", dinfBox("url ", ""), stblBox(sttsBox, mdatOffset)))[:200],
		"heic":                             makeBox("ftyp", "heic", be32(0), "mif1heic") + makeBox("meta", be32(0)),
		"zip behind an mp4":                ftypBox + mdatBox + moovBox(2, "", dinfBox("url ", ""), stblBox(sttsBox, mdatOffset)) + "PK\x05\x06" + strings.Repeat("\x00", 18),
		"zip inside an mp4":                ftypBox + mdatBox + moovBox(2, "", dinfBox("url ", ""), stblBox(sttsBox, mdatOffset)) + makeBox("free", "PK\x05\x06"+strings.Repeat("\x00", 18)),
		"zip that contains an mp4":         "PK\x03\x04" + strings.Repeat("\x00", 26) + ftypBox + mdatBox,
		"matroska of unknown sizes":        "\x1aE\xdf\xa3\x01\xff\xff\xff\xff\xff\xff\xff\x18S\x80g\x01\xff\xff\xff\xff\xff\xff\xff" + strings.Repeat("\xec\x81x", 50_000),
		"matroska with a huge element":     "\x1aE\xdf\xa3\x80\x18S\x80g\x01\xff\xff\xff\xff\xff\xff\xff\x16T\xaek\x01\x7f\xff\xff\xff\xff\xff\xff" + "\xae\x08\x7f\xff\xff\xff",
		"matroska of elements in elements": "\x1aE\xdf\xa3\x80" + strings.Repeat("\x18S\x80g\x01\xff\xff\xff\xff\xff\xff\xff", 10_000),
	}
}

// nestedBoxes builds n boxes, each inside the one before.
func nestedBoxes(outer, inner string, n int) string {
	var b strings.Builder
	for i := n; i > 0; i-- {
		b.WriteString(be32(8*i) + inner)
	}

	return makeBox(outer, b.String())
}

func hostileAudio() map[string]string {
	format := "fmt " + le32(16) + le16(1) + le16(1) + le32(44100) + le32(88200) + le16(2) + le16(16)

	return map[string]string{
		"wav that claims too much sound":   "RIFF" + le32(1<<30) + "WAVE" + format + "data" + le32(1<<30) + "xx",
		"wav without sound":                "RIFF" + le32(36) + "WAVE" + format,
		"wav of no channels":               "RIFF" + le32(40) + "WAVE" + strings.Replace(format, le16(1)+le16(1), le16(1)+le16(0), 1) + "data" + le32(4) + "xxxx",
		"wav of chunks without end":        "RIFF" + le32(36) + "WAVE" + strings.Repeat("junk"+le32(0), 100_000),
		"wav with a chunk that never ends": "RIFF" + le32(36) + "WAVE" + "LIST" + le32(-2) + "x",
		"mp3 with a giant tag":             "ID3\x03\x00\x00\x7f\x7f\x7f\x7f" + strings.Repeat("\x00", 1000),
		"mp3 with a giant cover":           "ID3\x03\x00\x00\x00\x00\x7f\x00" + "APIC" + be32(0x0fffffff) + "\x00\x00\x00image/png\x00\x03\x00" + makePNG(30000, 30000, pngChunk("IDAT", zlibZeros(1<<20))),
		"mp3 of tags alone":                strings.Repeat("ID3\x03\x00\x00\x00\x00\x00\x00", 50_000),
		"flac of nothing":                  "fLaC" + strings.Repeat("\x01\x00\x00\x00", 50_000),
		"flac with a giant block":          "fLaC\x86\xff\xff\xff" + "x",
		"ogg of nothing":                   strings.Repeat("OggS\x00\x02"+strings.Repeat("\x00", 8)+be32(1)+strings.Repeat("\x00", 9), 10_000),
		"aac of headers alone":             strings.Repeat("\xff\xf1\x50\x80\x00\xff\xfc", 20_000),
	}
}

// hostileTexts are texts that would make a player open other files or addresses; wantText
// must be in the customer's message.
func hostileTexts(listenerURL string) map[string]struct{ data, wantText string } {
	return map[string]struct{ data, wantText string }{
		"hls":              {"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n" + listenerURL + "\n#EXT-X-ENDLIST\n", "playlist"},
		"hls of a file":    {"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n", "playlist"},
		"hls behind a BOM": {"\ufeff#EXTM3U\n#EXTINF:10,\n" + listenerURL + "\n", "playlist"},
		"pls":              {"[playlist]\nFile1=" + listenerURL + "\n", "playlist"},
		"ffconcat":         {"ffconcat version 1.0\nfile '" + listenerURL + "'\n", "list of files"},
		"concat":           {"file '/etc/passwd'\nfile '" + listenerURL + "'\n", "text"},
		"dash":             {`<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>` + listenerURL + `</BaseURL></MPD>`, "manifest"},
		"dash as xml":      {`<?xml version="1.0"?><MPD><BaseURL>` + listenerURL + `</BaseURL></MPD>`, "XML"},
		"xml bomb":         {`<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><x>&b;</x>`, "XML"},
		"sdp":              {"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nm=video 9 RTP/AVP 96\r\n", "SDP"},
		"svg":              {`<svg xmlns="http://www.w3.org/2000/svg"><image href="` + listenerURL + `"/></svg>`, "SVG"},
		"html":             {"<!DOCTYPE html><html><body>Not found</body></html>", "web page"},
		"text":             {"this is not a video at all, only a text that is called one", "text"},
		"address":          {listenerURL, "text"},
		"ram":              {"rtsp://127.0.0.1/film\n", "text"},
		"ffmetadata":       {";FFMETADATA1\ntitle=x\n", "text"},
		"subtitles":        {"1\n00:00:00,000 --> 01:00:00,000\nhello\n", "text"},
		"zip":              {"PK\x03\x04\x14\x00\x00\x00\x08\x00" + strings.Repeat("\x00", 100), "ZIP"},
		"gzip":             {"\x1f\x8b\x08\x00" + strings.Repeat("\x00", 100), "gzip"},
		"pdf":              {"%PDF-1.7\n", "PDF"},
		"program":          {"\x7fELF\x02\x01\x01\x00" + strings.Repeat("\x00", 100), "not a picture"},
		"nothing":          {"", "empty"},
		"a byte":           {"\x00", "not a picture"},
	}
}

// startListener returns an address and counts the connections to it.
func startListener(t *testing.T) (address string, calls chan struct{}) {
	t.Helper()

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	calls = make(chan struct{}, 100)

	ended := make(chan struct{})
	go func() {
		defer close(ended)

		for {
			c, err := l.Accept()
			if err != nil {
				return
			}

			calls <- struct{}{}

			c.Close()
		}
	}()

	t.Cleanup(func() { l.Close(); <-ended })

	return "http://" + l.Addr().String() + "/video.mp4", calls
}

// Whatever the file is, the result within limits of time and memory is a message for the
// customer. Nothing is left behind, and no address is contacted.
func TestHostileFiles(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir()) // where the programs' working folders are made
	listenerURL, calls := startListener(t)
	f := newFetcher(t, Options{})

	all := map[string]struct{ data, wantText string }{}
	for _, set := range []map[string]string{hostileImages(), hostileVideos(listenerURL), hostileAudio()} {
		for name, data := range set {
			all[name] = struct{ data, wantText string }{data: data}
		}
	}

	for name, c := range hostileTexts(listenerURL) {
		all[name] = c
	}

	for name, text := range map[string]string{
		"png of 60000 a side": "60000 x 60000 pixels", "png of 8000 a side, no bytes": "does not have the bytes", "bmp of 8000 a side, no bytes": "does not have the bytes",
		"jpeg of 65535 a side": "65535 x 65535 pixels", "gif of 65535 a side": "65535 x 65535 pixels", "mov with a file elsewhere": "refers to another", "mov with an address elsewhere": "refers to another", "mov with an alias elsewhere": "refers to another",
		"mp4 with a huge stts": "damaged", "mp4 with a huge stco": "damaged",
		"mp4 with a million tracks": "too many tracks", "mp4 with a hundred tracks": "too many tracks", "mp4 with 64 bit sizes": "cut off", "fragmented mp4 cut off": "cut off",
		"heic": "HEIC", "zip that contains an mp4": "ZIP", "zip behind an mp4": "cut off", "wav that claims too much sound": "more sound than it has",
	} {
		c, ok := all[name]
		if !ok {
			t.Fatalf("no file %q", name)
		}

		c.wantText = text
		all[name] = c
	}

	folder := t.TempDir()

	var before, after runtime.MemStats

	for name, c := range all {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(folder, "clip.mp4") // every file has the name of a video
			if err := os.WriteFile(path, []byte(c.data), 0o600); err != nil {
				t.Fatal(err)
			}

			runtime.ReadMemStats(&before)

			begin := time.Now()

			m, err := f.Probe(t.Context(), path)
			if took := time.Since(begin); took > probeTimeout+5*time.Second {
				t.Errorf("it took %s", took)
			}

			runtime.ReadMemStats(&after)

			if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 600<<20 {
				t.Errorf("%d MB were allocated in this process", allocated>>20)
			}

			checkProbeResult(t, m, err, c.wantText)
			_ = f.Thumbnail(t.Context(), path, filepath.Join(folder, "still.jpg"), time.Second)
			checkLeftovers(t, folder, "clip.mp4", "still.jpg")
			checkLeftovers(t, os.Getenv("TMPDIR"))
		})
	}

	select {
	case <-calls:
		t.Error("an address in a file was contacted")
	default:
	}

	var own, used syscall.Rusage
	if err := errors.Join(syscall.Getrusage(syscall.RUSAGE_SELF, &own), syscall.Getrusage(syscall.RUSAGE_CHILDREN, &used)); err != nil {
		t.Fatal(err)
	}

	t.Logf("the largest program used %d MB, this process %d MB", used.Maxrss>>10, own.Maxrss>>10)
	// Linux attributes to a child the memory that its parent had at the fork, before the
	// child ran another program: only what exceeds that is the child's own.
	if runtime.GOOS == "linux" && used.Maxrss > max(512<<10, own.Maxrss) { // kB
		t.Errorf("a program used %d MB", used.Maxrss>>10)
	}
}

// Decoding a picture with many scans is stopped in time.
func TestImageTimeout(t *testing.T) {
	f := newFetcher(t, Options{})
	f.imageTimeout = 100 * time.Millisecond
	begin := time.Now()
	_, err := f.Probe(t.Context(), writeFile(t, "passes.jpg", []byte(jpegWithScans(20_000))))
	checkFault(t, err, fault.CodeReferenceInvalid, "takes too long", false)

	if took := time.Since(begin); took > 30*time.Second {
		t.Errorf("stopped after %s", took)
	}
}

// checkProbeResult checks that a result is either good media or a message for the customer.
func checkProbeResult(t *testing.T, m Media, err error, wantText string) {
	t.Helper()

	if err == nil {
		if wantText != "" {
			t.Errorf("accepted as %+v", m)
		}

		t.Logf("accepted as %+v", m)

		return
	}

	var problem *fault.Fault
	if !errors.As(err, &problem) || problem.Code != fault.CodeReferenceInvalid || IsTransient(err) {
		t.Fatalf("not a fault of the file: %v", err)
	}

	t.Logf("%s (%v)", problem.Detail, err)

	if !strings.Contains(problem.Detail, wantText) {
		t.Errorf("the message is %q, want %q in it", problem.Detail, wantText)
	}

	for _, never := range []string{"ffmpeg", "ffprobe", "exit status", "signal", "unexpected EOF", "invalid format", "runtime error", "0x", "/clip.mp4", "moov"} {
		if strings.Contains(problem.Detail, never) {
			t.Errorf("the message for the customer is %q", problem.Detail)
		}
	}
}

// checkLeftovers checks that a folder holds only the allowed files.
func checkLeftovers(t *testing.T, folder string, allowed ...string) {
	t.Helper()

	list, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}

	for _, e := range list {
		if !strings.Contains(" "+strings.Join(allowed, " ")+" ", " "+e.Name()+" ") {
			t.Errorf("%s was left behind", e.Name())
		}
	}
}
