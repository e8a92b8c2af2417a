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

// server is the program under load.
type server struct {
	name    string
	data    string
	on      *database
	dsn     string // "": a file in the data folder
	env     []string
	binary  string
	profile string
	starts  int
	cmd     *exec.Cmd
	ended   chan struct{} // closed when the process is gone
	log     bytes.Buffer
	addr    string
}

// newServer starts the program on a fresh folder and a fresh database. supplierURL
// "" leaves it to its embedded renderer.
func (b *bench) newServer(ctx context.Context, name, supplierURL string, env ...string) (*server, error) {
	dsn, err := b.on.fresh(ctx)
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

	return b.join(ctx, name, dsn, env...)
}

// join starts the program on a fresh folder and a database that is there.
func (b *bench) join(ctx context.Context, name, dsn string, env ...string) (*server, error) {
	s := &server{name: name + "-" + b.on.name, on: b.on, dsn: dsn, binary: b.binary, profile: b.profile}
	s.data = filepath.Join(b.folder, s.name)

	s.env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + b.folder, "UNIREEL_DATA=" + s.data, "UNIREEL_ADDR=127.0.0.1:0", "UNIREEL_BOOTSTRAP_KEY=" + apiKey,
		"UNIREEL_BOOTSTRAP_CREDIT=1000000000", "UNIREEL_LOG_LEVEL=error",
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
	s.cmd = exec.CommandContext(context.WithoutCancel(ctx), s.binary, "serve") // stop ends it
	s.cmd.Env = s.env
	s.cmd.Stdout = &s.log

	s.cmd.Stderr = &s.log
	if s.profile != "" {
		self, err := os.Executable()
		if err != nil {
			return err
		}

		s.cmd.Path = self
		s.cmd.Env = append(s.env, fmt.Sprintf("%s=%s/%s-%d.pprof", profileVar, s.profile, s.name, s.starts))
	}

	if err := s.cmd.Start(); err != nil {
		return err
	}

	s.ended = make(chan struct{})
	go func() {
		_ = s.cmd.Wait()
		close(s.ended)
	}()

	if err := s.await(ctx, profile); err != nil {
		s.kill()
		return fmt.Errorf("start the server: %w; it said: %s", err, s.log.String())
	}

	return nil
}

// await waits until the server wrote where it listens and is ready there.
func (s *server) await(ctx context.Context, profile string) error {
	ctx, over := context.WithTimeout(ctx, 2*time.Minute)
	defer over()

	for pause(ctx, 5*time.Millisecond) {
		select {
		case <-s.ended:
			return errors.New("it ended")
		default:
		}

		var seen struct{ URL string }

		text, _ := os.ReadFile(profile)
		if json.Unmarshal(text, &seen) != nil || seen.URL == "" {
			continue
		}

		s.addr = strings.TrimPrefix(seen.URL, "http://")
		if s.ready(ctx) == nil {
			return nil
		}
	}

	return ctx.Err()
}

func (s *server) ready(ctx context.Context) error {
	c := s.caller()
	defer c.close()

	_, err := c.do(ctx, http.MethodGet, "/readyz", "")

	return err
}

// stop ends the program gently, kill at once; both wait for its end.
func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	<-s.ended
}

func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.ended
}

func (s *server) pid() int { return s.cmd.Process.Pid }

// video is what the bench looks at of a task.
type video struct {
	ID     string `json:"id"`
	Status string `json:"status"`
}

// request is an order without references: nothing is fetched for it.
func request(prompt string) string {
	return `{"model":"wan2.6-video-720p","prompt":"` + prompt + `","size":"1280*720","duration":5}`
}

const sea = "a quiet sea at dawn, slow camera, warm light"

// create orders a video and returns its id.
func (c *caller) create(ctx context.Context, body string) (string, error) {
	text, err := c.do(ctx, http.MethodPost, "/v1/video/generations", body)
	if err != nil {
		return "", err
	}

	var v video

	err = json.Unmarshal(text, &v)

	return v.ID, err
}

// final waits until a task has ended.
func (c *caller) final(ctx context.Context, id string) error {
	for {
		text, err := c.do(ctx, http.MethodGet, "/v1/videos/"+id+"?wait=30", "")
		if err != nil {
			return err
		}

		var v video
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

// creating is a load of creates, in turn of these customers (none: the first
// account); the ids of the first ones are kept in keep.
func creating(keep []string, of ...customer) call {
	var n atomic.Int64

	body := request(sea)

	return func(ctx context.Context, c *caller, i int64) error {
		if len(of) > 0 {
			c.key = of[i%int64(len(of))].key
		}

		id, err := c.create(ctx, body)
		if i := n.Add(1) - 1; err == nil && i < int64(len(keep)) {
			keep[i] = id
		}

		return err
	}
}

// reading is a load of status reads, each of another task in an order that jumps
// about: a stride that is prime to their number visits all.
func reading(ids []string) call {
	return func(ctx context.Context, c *caller, i int64) error {
		_, err := c.do(ctx, http.MethodGet, "/v1/videos/"+ids[i*7919%int64(len(ids))], "")
		return err
	}
}

// pause waits; false says that ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

var errCut = errors.New("the answer was cut off")
