package api

import (
	"bytes"
	"errors"
	"io"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/unireel/unireel/internal/blob"
)

// left lists the blobs that are kept.
func (w *world) left() []string {
	w.t.Helper()

	var keys []string

	if err := w.blobs.List(w.t.Context(), func(i blob.Info) bool { keys = append(keys, i.Key); return true }); err != nil {
		w.t.Fatal(err)
	}

	return keys
}

func TestAFileGoesInAndComesOut(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		body, contentType := form(t, `../otter "1".png`, png1, "purpose", "vision", "other", "x")
		a := w.ask(w.alice, "POST", "/v1/files", body, "Content-Type", contentType)

		m := a.json(t)
		if a.status != 200 || m["filename"] != "otter 1.png" || m["kind"] != "image" || m["type"] != "image/png" || m["bytes"] != float64(len(png1)) || m["object"] != "file" {
			t.Fatalf("%d %s", a.status, a.body)
		}

		id := m["id"].(string)
		for _, path := range []string{"/v1/files/" + id, "/v1/files/file_sample_otter"} {
			if a := w.ask(w.alice, "GET", path, ""); a.status != 200 {
				t.Errorf("%s: %d %s", path, a.status, a.body)
			}

			if a := w.ask(w.alice, "GET", path+"/content", "", "Range", "bytes=1-3"); a.status != 206 || string(a.body) != "PNG" || a.header.Get("Content-Type") != "image/png" {
				t.Errorf("%s: %d %s", path, a.status, a.body)
			}
		}

		if a := w.ask(w.alice, "DELETE", "/v1/files/file_sample_otter", ""); a.status != 404 {
			t.Errorf("a sample was deleted: %d", a.status)
		}

		if a := w.ask(w.alice, "DELETE", "/v1/files/"+id, ""); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}

		if a := w.ask(w.alice, "GET", "/v1/files/"+id, ""); a.status != 404 || len(w.left()) > 0 {
			t.Errorf("deleted: %d, blobs %v", a.status, w.left())
		}
	})
}

func TestABadUploadIsSaidAndLeavesNothing(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		good, contentType := form(t, "a.png", png1)
		text, textType := form(t, "film.mp4", []byte("this is no film"))
		none, noneType := form(t, "", nil)
		large, largeType := form(t, "a.png", append(bytes.Clone(png1), make([]byte, 1<<20)...))
		two := strings.Replace(good, "\r\nContent-Disposition: form-data; name=\"purpose\"", "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"b\"", 1)

		cases := map[string]struct {
			body, contentType string
			status            int
			code, param       string
		}{
			"JSON":         {`{}`, "application/json", 415, "unsupported_content_type", "Content-Type"},
			"no type":      {good, "", 415, "unsupported_content_type", "Content-Type"},
			"no boundary":  {good, "multipart/form-data", 400, "malformed_body", "Content-Type"},
			"text":         {text, textType, 415, "unsupported_file_type", "file"},
			"no file":      {none, noneType, 400, "missing_field", "file"},
			"two files":    {two, contentType, 400, "conflicting_fields", "file"},
			"cut":          {good[:len(good)-30], contentType, 400, "malformed_body", ""},
			"cut in file":  {good[:len(good)-140], contentType, 400, "malformed_body", ""},
			"empty":        {"", contentType, 400, "missing_field", "file"},
			"large stream": {large, largeType, 413, "body_too_large", "file"},
		}
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				a := w.ask(w.alice, "POST", "/v1/files", c.body, "Content-Type", c.contentType)
				if code, param := a.code(t); a.status != c.status || code != c.code || param != c.param {
					t.Errorf("%d %s", a.status, a.body)
				}

				if keys := w.left(); len(keys) > 0 {
					t.Errorf("blobs are left: %v", keys)
				}
			})
		}

		if m := w.ask(w.alice, "GET", "/v1/files", "").json(t); len(m["data"].([]any)) != 0 {
			t.Errorf("rows are left: %v", m)
		}
	})
}

// untouched fails the test when the body is read at all.
type untouched struct{ t *testing.T }

func (u untouched) Read([]byte) (int, error) {
	u.t.Error("a body that claims too much was read")
	return 0, io.EOF
}

func TestAClaimOfTenGigabytesIsRefusedUnread(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		for path, contentType := range map[string]string{"/v1/files": "multipart/form-data; boundary=x", "/v1/video/generations": "application/json"} {
			r := httptest.NewRequest("POST", path, untouched{t})
			r.ContentLength = 10 << 30
			r.Header.Set("Content-Type", contentType)
			r.Header.Set("Authorization", "Bearer "+w.alice)

			got := httptest.NewRecorder()
			w.api.Handler().ServeHTTP(got, r)

			if got.Code != 413 || got.Header().Get("Connection") != "close" {
				t.Errorf("%s: %d %v %s", path, got.Code, got.Header(), got.Body)
			}
		}
	})
}

// zeros is a stream without an end; it counts what was taken of it.
type zeros struct{ n int64 }

func (z *zeros) Read(p []byte) (int, error) { z.n += int64(len(p)); clear(p); return len(p), nil }

func TestAnEndlessStreamIsCutOff(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		head := "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\n\r\n" + string(png1)
		for path, body := range map[string]string{"/v1/files": head, "/v1/video/generations": `{"model":"`} {
			endless := &zeros{}
			r := httptest.NewRequest("POST", path, io.MultiReader(strings.NewReader(body), endless))

			r.ContentLength = -1
			if path == "/v1/files" {
				r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
			}

			r.Header.Set("Authorization", "Bearer "+w.alice)

			got := httptest.NewRecorder()
			w.api.Handler().ServeHTTP(got, r)

			if got.Code != 413 || endless.n > maxBody+formRoom {
				t.Errorf("%s: %d after %d bytes: %s", path, got.Code, endless.n, got.Body)
			}
		}

		if keys := w.left(); len(keys) > 0 {
			t.Errorf("blobs are left: %v", keys)
		}
	})
}

func TestASlowBodyIsGivenUp(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		slow := errors.Join(os.ErrDeadlineExceeded)

		head := "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\n\r\n" + string(png1)
		for path, body := range map[string]string{"/v1/files": head, "/v1/video/generations": `{"model":"`} {
			r := httptest.NewRequest("POST", path, io.MultiReader(strings.NewReader(body), iotest.ErrReader(slow)))
			if path == "/v1/files" {
				r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
			}

			r.Header.Set("Authorization", "Bearer "+w.alice)

			got := httptest.NewRecorder()
			w.api.Handler().ServeHTTP(got, r)

			if got.Code != 408 || !strings.Contains(got.Body.String(), "request_timeout") {
				t.Errorf("%s: %d %s", path, got.Code, got.Body)
			}
		}
	})
}
