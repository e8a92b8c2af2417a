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

// wires is a network of pipes, which stands still with the bubble's time.
type wires struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newWires() *wires { return &wires{conns: make(chan net.Conn), done: make(chan struct{})} }

func (w *wires) Accept() (net.Conn, error) {
	select {
	case c := <-w.conns:
		return c, nil
	case <-w.done:
		return nil, net.ErrClosed
	}
}

func (w *wires) Close() error   { w.once.Do(func() { close(w.done) }); return nil }
func (w *wires) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

func (w *wires) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case w.conns <- there:
		return here, nil
	case <-w.done:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// inSimHouse is a house whose supplier is the simulated DashScope behind the
// real provider, over HTTP.
func inSimHouse(t *testing.T, o dashscopesim.Options, test func(*house, *dashscopesim.Sim)) {
	inHouse(t, func(h *house) {
		o.Video = func(dashscopesim.Spec) ([]byte, error) { return h.supplier.video, nil }
		o.RenderMin = 50 * time.Second
		o.RenderMax = 70 * time.Second
		o.Keys = []dashscopesim.Key{{Secret: "sk-ours", ID: "1", Account: "main"}, {Secret: "sk-theirs", ID: "2", Account: "main"}}
		sim := dashscopesim.New(o)
		w := newWires()
		server := &http.Server{Handler: sim, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}

		served := make(chan struct{})
		go func() { defer close(served); _ = server.Serve(w) }()

		client, submit := provider.NewClients(w.dial)
		defer func() {
			client.CloseIdleConnections()

			_ = server.Close()

			<-served
		}()

		kind := dashscope.Kind()

		p, err := kind.New(provider.Options{Upstream: "up", BaseURL: "http://sim.test", Secret: "sk-ours", Client: client, Submit: submit, Folder: h.dir, Now: time.Now, Log: h.log()})
		if err != nil {
			t.Fatal(err)
		}

		h.upstreams[0].Kind = kind
		h.upstreams[0].Provider = p

		h.account("acct_a", 1, 0)
		defer func() {
			if h.stop != nil {
				h.halt()
			}
		}()

		test(h, sim)
	})
}

// submissions counts what the supplier accepted with a prompt.
func submissions(sim *dashscopesim.Sim, prompt string) int {
	n := 0

	for _, s := range sim.Submissions() {
		if s.Accepted && !s.Planted && s.Prompt == prompt {
			n++
		}
	}

	return n
}

func TestTheSimulatedSupplierRendersR2V(t *testing.T) {
	t.Parallel()
	inSimHouse(t, dashscopesim.Options{ReferenceSeconds: 2}, func(h *house, sim *dashscopesim.Sim) {
		h.start()
		id := h.create("acct_a", refs("character1 walks", "https://example.com/clip.mp4", "https://example.com/face.png"))

		done := h.untilState(id, task.Completed)
		if done.Billed != 4000 || len(done.Warnings) != 0 {
			t.Errorf("billed %d ms, warnings %+v", done.Billed, done.Warnings)
		}

		h.holdsVideo(id)
		h.sound()
	})
}

func TestTheSimulatedSuppliersFaultsLoseNothing(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		faults []dashscopesim.Fault
		state  task.State
		code   fault.Code
		times  int // accepted submissions
	}{
		"throttled":              {[]dashscopesim.Fault{dashscopesim.Slower(dashscopesim.Submit, "7")}, task.Completed, "", 1},
		"dropped before":         {[]dashscopesim.Fault{dashscopesim.Drop(dashscopesim.Submit)}, task.Completed, "", 1},
		"dropped after":          {[]dashscopesim.Fault{dashscopesim.DropAfter(dashscopesim.Submit)}, task.Completed, "", 1},
		"cut in the answer":      {[]dashscopesim.Fault{dashscopesim.CutAfter(dashscopesim.Submit)}, task.Completed, "", 1},
		"a bare 504":             {[]dashscopesim.Fault{dashscopesim.Raw(dashscopesim.Submit, 504, "text/html", "<html>")}, task.Completed, "", 1},
		"500 with its own words": {[]dashscopesim.Fault{dashscopesim.Refuse(dashscopesim.Submit, 500, "InternalError", "An internal error has occurred.")}, task.Completed, "", 1},
		"moderated":              {[]dashscopesim.Fault{dashscopesim.FailTask("DataInspectionFailed", "Input data may contain inappropriate content.")}, task.Failed, fault.CodeModerated, 1},
		"broken inside once":     {[]dashscopesim.Fault{dashscopesim.FailTask("InternalError.Algo", "Inference internal error.")}, task.Completed, "", 2},
		"polls refused":          {[]dashscopesim.Fault{{}, dashscopesim.Refuse(dashscopesim.Poll, 429, "Throttling.RateQuota", "Requests rate limit exceeded, please try again later.")}, task.Completed, "", 1},
		"its storage refuses":    {[]dashscopesim.Fault{storageRefuses(5)}, task.Completed, "", 1},
		"the link is dead":       {[]dashscopesim.Fault{dashscopesim.ExpiredLink()}, task.Failed, fault.CodeResultLost, 1},
	} {
		t.Run(name, func(t *testing.T) {
			inSimHouse(t, dashscopesim.Options{}, func(h *house, sim *dashscopesim.Sim) {
				h.start()
				h.untilState(h.create("acct_a", words("an earlier one")), task.Completed)

				for _, f := range c.faults {
					if f.Call != "" {
						sim.Inject(f)
					}
				}

				id := h.create("acct_a", words("a boat"))

				done := h.untilFinal(id)
				if done.State != c.state || (c.code != "" && done.Error.Code != string(c.code)) {
					t.Errorf("ended %s, %+v", done.State, done.Error)
				}

				if n := submissions(sim, "a boat"); n != c.times {
					t.Errorf("the supplier accepted it %d times, want %d", n, c.times)
				}

				h.sound()
			})
		})
	}
}

// storageRefuses has a link answer as if it were dead, so many times.
func storageRefuses(times int) dashscopesim.Fault {
	f := dashscopesim.Refuse(dashscopesim.Fetch, 403, "AccessDenied", "Request has expired.")
	f.Times = times

	return f
}

// Links that die before anybody may have asked: the supplier gives the same dead one
// again, and the task ends free.
func TestTheSimulatedSuppliersLinksDieEarly(t *testing.T) {
	t.Parallel()
	inSimHouse(t, dashscopesim.Options{LinkLife: time.Nanosecond}, func(h *house, sim *dashscopesim.Sim) {
		h.start()
		id := h.create("acct_a", words("a boat"))

		done := h.untilState(id, task.Failed)
		if done.Error.Code != string(fault.CodeResultLost) || done.Cost != 0 {
			t.Errorf("failed as %+v, cost %s", done.Error, done.Cost)
		}

		if n := h.counted(h.d.stats.lost.WithLabelValues("up")); n != 1 {
			t.Errorf("%v results were counted as lost", n)
		}

		if n := submissions(sim, "a boat"); n != 1 {
			t.Errorf("the supplier accepted it %d times", n)
		}

		h.sound()
	})
}

// A later model's prompt is sent in other words than the customer's: what the
// supplier repeats of it still proves that a found ticket is the task's.
func TestALostAnswerOfALaterModelIsFoundByThePromptAsSent(t *testing.T) {
	t.Parallel()
	inSimHouse(t, dashscopesim.Options{}, func(h *house, sim *dashscopesim.Sim) {
		h.start()

		ask := func(prompt string) catalog.Request {
			r := refs(prompt, "https://example.com/face.png", "https://example.com/clip.mp4")
			r.Model = "wan2.7-r2v-720p"
			r.Resolved = "wan2.7-r2v-720p"

			return r
		}
		h.untilState(h.create("acct_a", ask("an earlier one")), task.Completed)
		sim.Inject(dashscopesim.DropAfter(dashscopesim.Submit))

		id := h.create("acct_a", ask("character2 follows character1"))
		h.untilState(id, task.Completed)

		if n := submissions(sim, "Video 1 follows Image 1"); n != 1 {
			t.Errorf("accepted %d times", n)
		}

		h.sound()
	})
}

func TestTheSimulatedSuppliersForeignTasksAreLeftAlone(t *testing.T) {
	t.Parallel()
	inSimHouse(t, dashscopesim.Options{ListLag: 40 * time.Second}, func(h *house, sim *dashscopesim.Sim) {
		h.start()
		h.untilState(h.create("acct_a", words("an earlier one")), task.Completed)

		spec := dashscopesim.Spec{Width: 1280, Height: 720, Seconds: 2, Sound: true}
		theirs := dashscopesim.Key{Secret: "sk-theirs", ID: "2", Account: "main"}
		sim.Plant(dashscopesim.Planted{Key: theirs, Model: "wan2.6-t2v", Prompt: "a boat", Spec: spec, Takes: time.Minute})
		sim.Inject(dashscopesim.Drop(dashscopesim.Submit))

		id := h.create("acct_a", words("a boat"))
		h.untilState(id, task.Submitting)
		sim.Plant(dashscopesim.Planted{Key: theirs, Model: "wan2.6-t2v", Prompt: "a boat", Spec: spec, Takes: time.Minute})
		h.untilState(id, task.Completed)

		if n := submissions(sim, "a boat"); n != 1 {
			t.Errorf("accepted %d times", n)
		}

		h.sound()
	})
}

func TestTheSimulatedSupplierSurvivesEveryCrash(t *testing.T) {
	t.Parallel()

	for _, point := range []string{"before-submit", "after-submit", "polling", "collecting", "after-put", "after-final-commit"} {
		t.Run(point, func(t *testing.T) {
			inSimHouse(t, dashscopesim.Options{}, func(h *house, sim *dashscopesim.Sim) {
				h.start()
				h.untilState(h.create("acct_a", words("an earlier one")), task.Completed)
				h.halt()
				id := h.create("acct_a", words("a boat"))
				h.crash(point)
				h.start()
				h.untilState(id, task.Completed)

				if n := submissions(sim, "a boat"); n != 1 {
					t.Errorf("the supplier accepted it %d times", n)
				}

				h.holdsVideo(id)
				h.sound()
			})
		})
	}
}
