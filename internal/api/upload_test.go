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

// listBlobs returns the keys of all stored blobs.
func (env *testEnv) listBlobs() []string {
	env.t.Helper()

	var keys []string

	if err := env.blobs.List(env.t.Context(), func(i blob.Info) bool { keys = append(keys, i.Key); return true }); err != nil {
		env.t.Fatal(err)
	}

	return keys
}

func TestFileRoundTrip(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		body, contentType := fileForm(t, `../otter "1".png`, png1, "purpose", "vision", "other", "x")
		a := env.request(env.alice, "POST", "/v1/files", body, "Content-Type", contentType)

		m := a.json(t)
		if a.status != 200 || m["filename"] != "otter 1.png" || m["kind"] != "image" || m["type"] != "image/png" || m["bytes"] != float64(len(png1)) || m["object"] != "file" {
			t.Fatalf("%d %s", a.status, a.body)
		}

		id := m["id"].(string)
		for _, path := range []string{"/v1/files/" + id, "/v1/files/file_sample_otter"} {
			if a := env.request(env.alice, "GET", path, ""); a.status != 200 {
				t.Errorf("%s: %d %s", path, a.status, a.body)
			}

			if a := env.request(env.alice, "GET", path+"/content", "", "Range", "bytes=1-3"); a.status != 206 || string(a.body) != "PNG" || a.header.Get("Content-Type") != "image/png" {
				t.Errorf("%s: %d %s", path, a.status, a.body)
			}
		}

		if a := env.request(env.alice, "DELETE", "/v1/files/file_sample_otter", ""); a.status != 404 {
			t.Errorf("a sample was deleted: %d", a.status)
		}

		if a := env.request(env.alice, "DELETE", "/v1/files/"+id, ""); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}

		if a := env.request(env.alice, "GET", "/v1/files/"+id, ""); a.status != 404 || len(env.listBlobs()) > 0 {
			t.Errorf("deleted: %d, blobs %v", a.status, env.listBlobs())
		}
	})
}

func TestUploadErrorsLeaveNothing(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		good, contentType := fileForm(t, "a.png", png1)
		text, textType := fileForm(t, "film.mp4", []byte("not a video"))
		none, noneType := fileForm(t, "", nil)
		large, largeType := fileForm(t, "a.png", append(bytes.Clone(png1), make([]byte, 1<<20)...))
		two := strings.Replace(good, "\r\nContent-Disposition: form-data; name=\"purpose\"", "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"b\"", 1)

		cases := map[string]struct {
			body, contentType string
			status            int
			code, param       string
		}{
			"JSON":           {`{}`, "application/json", 415, "unsupported_content_type", "Content-Type"},
			"no type":        {good, "", 415, "unsupported_content_type", "Content-Type"},
			"no boundary":    {good, "multipart/form-data", 400, "malformed_body", "Content-Type"},
			"text":           {text, textType, 415, "unsupported_file_type", "file"},
			"no file":        {none, noneType, 400, "missing_field", "file"},
			"two files":      {two, contentType, 400, "conflicting_fields", "file"},
			"truncated":      {good[:len(good)-30], contentType, 400, "malformed_body", ""},
			"truncated file": {good[:len(good)-140], contentType, 400, "malformed_body", ""},
			"empty":          {"", contentType, 400, "missing_field", "file"},
			"large stream":   {large, largeType, 413, "body_too_large", "file"},
		}
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				a := env.request(env.alice, "POST", "/v1/files", c.body, "Content-Type", c.contentType)
				if code, param := a.errorCode(t); a.status != c.status || code != c.code || param != c.param {
					t.Errorf("%d %s", a.status, a.body)
				}

				if keys := env.listBlobs(); len(keys) > 0 {
					t.Errorf("blobs were not deleted: %v", keys)
				}
			})
		}

		if m := env.request(env.alice, "GET", "/v1/files", "").json(t); len(m["data"].([]any)) != 0 {
			t.Errorf("rows were not deleted: %v", m)
		}
	})
}

// failingReader fails the test if the body is read.
type failingReader struct{ t *testing.T }

func (u failingReader) Read([]byte) (int, error) {
	u.t.Error("a body with a too large Content-Length was read")
	return 0, io.EOF
}

func TestOversizedContentLengthIsRejectedUnread(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		for path, contentType := range map[string]string{"/v1/files": "multipart/form-data; boundary=x", "/v1/video/generations": "application/json"} {
			r := httptest.NewRequest("POST", path, failingReader{t})
			r.ContentLength = 10 << 30
			r.Header.Set("Content-Type", contentType)
			r.Header.Set("Authorization", "Bearer "+env.alice)

			got := httptest.NewRecorder()
			env.api.Handler().ServeHTTP(got, r)

			if got.Code != 413 || got.Header().Get("Connection") != "close" {
				t.Errorf("%s: %d %v %s", path, got.Code, got.Header(), got.Body)
			}
		}
	})
}

// endlessReader is an endless body; it counts the bytes that were read.
type endlessReader struct{ bytesRead int64 }

func (z *endlessReader) Read(p []byte) (int, error) {
	z.bytesRead += int64(len(p))
	clear(p)

	return len(p), nil
}

func TestEndlessBodyIsCutOff(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		head := "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\n\r\n" + string(png1)
		for path, body := range map[string]string{"/v1/files": head, "/v1/video/generations": `{"model":"`} {
			endless := &endlessReader{}
			r := httptest.NewRequest("POST", path, io.MultiReader(strings.NewReader(body), endless))

			r.ContentLength = -1
			if path == "/v1/files" {
				r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
			}

			r.Header.Set("Authorization", "Bearer "+env.alice)

			got := httptest.NewRecorder()
			env.api.Handler().ServeHTTP(got, r)

			if got.Code != 413 || endless.bytesRead > maxBody+maxFormOverhead {
				t.Errorf("%s: %d after %d bytes: %s", path, got.Code, endless.bytesRead, got.Body)
			}
		}

		if keys := env.listBlobs(); len(keys) > 0 {
			t.Errorf("blobs were not deleted: %v", keys)
		}
	})
}

func TestSlowBodyTimesOut(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		slow := errors.Join(os.ErrDeadlineExceeded)

		head := "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\n\r\n" + string(png1)
		for path, body := range map[string]string{"/v1/files": head, "/v1/video/generations": `{"model":"`} {
			r := httptest.NewRequest("POST", path, io.MultiReader(strings.NewReader(body), iotest.ErrReader(slow)))
			if path == "/v1/files" {
				r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
			}

			r.Header.Set("Authorization", "Bearer "+env.alice)

			got := httptest.NewRecorder()
			env.api.Handler().ServeHTTP(got, r)

			if got.Code != 408 || !strings.Contains(got.Body.String(), "request_timeout") {
				t.Errorf("%s: %d %s", path, got.Code, got.Body)
			}
		}
	})
}
