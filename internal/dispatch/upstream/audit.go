package upstream

import (
	"encoding/json"
	"net/url"

	"github.com/unireel/unireel/internal/store"
)

// newAuditLine returns the audit log's line about what an operator does to an upstream now.
func (r *Registry) newAuditLine(action, upstream string, detail map[string]any) store.AuditEntry {
	return store.AuditEntry{ID: r.NewID("audit"), At: r.Clock.Millis(), Action: "upstream." + action, Object: upstream, Detail: detail}
}

// auditAction returns the audit log's word for a desired state.
func auditAction(state store.DesiredState) string {
	switch state {
	case store.DesiredPaused:
		return "pause"
	case store.DesiredDraining:
		return "drain"
	case store.DesiredRemoved:
		return "remove"
	default:
		return "resume"
	}
}

// auditDetail returns what the audit log shows of a setup: nothing that may contain a
// secret, such as settings or the path of an address.
func auditDetail(setup string) map[string]any {
	var parsed map[string]any
	if json.Unmarshal([]byte(setup), &parsed) != nil {
		return nil
	}

	detail := map[string]any{}

	for _, name := range []string{"provider", "region", "models", "order", "weight"} {
		if value, present := parsed[name]; present {
			detail[name] = value
		}
	}

	address, _ := parsed["base_url"].(string)
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		detail["base_url"] = u.Scheme + "://" + u.Host
	}

	return detail
}
