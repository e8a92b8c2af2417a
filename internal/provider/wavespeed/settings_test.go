package wavespeed

import (
	"net/http"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/provider"
)

func TestSettings(t *testing.T) {
	for key, value := range map[string]string{"storage": "x", "query_timeout": "5", "idle_timeout": "-1s"} {
		if _, err := parseSettings(map[string]string{key: value}); err == nil {
			t.Errorf("setting %s = %q is accepted", key, value)
		}
	}

	o := provider.Options{BaseURL: defaultBaseURL, HTTPClient: http.DefaultClient, SubmitHTTPClient: http.DefaultClient, Now: time.Now}
	if _, err := New(o); err == nil {
		t.Error("an empty key is accepted")
	}

	s, err := parseSettings(map[string]string{"query_timeout": "5s"})
	if err != nil || s.queryTimeout != 5*time.Second || s.submitTimeout != time.Minute {
		t.Errorf("%+v, %v", s, err)
	}
}
