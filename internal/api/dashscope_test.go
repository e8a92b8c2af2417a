package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/task"
)

const dashScopeCreatePath = "/api/v1/services/aigc/video-generation/video-synthesis"

func (env *testEnv) createDashScope(key, body string, headers ...string) testResponse {
	env.t.Helper()
	return env.request(key, "POST", dashScopeCreatePath, body, append(headers, "Content-Type", "application/json", "X-DashScope-Async", "enable")...)
}

// field returns the value at a path of keys such as "output.task_id".
func (a testResponse) field(t testing.TB, path string) any {
	t.Helper()

	var v any = a.json(t)
	for name := range strings.SplitSeq(path, ".") {
		m, _ := v.(map[string]any)
		v = m[name]
	}

	return v
}

// storedRequest returns the request that was stored with a task.
func (env *testEnv) storedRequest(id string) (r catalog.Request) {
	env.t.Helper()

	body, _, err := env.store.Request(env.t.Context(), id)
	if err == nil {
		err = json.Unmarshal(body, &r)
	}

	if err != nil {
		env.t.Fatal(err)
	}

	return r
}

const dashScopeT2V = `{"model":"wan2.6-t2v","input":{"prompt":"waves"},"parameters":{"size":"1280*720"}}`

func TestDashScopeCreate(t *testing.T) {
	otter := `"file_sample_otter"`

	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		env.adminRequest("POST", "/admin/v1/accounts/alice/credit", `{"amount":"100","ref":"more"}`)

		for name, tt := range map[string]struct{ body, want string }{
			"R2V": {
				`{"model":"wan2.6-r2v-flash","input":{"prompt":"Character2 meets character1","negative_prompt":"blur","reference_urls":[` + otter + `,"https://example.com/a.mp4"]},"parameters":{"size":"1280*720","duration":10,"shot_type":"multi","audio":false,"watermark":false,"seed":42}}`,
				"wan2.6-r2v-flash-720p-silent r2v 1280*720 10s multi seed 42 [ input.reference_urls[0],  input.reference_urls[1]] Character2 meets character1",
			},
			"R2V with defaults": {
				`{"model":"wan2.6-r2v","input":{"prompt":"p","extend_prompt":true,"reference_urls":[` + otter + `],"nonsense":{},"nonsense":1},"parameters":{"audio":false,"resolution":"720P","audio":true,"x":[1]},"y":0,"":1,"":2}`,
				"wan2.6-r2v-1080p r2v 1920*1080 5s single seed -1 [ input.reference_urls[0]] p",
			},
			"R2V with the older field": {
				`{"model":"wan2.6-r2v","input":{"prompt":"p","reference_video_urls":["https://example.com/a.mp4"]},"parameters":null}`,
				"wan2.6-r2v-1080p r2v 1920*1080 5s single seed -1 [video input.reference_video_urls[0]] p",
			},
			"T2V": {
				`{"model":"wan2.6-t2v","input":{"prompt":"p","audio_url":"https://example.com/a.mp3"},"parameters":{"size":"832*1088","duration":15,"prompt_extend":false}}`,
				"wan2.6-video-720p t2v 832*1088 15s single seed -1 [] p expanded false, audio input.audio_url",
			},
			"I2V": {
				`{"model":"wan2.6-i2v-flash","input":{"prompt":"p","img_url":` + otter + `,"audio_url":"https://example.com/a.mp3"},"parameters":{"resolution":"720P","size":"1*1","audio":false}}`,
				"wan2.6-i2v-flash-720p-silent i2v 1280*720 5s single seed -1 [image input.img_url] p",
			},
			"I2V with base64 bytes only": {
				`{"model":"wan2.6-i2v","input":{"img_url":"` + strings.TrimPrefix(pngURI, "data:image/png;base64,") + `"}}`,
				"wan2.6-video-1080p i2v 1920*1080 5s single seed -1 [image input.img_url] ",
			},
			"2.7 R2V": {
				`{"model":"wan2.7-r2v","input":{"prompt":"Image 2 and video 1 meet image1; Image 3, Videos 1","media":[{"type":"reference_image","url":` + otter + `},{"type":"reference_video","url":"https://example.com/a"},{"type":"reference_image","url":` + otter + `}]},"parameters":{"resolution":"720P","ratio":"3:4","shot_type":"multi"}}`,
				"wan2.7-r2v-720p r2v 832*1104 5s single seed -1 [image input.media[0].url, video input.media[1].url, image input.media[2].url] character3 and character2 meet character1; Image 3, Videos 1",
			},
			"2.7 R2V in Chinese": {
				`{"model":"wan2.7-r2v","input":{"prompt":"视频1对图1说，图2","media":[{"type":"reference_image","url":` + otter + `},{"type":"reference_video","url":"https://example.com/a"}]}}`,
				"wan2.7-r2v-1080p r2v 1920*1080 5s single seed -1 [image input.media[0].url, video input.media[1].url] character2对character1说，图2",
			},
			"2.7 I2V": {
				`{"model":"wan2.7-i2v","input":{"prompt":"Image 1","media":[{"type":"driving_audio","url":"https://example.com/a.mp3"},{"type":"first_frame","url":` + otter + `,"more":1}]},"parameters":{"resolution":"720p","ratio":"1:1"}}`,
				"wan2.7-video-720p i2v 1280*720 5s single seed -1 [image input.media[1].url] Image 1 audio input.media[0].url",
			},
			"3.0": {
				`{"model":"wan3.0-video","input":{"prompt":"p","negative_prompt":"ignored"},"parameters":{"resolution":"480P","ratio":"adaptive","audio":false,"duration":30}}`,
				"wan3.0-video-480p-silent t2v 832*480 30s single seed -1 [] p",
			},
			"Unireel's model name": {
				`{"model":"wan2.6-video-720p","input":{"prompt":"p","img_url":` + otter + `}}`,
				"wan2.6-video-720p i2v 1280*720 5s single seed -1 [image input.img_url] p",
			},
		} {
			a := env.createDashScope(env.alice, tt.body)
			if a.status != 200 || a.field(t, "output.task_status") != "PENDING" || a.field(t, "request_id") != a.header.Get("X-Request-Id") {
				t.Errorf("%s: %d %s", name, a.status, a.body)
				continue
			}

			id := a.field(t, "output.task_id").(string)
			r := env.storedRequest(id)

			got := fmt.Sprintf("%s %s %s %ds %s seed %d [%s] %s", r.Resolved, r.Mode, r.Size, r.Seconds, r.ShotType, r.Seed, strings.Join(env.references(id), ", "), r.Prompt)
			if r.PromptExpansion != nil {
				got += fmt.Sprintf(" expanded %v,", *r.PromptExpansion)
			}

			if r.Audio != nil {
				got += " audio " + r.Audio.Param
			}

			if got != tt.want {
				t.Errorf("%s\n got %s\nwant %s", name, got, tt.want)
			}

			var sent struct{ Input struct{ Prompt string } }

			_ = json.Unmarshal([]byte(tt.body), &sent)
			if v := env.request(env.alice, "GET", "/v1/videos/"+id, ""); v.field(t, "prompt") != sent.Input.Prompt {
				t.Errorf("%s: the original prompt is %v", name, v.field(t, "prompt"))
			}
		}

		env.checkIntegrity()
	})
}

func TestDashScopeCreateErrors(t *testing.T) {
	with := func(model, input, parameters string) string {
		return `{"model":"` + model + `","input":{` + input + `},"parameters":{` + parameters + `}}`
	}

	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		env.adminRequest("POST", "/admin/v1/accounts/bob/credit", `{"amount":"-9.99","ref":"taken back"}`)
		oneModelKey := env.adminRequest("POST", "/admin/v1/accounts/alice/keys", `{"models":["wan2.6-r2v"]}`).json(t)["secret"].(string)

		limitedKey := env.adminRequest("POST", "/admin/v1/accounts/alice/keys", `{"budget_day":"0.01"}`).json(t)["secret"].(string)
		for name, tt := range map[string]struct {
			key, body, want string
			names           []string
		}{
			"no JSON":        {env.alice, `{`, "400 BadRequest.IllegalInput", nil},
			"no object":      {env.alice, `[]`, "400 InvalidParameter", nil},
			"no model":       {env.alice, `{"input":{"prompt":"p"}}`, "400 BadRequest.EmptyModel", []string{"model:"}},
			"unknown model":  {env.alice, with("wan2.6-t3v", `"prompt":"p"`, ""), "404 ModelNotFound", []string{"model:", "wan2.6-t2v"}},
			"no input":       {env.alice, `{"model":"wan2.6-t2v"}`, "400 BadRequest.EmptyInput", []string{"input:"}},
			"wrong types":    {env.alice, `{"model":"wan2.6-t2v","input":[],"parameters":1}`, "400 InvalidParameter", []string{"input: ", "parameters: ", "input.prompt: "}},
			"no prompt":      {env.alice, with("wan2.6-t2v", "", ""), "400 InvalidParameter", []string{"input.prompt: "}},
			"no references":  {env.alice, with("wan2.6-r2v", `"prompt":"p","media":[]`, ""), "400 InvalidParameter", []string{"input.reference_urls: ", "put them in `input.reference_urls`."}},
			"no media":       {env.alice, with("wan2.7-r2v", `"prompt":"p","reference_urls":["file_sample_otter"]`, ""), "400 InvalidParameter", []string{"input.media: "}},
			"no picture":     {env.alice, with("wan2.6-i2v", `"prompt":"p"`, ""), "400 InvalidParameter", []string{"input.img_url: "}},
			"out of bounds":  {env.alice, with("wan2.6-r2v", `"prompt":"p","reference_urls":["file_sample_otter"]`, `"duration":11,"size":"720P","seed":-2,"shot_type":"many"`), "400 InvalidParameter", []string{"parameters.duration: ", "parameters.size: ", "parameters.seed: ", "parameters.shot_type: "}},
			"other bounds":   {env.alice, with("wan2.7-t2v", `"prompt":"p"`, `"resolution":"4K","ratio":"2:1"`), "400 InvalidParameter", []string{"parameters.resolution: ", "parameters.ratio: "}},
			"no ratio":       {env.alice, with("wan2.7-t2v", `"prompt":"p"`, `"ratio":"x"`), "400 InvalidParameter", []string{"parameters.ratio: "}},
			"long prompt":    {env.alice, with("wan2.6-t2v", `"prompt":"`+strings.Repeat("长", 1501)+`"`, ""), "400 InvalidParameter", []string{"input.prompt: "}},
			"field types":    {env.alice, with("wan2.6-i2v-flash", `"prompt":1,"img_url":[]`, `"audio":"yes","watermark":0,"seed":"1","resolution":7`), "400 InvalidParameter", []string{"input.prompt: ", "input.img_url: ", "parameters.audio: ", "parameters.watermark: ", "parameters.seed: ", "parameters.resolution: "}},
			"duplicate":      {env.alice, with("wan2.6-t2v", `"prompt":"p","prompt":"q"`, ""), "400 InvalidParameter", []string{"input.prompt: "}},
			"both lists":     {env.alice, with("wan2.6-r2v", `"prompt":"p","reference_urls":["file_sample_otter"],"reference_video_urls":["https://example.com/"]`, ""), "400 InvalidParameter", []string{"input.reference_video_urls: "}},
			"media":          {env.alice, with("wan2.7-r2v", `"prompt":"p","media":[{"type":"last_frame","url":"https://example.com/"},{"url":"x"},{"type":"reference_image"},7,{"type":"reference_video","url":"https://example.com/","reference_voice":"v"}]`, ""), "400 InvalidParameter", []string{"input.media[0].type: ", "input.media[1].type: ", "input.media[2].url: ", "input.media[3]: ", "input.media[4].reference_voice: "}},
			"two frames":     {env.alice, with("wan2.7-i2v", `"prompt":"p","media":[{"type":"first_frame","url":"file_sample_otter"},{"type":"first_frame","url":"file_sample_otter"}]`, ""), "400 InvalidParameter", []string{"input.media[1].url: "}},
			"a template":     {env.alice, with("wan2.6-i2v", `"prompt":"p","img_url":"file_sample_otter","template":"spin"`, ""), "400 InvalidParameter", []string{"input.template: "}},
			"bad scheme":     {env.alice, with("wan2.6-i2v", `"prompt":"p","img_url":"ftp://example.com/"`, ""), "400 InvalidParameter", []string{"input.img_url: "}},
			"a private host": {env.alice, with("wan2.6-i2v", `"prompt":"p","img_url":"http://127.0.0.1/"`, ""), "400 InvalidParameter", []string{"input.img_url: "}},
			"no such upload": {env.alice, with("wan2.6-i2v", `"prompt":"p","img_url":"oss://x/y.png"`, ""), "400 InvalidParameter", []string{"input.img_url: "}},
			"no credit":      {env.bob, dashScopeT2V, "400 Arrearage", nil},
			"no budget":      {limitedKey, dashScopeT2V, "400 Arrearage", nil},
			"model denied":   {oneModelKey, dashScopeT2V, "403 Model.AccessDenied", nil},
		} {
			a := env.createDashScope(tt.key, tt.body)

			code, _ := a.errorCode(t)
			if got := fmt.Sprintf("%d %s", a.status, code); got != tt.want || a.field(t, "request_id") != a.header.Get("X-Request-Id") {
				t.Errorf("%s: %s, want %s\n%s", name, got, tt.want, a.body)
			}

			for _, field := range tt.names {
				if message, _ := a.field(t, "message").(string); !strings.Contains(message, field) {
					t.Errorf("%s: %q is not in %s", name, field, message)
				}
			}
		}

		for name, tt := range map[string]struct {
			headers []string
			want    string
		}{
			"synchronous": {[]string{"X-DashScope-Async", ""}, "403 AccessDenied"},
			"no JSON":     {[]string{"Content-Type", "text/html"}, "400 BadRequest.IllegalInput"},
		} {
			a := env.request(env.alice, "POST", dashScopeCreatePath, dashScopeT2V, append([]string{"X-DashScope-Async", "enable"}, tt.headers...)...)
			if code, _ := a.errorCode(t); fmt.Sprintf("%d %s", a.status, code) != tt.want {
				t.Errorf("%s: %d %s", name, a.status, a.body)
			}
		}

		if a := env.request(env.alice, "PUT", "/api/v1/tasks", ""); a.status != 405 || a.field(t, "code") != "UnsupportedOperation" {
			t.Errorf("%d %s", a.status, a.body)
		}

		if b := env.balance("alice"); b.Held != 0 {
			t.Errorf("held %s", b.Held)
		}
	})
}

// TestEveryFaultHasDashScopeCode checks that every fault maps to one of DashScope's
// statuses and codes, and that an error the caller can correct is never reported as an
// internal error.
func TestEveryFaultHasDashScopeCode(t *testing.T) {
	statuses := []int{400, 401, 403, 404, 405, 408, 410, 429, 500, 503}

	for _, info := range fault.Codes() {
		code, status := dashScopeError(fault.New(info.Code, "", ""))
		if !slices.Contains(statuses, status) || strings.HasPrefix(code, "InternalError") && status < 500 {
			t.Errorf("%s maps to %s, %d", info.Code, code, status)
		}
	}
}

func TestDashScopeTaskLifecycle(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		id := env.createDashScope(env.alice, dashScopeT2V).field(t, "output.task_id").(string)
		is := func(want map[string]any, usage any) {
			t.Helper()

			a := env.request(env.alice, "GET", "/api/v1/tasks/"+id, "")

			want["task_id"] = id
			if diff := cmp.Diff(map[string]any{"request_id": a.header.Get("X-Request-Id"), "output": want, "usage": usage}, map[string]any{
				"request_id": a.field(t, "request_id"), "output": a.field(t, "output"), "usage": a.field(t, "usage"),
			}); a.status != 200 || diff != "" {
				t.Errorf("%d %s", a.status, diff)
			}
		}
		createdAt := "2026-01-02 11:04:05.000"
		startedAt := "2026-01-02 11:04:06.250"
		ended := "2026-01-02 11:05:06.250"

		is(map[string]any{"task_status": "PENDING", "submit_time": createdAt}, nil)
		env.clock.advance(1250 * time.Millisecond)
		env.claimTask()
		is(map[string]any{"task_status": "PENDING", "submit_time": createdAt}, nil)
		env.advance(id, func(t *task.Task) {
			t.State = task.Running
			t.RemoteID = "T"
			t.StartedAt = env.clock.now().UnixMilli()
		})
		is(map[string]any{"task_status": "RUNNING", "submit_time": createdAt, "scheduled_time": startedAt}, nil)

		if a := env.request(env.alice, "POST", "/api/v1/tasks/"+id+"/cancel", ""); a.status != 400 || a.field(t, "code") != "UnsupportedOperation" || a.field(t, "message") != "Failed to cancel the task, please confirm if the task is in PENDING status." {
			t.Errorf("cancel while running: %d %s", a.status, a.body)
		}

		if v := env.request(env.alice, "GET", "/v1/videos/"+id, ""); v.field(t, "cancel_requested_at") != nil {
			t.Error("a rejected cancel was recorded")
		}

		env.clock.advance(time.Minute)
		env.completeTask(id, []byte("film"))
		link := env.request(env.alice, "GET", "/v1/videos/"+id, "").field(t, "video_url")
		is(map[string]any{"task_status": "SUCCEEDED", "submit_time": createdAt, "scheduled_time": startedAt, "end_time": ended, "orig_prompt": "waves", "video_url": link},
			map[string]any{"duration": 2.5, "input_video_duration": 0.0, "output_video_duration": 5.0, "size": "1280*720", "SR": 720.0, "video_count": 1.0})

		if a := env.request("", "GET", strings.TrimPrefix(link.(string), env.server.URL), ""); string(a.body) != "film" {
			t.Errorf("without a key: %d %s", a.status, a.body)
		}

		env.clock.advance(31 * 24 * time.Hour)
		is(map[string]any{"task_status": "UNKNOWN"}, nil)

		id = env.createTask(env.alice) // created with Unireel's own API
		env.advance(id, func(t *task.Task) {
			t.State = task.Failed
			t.Error = &task.Error{Code: "reference_unreachable", Message: "It is not there.", Param: "videos[0]"}
		})
		at := env.clock.now().In(beijing).Format("2006-01-02 15:04:05.000")
		is(map[string]any{"task_status": "FAILED", "submit_time": at, "end_time": at, "code": "InvalidParameter.DataInspection", "message": "videos[0]: It is not there."}, nil)

		id = env.createTask(env.alice)
		for _, want := range []int{200, 400} {
			if a := env.request(env.alice, "POST", "/api/v1/tasks/"+id+"/cancel", ""); a.status != want {
				t.Errorf("cancel: %d %s", a.status, a.body)
			}
		}

		is(map[string]any{"task_status": "CANCELED", "submit_time": at, "end_time": at}, nil)

		if v := env.request(env.alice, "GET", "/v1/videos/"+id, ""); v.field(t, "status") != "cancelled" {
			t.Errorf("%s", v.body)
		}

		id = "task_nobody"

		is(map[string]any{"task_status": "UNKNOWN"}, nil)
		env.checkIntegrity()
	})
}

func TestDashScopeMarksPreviews(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		id := env.request(env.alice, "POST", "/v1/video/generations", strings.Replace(t2vBody, "{", `{"preview":true,`, 1)).json(t)["id"].(string)
		if a := env.request(env.alice, "GET", "/api/v1/tasks/"+id, ""); a.field(t, "output.preview") != true {
			t.Errorf("%s", a.body)
		}
	})
}

func TestDashScopeIdempotencyKey(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		first := env.createDashScope(env.alice, dashScopeT2V, "Idempotency-Key", "aisdk_vid_1")

		again := env.createDashScope(env.alice, strings.ReplaceAll(dashScopeT2V, ":", ": "), "Idempotency-Key", "aisdk_vid_1")
		if first.status != 200 || first.field(t, "output.task_id") != again.field(t, "output.task_id") || again.header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("%d %s\n%d %s", first.status, first.body, again.status, again.body)
		}

		if a := env.createDashScope(env.alice, strings.Replace(dashScopeT2V, "waves", "hills", 1), "Idempotency-Key", "aisdk_vid_1"); a.status != 400 || a.field(t, "code") != "InvalidParameter" {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}

func TestDashScopeList(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		env.timedIDs = true
		begin := env.clock.now() // 11:04:05 in Beijing

		var ids []string
		for range 3 {
			ids = append(ids, env.createDashScope(env.alice, dashScopeT2V).field(t, "output.task_id").(string))
			env.clock.advance(time.Hour)
		}

		other := env.createTask(env.alice)
		env.request(env.alice, "POST", "/api/v1/tasks/"+other+"/cancel", "")
		env.createDashScope(env.bob, dashScopeT2V)
		a := env.request(env.alice, "GET", "/api/v1/tasks?task_id="+ids[0], "")

		row, _ := a.field(t, "data").([]any)[0].(map[string]any)
		if row["gmt_create"] != float64(begin.UnixMilli()) || row["model_name"] != "wan2.6-t2v" || row["status"] != "PENDING" || row["caller_uid"] != env.account ||
			row["user_api_unique_key"] != "apikey:v1:aigc:video-generation:video-synthesis:wan2.6-t2v" || a.field(t, "request_id") != a.header.Get("X-Request-Id") {
			t.Errorf("%s", a.body)
		}

		for query, want := range map[string]string{
			"":                        "4 of 4, 1 pages: 3 2 1 0",
			"/":                       "4 of 4, 1 pages: 3 2 1 0",
			"?page_size=3":            "3 of 4, 2 pages: 3 2 1",
			"/?page_size=3&page_no=2": "1 of 4, 2 pages: 0",
			"?page_size=3&page_no=3":  "0 of 4, 2 pages:",
			"?model_name=wan2.6-t2v":  "3 of 3, 1 pages: 2 1 0",
			"?status=CANCELED":        "1 of 1, 1 pages: 3",
			"?status=UNKNOWN":         "0 of 0, 0 pages:",
			"?task_id=task_nobody":    "0 of 0, 0 pages:",
			"?start_time=20260102120000&end_time=20260102130405": "2 of 2, 1 pages: 2 1",
			"?end_time=20260102120404":                           "1 of 1, 1 pages: 0",
			"?start_time=20260102150000&end_time=20260102140000": "0 of 0, 0 pages:",
			"?page_no=1&page_size=10&nonsense=1":                 "4 of 4, 1 pages: 3 2 1 0",
		} {
			a := env.request(env.alice, "GET", "/api/v1/tasks"+query, "")
			data, _ := a.field(t, "data").([]any)

			got := fmt.Sprintf("%d of %v, %v pages:", len(data), a.field(t, "total"), a.field(t, "total_page"))
			for _, row := range data {
				for i, id := range append(ids, other) {
					if row.(map[string]any)["task_id"] == id {
						got += fmt.Sprintf(" %d", i)
					}
				}
			}

			if a.status != 200 || got != want {
				t.Errorf("%s: %d %s, want %s", query, a.status, got, want)
			}
		}

		for query, field := range map[string]string{
			"page_no=0": "page_no: ", "page_size=101": "page_size: ", "status=queued": "status: ", "start_time=2026": "start_time: ", "end_time=x": "end_time: ",
			"start_time=20260101110000": "start_time: ",
		} {
			if a := env.request(env.alice, "GET", "/api/v1/tasks?"+query, ""); a.status != 400 || a.field(t, "code") != "InvalidParameter" || !strings.Contains(string(a.body), field) {
				t.Errorf("%s: %d %s", query, a.status, a.body)
			}
		}

		env.clock.advance(22 * time.Hour)

		if a := env.request(env.alice, "GET", "/api/v1/tasks", ""); a.field(t, "total") != 2.0 {
			t.Errorf("a day later: %s", a.body)
		}
	})
}

// FuzzDashScope decodes arbitrary bodies: there must be no panic, every fault must name a
// field, and an accepted request must have no oss:// URLs left.
func FuzzDashScope(f *testing.F) {
	for _, body := range []string{
		dashScopeT2V,
		`{"model":"wan2.6-r2v-flash","input":{"prompt":"character1","reference_urls":["oss://a/b","https://example.com/"],"reference_video_urls":[]},"parameters":{"audio":false,"seed":1e0}}`,
		`{"model":"wan2.7-r2v","input":{"prompt":"图1 Video 2 Image 99999999999999999999","media":[{"type":"reference_image","url":"oss://x"},{"type":"first_frame","url":"data:image/png;base64,AA"},{}]},"parameters":{"ratio":"0:0"}}`,
		`{"model":"wan2.6-i2v","input":{"img_url":"iVBORw0KGgo=","template":1,"prompt":null},"parameters":{"resolution":"720P"},"input":{}}`,
		`{"model":"x","model":1,"input":[],"parameters":{"ratio":"65535:1"}}`,
	} {
		f.Add(body)
	}

	models := uniallCatalog(f)
	f.Fuzz(func(t *testing.T, text string) {
		root, err := parseObject([]byte(text))
		if err != nil {
			return
		}

		r, err := models.Validate(decodeDashScope(root, models, func(key string) string { return ossFileID("acct_1", key) }))

		var wrong *fault.Fault
		switch {
		case err == nil:
			for _, ref := range r.References {
				if strings.HasPrefix(ref.Input, "oss:") {
					t.Errorf("%s was accepted", ref.Input)
				}
			}
		case !errors.As(err, &wrong):
			t.Fatal(err)
		default:
			for _, one := range wrong.All() {
				if one.Param == "" {
					t.Errorf("%s names no field: %s", one.Code, one.Detail)
				}
			}

			if code, status := dashScopeError(wrong); code == "" || status < 400 {
				t.Errorf("%s maps to %q %d", wrong.Code, code, status)
			}
		}
	})
}
