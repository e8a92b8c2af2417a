package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const apiKey = "sk-bench-0123456789"

// server is one process of the program under load.
type server struct {
	name    string
	data    string
	db      *database
	dsn     string // "" for SQLite, a file in the data folder
	env     []string
	binary  string
	profile string
	starts  int
	cmd     *exec.Cmd
	exited  chan struct{} // closed when the process has exited
	log     bytes.Buffer
	addr    string
}

// newServer starts the program with a new data folder and a new database. Without a
// supplierURL the program renders with its embedded renderer.
func (b *bench) newServer(ctx context.Context, name, supplierURL string, env ...string) (*server, error) {
	dsn, err := b.db.newDatabase(ctx)
	if err != nil {
		return nil, err
	}

	if dsn != "" {
		if err := b.migrate(ctx, dsn); err != nil {
			return nil, err
		}
	}

	if supplierURL != "" {
		env = append(env, "DASHSCOPE_API_KEY=sk-simulated", "UNIREEL_DASHSCOPE_BASE_URL="+supplierURL)
	}

	return b.startServer(ctx, name, dsn, env...)
}

// startServer starts the program with a new data folder and an existing database.
func (b *bench) startServer(ctx context.Context, name, dsn string, env ...string) (*server, error) {
	s := &server{
		name:    name + "-" + b.db.name,
		db:      b.db,
		dsn:     dsn,
		binary:  b.binary,
		profile: b.profile,
	}
	s.data = filepath.Join(b.folder, s.name)

	s.env = append([]string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + b.folder,
		"UNIREEL_DATA=" + s.data,
		"UNIREEL_ADDR=127.0.0.1:0",
		"UNIREEL_BOOTSTRAP_KEY=" + apiKey,
		"UNIREEL_BOOTSTRAP_CREDIT=1000000000",
		"UNIREEL_LOG_LEVEL=error",
	}, env...)

	if dsn != "" {
		s.env = append(s.env, "UNIREEL_DATABASE="+dsn)
	}

	return s, s.start(ctx)
}

// start starts the program and returns when it is ready.
func (s *server) start(ctx context.Context) error {
	profile := filepath.Join(s.data, "profile.json")
	_ = os.Remove(profile)
	s.starts++
	s.cmd = exec.CommandContext(context.WithoutCancel(ctx), s.binary, "serve") // stop and kill end it, not ctx
	s.cmd.Env = s.env
	s.cmd.Stdout = &s.log
	s.cmd.Stderr = &s.log

	if s.profile != "" {
		executable, err := os.Executable()
		if err != nil {
			return err
		}

		s.cmd.Path = executable
		s.cmd.Env = append(s.env, fmt.Sprintf("%s=%s/%s-%d.pprof", profileEnv, s.profile, s.name, s.starts))
	}

	if err := s.cmd.Start(); err != nil {
		return err
	}

	s.exited = make(chan struct{})
	go func() {
		_ = s.cmd.Wait()
		close(s.exited)
	}()

	if err := s.waitReady(ctx, profile); err != nil {
		s.kill()
		return fmt.Errorf("start the server: %w; its log: %s", err, s.log.String())
	}

	return nil
}

// waitReady waits until the server has written its address to its profile and is
// ready.
func (s *server) waitReady(ctx context.Context, profile string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()

	for sleep(ctx, 5*time.Millisecond) {
		select {
		case <-s.exited:
			return errors.New("the server exited")
		default:
		}

		var parsed struct{ URL string }

		text, _ := os.ReadFile(profile)
		if json.Unmarshal(text, &parsed) != nil || parsed.URL == "" {
			continue
		}

		s.addr = strings.TrimPrefix(parsed.URL, "http://")
		if s.ready(ctx) == nil {
			return nil
		}
	}

	return ctx.Err()
}

func (s *server) ready(ctx context.Context) error {
	c := s.newClient()
	defer c.close()

	_, err := c.do(ctx, http.MethodGet, "/readyz", "")

	return err
}

// stop shuts the program down with SIGTERM and waits until it has exited.
func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	<-s.exited
}

// kill kills the program with SIGKILL and waits until it has exited.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.exited
}

func (s *server) pid() int { return s.cmd.Process.Pid }

// taskStatus is the fields of a task that the bench reads.
type taskStatus struct {
	ID     string `json:"id"`
	Status string `json:"status"`
}

// requestBody returns the body of a create without references, so that the server
// fetches nothing.
func requestBody(prompt string) string {
	return `{"model":"wan2.6-video-720p","prompt":"` + prompt + `","size":"1280*720","duration":5}`
}

const samplePrompt = "a quiet sea at dawn, slow camera, warm light"

// create creates a task and returns its id.
func (c *apiClient) create(ctx context.Context, body string) (string, error) {
	text, err := c.do(ctx, http.MethodPost, "/v1/video/generations", body)
	if err != nil {
		return "", err
	}

	var v taskStatus

	err = json.Unmarshal(text, &v)

	return v.ID, err
}

// waitFinal waits until a task is completed. A task that fails or is cancelled is an
// error.
func (c *apiClient) waitFinal(ctx context.Context, id string) error {
	for {
		text, err := c.do(ctx, http.MethodGet, "/v1/videos/"+id+"?wait=30", "")
		if err != nil {
			return err
		}

		var v taskStatus
		if err := json.Unmarshal(text, &v); err != nil {
			return err
		}

		switch v.Status {
		case "completed":
			return nil
		case "failed", "cancelled":
			return fmt.Errorf("%s ended %s: %s", id, v.Status, text)
		}
	}
}

// createOperation returns an operation that creates tasks, in rotation for these
// customers (none: for the first account). The ids of the first creates are stored in
// ids.
func createOperation(ids []string, customers ...customer) operation {
	var n atomic.Int64

	body := requestBody(samplePrompt)

	return func(ctx context.Context, c *apiClient, i int64) error {
		if len(customers) > 0 {
			c.key = customers[i%int64(len(customers))].key
		}

		id, err := c.create(ctx, body)
		if i := n.Add(1) - 1; err == nil && i < int64(len(ids)) {
			ids[i] = id
		}

		return err
	}
}

// readOperation returns an operation that reads the status of one of these tasks, in
// a scattered order. The stride of 7919 is prime, so all of them are visited unless
// it divides their number.
func readOperation(ids []string) operation {
	return func(ctx context.Context, c *apiClient, i int64) error {
		_, err := c.do(ctx, http.MethodGet, "/v1/videos/"+ids[i*7919%int64(len(ids))], "")
		return err
	}
}

// sleep waits for d. It returns false if ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

var errTruncated = errors.New("the response is truncated")
