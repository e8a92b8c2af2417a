package dashscopesim

import (
	"container/heap"
	"time"
)

// The states of a task.
const (
	pending   = "PENDING"
	running   = "RUNNING"
	succeeded = "SUCCEEDED"
	failed    = "FAILED"
	canceled  = "CANCELED"
)

// task is one submitted order and its fate, decided when it is made.
type task struct {
	id, requestID string
	key           Key
	model, prompt string
	spec          Spec
	size          string // "" where the supplier does not tell (I2V, and all from 2.7 on)
	format        string // what it calls ratio, from 2.7 on
	input         float64
	takes         time.Duration // of rendering

	made, started, ended time.Time
	status               string

	fails         bool
	code, message string
	text          bool   // usage numbers as strings
	dead          bool   // its link
	video         []byte // nil: rendered
}

// lane is what a limit belongs to.
type lane struct{ account, model string }

// queue holds the unfinished tasks of a lane.
type queue struct {
	pending []*task // oldest first
	running soonest
	at      time.Time // when the last render ended: no waiting task could start before
}

// soonest is the running tasks, the first to end on top.
type soonest []*task

func (h soonest) Len() int           { return len(h) }
func (h soonest) Less(i, j int) bool { return h[i].end().Before(h[j].end()) }
func (h soonest) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *soonest) Push(t any)        { *h = append(*h, t.(*task)) }
func (h *soonest) Pop() any {
	old := *h
	t := old[len(old)-1]
	*h = old[:len(old)-1]

	return t
}

// window counts calls of the last second.
type window struct{ at []time.Time }

// allow says whether one more call fits, and counts it.
func (s *Sim) allow(name string, limit int, now time.Time) bool {
	if limit < 0 {
		return true
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	w := s.windows[name]
	if w == nil {
		w = &window{}
		s.windows[name] = w
	}

	for len(w.at) > 0 && now.Sub(w.at[0]) >= time.Second {
		w.at = w.at[1:]
	}

	if len(w.at) >= limit {
		return false
	}

	w.at = append(w.at, now)

	return true
}

// add queues a new task.
func (s *Sim) add(t *task) {
	t.status = pending
	s.tasks[t.id] = t
	s.order = append(s.order, t)

	l := lane{t.key.Account, t.model}
	if s.lanes[l] == nil {
		s.lanes[l] = &queue{}
	}

	s.lanes[l].pending = append(s.lanes[l].pending, t)
}

// settle brings every task to where it stands at now: what happened since the
// last call happens in the order of its times, as if somebody had watched.
func (s *Sim) settle(now time.Time) {
	for _, q := range s.lanes {
		q.settle(now, s.o.Limits.InProgress, s.o.Pending)
	}

	gone := 0
	for gone < len(s.order) && now.Sub(s.order[gone].made) > s.o.TaskLife {
		delete(s.tasks, s.order[gone].id)
		gone++
	}

	s.order = s.order[gone:]
}

func (q *queue) settle(now time.Time, limit int, wait time.Duration) {
	for {
		if len(q.pending) > 0 && (limit < 0 || len(q.running) < limit) {
			at := q.pending[0].made.Add(wait)
			if at.Before(q.at) {
				at = q.at
			}

			if !at.After(now) && (len(q.running) == 0 || !q.running[0].end().Before(at)) {
				q.start(at)
				continue
			}
		}

		if len(q.running) == 0 || q.running[0].end().After(now) {
			return
		}

		t := heap.Pop(&q.running).(*task)
		t.ended, q.at = t.end(), t.end()

		t.status = succeeded
		if t.fails {
			t.status = failed
		}
	}
}

func (t *task) end() time.Time { return t.started.Add(t.takes) }

func (q *queue) start(at time.Time) {
	t := q.pending[0]
	q.pending = q.pending[1:]
	t.started = at
	t.status = running
	heap.Push(&q.running, t)
}

// Submission is one order that arrived, taken or not.
type Submission struct {
	At       time.Time
	Key      string // its api_key_id
	Account  string
	Model    string
	Prompt   string
	Accepted bool
	Task     string // the id, when accepted
	Code     string // why not
	Planted  bool
}

// Submissions are all orders since the start, oldest first, with the planted.
func (s *Sim) Submissions() []Submission {
	s.mu.Lock()
	defer s.mu.Unlock()

	return append([]Submission(nil), s.submissions...)
}

// Status is how a task stands now, "UNKNOWN" when there is none.
func (s *Sim) Status(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.settle(s.o.Now())

	if t := s.tasks[id]; t != nil {
		return t.status
	}

	return "UNKNOWN"
}

// Planted is a task that nobody submitted through the API here: another
// program's on the same account.
type Planted struct {
	Key     Key
	Model   string
	Prompt  string
	Spec    Spec
	Made    time.Time // zero: now
	Takes   time.Duration
	Waiting bool // it never leaves PENDING
}

// Plant adds a foreign task and returns its id.
func (s *Sim) Plant(p Planted) string {
	s.mu.Lock()
	defer s.mu.Unlock()

	if p.Made.IsZero() {
		p.Made = s.o.Now()
	}

	t := &task{
		id: s.newIDLocked(), requestID: s.newIDLocked(), key: p.Key, model: p.Model, prompt: p.Prompt,
		spec: p.Spec, size: p.Spec.size(), takes: p.Takes, made: p.Made, status: pending,
	}
	if p.Waiting {
		s.tasks[t.id] = t
		s.order = append(s.order, t)
	} else {
		s.add(t)
	}

	s.submissions = append(s.submissions, Submission{
		At: t.made, Key: p.Key.ID, Account: p.Key.Account, Model: p.Model,
		Prompt: p.Prompt, Accepted: true, Task: t.id, Planted: true,
	})

	return t.id
}

// Forget makes a task unknown, as after its 24 hours.
func (s *Sim) Forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()

	delete(s.tasks, id)

	s.order = without(s.order, id)
	for _, q := range s.lanes {
		q.pending, q.running = without(q.pending, id), without(q.running, id)
		heap.Init(&q.running)
	}
}

func without(list []*task, id string) []*task {
	var kept []*task

	for _, t := range list {
		if t.id != id {
			kept = append(kept, t)
		}
	}

	return kept
}
