package api

import (
	"cmp"
	"fmt"
	"net/http"
	"strconv"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/store"
)

// localActor is the actor of changes made through the data folder's socket, or on the
// folder itself.
const localActor = "operator (local)"

// withActor makes the operator's endpoints record the actor for the audit log: the key, or
// localActor.
func withActor(list []endpoint) []endpoint {
	for i, e := range list {
		list[i].handle = func(c *requestContext) error {
			c.req = c.req.WithContext(store.WithActor(c.ctx(), cmp.Or(c.key.ID, localActor)))
			return e.handle(c)
		}
	}

	return list
}

// auditLine is one change that an operator made.
type auditLine struct {
	ID     string         `json:"id"`
	At     int64          `json:"at"`     // unix seconds
	Actor  string         `json:"actor"`  // a key's id, or localActor
	Action string         `json:"action"` // "credit.grant"
	Object string         `json:"object"` // the id, or an upstream's name
	Detail map[string]any `json:"detail"`
}

// listAudit is GET /admin/v1/audit, newest first.
func (a *API) listAudit(c *requestContext) error {
	query := c.req.URL.Query()
	f := store.AuditFilter{Actor: query.Get("actor"), Action: query.Get("action"), Object: query.Get("object"), After: query.Get("after")}

	var faults []fault.Fault

	limit, limitFault := limitOf(query)
	if limitFault != nil {
		faults = append(faults, *limitFault)
	}

	f.Limit = limit

	if query.Has("since") {
		since, err := strconv.ParseInt(query.Get("since"), 10, 64)
		if err != nil || since < 0 || since > maxTime {
			faults = append(faults, *fault.New(fault.CodeInvalidValue, "since", "This is a time in unix seconds."))
		}

		f.Since = since * 1000
	}

	if f := fault.Join(faults); f != nil {
		return f
	}

	list, more, err := a.Store.AuditLog(c.ctx(), f)
	if err != nil {
		return fmt.Errorf("read the audit log: %w", err)
	}

	lines := make([]auditLine, 0, len(list))
	for _, l := range list {
		if l.Detail == nil {
			l.Detail = map[string]any{}
		}

		lines = append(lines, auditLine{
			ID:     l.ID,
			At:     l.At / 1000,
			Actor:  l.Actor,
			Action: l.Action,
			Object: l.Object,
			Detail: l.Detail,
		})
	}

	return c.json(http.StatusOK, newPage(lines, more, func(l auditLine) string { return l.ID }))
}
