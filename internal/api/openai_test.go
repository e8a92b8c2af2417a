package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/textproto"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

var (
	mp4    = []byte("\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2avc1mp41")
	pngURI = "data:image/png;base64," + base64.StdEncoding.EncodeToString(png1)
)

// testPart is one part of a form: a file if it has bytes.
type testPart struct {
	name, text string
	file       []byte
}

// buildForm encodes parts in their order, always with the same boundary.
func buildForm(t testing.TB, parts ...testPart) (body, contentType string) {
	t.Helper()

	var b bytes.Buffer

	m := multipart.NewWriter(&b)
	if err := m.SetBoundary("one-and-the-same"); err != nil {
		t.Fatal(err)
	}

	for _, p := range parts {
		h := textproto.MIMEHeader{"Content-Disposition": {`form-data; name="` + p.name + `"`}}
		if p.file != nil {
			h = textproto.MIMEHeader{"Content-Disposition": {`form-data; name="` + p.name + `"; filename="x.bin"`}, "Content-Type": {"application/octet-stream"}}
		}

		w, err := m.CreatePart(h)
		if err != nil {
			t.Fatal(err)
		}

		_, _ = w.Write(append([]byte(p.text), p.file...))
	}

	_ = m.Close()

	return b.String(), m.FormDataContentType()
}

func (env *testEnv) postForm(key string, parts []testPart, headers ...string) testResponse {
	env.t.Helper()
	body, contentType := buildForm(env.t, parts...)

	return env.request(key, "POST", "/v1/videos", body, append(headers, "Content-Type", contentType)...)
}

// references returns the references that were stored with a task, as "kind param".
func (env *testEnv) references(id string) []string {
	env.t.Helper()

	body, _, err := env.store.Request(env.t.Context(), id)
	if err != nil {
		env.t.Fatal(err)
	}

	var r catalog.Request
	if err := json.Unmarshal(body, &r); err != nil {
		env.t.Fatal(err)
	}

	var list []string
	for _, ref := range r.References {
		list = append(list, string(ref.Kind)+" "+ref.Param)
	}

	return list
}

// countFiles counts the rows of an account's files and all blobs.
func (env *testEnv) countFiles(key string) string {
	env.t.Helper()
	data, _ := env.request(key, "GET", "/v1/files", "").json(env.t)["data"].([]any)

	return fmt.Sprintf("%d files, %d blobs", len(data), len(env.listBlobs()))
}

func TestCreateFromForm(t *testing.T) {
	i2v := []testPart{{name: "model", text: "wan2.6-i2v-flash-720p-silent"}, {name: "prompt", text: "it waves"}}
	r2v := []testPart{{name: "model", text: "wan2.6-r2v-720p"}, {name: "prompt", text: "it waves"}}
	picture := testPart{name: "input_reference", file: png1}
	film := testPart{name: "input_reference[]", file: mp4}
	link := testPart{name: "input_reference[image_url]", text: pngURI}
	with := func(first []testPart, more ...testPart) []testPart {
		return append(append([]testPart{}, first...), more...)
	}

	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		kept := 0

		for _, tt := range []struct {
			name  string
			parts []testPart
			want  []string
			files int
		}{
			{"text only", []testPart{{name: "model", text: "wan2.6-video-720p"}, {name: "prompt", text: "waves"}, {name: "size", text: "1280x720"}}, nil, 0},
			{"a file after the fields", with(i2v, picture), []string{"image input_reference"}, 1},
			{"a file before the fields", with([]testPart{picture}, i2v...), []string{"image input_reference"}, 1},
			{"a link", with(i2v, link), []string{"image input_reference[image_url]"}, 1},
			{"a file ID", with(i2v, testPart{name: "input_reference[file_id]", text: "file_sample_otter"}), []string{"image input_reference[file_id]"}, 0},
			{"several", with(r2v, picture, film, link), []string{"image input_reference[0]", "video input_reference[1]", "image input_reference[2][image_url]"}, 3},
			{"the image field", with(i2v, testPart{name: "image", file: png1}), []string{"image image"}, 1},
			{"Unireel's lists", with(r2v, testPart{name: "images[]", text: "file_sample_otter"}, testPart{name: "videos", file: mp4}, testPart{name: "images[]", file: png1}), []string{"video videos[0]", "image images[0]", "image images[1]"}, 2},
			{"numbered", with(r2v, testPart{name: "images[1]", file: png1}, testPart{name: "images[0]", text: "file_sample_otter"}), []string{"image images[0]", "image images[1]"}, 1},
			{
				"references grouped by field, as some clients send them", with(r2v, testPart{name: "references[][url]", text: "https://example.com/a"}, testPart{name: "references[][url]", file: png1}, testPart{name: "references[][type]", text: "video"}, testPart{name: "references[][type]", text: "image"}),
				[]string{"video references[0][url]", "image references[1][url]"},
				1,
			},
			{"one picture for a model that supports both modes", with([]testPart{{name: "model", text: "wan3.0-video"}, {name: "prompt", text: "it waves"}}, picture), []string{"image input_reference"}, 1},
		} {
			a := env.postForm(env.alice, append(tt.parts, testPart{name: "seconds", text: "5"}))

			m := a.json(t)
			if a.status != 200 || m["object"] != "video" || m["status"] != "queued" || m["seconds"] != "5" {
				t.Errorf("%s: %d %s", tt.name, a.status, a.body)
				continue
			}

			if diff := cmp.Diff(tt.want, env.references(m["id"].(string))); diff != "" {
				t.Errorf("%s: %s", tt.name, diff)
			}

			kept += tt.files
			if got, want := env.countFiles(env.alice), fmt.Sprintf("%d files, %d blobs", kept, kept); got != want {
				t.Errorf("%s: %s, want %s", tt.name, got, want)
			}
		}

		env.checkIntegrity()
	})
}

func TestFormTextIsTypedByField(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		a := env.postForm(env.alice, []testPart{
			{name: "model", text: "wan2.6-i2v-flash"},
			{name: "prompt", text: "true"},
			{name: "image", text: "file_sample_otter"},
			{name: "seed", text: "7"},
			{name: "watermark", text: "True"},
			{name: "extra_body[audio]", text: "false"},
			{name: "duration", text: "4"},
			{name: "seconds", text: "4.0"},
			{name: "metadata[shot]", text: "7"},
			{name: "metadata[take]", text: "true"},
			{name: "extra_body[seed]", text: "7"},
		})

		m := a.json(t)
		if a.status != 200 || m["prompt"] != "true" || m["seconds"] != "4" || m["resolved_model"] != "wan2.6-i2v-flash-1080p-silent" {
			t.Fatalf("%d %s", a.status, a.body)
		}

		if diff := cmp.Diff(map[string]any{"shot": "7", "take": "true"}, m["metadata"]); diff != "" {
			t.Error(diff)
		}

		body, _, err := env.store.Request(t.Context(), m["id"].(string))

		var r catalog.Request
		if err != nil || json.Unmarshal(body, &r) != nil || r.Seed != 7 || r.Watermark == nil || !*r.Watermark {
			t.Errorf("%v %s", err, body)
		}
	})
}

func TestOpenAICreateFromJSON(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		for body, want := range map[string][]string{
			`{"model":"wan2.6-video-720p","prompt":"p","seconds":"4","size":"1280x720"}`:                                                                      nil,
			`{"model":"wan2.6-video-720p","prompt":"p","seconds":4,"duration":"4","input_reference":{"image_url":"` + pngURI + `"}}`:                          {"image input_reference.image_url"},
			`{"model":"wan2.6-r2v-720p","prompt":"p","seconds":"4","input_reference":[{"file_id":"file_sample_otter"},{"image_url":"https://example.com/"}]}`: {" input_reference[0].file_id", "image input_reference[1].image_url"},
			`{"model":"wan2.6-i2v-flash","prompt":"p","seconds":"4","input_reference":"file_sample_otter","metadata":{"a":"b"}}`:                              {"image input_reference"},
		} {
			a := env.request(env.alice, "POST", "/v1/videos", body, "Content-Type", "application/json")

			m := a.json(t)
			if a.status != 200 || m["object"] != "video" || m["seconds"] != "4" {
				t.Errorf("%s: %d %s", body, a.status, a.body)
				continue
			}

			if diff := cmp.Diff(want, env.references(m["id"].(string))); diff != "" {
				t.Errorf("%s: %s", body, diff)
			}
		}
	})
}

func TestOpenAICreateErrors(t *testing.T) {
	form := func(parts ...string) (list []testPart) {
		for i := 0; i < len(parts); i += 2 {
			s := testPart{name: parts[i], text: parts[i+1]}
			if bytes, ok := strings.CutPrefix(s.text, "@"); ok {
				s.text = ""
				s.file = []byte(bytes)
			}

			list = append(list, s)
		}

		return list
	}
	png := "@" + string(png1)
	film := "@" + string(mp4)

	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		for name, tt := range map[string]struct {
			parts []testPart
			want  string
		}{
			"nothing":          {form("seconds", "5"), "missing_field:model missing_field:prompt"},
			"all at once":      {form("input_reference", "@words", "seconds", "soon", "model", "wan2.6-i2v-flash-720p-silent", "watermark", "maybe", "seed", "x", "nonsense", "1", "size", "1x1"), "unsupported_file_type:input_reference invalid_value:seconds wrong_type:watermark invalid_value:seed unknown_field:nonsense invalid_value:size missing_field:prompt"},
			"two durations":    {form("model", "wan2.6-video-720p", "prompt", "p", "seconds", "5", "duration", "6"), "conflicting_fields:duration"},
			"duplicate":        {form("model", "wan2.6-video-720p", "prompt", "p", "prompt", "q"), "conflicting_fields:prompt"},
			"in extra_body":    {form("model", "wan2.6-video-720p", "prompt", "p", "seed", "1", "extra_body[seed]", "2"), "conflicting_fields:extra_body[seed]"},
			"no reference":     {form("model", "wan2.6-r2v-720p", "prompt", "p"), "missing_field:input_reference"},
			"no picture":       {form("model", "wan2.6-i2v-flash", "prompt", "p"), "missing_field:input_reference"},
			"two pictures":     {form("model", "wan2.6-i2v-flash", "prompt", "p", "input_reference", png, "input_reference", png), "invalid_value:input_reference[1]"},
			"a video":          {form("model", "wan2.6-i2v-flash", "prompt", "p", "input_reference", film), "invalid_value:input_reference"},
			"an audio file":    {form("model", "wan2.6-r2v-720p", "prompt", "p", "input_reference", "@RIFF\x00\x00\x00\x00WAVEfmt "), "unsupported_file_type:input_reference"},
			"both names":       {form("model", "wan2.6-i2v-flash", "prompt", "p", "image", png, "input_reference", png), "conflicting_fields:input_reference"},
			"a file as text":   {form("model", "wan2.6-video-720p", "prompt", png), "wrong_type:prompt"},
			"a private host":   {form("model", "wan2.6-i2v-flash", "prompt", "p", "input_reference[image_url]", "http://127.0.0.1/a.png"), "invalid_value:input_reference[image_url]"},
			"unknown subfield": {form("model", "wan2.6-i2v-flash", "prompt", "p", "input_reference[url]", "https://example.com/"), "unknown_field:input_reference[url] missing_field:input_reference"},
			"a gap":            {form("model", "wan2.6-r2v-720p", "prompt", "p", "images[0]", png, "images[2]", png), "invalid_value:images[2]"},
			"duplicate index":  {form("model", "wan2.6-r2v-720p", "prompt", "p", "images[0]", png, "images[0]", "file_sample_otter"), "conflicting_fields:images[0]"},
			"unmatched types":  {form("model", "wan2.6-r2v-720p", "prompt", "p", "references[][url]", png, "references[][url]", png, "references[][type]", "image"), "conflicting_fields:references missing_field:input_reference"},
			"invalid UTF-8":    {form("model", "wan2.6-video-720p", "prompt", "\xff"), "invalid_value:prompt"},
			"too large":        {form("model", "wan2.6-i2v-flash", "prompt", "p", "input_reference", png+strings.Repeat("x", 1<<20)), "body_too_large:input_reference"},
			"a broken name":    {form("model", "wan2.6-video-720p", "prompt", "p", "metadata[a", "b"), "unknown_field:metadata[a"},
			"a nameless part":  {form("model", "wan2.6-i2v-flash", "input_reference", png, "", "x"), "malformed_body:"},
			"too many parts":   {form(append([]string{"input_reference", png}, strings.Split(strings.Repeat("a,b,", formMaxParts)+"a,b", ",")...)...), "malformed_body:"},
			"too many files":   {form(strings.Split(strings.Repeat("input_reference\n"+"@"+"RIFF\x00\x00\x00\x00WAVEfmt \n", formMaxFiles)+"input_reference\n@x", "\n")...), "invalid_value:input_reference"},
		} {
			a := env.postForm(env.alice, tt.parts)
			if got := env.errorList(a); got != tt.want || a.status < 400 || a.status > 415 {
				t.Errorf("%s\n got %d %s\nwant %s\n%s", name, a.status, got, tt.want, a.body)
			}

			if got := env.countFiles(env.alice); got != "0 files, 0 blobs" {
				t.Errorf("%s: stored files: %s", name, got)
			}
		}

		if b := env.balance("alice"); b.Held != 0 {
			t.Errorf("held %s", b.Held)
		}
	})
}

// errorList returns "code:param" of every error in a response.
func (env *testEnv) errorList(a testResponse) string {
	env.t.Helper()

	var p errorBody
	if err := json.Unmarshal(a.body, &p); err != nil {
		env.t.Fatalf("%d %s: %v", a.status, a.body, err)
	}

	var list []string

	for _, one := range p.Error.Errors {
		param := ""
		if one.Param != nil {
			param = *one.Param
		}

		list = append(list, one.Code+":"+param)
	}

	return strings.Join(list, " ")
}

func TestMalformedFormLeavesNothing(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		good, contentType := buildForm(t, testPart{name: "input_reference", file: png1}, testPart{name: "model", text: "wan2.6-i2v-flash"}, testPart{name: "prompt", text: "p"})
		for name, tt := range map[string]struct {
			body, contentType, want string
			status                  int
		}{
			"truncated":   {good[:len(good)-30], contentType, "malformed_body:", 400},
			"no boundary": {good, "multipart/form-data", "malformed_body:Content-Type", 400},
			"urlencoded":  {good, "application/x-www-form-urlencoded", "unsupported_content_type:Content-Type", 415},
			"huge field":  {strings.Replace(good, "\r\n\r\np\r\n", "\r\n\r\n"+strings.Repeat("p", maxBody+1)+"\r\n", 1), contentType, "body_too_large:prompt", 413},
		} {
			a := env.request(env.alice, "POST", "/v1/videos", tt.body, "Content-Type", tt.contentType)
			if got := env.errorList(a); a.status != tt.status || got != tt.want || env.countFiles(env.alice) != "0 files, 0 blobs" {
				t.Errorf("%s: %d %s, %s", name, a.status, got, env.countFiles(env.alice))
			}
		}

		for n := 1; n < len(good)-len("\r\n"); n += 5 {
			if got := env.errorList(env.request(env.alice, "POST", "/v1/videos", good[:n], "Content-Type", contentType)); got != "malformed_body:" {
				t.Errorf("truncated at %d: %s", n, got)
			}
		}

		if keys := env.listBlobs(); len(keys) > 0 {
			t.Errorf("blobs were not deleted: %v", keys)
		}

		env.disk.setFull(true)

		if a := env.request(env.alice, "POST", "/v1/videos", good, "Content-Type", contentType); a.status != 503 || len(env.listBlobs()) > 0 {
			t.Errorf("with a full disk: %d %s, blobs %v", a.status, a.body, env.listBlobs())
		}
	})
}

func TestInsufficientCreditLeavesNoFile(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		env.adminRequest("POST", "/admin/v1/accounts/alice/credit", `{"amount":"-9.99","ref":"taken back"}`)

		a := env.postForm(env.alice, []testPart{{name: "input_reference", file: png1}, {name: "model", text: "wan2.6-i2v-flash"}, {name: "prompt", text: "p"}})
		if code, _ := a.errorCode(t); a.status != 402 || code != "insufficient_credit" || env.countFiles(env.alice) != "0 files, 0 blobs" {
			t.Errorf("%d %s, %s", a.status, a.body, env.countFiles(env.alice))
		}

		env.checkIntegrity()
	})
}

func TestFormIdempotencyKey(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		model := testPart{name: "model", text: "wan2.6-i2v-flash"}
		prompt := testPart{name: "prompt", text: "p"}
		picture := testPart{name: "input_reference", file: png1}
		other := testPart{name: "input_reference", file: append(bytes.Clone(png1), 1)}
		first := env.postForm(env.alice, []testPart{picture, model, prompt}, "Idempotency-Key", "k")

		again := env.postForm(env.alice, []testPart{prompt, model, picture}, "Idempotency-Key", "k")
		if first.status != 200 || again.status != 200 || first.header.Get("Idempotent-Replayed") != "" || again.header.Get("Idempotent-Replayed") != "true" || first.json(t)["id"] != again.json(t)["id"] {
			t.Errorf("%d %s\n%d %s", first.status, first.body, again.status, again.body)
		}

		for _, parts := range [][]testPart{{other, model, prompt}, {picture, model, {name: "prompt", text: "q"}}, {picture, picture, model, prompt}} {
			if a := env.postForm(env.alice, parts, "Idempotency-Key", "k"); env.errorList(a) != "idempotency_mismatch:Idempotency-Key" {
				t.Errorf("%d %s", a.status, a.body)
			}
		}

		if got := env.countFiles(env.alice); got != "1 files, 1 blobs" {
			t.Error(got)
		}

		env.checkIntegrity()
	})
}

// TestOpenAIReportsCancelledAsFailed checks that a cancelled task is reported as failed,
// since OpenAI has no other status for it, but only on OpenAI's paths and for tasks that
// were created there.
func TestOpenAIReportsCancelledAsFailed(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		theirs := env.postForm(env.alice, []testPart{{name: "model", text: "wan2.6-video-720p"}, {name: "prompt", text: "p"}}, "Idempotency-Key", "k").json(t)["id"].(string)
		ours := env.createTask(env.alice)
		failed := env.createTask(env.alice)
		env.advance(failed, func(t *task.Task) {
			t.State = task.Failed
			t.Error = &task.Error{Code: "expired", Message: "Late."}
		})

		for _, id := range []string{theirs, ours} {
			if a := env.request(env.alice, "POST", "/v1/videos/"+id+"/cancel", ""); a.status != 200 || a.json(t)["status"] != "cancelled" {
				t.Errorf("%d %s", a.status, a.body)
			}
		}

		for path, want := range map[string]string{"/v1/videos/": "failed", "/v1/video/generations/": "cancelled", "/v1/videos/generations/": "cancelled"} {
			m := env.request(env.alice, "GET", path+theirs, "").json(t)

			failure, _ := m["error"].(map[string]any)
			if m["status"] != want || want == "failed" && (failure["code"] != "cancelled" || failure["message"] == "") || want != "failed" && failure != nil {
				t.Errorf("%s: %v %v", path, m["status"], failure)
			}

			if got := env.request(env.alice, "GET", path+ours, "").json(t)["status"]; got != "cancelled" {
				t.Errorf("%s for a task of Unireel's API: %v", path, got)
			}
		}

		if m := env.postForm(env.alice, []testPart{{name: "model", text: "wan2.6-video-720p"}, {name: "prompt", text: "p"}}, "Idempotency-Key", "k").json(t); m["status"] != "failed" {
			t.Errorf("the replay has the status %v", m["status"])
		}

		for status, want := range map[string][]any{"failed": {failed, theirs}, "cancelled": {ours}, "queued": nil, "": {failed, ours, theirs}} {
			var got []any

			for _, v := range env.request(env.alice, "GET", strings.TrimSuffix("/v1/videos?status="+status, "?status="), "").json(t)["data"].([]any) {
				v := v.(map[string]any)

				got = append(got, v["id"])
				if status != "" && v["status"] != status {
					t.Errorf("status=%s lists a video that is %s", status, v["status"])
				}
			}

			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: %s", status, diff)
			}
		}
	})
}

func TestPollAfterHeader(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		a := env.postForm(env.alice, []testPart{{name: "model", text: "wan2.6-video-720p"}, {name: "prompt", text: "p"}})

		id := a.json(t)["id"].(string)
		if got := a.header.Get("openai-poll-after-ms"); got != "5000" {
			t.Errorf("after the create: %q", got)
		}

		for left, want := range map[time.Duration]int{-time.Minute: 1000, time.Second: 1000, 12 * time.Second: 6000, time.Hour: 15000} {
			env.engine.setLive(id, LiveStatus{ETA: env.clock.now().Add(left).Unix()})

			if got := env.request(env.alice, "GET", "/v1/videos/"+id, "").header.Get("openai-poll-after-ms"); got != strconv.Itoa(want) {
				t.Errorf("%s left: %q, want %d", left, got, want)
			}
		}

		env.finishTask(id, []byte("film"))

		if got := env.request(env.alice, "GET", "/v1/videos/"+id, "").header.Get("openai-poll-after-ms"); got != "" {
			t.Errorf("at the end: %q", got)
		}
	})
}

func TestContentVariants(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		id := env.createTask(env.alice)
		env.finishTask(id, []byte("film"))

		link := strings.TrimPrefix(env.request(env.alice, "GET", "/v1/videos/"+id, "").json(t)["video_url"].(string), env.server.URL)
		for variant, want := range map[string]string{"": "video/mp4", "variant=video": "video/mp4", "variant=thumbnail": "image/jpeg"} {
			if a := env.request(env.alice, "GET", "/v1/videos/"+id+"/content?"+variant, ""); a.status != 200 || a.header.Get("Content-Type") != want {
				t.Errorf("%s: %d %s", variant, a.status, a.header.Get("Content-Type"))
			}

			if a := env.request("", "GET", link+"&"+variant, ""); a.status != 200 || a.header.Get("Content-Type") != want {
				t.Errorf("%s with the signed link: %d %s", variant, a.status, a.header.Get("Content-Type"))
			}
		}

		for _, variant := range []string{"spritesheet", "x", ""} {
			a := env.request(env.alice, "GET", "/v1/videos/"+id+"/content?variant="+variant, "")
			if env.errorList(a) != "invalid_value:variant" || !strings.Contains(string(a.body), "video or thumbnail") {
				t.Errorf("%s: %d %s", variant, a.status, a.body)
			}
		}
	})
}

// FuzzForm decodes arbitrary forms: there must be no panic, every fault must concern the
// whole form or name a field, and decoding again must give the same result.
func FuzzForm(f *testing.F) {
	for _, parts := range [][]testPart{
		{{name: "model", text: "wan2.6-r2v"}, {name: "prompt", text: "p"}, {name: "input_reference", file: png1}, {name: "input_reference[image_url]", text: pngURI}},
		{{name: "references[][url]", text: "https://example.com/"}, {name: "references[0][type]", text: "video"}, {name: "references[1]"}, {name: "images[3]"}, {name: "images"}},
		{{name: "extra_body[extra_body][audio]", file: mp4}, {name: "extra_body"}, {name: "metadata[][a][1][]"}, {name: "[]"}, {name: "a[b]c[d"}, {name: "seconds", text: "5e"}, {name: "duration", text: "e5"}},
		{{name: "input_reference[][image_url]"}, {name: "input_reference[0][file_id]", text: "file_x"}, {name: "input_reference[image_url][x]"}, {name: "seed", text: "-"}, {name: "audio", text: "TRUE"}},
	} {
		body, _ := buildForm(f, parts...)
		f.Add(body)
	}

	models := uniallCatalog(f)
	decode := func(text string) (string, error) {
		form := &formBody{textLeft: 1 << 20, save: func(_ string, r io.Reader) (store.File, error) {
			b, err := io.ReadAll(r)
			if err == nil && !bytes.HasPrefix(b, png1[:4]) {
				err = fault.New(fault.CodeUnsupportedFileType, "file", "No.")
			}

			return store.File{ID: "file_1", Kind: "image", SHA256: fmt.Sprintf("%x", b)}, err
		}}
		if err := form.read(newFormParts(strings.NewReader(text), "one-and-the-same")); err != nil {
			return "", err
		}

		root := form.toObject()
		raw := decodeOpenAI(root, models.Modes, true)
		raw.Faults = append(form.faults, raw.Faults...)
		_, err := models.Validate(raw)

		return string(root.canonical(nil)), err
	}
	f.Fuzz(func(t *testing.T, text string) {
		first, err := decode(text)

		var wrong *fault.Fault
		if err != nil && !errors.As(err, &wrong) {
			t.Fatal(err)
		}

		if wrong != nil {
			for _, one := range wrong.All() {
				if one.Param == "" && one.Code != fault.CodeMalformedBody {
					t.Errorf("%s names no field: %s", one.Code, one.Detail)
				}
			}
		}

		if again, _ := decode(text); again != first {
			t.Errorf("%s, then %s", first, again)
		}
	})
}
