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

// s3Servers are those of every script under way, by its name.
var s3Servers sync.Map

// s3Cmd is: s3 starts an S3 server with a bucket: $S3 is its address, $BUCKET the
// bucket, $S3KEY and $S3SECRET who may use it. `s3 stop` is a crash, `s3 run` its
// end. `s3 count N` waits until the bucket has N blobs, whole ones or not.
func s3Cmd(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) == 0 {
		startS3(ts)
		return
	}

	found, ok := s3Servers.Load(ts.Name())
	if !ok {
		ts.Fatalf("no S3 server was started")
	}

	server := found.(*s3test.Server)

	switch args[0] {
	case "stop":
		server.Stop()
	case "run":
		ts.Check(server.Run(context.Background()))
	case "count":
		want, err := strconv.Atoi(args[1])
		ts.Check(err)

		var files []string
		defer func() { ts.Logf("the bucket has %v", files) }()

		await(ts, running(ts, nil), "server", func() bool {
			files, err = server.Files(server.Bucket)
			// A file may go while they are listed.
			return err == nil && len(files) == want
		})
	default:
		ts.Fatalf("usage: s3 [stop | run | count N]")
	}
}

func startS3(ts *testscript.TestScript) {
	folder, err := os.MkdirTemp("", "unireel-s3-*")
	ts.Check(err)
	ts.Defer(func() { _ = os.RemoveAll(folder) })
	// The first one on a machine is built, which takes minutes.
	ctx, done := context.WithTimeout(context.Background(), 10*time.Minute)
	defer done()

	server, err := s3test.Launch(ctx, folder)
	ts.Check(err)
	ts.Defer(server.Stop)
	s3Servers.Store(ts.Name(), server)
	ts.Setenv("S3", server.Endpoint)
	ts.Setenv("BUCKET", server.Bucket)
	ts.Setenv("S3KEY", server.AccessKey)
	ts.Setenv("S3SECRET", server.SecretKey)
}

// saysCmd is: says [listener] REGEXP: waits until the server's log, or the
// listener's, has a line like it.
func saysCmd(ts *testscript.TestScript, _ bool, args []string) {
	name := "server"
	if args[0] == "listener" {
		name = args[0]
		args = args[1:]
	}

	line := regexp.MustCompile(strings.Join(args, " "))

	await(ts, running(ts, []string{name}), name, func() bool { return line.MatchString(ts.ReadFile(name + ".log")) })
}

// onelineCmd is: oneline FILE: it has one line, and no more.
func onelineCmd(ts *testscript.TestScript, _ bool, args []string) {
	if text := ts.ReadFile(args[0]); strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") {
		ts.Fatalf("not one line:\n%s", text)
	}
}
