package api

import (
	"fmt"
	"strings"
	"testing"

	"github.com/unireel/unireel/internal/fault"
)

// TestEveryKindHasAStatus holds the one table of HTTP statuses to the kinds that
// there are.
func TestEveryKindHasAStatus(t *testing.T) {
	for k := fault.Invalid; k <= fault.Unavailable; k++ {
		if statuses[k].status == 0 || statuses[k].family == "" {
			t.Errorf("kind %d has no status", k)
		}
	}
}

// TestErrorsAreDocumented writes docs/errors.md from the codes that there are.
func TestErrorsAreDocumented(t *testing.T) {
	var refused, failed, warned strings.Builder

	for _, info := range fault.Codes() {
		meaning, isWarning := strings.CutPrefix(info.Meaning, "Warning: ")
		switch {
		case isWarning:
			fmt.Fprintf(&warned, "| `%s` | %s |\n", info.Code, sentence(meaning))
		case ofTask[info.Code]:
			fmt.Fprintf(&failed, "| `%s` | %s |\n", info.Code, meaning)
		default:
			as := statuses[info.Kind]
			fmt.Fprintf(&refused, "| %d | `%s` | `%s` | %s |\n", as.status, as.family, info.Code, meaning)
		}
	}

	golden(t, "../../docs/errors.md", []byte(`# Errors

<!-- Generated: go test ./internal/api -run Errors -update -->

Every refused request is answered with one shape. `+"`errors`"+` has everything that is wrong, in the order of the body; the top level repeats the first.
What a retry cannot help carries `+"`x-should-retry: false`"+`; what it can help says when in `+"`Retry-After`"+`. Nothing of what is refused is charged.

`+"```json"+`
{"error": {"message": "...", "type": "invalid_request_error", "param": "extra_body.seed", "code": "invalid_value",
           "errors": [{"param": "extra_body.seed", "code": "invalid_value", "message": "..."}], "request_id": "req_..."}}
`+"```"+`

## Refused requests

| HTTP | type | code | when, and what to do |
|---|---|---|---|
`+refused.String()+`
## Tasks that ended failed

In the `+"`error`"+` of a task, answered with HTTP 200. A failed task costs nothing.

| code | when, and what to do |
|---|---|
`+failed.String()+`
## Warnings

In the `+"`warnings`"+` of a task. They stop nothing.

| code | meaning |
|---|---|
`+warned.String()))
}

// ofTask are the codes that only a task ends with.
var ofTask = map[fault.Code]bool{
	fault.CodeUnreachable: true, fault.CodeBadReference: true, fault.CodeModerated: true, fault.CodeRefused: true, fault.CodeSupplier: true, fault.CodeUpstreamUnknown: true,
	fault.CodeUpstreamLost: true, fault.CodeResultLost: true, fault.CodeExpired: true, fault.CodeRender: true, fault.CodeTimedOut: true,
}

func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
