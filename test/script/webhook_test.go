package script

import (
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// listenerCmd starts `unireel webhook listen`; $HOOK is its address afterwards. It
// can be started again at the same one.
func listenerCmd(ts *testscript.TestScript, _ bool, args []string) {
	at := "127.0.0.1:0"
	if was := ts.Getenv("HOOK"); was != "" {
		at = strings.TrimPrefix(was, "http://")
	}

	p := start(ts, "listener", append([]string{"webhook", "listen", "--addr", at}, args...)...)
	address := regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+`)

	await(ts, p, "listener", func() bool {
		found := address.FindString(ts.ReadFile("listener.log"))
		ts.Setenv("HOOK", found)

		return found != ""
	})
}
