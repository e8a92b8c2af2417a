// Package s3test starts a real S3 server, versitygw, for a test: on this machine
// only, in a folder that goes away with the test, at a free port. It checks
// signatures, checksums and conditions as the stores of the world do. The tests
// of blob/s3, the scripts and the benchmark use it; the program never does.
package s3test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Tool is the arguments of go that give the server's path, built if need be.
// Its version is pinned in tools/versitygw/go.mod.
const Tool = "tool -modfile=tools/versitygw/go.mod -n versitygw"

// Region is where every server says that it is.
const Region = "us-east-1"

// Server is an S3 server with one bucket.
type Server struct {
	Endpoint  string // http://127.0.0.1:port
	AccessKey string
	SecretKey string
	Bucket    string

	folder  string // that has the buckets, as folders of files
	program string
	process *process
}

type process struct {
	cmd  *exec.Cmd
	out  *bytes.Buffer
	done chan struct{} // closed when it ended
}

// Start starts a server and waits until it answers; it ends with the test. The
// first call on a machine builds the server, which takes minutes.
func Start(t testing.TB) *Server {
	t.Helper()

	s, err := Launch(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(s.Stop)

	return s
}

// Launch is Start for what is no test of its own, such as a script: the caller
// stops the server and removes the folder.
func Launch(ctx context.Context, folder string) (*Server, error) {
	program, err := build(ctx)
	if err != nil {
		return nil, err
	}

	s := &Server{AccessKey: "unireel-test", SecretKey: "unireel-test-secret-0123", Bucket: "films", folder: folder, program: program}
	if err := s.MakeBucket(s.Bucket); err != nil {
		return nil, err
	}
	// A port that was free may be somebody else's by now.
	for range 5 {
		if s.Endpoint, err = freeAddress(ctx); err != nil {
			return nil, err
		}

		if err = s.Run(ctx); err == nil {
			return s, nil
		}
	}

	return nil, err
}

// build is the server's path. Go keeps what it built in its build cache.
func build(ctx context.Context) (string, error) {
	root, err := repository()
	if err != nil {
		return "", err
	}

	var out, said bytes.Buffer

	cmd := exec.CommandContext(ctx, filepath.Join(root, "scripts", "go"), strings.Fields(Tool)...)
	cmd.Dir = root
	cmd.Stdout = &out
	cmd.Stderr = &said
	// The tests' own flags (-race, -cover, tags) are not the server's.
	cmd.Env = append(os.Environ(), "GOFLAGS=-buildvcs=false")
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("the S3 server of the tests is not here (%w); get it with: scripts/go %s\n%s", err, Tool, said.Bytes())
	}

	return strings.TrimSpace(out.String()), nil
}

// repository is the folder with this module's go.mod, above the test's own.
func repository() (string, error) {
	folder, err := os.Getwd()
	if err != nil {
		return "", err
	}

	for ; folder != filepath.Dir(folder); folder = filepath.Dir(folder) {
		if _, err := os.Stat(filepath.Join(folder, "tools", "versitygw", "go.mod")); err == nil {
			return folder, nil
		}
	}

	return "", fmt.Errorf("no tools/versitygw/go.mod above the folder of the test")
}

func freeAddress(ctx context.Context) (string, error) {
	var c net.ListenConfig

	l, err := c.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}

	return "http://" + l.Addr().String(), l.Close()
}

// MakeBucket makes a bucket.
func (s *Server) MakeBucket(name string) error {
	return os.MkdirAll(filepath.Join(s.folder, "buckets", name), 0o700)
}

// Files are the files below a bucket, unfinished uploads among them.
func (s *Server) Files(bucket string) ([]string, error) {
	var found []string

	root := filepath.Join(s.folder, "buckets", bucket)
	err := filepath.WalkDir(root, func(name string, entry os.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			name, err = filepath.Rel(root, name)
			found = append(found, filepath.ToSlash(name))
		}

		return err
	})

	return found, err
}

// Run starts a server that was stopped again, with the same address and blobs.
func (s *Server) Run(ctx context.Context) error {
	address := strings.TrimPrefix(s.Endpoint, "http://")
	p := &process{out: &bytes.Buffer{}, done: make(chan struct{})}
	// It lives until Stop: ctx is for the start only.
	p.cmd = exec.CommandContext(context.WithoutCancel(ctx), s.program, "--port", address, "--region", Region, "--keep-alive", "--quiet",
		"posix", filepath.Join(s.folder, "buckets"))
	p.cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+s.AccessKey, "ROOT_SECRET_KEY="+s.SecretKey)
	p.cmd.Stdout = p.out

	p.cmd.Stderr = p.out

	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start the S3 server: %w", err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()

	s.process = p

	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()

	late := time.After(30 * time.Second)

	var dialer net.Dialer
	for {
		if conn, err := dialer.DialContext(ctx, "tcp", address); err == nil {
			return conn.Close()
		}

		select {
		case <-again.C:
		case <-p.done:
			return fmt.Errorf("the S3 server ended:\n%s", p.out.Bytes())
		case <-ctx.Done():
			s.Stop()
			return context.Cause(ctx)
		case <-late:
			s.Stop()
			return fmt.Errorf("the S3 server does not answer:\n%s", p.out.Bytes())
		}
	}
}

// Stop ends the server at once, as a crash would. Its blobs stay.
func (s *Server) Stop() {
	_ = s.process.cmd.Process.Kill()
	<-s.process.done
}
