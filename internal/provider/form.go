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

// Form is a multipart/form-data body that never holds its files in memory: they
// are read while the body is sent. The zero value is an empty form.
type Form struct {
	w         *multipart.Writer
	buffered  bytes.Buffer // what was written since the last file
	parts     []io.Reader
	closers   []io.Closer
	length    int64 // -1 when the size of a file is unknown
	err       error
	closeOnce sync.Once
}

// AddField adds a field.
func (f *Form) AddField(name, value string) {
	f.addErr(f.writer().WriteField(name, value))
}

// AddFile adds a file of size bytes; -1 means that the size is unknown. If r is an
// io.Closer, it is closed with the body.
func (f *Form) AddFile(field, name, mediaType string, size int64, r io.Reader) {
	if mediaType == "" {
		mediaType = "application/octet-stream"
	}

	header := textproto.MIMEHeader{}
	header.Set("Content-Disposition", `form-data; name="`+field+`"; filename="`+SafeFileName(name)+`"`)
	header.Set("Content-Type", mediaType)
	_, err := f.writer().CreatePart(header)
	f.addErr(err)
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
		r = &exactReader{r: r, remaining: size}
	}

	f.parts = append(f.parts, r)
}

// exactReader reads exactly the announced number of bytes. Fewer are an error, so
// that a form with half a file in it is never sent to its end.
type exactReader struct {
	r         io.Reader
	remaining int64
}

func (e *exactReader) Read(b []byte) (int, error) {
	if e.remaining == 0 {
		return 0, io.EOF
	}

	n, err := e.r.Read(b[:min(int64(len(b)), e.remaining)])

	e.remaining -= int64(n)
	if errors.Is(err, io.EOF) && e.remaining > 0 {
		err = io.ErrUnexpectedEOF
	}

	return n, err
}

// Body ends the form and returns its bytes, its length (-1 when unknown) and its
// Content-Type. The caller closes the body.
func (f *Form) Body() (io.ReadCloser, int64, string, error) {
	f.addErr(f.writer().Close())
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

// Close closes the files. Further calls do nothing.
func (f *Form) Close() error {
	var err error

	f.closeOnce.Do(func() {
		for _, c := range f.closers {
			err = errors.Join(err, c.Close())
		}
	})

	return err
}

func (f *Form) writer() *multipart.Writer {
	if f.w == nil {
		f.w = multipart.NewWriter(&f.buffered)
	}

	return f.w
}

func (f *Form) addErr(err error) { f.err = errors.Join(f.err, err) }

func (f *Form) flush() {
	f.parts = append(f.parts, strings.NewReader(f.buffered.String()))
	if f.length >= 0 {
		f.length += int64(f.buffered.Len())
	}

	f.buffered.Reset()
}

// SafeFileName replaces characters that a header or an object store may not
// accept. It keeps the extension, by which suppliers recognize the type of a file.
func SafeFileName(name string) string {
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

// MediaTypeByName returns the media type for a file's extension. It uses its own
// table, since the system's table differs between machines.
func MediaTypeByName(name string) string {
	types := map[string]string{
		"png":  "image/png",
		"jpg":  "image/jpeg",
		"jpeg": "image/jpeg",
		"bmp":  "image/bmp",
		"webp": "image/webp",
		"mp4":  "video/mp4",
		"mov":  "video/quicktime",
		"mp3":  "audio/mpeg",
		"wav":  "audio/wav",
	}
	if t, ok := types[strings.ToLower(name[strings.LastIndexByte(name, '.')+1:])]; ok {
		return t
	}

	return "application/octet-stream"
}
