package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// signedEvent returns the example of Standard Webhooks, with its secret.
func signedEvent() (http.Header, []byte, time.Time, string) {
	h := http.Header{}
	h.Set("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek")
	h.Set("webhook-timestamp", "1614265330")
	h.Set("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")

	return h, []byte(`{"test": 2432232314}`), time.Unix(1614265330, 0), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
}

func TestVerifyWebhook(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(h http.Header, body []byte)
		late    time.Duration
		secrets []string
		want    error
	}{
		"as it came":              {},
		"beside an older secret":  {secrets: []string{"whsec_b2xkIHNlY3JldCBvbGQgc2VjcmV0", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}},
		"with a second signature": {change: func(h http.Header, _ []byte) { h.Set("webhook-signature", "v1a,x v1,AAAA "+h.Get("webhook-signature")) }},
		"five minutes late":       {late: 5 * time.Minute},
		"later":                   {late: 301 * time.Second, want: ErrWebhookTime},
		"from the future":         {late: -301 * time.Second, want: ErrWebhookTime},
		"another body":            {change: func(_ http.Header, body []byte) { body[2] = 'T' }, want: ErrWebhookSignature},
		"another id":              {change: func(h http.Header, _ []byte) { h.Set("webhook-id", "msg_x") }, want: ErrWebhookSignature},
		"another time":            {change: func(h http.Header, _ []byte) { h.Set("webhook-timestamp", "1614265331") }, want: ErrWebhookSignature},
		"no time":                 {change: func(h http.Header, _ []byte) { h.Del("webhook-timestamp") }, want: ErrWebhookSignature},
		"another version":         {change: func(h http.Header, _ []byte) { h.Set("webhook-signature", "v2"+h.Get("webhook-signature")[2:]) }, want: ErrWebhookSignature},
		"no signature":            {change: func(h http.Header, _ []byte) { h.Del("webhook-signature") }, want: ErrWebhookSignature},
		"another secret":          {secrets: []string{"whsec_b2xkIHNlY3JldCBvbGQgc2VjcmV0"}, want: ErrWebhookSignature},
		"an empty secret":         {secrets: []string{"whsec_", ""}, want: ErrWebhookSignature},
		"no secret":               {secrets: []string{}, want: ErrWebhookSignature},
	} {
		h, body, at, secret := signedEvent()
		if c.change != nil {
			c.change(h, body)
		}

		if c.secrets == nil {
			c.secrets = []string{secret}
		}

		if e, err := VerifyWebhook(h, body, at.Add(c.late), c.secrets...); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || err == nil && e.ID != "msg_p5jXN8AQM9LWM0D4loKWxJek" {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
	}
}

func FuzzVerifyWebhook(f *testing.F) {
	h, body, at, secret := signedEvent()
	f.Add(h.Get("webhook-id"), h.Get("webhook-timestamp"), h.Get("webhook-signature"), body)
	f.Add("evt_1", "-1", "v1,", []byte(`{"type":"video.completed","data":{"id":"task_1"}}`))
	f.Fuzz(func(t *testing.T, id, stamp, signature string, text []byte) {
		given := http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {stamp}, "Webhook-Signature": {signature}}
		if _, err := VerifyWebhook(given, text, at, secret); err == nil && string(text) != string(body) {
			t.Errorf("accepted %q signed %q", text, signature)
		}
	})
}

func TestWebhookRequests(t *testing.T) {
	var requests []string

	c := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests = append(requests, strings.TrimSpace(r.Method+" "+r.URL.String()+" "+string(body)))

		answer := `{"id":"hook_1","secret":"whsec_x","data":[{"id":"evt_1"}],"has_more":true,"last_id":"evt_1"}`
		if r.URL.Query().Get("after") != "" {
			answer = `{"data":[{"id":"evt_2"}],"has_more":false}`
		}

		_, _ = io.WriteString(w, answer)
	}))
	ctx := context.Background()
	off := false

	var ids []string

	for _, do := range []func() error{
		func() error { _, err := c.AddWebhook(ctx, "https://a.example", "video.failed"); return err },
		func() error { _, err := c.Webhooks(ctx); return err },
		func() error { _, err := c.Webhook(ctx, "hook_1"); return err },
		func() error { _, err := c.ChangeWebhook(ctx, "hook_1", WebhookChange{Enabled: &off}); return err },
		func() error { _, err := c.WebhookSecret(ctx, DefaultWebhook); return err },
		func() error { _, err := c.RotateWebhookSecret(ctx, "hook_1", time.Minute); return err },
		func() error { _, err := c.TestWebhook(ctx, "hook_1"); return err },
		func() error {
			for d, err := range c.Deliveries(ctx, "hook_1", "failed") {
				if err != nil {
					return err
				}

				ids = append(ids, d.ID)
			}

			return nil
		},
		func() error { _, err := c.Redeliver(ctx, "hook_1", "evt_1"); return err },
		func() error { return c.DeleteWebhook(ctx, "hook_1") },
	} {
		if err := do(); err != nil {
			t.Error(err)
		}
	}

	want := `POST /v1/webhooks {"url":"https://a.example","events":["video.failed"]}
GET /v1/webhooks
GET /v1/webhooks/hook_1
PATCH /v1/webhooks/hook_1 {"enabled":false}
GET /v1/webhooks/default/secret
POST /v1/webhooks/hook_1/secret {"keep_seconds":60}
POST /v1/webhooks/hook_1/test
GET /v1/webhooks/hook_1/deliveries?limit=100&status=failed
GET /v1/webhooks/hook_1/deliveries?after=evt_1&limit=100&status=failed
POST /v1/webhooks/hook_1/deliveries/evt_1/redeliver
DELETE /v1/webhooks/hook_1`
	if got := strings.Join(requests, "\n"); got != want {
		t.Errorf("sent\n%s\nwant\n%s", got, want)
	}

	if fmt.Sprint(ids) != "[evt_1 evt_2]" {
		t.Errorf("%v", ids)
	}
}
