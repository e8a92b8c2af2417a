package script

import (
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// listenerCmd starts `unireel webhook listen` and sets $LISTENER to its address. A
// listener that is started again gets the same address.
func listenerCmd(ts *testscript.TestScript, _ bool, args []string) {
	addr := "127.0.0.1:0"
	if previous := ts.Getenv("LISTENER"); previous != "" {
		addr = strings.TrimPrefix(previous, "http://")
	}

	p := startProcess(ts, "listener", append([]string{"webhook", "listen", "--addr", addr}, args...)...)
	address := regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+`)

	waitFor(ts, p, "listener", func() bool {
		found := address.FindString(ts.ReadFile("listener.log"))
		ts.Setenv("LISTENER", found)

		return found != ""
	})
}
