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

type closing struct {
	io.Reader
	closed int
}

func (c *closing) Close() error {
	c.closed++
	return nil
}

func TestAFormIsAsLongAsItSays(t *testing.T) {
	file := &closing{Reader: iotest.OneByteReader(strings.NewReader("bytes of it, and more"))}
	f := &Form{}
	f.Field("prompt", "角色 \"x\"\r\ny")
	f.File("file", "../角色 \"one\".png", "image/png", 11, file)
	f.Field("last", "")

	body, length, kind, err := f.Body()
	if err != nil {
		t.Fatal(err)
	}

	b, err := io.ReadAll(body)
	if err != nil || int64(len(b)) != length {
		t.Fatalf("%d bytes, said %d: %v", len(b), length, err)
	}

	for range 2 {
		if err := body.Close(); err != nil || file.closed != 1 {
			t.Errorf("closed %d times, %v", file.closed, err)
		}
	}

	_, params, err := mime.ParseMediaType(kind)
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

func TestAFormWithHalfAFileNeverEnds(t *testing.T) {
	f := &Form{}
	f.File("file", "a.png", "", 100, strings.NewReader("half"))

	body, length, _, err := f.Body()
	if err != nil || length < 100 {
		t.Fatalf("%d, %v", length, err)
	}

	if b, err := io.ReadAll(body); !errors.Is(err, io.ErrUnexpectedEOF) || !bytes.HasSuffix(b, []byte("half")) {
		t.Errorf("%q, %v", b, err)
	}
}

func TestAFormOfUnknownLength(t *testing.T) {
	f := &Form{}
	f.File("file", "a.png", "", -1, strings.NewReader("all of it"))
	f.File("file", "b.png", "", 3, strings.NewReader("abc"))

	body, length, _, err := f.Body()
	if b, rerr := io.ReadAll(body); err != nil || rerr != nil || length != -1 || !bytes.Contains(b, []byte("all of it")) {
		t.Errorf("%q, %d, %v, %v", b, length, err, rerr)
	}
}

func TestTypeOf(t *testing.T) {
	for name, want := range map[string]string{"a.PNG": "image/png", "a.b.mov": "video/quicktime", "mp4": "video/mp4", "a.exe": "application/octet-stream", "": "application/octet-stream"} {
		if got := TypeOf(name); got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
}
