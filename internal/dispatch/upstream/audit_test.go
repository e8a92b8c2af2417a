package upstream

import (
	"fmt"
	"testing"
)

func TestAuditDetailHasNoSecrets(t *testing.T) {
	for setup, want := range map[string]string{
		`{"name":"far","provider":"uniall","base_url":"https://me:pass@far.example:8443/t0ken/v1?key=k","api_key":"sk-1","api_key_file":"/x","settings":{"a":"b"},"order":2}`: "map[base_url:https://far.example:8443 order:2 provider:uniall]",
		`{"name":"near","provider":"fal","models":["m"],"region":"r","weight":3}`:                                                                                             "map[models:[m] provider:fal region:r weight:3]",
		`{"base_url":7}`: "map[]",
		`none`:           "map[]",
	} {
		if got := fmt.Sprint(auditDetail(setup)); got != want {
			t.Errorf("auditDetail(%s) = %s, want %s", setup, got, want)
		}
	}
}
