package script

import (
	"context"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/unireel/unireel/internal/blob/s3test"
)

// s3Servers holds the S3 servers of all running scripts, by the script's name.
var s3Servers sync.Map

// s3Cmd controls an S3 server:
//
//	s3 [stop | start | count N]
//
// Without arguments it starts one with a bucket, and sets $S3 to its address,
// $BUCKET to the bucket, and $S3_ACCESS_KEY and $S3_SECRET_KEY to its credentials.
// `s3 stop` kills the server and `s3 start` starts it again. `s3 count N` waits
// until the bucket has N blobs; incomplete ones count too.
func s3Cmd(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) == 0 {
		startS3(ts)
		return
	}

	stored, ok := s3Servers.Load(ts.Name())
	if !ok {
		ts.Fatalf("no S3 server was started")
	}

	server := stored.(*s3test.Server)

	switch args[0] {
	case "stop":
		server.Stop()
	case "start":
		ts.Check(server.Start(context.Background()))
	case "count":
		want, err := strconv.Atoi(args[1])
		ts.Check(err)

		var files []string
		defer func() { ts.Logf("the bucket has %v", files) }()

		waitFor(ts, runningProcess(ts, nil), "server", func() bool {
			files, err = server.Files(server.Bucket)
			// A file may be deleted while they are listed; then the next try counts.
			return err == nil && len(files) == want
		})
	default:
		ts.Fatalf("usage: s3 [stop | start | count N]")
	}
}

func startS3(ts *testscript.TestScript) {
	folder, err := os.MkdirTemp("", "unireel-s3-*")
	ts.Check(err)
	ts.Defer(func() { _ = os.RemoveAll(folder) })

	// The first start on a machine builds the server, which takes minutes.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()

	server, err := s3test.Launch(ctx, folder)
	ts.Check(err)
	ts.Defer(server.Stop)
	s3Servers.Store(ts.Name(), server)
	ts.Setenv("S3", server.Endpoint)
	ts.Setenv("BUCKET", server.Bucket)
	ts.Setenv("S3_ACCESS_KEY", server.AccessKey)
	ts.Setenv("S3_SECRET_KEY", server.SecretKey)
}

// waitLogCmd waits until a line of the server's or of the listener's log matches:
//
//	waitlog [listener] REGEXP
func waitLogCmd(ts *testscript.TestScript, _ bool, args []string) {
	name := "server"
	if args[0] == "listener" {
		name = args[0]
		args = args[1:]
	}

	line := regexp.MustCompile(strings.Join(args, " "))

	waitFor(ts, runningProcess(ts, []string{name}), name, func() bool { return line.MatchString(ts.ReadFile(name + ".log")) })
}

// oneLineCmd checks that a file has exactly one line:
//
//	oneline FILE
func oneLineCmd(ts *testscript.TestScript, _ bool, args []string) {
	if text := ts.ReadFile(args[0]); strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") {
		ts.Fatalf("%s does not have exactly one line:\n%s", args[0], text)
	}
}
