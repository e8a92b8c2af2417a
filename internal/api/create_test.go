package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/store/storetest"
)

func readExample(t testing.TB, name string) string {
	t.Helper()

	body, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}

	return string(body)
}

func TestUniAllPageExamplesAreAccepted(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		for _, name := range []string{"example-1.json", "example-2.json"} {
			a := env.request(env.alice, "POST", "/v1/video/generations", readExample(t, name), "Content-Type", "application/json")

			m := a.json(t)
			if a.status != 200 || m["status"] != "queued" || m["progress"] != 0.0 || m["id"] != m["task_id"] || m["object"] != "video.generation.job" {
				t.Fatalf("%s: %d %s", name, a.status, a.body)
			}

			got := env.request(env.alice, "GET", "/v1/videos/"+m["id"].(string), "")
			if got.status != 200 || string(got.body) != string(a.body) {
				t.Errorf("get: %d\n%s\ncreate returned\n%s", got.status, got.body, a.body)
			}
		}

		env.checkIntegrity()
	})
}

// TestIdempotencyKeyCreatesOneTask sends one create request 64 times at once, in several
// equivalent spellings.
func TestIdempotencyKeyCreatesOneTask(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		bodies := []string{t2vBody, `{"prompt":"waves", "model":"wan2.6-video-720p"}`, "{\"model\":\"wan2.6-video-720p\",\n\"prompt\":\"w\\u0061ves\"}"}

		var (
			wg sync.WaitGroup
			mu sync.Mutex
		)

		taskIDs := map[string]bool{}
		fresh := 0

		for i := range 64 {
			wg.Go(func() {
				a := env.request(env.alice, "POST", "/v1/video/generations", bodies[i%3], "Idempotency-Key", "shot 1")

				var v struct{ ID string }
				if err := json.Unmarshal(a.body, &v); err != nil || a.status != 200 {
					t.Errorf("%d %s", a.status, a.body)
				}

				mu.Lock()
				defer mu.Unlock()

				taskIDs[v.ID] = true

				if a.header.Get("Idempotent-Replayed") != "true" {
					fresh++
				}
			})
		}

		wg.Wait()

		if len(taskIDs) != 1 || fresh != 1 {
			t.Errorf("%d tasks, %d responses without Idempotent-Replayed", len(taskIDs), fresh)
		}

		if b := env.balance("alice"); b.Held != 500_000 {
			t.Errorf("held %s", b.Held)
		}

		a := env.request(env.alice, "POST", "/v1/video/generations", strings.Replace(t2vBody, "waves", "wind", 1), "Idempotency-Key", "shot 1")
		if code, param := a.errorCode(t); a.status != 400 || code != "idempotency_mismatch" || param != "Idempotency-Key" {
			t.Errorf("%d %s", a.status, a.body)
		}

		if a := env.request(env.bob, "POST", "/v1/video/generations", t2vBody, "Idempotency-Key", "shot 1"); a.status != 200 || a.header.Get("Idempotent-Replayed") != "" {
			t.Errorf("another account's key: %d %s", a.status, a.body)
		}

		env.checkIntegrity()
	})
}

func TestInvalidFieldsAreReportedWithoutCharge(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		before := env.balance("alice")
		for body, want := range map[string]string{
			`{`: "malformed_body:", ``: "malformed_body:", `[]`: "wrong_type:", `"x"`: "wrong_type:",
			`{}`:                                   "missing_field:model missing_field:prompt",
			`{"model":"wan2.6-r2v-720p"}`:          "missing_field:prompt missing_field:references",
			`{"model":"wan","prompt":1,"promt":2}`: "unknown_model:model wrong_type:prompt unknown_field:promt",
			`{"model":"wan2.6-r2v-720p","prompt":"x","videos":[],"size":"1920*1080","duration":5.5,"extra_body":{"seed":-2,"shot_type":"x"}}`:            "invalid_value:size invalid_value:duration invalid_value:extra_body.seed invalid_value:extra_body.shot_type missing_field:references",
			`{"model":"wan2.6-r2v-720p","prompt":"x","images":["http://127.0.0.1/a.png","ftp://x/y","file_nobody","http://10.0.0.1/"]}`:                  "invalid_value:images[0] invalid_value:images[1] invalid_value:images[2] invalid_value:images[3]",
			`{"model":"wan2.6-r2v-720p","prompt":"x","images":["http://127.0.0.1/a.png","file_nobody","http://10.0.0.1/","https://example.com/ok.png"]}`: "invalid_value:images[0] invalid_value:images[1] invalid_value:images[2]",
			`{"model":"wan2.6-r2v-720p","prompt":"x","images":["file_sample_otter"],"seed":1,"extra_body":{"seed":2}}`:                                   "conflicting_fields:extra_body.seed",
			`{"model":"wan2.6-r2v-flash-720p-silent","prompt":"x","images":["file_sample_otter"],"extra_body":{"audio":"https://example.com/a.mp3"}}`:    "invalid_value:extra_body.audio",
			`{"model":"wan2.6-r2v-720p","prompt":"x","images":["data:image/png;base64,aGVsbG8="]}`:                                                       "unsupported_file_type:images[0]",
		} {
			a := env.request(env.alice, "POST", "/v1/video/generations", body)

			var p errorBody
			if err := json.Unmarshal(a.body, &p); err != nil {
				t.Fatal(err)
			}

			var got []string

			for _, one := range p.Error.Errors {
				param := ""
				if one.Param != nil {
					param = *one.Param
				}

				got = append(got, one.Code+":"+param)
			}

			if s := strings.Join(got, " "); s != want || a.status < 400 || a.status > 415 || p.Error.Code != p.Error.Errors[0].Code {
				t.Errorf("%s\n got %d %s\nwant %s", body, a.status, s, want)
			}
		}

		a := env.request(env.alice, "POST", "/v1/video/generations", t2vBody, "Content-Type", "application/xml")
		if a.status != 415 {
			t.Errorf("XML: %d", a.status)
		}

		a = env.request(env.alice, "POST", "/v1/video/generations", t2vBody, "Content-Encoding", "gzip")
		if a.status != 415 {
			t.Errorf("gzip: %d", a.status)
		}

		if after := env.balance("alice"); after != before {
			t.Errorf("balance %+v, then %+v", before, after)
		}

		if keys := env.listBlobs(); len(keys) > 0 {
			t.Errorf("blobs were not deleted: %v", keys)
		}
	})
}

// TestInvalidReferencesAreReportedInOrder checks that errors found in the database, in
// the bytes or by resolving an address are reported together with errors in the body
// itself, in the order of the body.
func TestInvalidReferencesAreReportedInOrder(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		body := `{"model":"wan2.6-r2v-flash-720p-audio","prompt":"p","videos":["http://10.0.0.1/a.mp4","file_nobody"],"size":"1x1",
			"images":["data:image/png;base64,###","data:image/png;base64,aGVsbG8gd29ybGQ="],"audio":"file_sample_otter","duration":99}`
		for _, path := range []string{"/v1/video/generations", "/v1/video/generations/estimate"} {
			a := env.request(env.alice, "POST", path, body)

			var problem struct {
				Error struct {
					Errors []struct{ Param, Code string }
				}
			}
			if err := json.Unmarshal(a.body, &problem); err != nil {
				t.Fatal(err)
			}

			var got []string
			for _, e := range problem.Error.Errors {
				got = append(got, e.Param+" "+e.Code)
			}

			want := []string{"videos[0] invalid_value", "videos[1] invalid_value", "size invalid_value", "images[0] invalid_value", "images[1] unsupported_file_type", "audio invalid_value", "duration invalid_value"}
			if a.status != 400 || !slices.Equal(got, want) {
				t.Errorf("%s: %d %v, want %v", path, a.status, got, want)
			}
		}

		if b := env.balance("alice"); b.Held != 0 {
			t.Errorf("held %s", b.Held)
		}
	})
}

func TestInsufficientCreditMessage(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		env.adminRequest("POST", "/admin/v1/accounts/alice/credit", `{"amount":"-9.75","ref":"taken back"}`)
		a := env.request(env.alice, "POST", "/v1/video/generations", t2vBody)

		code, _ := a.errorCode(t)
		if a.status != 402 || code != "insufficient_credit" || !strings.Contains(string(a.body), "0.50 USD") || !strings.Contains(string(a.body), "0.25 USD") {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}

// FuzzCreate sends arbitrary bodies: there must be no 5xx and no panic, and every error
// must name a field or concern the whole body.
func FuzzCreate(f *testing.F) {
	for _, seed := range []string{
		t2vBody, "", "{}", "[]", "null", `{"model":"wan2.6-r2v","prompt":"x","references":[{"type":"image","url":"file_sample_otter"}],"metadata":{"a":"b"}}`,
		readExample(f, "example-1.json"), readExample(f, "example-2.json"), `{"extra_body":{"extra_body":{}}}`, `{"model":"wan2.6-i2v","prompt":"x","image":"data:image/png;base64,iVBORw0KGgo="}`,
	} {
		f.Add(seed)
	}

	env := newTestEnv(f, storetest.SQLiteFile(f))
	h := env.api.Handler()
	body := map[string]bool{string(fault.CodeMalformedBody): true, string(fault.CodeWrongType): true, string(fault.CodeBodyTooLarge): true, string(fault.CodeInsufficientCredit): true}

	f.Fuzz(func(t *testing.T, text string) {
		r := httptest.NewRequest("POST", "/v1/video/generations/estimate", strings.NewReader(text))
		if len(text)%2 == 0 {
			r = httptest.NewRequest("POST", "/v1/video/generations", strings.NewReader(text))
		}

		r.Header.Set("Authorization", "Bearer "+env.alice)

		got := httptest.NewRecorder()
		h.ServeHTTP(got, r)

		if got.Code == http.StatusOK {
			return
		}

		var p errorBody
		if err := json.Unmarshal(got.Body.Bytes(), &p); err != nil || got.Code >= 500 {
			t.Fatalf("%d %s", got.Code, got.Body)
		}

		for _, one := range p.Error.Errors {
			if one.Param == nil && !body[one.Code] && !strings.Contains(one.Message, "``") { // a field may be called ""
				t.Errorf("%s names no field: %s", one.Code, one.Message)
			}
		}
	})
}
