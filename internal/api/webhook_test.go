package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"

	"github.com/unireel/unireel/client"
	"github.com/unireel/unireel/internal/store"
	"github.com/unireel/unireel/internal/task"
)

// createWebhook creates a webhook endpoint with the given key and returns its ID.
func (env *testEnv) createWebhook(key, url string) string {
	env.t.Helper()

	a := env.request(key, "POST", "/v1/webhooks", `{"url":"`+url+`"}`)
	if a.status != 200 {
		env.t.Fatalf("%d %s", a.status, a.body)
	}

	return a.json(env.t)["id"].(string)
}

func (env *testEnv) listDeliveries(key, id, query string) (list []map[string]any) {
	env.t.Helper()

	for _, d := range env.request(key, "GET", "/v1/webhooks/"+id+"/deliveries?"+query, "").json(env.t)["data"].([]any) {
		list = append(list, d.(map[string]any))
	}

	return list
}

func deliveryTypes(list []map[string]any) string {
	var all []string
	for _, d := range list {
		all = append(all, d["type"].(string)+" "+d["status"].(string))
	}

	return strings.Join(all, ", ")
}

func TestWebhookLifecycle(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		made := env.request(env.alice, "POST", "/v1/webhooks", `{"url":"https://hooks.example/x","events":["video.completed"]}`).json(t)
		id := made["id"].(string)

		secret := made["secret"].(string)
		if !strings.HasPrefix(secret, "whsec_") || made["enabled"] != true {
			t.Errorf("%v", made)
		}

		if got := env.request(env.alice, "GET", "/v1/webhooks/"+id, "").json(t); got["secret"] != nil || got["url"] != "https://hooks.example/x" {
			t.Errorf("%v", got)
		}

		if got := env.request(env.alice, "GET", "/v1/webhooks/"+id+"/secret", "").json(t); got["secret"] != secret || got["previous_secret"] != nil {
			t.Errorf("%v", got)
		}

		rotated := env.request(env.alice, "POST", "/v1/webhooks/"+id+"/secret", `{"keep_seconds":60}`).json(t)
		if rotated["secret"] == secret || rotated["previous_secret"] != secret {
			t.Errorf("%v", rotated)
		}

		env.clock.advance(61 * time.Second)

		if got := env.request(env.alice, "GET", "/v1/webhooks/"+id+"/secret", "").json(t); got["secret"] != rotated["secret"] || got["previous_secret"] != nil {
			t.Errorf("after it expired: %v", got)
		}

		if got := env.request(env.alice, "PATCH", "/v1/webhooks/"+id, `{"events":[],"enabled":false}`).json(t); got["enabled"] != false || got["disabled_at"] == nil || got["url"] != "https://hooks.example/x" || len(got["events"].([]any)) != 0 {
			t.Errorf("%v", got)
		}

		first := env.createTask(env.alice)
		if got := deliveryTypes(env.listDeliveries(env.alice, id, "")); got != "" {
			t.Errorf("a disabled endpoint receives %s", got)
		}

		env.request(env.alice, "PATCH", "/v1/webhooks/"+id, `{"enabled":true}`)
		env.finishTask(first, []byte("film"))
		env.request(env.alice, "POST", "/v1/webhooks/"+id+"/test", "")

		if got := deliveryTypes(env.listDeliveries(env.alice, id, "")); !strings.Contains(got, "webhook.test pending") || !strings.Contains(got, "video.completed pending") {
			t.Errorf("%s", got)
		}

		if got := env.request(env.alice, "DELETE", "/v1/webhooks/"+id, "").json(t); got["deleted"] != true || got["object"] != "webhook.deleted" {
			t.Errorf("%v", got)
		}

		if list := env.request(env.alice, "GET", "/v1/webhooks", "").json(t)["data"].([]any); len(list) != 0 {
			t.Errorf("%v", list)
		}
	})
}

// TestWebhookIsolation checks that another account's endpoint is not found, on every path.
func TestWebhookIsolation(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		id := env.createWebhook(env.alice, "https://hooks.example/x")
		env.request(env.alice, "POST", "/v1/webhooks/"+id+"/test", "")

		event := env.listDeliveries(env.alice, id, "")[0]["id"].(string)
		for _, c := range [][2]string{
			{"GET", ""}, {"PATCH", ""}, {"DELETE", ""}, {"GET", "/secret"}, {"POST", "/secret"}, {"POST", "/test"}, {"GET", "/deliveries"},
		} {
			if a := env.request(env.bob, c[0], "/v1/webhooks/"+id+c[1], ""); a.status != 404 {
				t.Errorf("%s %s: %d", c[0], c[1], a.status)
			}
		}

		for _, under := range []string{id, "default"} {
			if a := env.request(env.bob, "POST", "/v1/webhooks/"+under+"/deliveries/"+event+"/redeliver", ""); a.status != 404 {
				t.Errorf("redeliver under %s: %d", under, a.status)
			}
		}

		env.createTask(env.bob)

		if got := deliveryTypes(env.listDeliveries(env.alice, id, "")); got != "webhook.test pending" {
			t.Errorf("alice receives bob's event: %s", got)
		}
	})
}

func TestWebhookErrors(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		id := env.createWebhook(env.alice, "https://hooks.example/x")
		for _, c := range []struct{ method, path, body, code, param string }{
			{"POST", "", `{}`, "missing_field", "url"},
			{"POST", "", `{"url":"ftp://hooks.example/"}`, "invalid_value", "url"},
			{"POST", "", `{"url":"http://127.0.0.1/"}`, "invalid_value", "url"},
			{"POST", "", `{"url":"https://[::ffff:10.0.0.1]/"}`, "invalid_value", "url"},
			{"POST", "", `{"url":"https://hooks.example:22/"}`, "invalid_value", "url"},
			{"POST", "", `{"url":"https://me:secret@hooks.example/"}`, "invalid_value", "url"},
			{"POST", "", `{"url":"https://hooks.example/` + strings.Repeat("x", 2048) + `"}`, "invalid_value", "url"},
			{"POST", "", `{"url":"https://hooks.example/","events":["video.done"]}`, "invalid_value", "events[0]"},
			{"POST", "", `{"url":"https://hooks.example/","events":["video.failed","video.failed"]}`, "invalid_value", "events[1]"},
			{"POST", "", `{"url":"https://hooks.example/","secret":"x"}`, "unknown_field", "secret"},
			{"PATCH", "/" + id, `{"url":7}`, "wrong_type", "url"},
			{"POST", "/" + id + "/secret", `{"keep_seconds":-1}`, "invalid_value", "keep_seconds"},
			{"POST", "/" + id + "/secret", `{"keep_seconds":604801}`, "invalid_value", "keep_seconds"},
			{"GET", "/" + id + "/deliveries?status=lost", "", "invalid_value", "status"},
			{"GET", "/" + id + "/deliveries?after=evt_x", "", "invalid_value", "after"},
			{"GET", "/" + id + "/deliveries?limit=0", "", "invalid_value", "limit"},
			{"POST", "/" + id + "/deliveries/evt_x/redeliver", "", "delivery_not_found", "delivery"},
			{"PATCH", "/default", `{"enabled":false}`, "webhook_not_found", "id"},
			{"DELETE", "/default", "", "webhook_not_found", "id"},
			{"POST", "/default/test", "", "webhook_not_found", "id"},
		} {
			a := env.request(env.alice, c.method, "/v1/webhooks"+c.path, c.body)
			if code, param := a.errorCode(t); code != c.code || param != c.param {
				t.Errorf("%s %s %s: %d %s %q", c.method, c.path, c.body, a.status, code, param)
			}
		}

		for range 19 {
			env.createWebhook(env.alice, "https://hooks.example/more")
		}

		if code, param := env.request(env.alice, "POST", "/v1/webhooks", `{"url":"https://hooks.example/21"}`).errorCode(t); code != "conflicting_fields" || param != "url" {
			t.Errorf("a 21st: %s %s", code, param)
		}
	})
}

// TestRequestWebhookURL checks that a request's webhook_url receives only the events of its
// task, signed with the account's default secret, in every dialect; an invalid URL is
// reported as that field's error and creates nothing.
func TestRequestWebhookURL(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		body := func(url string) string {
			return `{"model":"wan2.6-video-720p","prompt":"a boat","webhook_url":"` + url + `"}`
		}

		made := env.request(env.alice, "POST", "/v1/video/generations", body("https://hooks.example/a?x=1")).json(t)
		if list, _ := made["warnings"].([]any); len(list) != 0 {
			t.Errorf("warnings: %v", list)
		}

		id := made["id"].(string)
		env.finishTask(id, []byte("film"))

		list := env.listDeliveries(env.alice, "default", "")
		if got := deliveryTypes(list); got != "video.completed pending, video.in_progress pending, video.queued pending" {
			t.Errorf("%s", got)
		}

		for _, d := range list {
			if d["video_id"] != id || d["url"] != "https://hooks.example/a?x=1" {
				t.Errorf("%v", d)
			}
		}

		if page := env.listDeliveries(env.alice, "default", "limit=1&after="+list[0]["id"].(string)); len(page) != 1 || page[0]["id"] != list[1]["id"] {
			t.Errorf("the second page: %v", page)
		}

		if a := env.request(env.alice, "POST", "/v1/webhooks/default/deliveries/"+list[0]["id"].(string)+"/redeliver", ""); a.status != 400 {
			t.Errorf("redelivering what is pending: %d", a.status)
		}

		before := env.balance("alice")

		a := env.request(env.alice, "POST", "/v1/video/generations", body("http://192.168.0.1/x"))
		if code, param := a.errorCode(t); code != "invalid_value" || param != "webhook_url" || env.balance("alice") != before {
			t.Errorf("%s %s", code, param)
		}
	})
}

// TestDeliveryBodyIsAsOfEvent checks that a delivery contains the video as it was when the
// event happened.
func TestDeliveryBodyIsAsOfEvent(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, env *testEnv) {
		id := env.createTask(env.alice)
		env.finishTask(id, []byte("film"))

		described := testSpec(t).Webhooks

		for event, want := range map[string]string{"video.queued": "queued 0 no", "video.in_progress": "in_progress 0 no", "video.completed": "completed 100 yes"} {
			d := store.Delivery{ID: "evt_1", Endpoint: "hook_1", Task: id, Event: event, CreatedAt: 1_767_225_600_000}

			body, err := env.api.DeliveryBody(t.Context(), "https://video.example", d)
			if err != nil {
				t.Fatal(err)
			}

			var got struct {
				ID, Object, Type, Timestamp string
				CreatedAt                   int64 `json:"created_at"`
				Data                        video
			}
			if err := json.Unmarshal(body, &got); err != nil {
				t.Fatal(err)
			}

			checkAgainstSchema(t, described[event], body)

			link := "no"
			if got.Data.VideoURL != nil && strings.HasPrefix(*got.Data.VideoURL, "https://video.example/v1/videos/"+id+"/content?") {
				link = "yes"
			}

			if is := fmt.Sprint(got.Data.Status, " ", got.Data.Progress, " ", link); is != want || got.Data.ID != id || got.Type != event || got.Object != "event" || got.Timestamp != "2026-01-01T00:00:00Z" {
				t.Errorf("%s: %s, %s", event, is, body)
			}

			if ended := event == "video.completed"; (got.Data.CompletedAt != nil) != ended || (got.Data.Usage != nil) != ended {
				t.Errorf("%s: %s", event, body)
			}
		}

		body, err := env.api.DeliveryBody(t.Context(), "", store.Delivery{ID: "evt_2_test", Endpoint: "hook_1", Event: "webhook.test"})
		if err != nil {
			t.Fatal(err)
		}

		checkAgainstSchema(t, described["webhook.test"], body)

		if s := taskAtStatus(task.Task{State: task.Failed, Error: &task.Error{Code: "x"}, StartedAt: 5}, "in_progress"); s.State != task.Running || s.Error != nil || s.StartedAt != 5 {
			t.Errorf("%+v", s)
		}
	})
}

// checkAgainstSchema validates a delivery's body against openapi.yaml.
func checkAgainstSchema(t *testing.T, webhook *openapi3.PathItem, body []byte) {
	t.Helper()

	var sent any
	if err := json.Unmarshal(body, &sent); err != nil {
		t.Fatal(err)
	}

	if err := webhook.Post.RequestBody.Value.Content["application/json"].Schema.Value.VisitJSON(sent); err != nil {
		t.Errorf("%s does not match openapi.yaml: %v", body, err)
	}
}

// TestSpecExampleSignatureVerifies checks that the spec's example headers are valid for its
// example of a test event, as it is sent.
func TestSpecExampleSignatureVerifies(t *testing.T) {
	doc := testSpec(t)

	headers := http.Header{}
	for _, p := range doc.Webhooks["webhook.test"].Post.Parameters {
		headers.Set(p.Value.Name, p.Value.Example.(string))
	}

	at, err := strconv.ParseInt(headers.Get("webhook-timestamp"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}

	d := store.Delivery{ID: headers.Get("webhook-id"), Endpoint: "hook_01JGM3W0000000000000000001", Event: "webhook.test", CreatedAt: at * 1000}

	body, err := new(API).DeliveryBody(t.Context(), "", d)
	if err != nil {
		t.Fatal(err)
	}

	secret := doc.Components.Schemas["Webhook"].Value.Example.(map[string]any)["secret"].(string)
	if _, err := client.VerifyWebhook(headers, body, time.Unix(at, 0), secret); err != nil {
		t.Errorf("%s: %v", body, err)
	}

	var sent any
	if err := json.Unmarshal(body, &sent); err != nil {
		t.Fatal(err)
	}

	shown := doc.Webhooks["webhook.test"].Post.RequestBody.Value.Content["application/json"].Examples["test"].Value.Value
	if diff := cmp.Diff(shown, sent); diff != "" {
		t.Errorf("(-shown +sent):\n%s", diff)
	}
}
