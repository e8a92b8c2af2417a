package script

import (
	"bytes"
	"io"
	"mime/multipart"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// formBody makes a multipart form from the leading -F FIELD pairs of args, as curl
// does. rest is the arguments after them.
func formBody(ts *testscript.TestScript, args []string) (body, contentType string, rest []string) {
	var b bytes.Buffer

	form := multipart.NewWriter(&b)

	for len(args) > 1 && args[0] == "-F" {
		name, value, ok := strings.Cut(args[1], "=")
		if !ok {
			ts.Fatalf("-F %s: want name=value or name=@FILE", args[1])
		}

		if file, ok := strings.CutPrefix(value, "@"); ok {
			w, err := form.CreateFormFile(name, filepath.Base(file))
			ts.Check(err)
			_, err = io.WriteString(w, ts.ReadFile(file))
			ts.Check(err)
		} else {
			ts.Check(form.WriteField(name, value))
		}

		args = args[2:]
	}

	ts.Check(form.Close())

	return b.String(), form.FormDataContentType(), args
}
