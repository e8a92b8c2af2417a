package dispatch

import (
	"encoding/json"
	"net/url"

	"github.com/unireel/unireel/internal/store"
)

// audited is the line of the audit log about what an operator does to an upstream
// now.
func (d *Dispatch) audited(act, upstream string, detail map[string]any) store.AuditLine {
	return store.AuditLine{ID: d.NewID("audit"), At: d.millis(), Action: "upstream." + act, Object: upstream, Detail: detail}
}

// actOf is the operator's word for what a wish asks.
func actOf(wish store.Wish) string {
	switch wish {
	case store.WishPause:
		return "pause"
	case store.WishDrain:
		return "drain"
	case store.WishRemove:
		return "remove"
	default:
		return "resume"
	}
}

// shownOf is what the audit log tells of a set-up: of what may hold a secret
// (settings, the rest of an address) nothing.
func shownOf(setup string) map[string]any {
	var all map[string]any
	if json.Unmarshal([]byte(setup), &all) != nil {
		return nil
	}

	shown := map[string]any{}

	for _, name := range []string{"provider", "region", "models", "order", "weight"} {
		if value, given := all[name]; given {
			shown[name] = value
		}
	}

	address, _ := all["base_url"].(string)
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		shown["base_url"] = u.Scheme + "://" + u.Host
	}

	return shown
}
