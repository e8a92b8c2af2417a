package provider

import (
	"bytes"
	"errors"
	"io"
	"mime/multipart"
	"net/textproto"
	"strings"
	"sync"
)

// Form is a multipart/form-data body that never holds its files: they are read
// as they go out. The zero value is empty.
type Form struct {
	w       *multipart.Writer
	words   bytes.Buffer // what was written since the last file
	parts   []io.Reader
	closers []io.Closer
	length  int64 // -1 when a file's is not known
	err     error
	closing sync.Once
}

// Field adds a field.
func (f *Form) Field(name, value string) {
	f.note(f.writer().WriteField(name, value))
}

// File adds a file of size bytes, -1 when that is not known. A reader that is a
// Closer is closed with the body.
func (f *Form) File(field, name, mediaType string, size int64, r io.Reader) {
	if mediaType == "" {
		mediaType = "application/octet-stream"
	}

	header := textproto.MIMEHeader{}
	header.Set("Content-Disposition", `form-data; name="`+field+`"; filename="`+SafeName(name)+`"`)
	header.Set("Content-Type", mediaType)
	_, err := f.writer().CreatePart(header)
	f.note(err)
	f.flush()

	if c, ok := r.(io.Closer); ok {
		f.closers = append(f.closers, c)
	}

	switch {
	case size < 0:
		f.length = -1
	case f.length >= 0:
		f.length += size
	}

	if size >= 0 {
		r = &exactly{r: r, left: size}
	}

	f.parts = append(f.parts, r)
}

// exactly reads as many bytes as were announced. Fewer are an error, so that a
// form with half a file in it never comes to its end.
type exactly struct {
	r    io.Reader
	left int64
}

func (e *exactly) Read(b []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}

	n, err := e.r.Read(b[:min(int64(len(b)), e.left)])

	e.left -= int64(n)
	if errors.Is(err, io.EOF) && e.left > 0 {
		err = io.ErrUnexpectedEOF
	}

	return n, err
}

// Body ends the form: its bytes, how many they are (-1: not known) and its
// Content-Type. Whoever sends it closes it.
func (f *Form) Body() (io.ReadCloser, int64, string, error) {
	f.note(f.writer().Close())
	f.flush()

	return f, f.length, f.w.FormDataContentType(), f.err
}

// Read reads the body.
func (f *Form) Read(b []byte) (int, error) {
	for len(f.parts) > 0 {
		n, err := f.parts[0].Read(b)
		if errors.Is(err, io.EOF) {
			f.parts = f.parts[1:]
			err = nil
		}

		if n > 0 || err != nil {
			return n, err
		}
	}

	return 0, io.EOF
}

// Close closes the files, once.
func (f *Form) Close() error {
	var err error

	f.closing.Do(func() {
		for _, c := range f.closers {
			err = errors.Join(err, c.Close())
		}
	})

	return err
}

func (f *Form) writer() *multipart.Writer {
	if f.w == nil {
		f.w = multipart.NewWriter(&f.words)
	}

	return f.w
}

func (f *Form) note(err error) { f.err = errors.Join(f.err, err) }

func (f *Form) flush() {
	f.parts = append(f.parts, strings.NewReader(f.words.String()))
	if f.length >= 0 {
		f.length += int64(f.words.Len())
	}

	f.words.Reset()
}

// SafeName keeps of a file's name what any header and any store can hold, and
// the ending, by which suppliers know the kind of a file.
func SafeName(name string) string {
	safe := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '-', r == '_':
			return r
		default:
			return '_'
		}
	}, name)
	if len(safe) > 100 {
		safe = safe[len(safe)-100:]
	}

	if strings.Trim(safe, "._") == "" {
		return "file"
	}

	return strings.TrimLeft(safe, ".")
}

// TypeOf is the media type that a file's ending stands for; the system's own
// table may differ from machine to machine.
func TypeOf(name string) string {
	types := map[string]string{
		"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "bmp": "image/bmp", "webp": "image/webp",
		"mp4": "video/mp4", "mov": "video/quicktime", "mp3": "audio/mpeg", "wav": "audio/wav",
	}
	if t, ok := types[strings.ToLower(name[strings.LastIndexByte(name, '.')+1:])]; ok {
		return t
	}

	return "application/octet-stream"
}
