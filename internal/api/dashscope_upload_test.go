package api

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

// uploadForm gets a policy and builds the upload form from it, with the file last.
func (env *testEnv) uploadForm(key, name string, file []byte, edit func(field, value string) string) (form, contentType, address string) {
	env.t.Helper()
	a := env.request(key, "GET", "/api/v1/uploads?action=getPolicy&model=wan2.6-r2v", "")

	data, _ := a.field(env.t, "data").(map[string]any)
	if a.status != 200 || data["upload_host"] != env.server.URL+"/api/v1/uploads" || data["expire_in_seconds"] != 300.0 || data["max_file_size_mb"] != 1.0 {
		env.t.Fatalf("%d %s", a.status, a.body)
	}

	text := func(name string) string { return data[name].(string) }

	var parts []testPart

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
			parts = append(parts, testPart{name: field[0], text: field[1]})
		}
	}

	form, contentType = buildForm(env.t, append(parts, testPart{name: "file", file: file})...)

	return form, contentType, "oss://" + text("upload_dir") + "/" + name
}

func unchanged(_, value string) string { return value }

func TestPolicyUploadIsUsableAsReference(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		env.timedIDs = true

		first, contentType, address := env.uploadForm(env.alice, "脸 1.png", png1, unchanged)
		if a := env.request("", "POST", "/api/v1/uploads", first, "Content-Type", contentType); a.status != 200 || len(a.body) > 0 {
			t.Fatalf("%d %s", a.status, a.body)
		}

		body := `{"model":"wan2.6-i2v","input":{"prompt":"p","img_url":"` + address + `"}}`

		a := env.createDashScope(env.alice, body, "X-DashScope-OssResourceResolve", "enable")
		if a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}

		files, _ := env.request(env.alice, "GET", "/v1/files", "").field(t, "data").([]any)

		file, _ := files[0].(map[string]any)
		if r := env.storedRequest(a.field(t, "output.task_id").(string)); len(files) != 1 || file["id"] != r.References[0].Input || file["filename"] != "脸 1.png" || file["type"] != "image/png" {
			t.Errorf("references %v do not match files %v", r.References, files)
		}

		if a := env.createDashScope(env.bob, body); a.status != 400 || !strings.Contains(string(a.body), "input.img_url: ") {
			t.Errorf("Bob can use Alice's upload: %d %s", a.status, a.body)
		}

		if a := env.request("", "POST", "/api/v1/uploads", first, "Content-Type", contentType); a.status != 400 || a.field(t, "code") != "InvalidParameter" {
			t.Errorf("the same key again: %d %s", a.status, a.body)
		}

		second := strings.Replace(first, "脸 1.png", "脸 2.png", 1)

		second = strings.Replace(second, "success_action_status", "other", 1)
		if a := env.request("", "POST", "/api/v1/uploads", second, "Content-Type", contentType); a.status != 204 {
			t.Errorf("another file with the same policy: %d %s", a.status, a.body)
		}

		if got := env.countFiles(env.alice); got != "2 files, 2 blobs" {
			t.Error(got)
		}

		env.clock.advance(policyLifetime + time.Second)

		if a := env.request("", "POST", "/api/v1/uploads", strings.Replace(first, "脸 1", "3", 1), "Content-Type", contentType); a.status != 403 || a.field(t, "code") != "AccessDenied" || !strings.Contains(string(a.body), "Policy expired.") {
			t.Errorf("after the policy expired: %d %s", a.status, a.body)
		}

		if a := env.createDashScope(env.alice, body); a.status != 200 {
			t.Errorf("using the file after the policy expired: %d %s", a.status, a.body)
		}

		env.checkIntegrity()
	})
}

func TestPolicyUploadErrors(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
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
			"a subfolder":       {png1, other("key", func(s string) string { return s + "/a.png" }), "400 InvalidParameter"},
			"a parent folder":   {png1, other("key", func(s string) string { return s + "/../../a.png" }), "400 InvalidParameter"},
			"no name":           {png1, other("key", func(s string) string { return s[:strings.LastIndexByte(s, '/')+1] }), "400 InvalidParameter"},
			"a long name":       {png1, other("key", func(s string) string { return s + strings.Repeat("x", maxUploadKey) }), "400 InvalidParameter"},
			"invalid UTF-8":     {png1, other("key", func(s string) string { return s + "\xff" }), "400 InvalidParameter"},
			"no media":          {[]byte("words"), unchanged, "400 InvalidFile.Format"},
			"too large a file":  {append(bytes.Clone(png1), make([]byte, 1<<20)...), unchanged, "400 BadRequest.TooLarge"},
			"too large a field": {png1, other("x-oss-object-acl", is(strings.Repeat("x", maxFormOverhead+1))), "400 BadRequest.TooLarge"},
		} {
			form, contentType, _ := env.uploadForm(env.alice, "a.png", tt.file, tt.edit)

			a := env.request("", "POST", "/api/v1/uploads", form, "Content-Type", contentType)
			if got := fmt.Sprint(a.status, " ", a.field(t, "code")); got != tt.want {
				t.Errorf("%s: %s, want %s\n%s", name, got, tt.want, a.body)
			}

			if got := env.countFiles(env.alice); got != "0 files, 0 blobs" {
				t.Errorf("%s: stored files: %s", name, got)
			}
		}

		form, contentType, _ := env.uploadForm(env.alice, "a.png", png1, unchanged)
		for n := 1; n < strings.LastIndex(form, "\r\n--"); n += 37 {
			if a := env.request("", "POST", "/api/v1/uploads", form[:n], "Content-Type", contentType); a.status != 400 || env.countFiles(env.alice) != "0 files, 0 blobs" {
				t.Errorf("truncated at %d: %d %s", n, a.status, a.body)
			}
		}

		if a := env.request("", "POST", "/api/v1/uploads", "{}", "Content-Type", "application/json"); a.status != 400 || a.field(t, "code") != "BadRequest.IllegalInput" {
			t.Errorf("%d %s", a.status, a.body)
		}

		if a := env.request(env.alice, "GET", "/api/v1/uploads?action=delete", ""); a.status != 400 || !strings.Contains(string(a.body), "action: ") {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}
