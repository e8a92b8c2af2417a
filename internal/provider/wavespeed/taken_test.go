package wavespeed

import (
	"net/http"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/provider"
)

func TestSettings(t *testing.T) {
	for key, value := range map[string]string{"storage": "x", "query_timeout": "5", "silence_timeout": "-1s"} {
		if _, err := readSettings(map[string]string{key: value}); err == nil {
			t.Errorf("setting %s = %q is taken", key, value)
		}
	}

	o := provider.Options{BaseURL: home, Client: http.DefaultClient, Submit: http.DefaultClient, Now: time.Now}
	if _, err := New(o); err == nil {
		t.Error("no key is taken")
	}

	s, err := readSettings(map[string]string{"query_timeout": "5s"})
	if err != nil || s.queryTimeout != 5*time.Second || s.submitTimeout != time.Minute {
		t.Errorf("%+v, %v", s, err)
	}
}
