package api

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

// granted asks for a policy and makes an upload's form of it, the file last.
func (w *world) granted(key, name string, file []byte, edit func(field, value string) string) (form, contentType, address string) {
	w.t.Helper()
	a := w.ask(key, "GET", "/api/v1/uploads?action=getPolicy&model=wan2.6-r2v", "")

	data, _ := a.at(w.t, "data").(map[string]any)
	if a.status != 200 || data["upload_host"] != w.server.URL+"/api/v1/uploads" || data["expire_in_seconds"] != 300.0 || data["max_file_size_mb"] != 1.0 {
		w.t.Fatalf("%d %s", a.status, a.body)
	}

	text := func(name string) string { return data[name].(string) }

	var parts []sent

	for _, field := range [][2]string{
		{"OSSAccessKeyId", text("oss_access_key_id")},
		{"Signature", text("signature")},
		{"policy", text("policy")},
		{"key", text("upload_dir") + "/" + name},
		{"x-oss-object-acl", text("x_oss_object_acl")},
		{"x-oss-forbid-overwrite", text("x_oss_forbid_overwrite")},
		{"success_action_status", "200"},
	} {
		if field[1] = edit(field[0], field[1]); field[1] != "" {
			parts = append(parts, sent{name: field[0], text: field[1]})
		}
	}

	form, contentType = formOf(w.t, append(parts, sent{name: "file", file: file})...)

	return form, contentType, "oss://" + text("upload_dir") + "/" + name
}

func asGranted(_, value string) string { return value }

func TestAnUploadByPolicyIsAReference(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		w.dated = true

		first, contentType, address := w.granted(w.alice, "脸 1.png", png1, asGranted)
		if a := w.ask("", "POST", "/api/v1/uploads", first, "Content-Type", contentType); a.status != 200 || len(a.body) > 0 {
			t.Fatalf("%d %s", a.status, a.body)
		}

		body := `{"model":"wan2.6-i2v","input":{"prompt":"p","img_url":"` + address + `"}}`

		a := w.synthesize(w.alice, body, "X-DashScope-OssResourceResolve", "enable")
		if a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}

		files, _ := w.ask(w.alice, "GET", "/v1/files", "").at(t, "data").([]any)

		file, _ := files[0].(map[string]any)
		if r := w.made(a.at(t, "output.task_id").(string)); len(files) != 1 || file["id"] != r.References[0].Input || file["filename"] != "脸 1.png" || file["type"] != "image/png" {
			t.Errorf("%v is not of %v", r.References, files)
		}

		if a := w.synthesize(w.bob, body); a.status != 400 || !strings.Contains(string(a.body), "input.img_url: ") {
			t.Errorf("Bob uses Alice's upload: %d %s", a.status, a.body)
		}

		if a := w.ask("", "POST", "/api/v1/uploads", first, "Content-Type", contentType); a.status != 400 || a.at(t, "code") != "InvalidParameter" {
			t.Errorf("the same key again: %d %s", a.status, a.body)
		}

		second := strings.Replace(first, "脸 1.png", "脸 2.png", 1)

		second = strings.Replace(second, "success_action_status", "other", 1)
		if a := w.ask("", "POST", "/api/v1/uploads", second, "Content-Type", contentType); a.status != 204 {
			t.Errorf("another by the same policy: %d %s", a.status, a.body)
		}

		if got := w.files(w.alice); got != "2 files, 2 blobs" {
			t.Error(got)
		}

		w.clock.move(policyLife + time.Second)

		if a := w.ask("", "POST", "/api/v1/uploads", strings.Replace(first, "脸 1", "3", 1), "Content-Type", contentType); a.status != 403 || a.at(t, "code") != "AccessDenied" || !strings.Contains(string(a.body), "Policy expired.") {
			t.Errorf("late: %d %s", a.status, a.body)
		}

		if a := w.synthesize(w.alice, body); a.status != 200 {
			t.Errorf("the file outlives its policy: %d %s", a.status, a.body)
		}

		w.sound()
	})
}

func TestWhatIsWrongWithAnUploadByPolicy(t *testing.T) {
	onEach(t, func(t *testing.T, w *world) {
		other := func(field string, as func(string) string) func(string, string) string {
			return func(name, value string) string {
				if name == field {
					return as(value)
				}

				return value
			}
		}

		is := func(text string) func(string) string { return func(string) string { return text } }
		for name, tt := range map[string]struct {
			file []byte
			edit func(string, string) string
			want string
		}{
			"another account":   {png1, other("OSSAccessKeyId", is("acct_other")), "403 AccessDenied"},
			"no signature":      {png1, other("Signature", is("")), "403 AccessDenied"},
			"another policy":    {png1, other("policy", func(s string) string { return s[:len(s)-4] }), "403 AccessDenied"},
			"another folder":    {png1, other("key", is("unireel-instant/01KGE4YC24000000000000000M/a.png")), "400 InvalidParameter"},
			"a folder below":    {png1, other("key", func(s string) string { return s + "/a.png" }), "400 InvalidParameter"},
			"a folder above":    {png1, other("key", func(s string) string { return s + "/../../a.png" }), "400 InvalidParameter"},
			"no name":           {png1, other("key", func(s string) string { return s[:strings.LastIndexByte(s, '/')+1] }), "400 InvalidParameter"},
			"a long name":       {png1, other("key", func(s string) string { return s + strings.Repeat("x", maxUploadKey) }), "400 InvalidParameter"},
			"no text":           {png1, other("key", func(s string) string { return s + "\xff" }), "400 InvalidParameter"},
			"no media":          {[]byte("words"), asGranted, "400 InvalidFile.Format"},
			"too large a file":  {append(bytes.Clone(png1), make([]byte, 1<<20)...), asGranted, "400 BadRequest.TooLarge"},
			"too large a field": {png1, other("x-oss-object-acl", is(strings.Repeat("x", formRoom+1))), "400 BadRequest.TooLarge"},
		} {
			form, contentType, _ := w.granted(w.alice, "a.png", tt.file, tt.edit)

			a := w.ask("", "POST", "/api/v1/uploads", form, "Content-Type", contentType)
			if got := fmt.Sprint(a.status, " ", a.at(t, "code")); got != tt.want {
				t.Errorf("%s: %s, want %s\n%s", name, got, tt.want, a.body)
			}

			if got := w.files(w.alice); got != "0 files, 0 blobs" {
				t.Errorf("%s left %s", name, got)
			}
		}

		form, contentType, _ := w.granted(w.alice, "a.png", png1, asGranted)
		for n := 1; n < strings.LastIndex(form, "\r\n--"); n += 37 {
			if a := w.ask("", "POST", "/api/v1/uploads", form[:n], "Content-Type", contentType); a.status != 400 || w.files(w.alice) != "0 files, 0 blobs" {
				t.Errorf("cut at %d: %d %s", n, a.status, a.body)
			}
		}

		if a := w.ask("", "POST", "/api/v1/uploads", "{}", "Content-Type", "application/json"); a.status != 400 || a.at(t, "code") != "BadRequest.IllegalInput" {
			t.Errorf("%d %s", a.status, a.body)
		}

		if a := w.ask(w.alice, "GET", "/api/v1/uploads?action=delete", ""); a.status != 400 || !strings.Contains(string(a.body), "action: ") {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}
