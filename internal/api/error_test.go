package api

import (
	"fmt"
	"strings"
	"testing"

	"github.com/unireel/unireel/internal/fault"
)

// TestEveryKindHasAStatus checks that the table of HTTP statuses has every kind of fault.
func TestEveryKindHasAStatus(t *testing.T) {
	for k := fault.Invalid; k <= fault.Unavailable; k++ {
		if statuses[k].status == 0 || statuses[k].family == "" {
			t.Errorf("kind %d has no status", k)
		}
	}
}

// TestErrorsAreDocumented compares docs/errors.md with the list of codes; -update writes
// it.
func TestErrorsAreDocumented(t *testing.T) {
	var rejected, failed, warned strings.Builder

	for _, info := range fault.Codes() {
		meaning, isWarning := strings.CutPrefix(info.Meaning, "Warning: ")
		switch {
		case isWarning:
			fmt.Fprintf(&warned, "| `%s` | %s |\n", info.Code, capitalize(meaning))
		case taskCodes[info.Code]:
			fmt.Fprintf(&failed, "| `%s` | %s |\n", info.Code, meaning)
		default:
			as := statuses[info.Kind]
			fmt.Fprintf(&rejected, "| %d | `%s` | `%s` | %s |\n", as.status, as.family, info.Code, meaning)
		}
	}

	checkGolden(t, "../../docs/errors.md", []byte(`# Errors

<!-- Generated: go test ./internal/api -run Errors -update -->

All error responses have the same format. `+"`errors`"+` lists all errors, in the order of the body; the top level repeats the first one.
If a retry cannot succeed, the response has the header `+"`x-should-retry: false`"+`; otherwise `+"`Retry-After`"+` says when to retry. A rejected request is not charged.

`+"```json"+`
{"error": {"message": "...", "type": "invalid_request_error", "param": "extra_body.seed", "code": "invalid_value",
           "errors": [{"param": "extra_body.seed", "code": "invalid_value", "message": "..."}], "request_id": "req_..."}}
`+"```"+`

## Rejected requests

| HTTP | type | code | cause and fix |
|---|---|---|---|
`+rejected.String()+`
## Failed tasks

In the `+"`error`"+` of a task, returned with HTTP 200. A failed task is not charged.

| code | cause and fix |
|---|---|
`+failed.String()+`
## Warnings

In the `+"`warnings`"+` of a task. They do not stop the task.

| code | meaning |
|---|---|
`+warned.String()))
}

// taskCodes are the codes that only a failed task has.
var taskCodes = map[fault.Code]bool{
	fault.CodeReferenceUnreachable: true, fault.CodeReferenceInvalid: true, fault.CodeContentRejected: true, fault.CodeSupplierRejected: true, fault.CodeSupplierFailed: true, fault.CodeUpstreamUnknown: true,
	fault.CodeUpstreamLost: true, fault.CodeResultLost: true, fault.CodeExpired: true, fault.CodeRenderFailed: true, fault.CodeTaskTimedOut: true,
}

func capitalize(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
