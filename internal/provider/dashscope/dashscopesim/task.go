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

// task is one submission and its outcome, decided when it is made.
type task struct {
	id, requestID string
	key           Key
	model, prompt string
	spec          Spec
	size          string // "" where the supplier does not report it (I2V, and all from 2.7 on)
	ratio         string // the supplier's ratio, from 2.7 on
	inputSeconds  float64
	renderTime    time.Duration // of the rendering alone

	createdAt, startedAt, endedAt time.Time
	status                        string

	willFail      bool
	code, message string
	stringNumbers bool   // usage has strings for numbers
	linkExpired   bool   // the link of its result
	video         []byte // nil: the rendered one
}

// queueKey is what a limit applies to.
type queueKey struct{ account, model string }

// queue holds the unfinished tasks of one account and model.
type queue struct {
	pending []*task // oldest first
	running endHeap
	lastEnd time.Time // when the last render ended: no pending task could start before
}

// endHeap holds the running tasks, the first to end on top.
type endHeap []*task

func (h endHeap) Len() int           { return len(h) }
func (h endHeap) Less(i, j int) bool { return h[i].plannedEnd().Before(h[j].plannedEnd()) }
func (h endHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *endHeap) Push(t any)        { *h = append(*h, t.(*task)) }
func (h *endHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	*h = old[:len(old)-1]

	return t
}

// callWindow counts the requests of the last second.
type callWindow struct{ times []time.Time }

// allow reports whether one more request fits the limit, and counts it.
func (s *Sim) allow(name string, limit int, now time.Time) bool {
	if limit < 0 {
		return true
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	w := s.windows[name]
	if w == nil {
		w = &callWindow{}
		s.windows[name] = w
	}

	for len(w.times) > 0 && now.Sub(w.times[0]) >= time.Second {
		w.times = w.times[1:]
	}

	if len(w.times) >= limit {
		return false
	}

	w.times = append(w.times, now)

	return true
}

// enqueue queues a new task.
func (s *Sim) enqueue(t *task) {
	t.status = pending
	s.tasks[t.id] = t
	s.created = append(s.created, t)

	family := queueKey{t.key.Account, t.model}
	if s.queues[family] == nil {
		s.queues[family] = &queue{}
	}

	s.queues[family].pending = append(s.queues[family].pending, t)
}

// advance brings every task to its state at now. Starts and ends since the last
// call are applied in the order of their times, as if they had been processed when
// they happened.
func (s *Sim) advance(now time.Time) {
	for _, q := range s.queues {
		q.advance(now, s.o.Limits.InProgress, s.o.QueueTime)
	}

	expired := 0
	for expired < len(s.created) && now.Sub(s.created[expired].createdAt) > s.o.TaskTTL {
		delete(s.tasks, s.created[expired].id)
		expired++
	}

	s.created = s.created[expired:]
}

func (q *queue) advance(now time.Time, limit int, wait time.Duration) {
	for {
		if len(q.pending) > 0 && (limit < 0 || len(q.running) < limit) {
			at := q.pending[0].createdAt.Add(wait)
			if at.Before(q.lastEnd) {
				at = q.lastEnd
			}

			if !at.After(now) && (len(q.running) == 0 || !q.running[0].plannedEnd().Before(at)) {
				q.start(at)
				continue
			}
		}

		if len(q.running) == 0 || q.running[0].plannedEnd().After(now) {
			return
		}

		t := heap.Pop(&q.running).(*task)
		t.endedAt, q.lastEnd = t.plannedEnd(), t.plannedEnd()

		t.status = succeeded
		if t.willFail {
			t.status = failed
		}
	}
}

func (t *task) plannedEnd() time.Time { return t.startedAt.Add(t.renderTime) }

func (q *queue) start(at time.Time) {
	t := q.pending[0]
	q.pending = q.pending[1:]
	t.startedAt = at
	t.status = running
	heap.Push(&q.running, t)
}

// Submission is one submission that arrived, accepted or not.
type Submission struct {
	At       time.Time
	KeyID    string // its api_key_id
	Account  string
	Model    string
	Prompt   string
	Accepted bool
	TaskID   string // the ID, when accepted
	Code     string // the error code, when not accepted
	Foreign  bool
}

// Submissions returns all submissions since the start, oldest first, foreign tasks
// included.
func (s *Sim) Submissions() []Submission {
	s.mu.Lock()
	defer s.mu.Unlock()

	return append([]Submission(nil), s.submissions...)
}

// Status returns the current state of a task, "UNKNOWN" when there is none.
func (s *Sim) Status(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.advance(s.o.Now())

	if t := s.tasks[id]; t != nil {
		return t.status
	}

	return "UNKNOWN"
}

// ForeignTask is a task that was not submitted through this API: another program's
// task on the same account.
type ForeignTask struct {
	Key         Key
	Model       string
	Prompt      string
	Spec        Spec
	CreatedAt   time.Time // zero: now
	RenderTime  time.Duration
	NeverStarts bool // it stays PENDING
}

// AddForeignTask adds a foreign task and returns its ID.
func (s *Sim) AddForeignTask(p ForeignTask) string {
	s.mu.Lock()
	defer s.mu.Unlock()

	if p.CreatedAt.IsZero() {
		p.CreatedAt = s.o.Now()
	}

	t := &task{
		id:         s.newIDLocked(),
		requestID:  s.newIDLocked(),
		key:        p.Key,
		model:      p.Model,
		prompt:     p.Prompt,
		spec:       p.Spec,
		size:       p.Spec.size(),
		renderTime: p.RenderTime,
		createdAt:  p.CreatedAt,
		status:     pending,
	}
	if p.NeverStarts {
		s.tasks[t.id] = t
		s.created = append(s.created, t)
	} else {
		s.enqueue(t)
	}

	s.submissions = append(s.submissions, Submission{
		At:       t.createdAt,
		KeyID:    p.Key.ID,
		Account:  p.Key.Account,
		Model:    p.Model,
		Prompt:   p.Prompt,
		Accepted: true,
		TaskID:   t.id,
		Foreign:  true,
	})

	return t.id
}

// Forget removes a task, as happens after 24 hours.
func (s *Sim) Forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()

	delete(s.tasks, id)

	s.created = without(s.created, id)
	for _, q := range s.queues {
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
