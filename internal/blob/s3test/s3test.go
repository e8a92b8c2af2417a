// Package s3test starts a real S3 server, versitygw, for a test. It runs on this machine
// only, at a free port, in a folder that is removed after the test. It checks signatures,
// checksums and conditions as real stores do. The tests of blob/s3, the scripts and the
// benchmark use it; the program never does.
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

// GoToolArgs are the arguments of go that print the server's path, after building it if
// necessary. Its version is pinned in tools/versitygw/go.mod.
const GoToolArgs = "tool -modfile=tools/versitygw/go.mod -n versitygw"

// Region is the region of every server.
const Region = "us-east-1"

// Server is an S3 server with one bucket.
type Server struct {
	Endpoint  string // http://127.0.0.1:port
	AccessKey string
	SecretKey string
	Bucket    string

	folder  string // has the buckets, as folders of files
	program string
	process *process
}

type process struct {
	cmd  *exec.Cmd
	out  *bytes.Buffer
	done chan struct{} // closed when the process has ended
}

// Start starts a server, waits until it answers, and stops it at the end of the test. The
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

// Launch is Start for callers other than a Go test, such as a script: the caller stops the
// server and removes the folder.
func Launch(ctx context.Context, folder string) (*Server, error) {
	program, err := serverPath(ctx)
	if err != nil {
		return nil, err
	}

	s := &Server{
		AccessKey: "unireel-test",
		SecretKey: "unireel-test-secret-0123",
		Bucket:    "videos",
		folder:    folder,
		program:   program,
	}
	if err := s.MakeBucket(s.Bucket); err != nil {
		return nil, err
	}
	// Another process may take the free port before the server does, so try several times.
	for range 5 {
		if s.Endpoint, err = freeAddress(ctx); err != nil {
			return nil, err
		}

		if err = s.Start(ctx); err == nil {
			return s, nil
		}
	}

	return nil, err
}

// serverPath returns the path of the server's program. Go keeps it in its build cache.
func serverPath(ctx context.Context) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}

	var stdout, stderr bytes.Buffer

	cmd := exec.CommandContext(ctx, filepath.Join(root, "scripts", "go"), strings.Fields(GoToolArgs)...)
	cmd.Dir = root
	cmd.Stdout = &stdout
	cmd.Stderr = &stderr
	// The test's own flags (-race, -cover, tags) must not affect the server.
	cmd.Env = append(os.Environ(), "GOFLAGS=-buildvcs=false")
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("the S3 server for tests is missing (%w); get it with: scripts/go %s\n%s", err, GoToolArgs, stderr.Bytes())
	}

	return strings.TrimSpace(stdout.String()), nil
}

// moduleRoot returns the folder of this module's go.mod, above the test's own folder.
func moduleRoot() (string, error) {
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

// MakeBucket creates a bucket.
func (s *Server) MakeBucket(name string) error {
	return os.MkdirAll(filepath.Join(s.folder, "buckets", name), 0o700)
}

// Files returns the files of a bucket, including unfinished uploads.
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

// Start starts a stopped server again, with the same address and blobs.
func (s *Server) Start(ctx context.Context) error {
	address := strings.TrimPrefix(s.Endpoint, "http://")
	p := &process{out: &bytes.Buffer{}, done: make(chan struct{})}
	// The server runs until Stop: ctx is only for the start.
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

	retry := time.NewTicker(10 * time.Millisecond)
	defer retry.Stop()

	timeout := time.After(30 * time.Second)

	var dialer net.Dialer
	for {
		if conn, err := dialer.DialContext(ctx, "tcp", address); err == nil {
			return conn.Close()
		}

		select {
		case <-retry.C:
		case <-p.done:
			return fmt.Errorf("the S3 server ended:\n%s", p.out.Bytes())
		case <-ctx.Done():
			s.Stop()
			return context.Cause(ctx)
		case <-timeout:
			s.Stop()
			return fmt.Errorf("the S3 server does not answer:\n%s", p.out.Bytes())
		}
	}
}

// Stop kills the server, like a crash. Its blobs remain.
func (s *Server) Stop() {
	_ = s.process.cmd.Process.Kill()
	<-s.process.done
}
