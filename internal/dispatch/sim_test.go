package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/unireel/unireel/internal/catalog"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/provider/dashscope"
	"github.com/unireel/unireel/internal/provider/dashscope/dashscopesim"
	"github.com/unireel/unireel/internal/task"
)

// pipeListener is an in-memory network of pipes. Its connections block durably, so that
// the fake clock of the bubble can advance.
type pipeListener struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.done:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// withSimulator runs a test with a harness whose supplier is the simulated DashScope,
// reached through the real provider over HTTP.
func withSimulator(t *testing.T, o dashscopesim.Options, test func(*harness, *dashscopesim.Sim)) {
	withHarness(t, func(h *harness) {
		o.Video = func(dashscopesim.Spec) ([]byte, error) { return h.supplier.video, nil }
		o.RenderMin = 50 * time.Second
		o.RenderMax = 70 * time.Second
		o.Keys = []dashscopesim.Key{{Secret: "sk-ours", ID: "1", Account: "main"}, {Secret: "sk-theirs", ID: "2", Account: "main"}}
		sim := dashscopesim.New(o)
		listener := newPipeListener()
		server := &http.Server{Handler: sim, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}

		served := make(chan struct{})
		go func() { defer close(served); _ = server.Serve(listener) }()

		client, submit := provider.NewHTTPClients(listener.dial)
		defer func() {
			client.CloseIdleConnections()

			_ = server.Close()

			<-served
		}()

		kind := dashscope.Driver()

		p, err := kind.New(provider.Options{
			Upstream:         "up",
			BaseURL:          "http://sim.test",
			Secret:           "sk-ours",
			HTTPClient:       client,
			SubmitHTTPClient: submit,
			Folder:           h.dir,
			Now:              time.Now,
			Log:              h.log(),
		})
		if err != nil {
			t.Fatal(err)
		}

		h.upstreams[0].Driver = kind
		h.upstreams[0].Provider = p

		h.addAccount("acct_a", 1, 0)
		defer func() {
			if h.stop != nil {
				h.shutdown()
			}
		}()

		test(h, sim)
	})
}

// acceptedCount counts the submissions with a prompt that the supplier accepted.
func acceptedCount(sim *dashscopesim.Sim, prompt string) int {
	n := 0

	for _, s := range sim.Submissions() {
		if s.Accepted && !s.Foreign && s.Prompt == prompt {
			n++
		}
	}

	return n
}

func TestSimulatorRendersR2V(t *testing.T) {
	t.Parallel()
	withSimulator(t, dashscopesim.Options{ReferenceSeconds: 2}, func(h *harness, sim *dashscopesim.Sim) {
		h.start()
		id := h.createTask("acct_a", referenceRequest("character1 walks", "https://example.com/clip.mp4", "https://example.com/face.png"))

		done := h.waitForState(id, task.Completed)
		if done.Billed != 4000 || len(done.Warnings) != 0 {
			t.Errorf("billed %d ms, warnings %+v", done.Billed, done.Warnings)
		}

		h.checkVideo(id)
		h.checkInvariants()
	})
}

func TestSimulatorFaultsLoseNothing(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		faults []dashscopesim.Fault
		state  task.State
		code   fault.Code
		times  int // accepted submissions
	}{
		"throttled":                        {[]dashscopesim.Fault{dashscopesim.Throttle(dashscopesim.Submit, "7")}, task.Completed, "", 1},
		"connection lost before handling":  {[]dashscopesim.Fault{dashscopesim.Drop(dashscopesim.Submit)}, task.Completed, "", 1},
		"connection lost after handling":   {[]dashscopesim.Fault{dashscopesim.DropAfter(dashscopesim.Submit)}, task.Completed, "", 1},
		"truncated response":               {[]dashscopesim.Fault{dashscopesim.TruncateAfter(dashscopesim.Submit)}, task.Completed, "", 1},
		"504 with HTML":                    {[]dashscopesim.Fault{dashscopesim.RespondRaw(dashscopesim.Submit, 504, "text/html", "<html>")}, task.Completed, "", 1},
		"500 with an error code":           {[]dashscopesim.Fault{dashscopesim.Reject(dashscopesim.Submit, 500, "InternalError", "An internal error has occurred.")}, task.Completed, "", 1},
		"moderated":                        {[]dashscopesim.Fault{dashscopesim.FailTask("DataInspectionFailed", "Input data may contain inappropriate content.")}, task.Failed, fault.CodeContentRejected, 1},
		"render fails once":                {[]dashscopesim.Fault{dashscopesim.FailTask("InternalError.Algo", "Inference internal error.")}, task.Completed, "", 2},
		"polls throttled":                  {[]dashscopesim.Fault{{}, dashscopesim.Reject(dashscopesim.Poll, 429, "Throttling.RateQuota", "Requests rate limit exceeded, please try again later.")}, task.Completed, "", 1},
		"storage denies access five times": {[]dashscopesim.Fault{storageError(5)}, task.Completed, "", 1},
		"dead link":                        {[]dashscopesim.Fault{dashscopesim.ExpiredLink()}, task.Failed, fault.CodeResultLost, 1},
	} {
		t.Run(name, func(t *testing.T) {
			withSimulator(t, dashscopesim.Options{}, func(h *harness, sim *dashscopesim.Sim) {
				h.start()
				h.waitForState(h.createTask("acct_a", textRequest("an earlier task")), task.Completed)

				for _, f := range c.faults {
					if f.Operation != "" {
						sim.Inject(f)
					}
				}

				id := h.createTask("acct_a", textRequest("a boat"))

				done := h.waitForFinal(id)
				if done.State != c.state || (c.code != "" && done.Error.Code != string(c.code)) {
					t.Errorf("ended %s, %+v", done.State, done.Error)
				}

				if n := acceptedCount(sim, "a boat"); n != c.times {
					t.Errorf("the supplier accepted it %d times, want %d", n, c.times)
				}

				h.checkInvariants()
			})
		})
	}
}

// storageError makes a link respond as if it were dead, for a number of times.
func storageError(times int) dashscopesim.Fault {
	f := dashscopesim.Reject(dashscopesim.Download, 403, "AccessDenied", "Request has expired.")
	f.Times = times

	return f
}

// Links that expire before they can be downloaded: the supplier gives the same dead link
// again, and the task fails free of charge.
func TestSimulatorLinksExpireEarly(t *testing.T) {
	t.Parallel()
	withSimulator(t, dashscopesim.Options{LinkTTL: time.Nanosecond}, func(h *harness, sim *dashscopesim.Sim) {
		h.start()
		id := h.createTask("acct_a", textRequest("a boat"))

		done := h.waitForState(id, task.Failed)
		if done.Error.Code != string(fault.CodeResultLost) || done.Cost != 0 {
			t.Errorf("failed as %+v, cost %s", done.Error, done.Cost)
		}

		if n := h.metricValue("unireel_results_lost_total", "up"); n != 1 {
			t.Errorf("%v results were counted as lost, want 1", n)
		}

		if n := acceptedCount(sim, "a boat"); n != 1 {
			t.Errorf("the supplier accepted it %d times, want once", n)
		}

		h.checkInvariants()
	})
}

// The provider rewrites the prompt for a newer model. The prompt that the supplier echoes
// still proves that a recovered remote task is the customer's task.
func TestRecoveryWithRewrittenPrompt(t *testing.T) {
	t.Parallel()
	withSimulator(t, dashscopesim.Options{}, func(h *harness, sim *dashscopesim.Sim) {
		h.start()

		newModelRequest := func(prompt string) catalog.Request {
			r := referenceRequest(prompt, "https://example.com/face.png", "https://example.com/clip.mp4")
			r.Model = "wan2.7-r2v-720p"
			r.Resolved = "wan2.7-r2v-720p"

			return r
		}
		h.waitForState(h.createTask("acct_a", newModelRequest("an earlier task")), task.Completed)
		sim.Inject(dashscopesim.DropAfter(dashscopesim.Submit))

		id := h.createTask("acct_a", newModelRequest("character2 follows character1"))
		h.waitForState(id, task.Completed)

		if n := acceptedCount(sim, "Video 1 follows Image 1"); n != 1 {
			t.Errorf("the supplier accepted it %d times, want once", n)
		}

		h.checkInvariants()
	})
}

func TestSimulatorForeignTasksAreIgnored(t *testing.T) {
	t.Parallel()
	withSimulator(t, dashscopesim.Options{ListLag: 40 * time.Second}, func(h *harness, sim *dashscopesim.Sim) {
		h.start()
		h.waitForState(h.createTask("acct_a", textRequest("an earlier task")), task.Completed)

		spec := dashscopesim.Spec{Width: 1280, Height: 720, Seconds: 2, Sound: true}
		theirs := dashscopesim.Key{Secret: "sk-theirs", ID: "2", Account: "main"}
		sim.AddForeignTask(dashscopesim.ForeignTask{Key: theirs, Model: "wan2.6-t2v", Prompt: "a boat", Spec: spec, RenderTime: time.Minute})
		sim.Inject(dashscopesim.Drop(dashscopesim.Submit))

		id := h.createTask("acct_a", textRequest("a boat"))
		h.waitForState(id, task.Submitting)
		sim.AddForeignTask(dashscopesim.ForeignTask{Key: theirs, Model: "wan2.6-t2v", Prompt: "a boat", Spec: spec, RenderTime: time.Minute})
		h.waitForState(id, task.Completed)

		if n := acceptedCount(sim, "a boat"); n != 1 {
			t.Errorf("the supplier accepted it %d times, want once", n)
		}

		h.checkInvariants()
	})
}

func TestSimulatorCrashAtEveryFailPoint(t *testing.T) {
	t.Parallel()

	for _, point := range []string{"before-submit", "after-submit", "polling", "collecting", "after-blob-put", "after-final-commit"} {
		t.Run(point, func(t *testing.T) {
			withSimulator(t, dashscopesim.Options{}, func(h *harness, sim *dashscopesim.Sim) {
				h.start()
				h.waitForState(h.createTask("acct_a", textRequest("an earlier task")), task.Completed)
				h.shutdown()
				id := h.createTask("acct_a", textRequest("a boat"))
				h.runUntilCrash(point)
				h.start()
				h.waitForState(id, task.Completed)

				if n := acceptedCount(sim, "a boat"); n != 1 {
					t.Errorf("the supplier accepted it %d times, want once", n)
				}

				h.checkVideo(id)
				h.checkInvariants()
			})
		})
	}
}
