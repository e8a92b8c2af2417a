package provider

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"strings"
	"testing"
	"testing/iotest"
)

type closeCounter struct {
	io.Reader
	closed int
}

func (c *closeCounter) Close() error {
	c.closed++
	return nil
}

func TestFormLengthMatchesBody(t *testing.T) {
	file := &closeCounter{Reader: iotest.OneByteReader(strings.NewReader("bytes of it, and more"))}
	f := &Form{}
	f.AddField("prompt", "角色 \"x\"\r\ny")
	f.AddFile("file", "../角色 \"one\".png", "image/png", 11, file)
	f.AddField("last", "")

	body, length, contentType, err := f.Body()
	if err != nil {
		t.Fatal(err)
	}

	b, err := io.ReadAll(body)
	if err != nil || int64(len(b)) != length {
		t.Fatalf("%d bytes, announced %d: %v", len(b), length, err)
	}

	for range 2 {
		if err := body.Close(); err != nil || file.closed != 1 {
			t.Errorf("closed %d times, %v", file.closed, err)
		}
	}

	_, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		t.Fatal(err)
	}

	form, err := multipart.NewReader(bytes.NewReader(b), params["boundary"]).ReadForm(1 << 20)
	if err != nil {
		t.Fatal(err)
	}

	sent := form.File["file"][0]
	if form.Value["prompt"][0] != "角色 \"x\"\r\ny" || sent.Filename != "_____one_.png" || sent.Size != 11 || form.Value["last"][0] != "" {
		t.Errorf("%+v, file %+v", form.Value, sent)
	}
}

func TestFormWithShortFileFails(t *testing.T) {
	f := &Form{}
	f.AddFile("file", "a.png", "", 100, strings.NewReader("half"))

	body, length, _, err := f.Body()
	if err != nil || length < 100 {
		t.Fatalf("%d, %v", length, err)
	}

	if b, err := io.ReadAll(body); !errors.Is(err, io.ErrUnexpectedEOF) || !bytes.HasSuffix(b, []byte("half")) {
		t.Errorf("%q, %v", b, err)
	}
}

func TestFormWithUnknownLength(t *testing.T) {
	f := &Form{}
	f.AddFile("file", "a.png", "", -1, strings.NewReader("all of it"))
	f.AddFile("file", "b.png", "", 3, strings.NewReader("abc"))

	body, length, _, err := f.Body()
	if b, rerr := io.ReadAll(body); err != nil || rerr != nil || length != -1 || !bytes.Contains(b, []byte("all of it")) {
		t.Errorf("%q, %d, %v, %v", b, length, err, rerr)
	}
}

func TestMediaTypeByName(t *testing.T) {
	for name, want := range map[string]string{"a.PNG": "image/png", "a.b.mov": "video/quicktime", "mp4": "video/mp4", "a.exe": "application/octet-stream", "": "application/octet-stream"} {
		if got := MediaTypeByName(name); got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
}
