// Package fairqueue is the arithmetic of the fair order: start-time fair queueing between
// accounts. It is pure, and the only place where virtual time is computed in Go; package
// store applies the same rules in SQL, and its tests compare the two.
//
// Each account has a share of a queue. A share's virtual start is the virtual time at which
// its next task may start, and the queue's virtual time is the highest virtual start that
// was claimed. A claim takes the oldest task of the ready share with the lowest virtual
// start and advances that share by the task's seconds of video, divided by the account's
// weight. So an account with many tasks falls behind with each one that is claimed, and one
// with few is served before it, however many tasks the other has queued.
package fairqueue

import "container/heap"

// Scale is how far one second of video advances a share of weight 1.
const Scale = 1 << 20

// Cost returns how far a task of so many seconds advances a share of weight 1.
func Cost(seconds int64) int64 { return seconds * Scale }

// Advance returns the virtual start of a share after a task of this cost was claimed, or,
// with a negative cost, after its account was given the cost back.
func Advance(virtualStart, cost, weight int64) int64 { return virtualStart + cost/weight }

// Join returns the virtual start of a share that becomes ready. An account that was idle
// must have no advantage over those that were not, so that it starts at the queue's virtual
// time at the earliest.
func Join(virtualStart, virtualTime int64) int64 { return max(virtualStart, virtualTime) }

// Share is an account's share as far as the order depends on it.
type Share struct {
	Account      string
	VirtualStart int64
	Weight       int64
}

// Before reports whether a is served before b.
func (a Share) Before(b Share) bool {
	if a.VirtualStart != b.VirtualStart {
		return a.VirtualStart < b.VirtualStart
	}

	return a.Account < b.Account
}

// Order holds ready shares and says whose turn it is.
type Order struct{ heap shareHeap }

// NewOrder returns the order of these shares.
func NewOrder(shares []Share) *Order {
	o := &Order{heap: append(shareHeap(nil), shares...)}
	heap.Init(&o.heap)

	return o
}

// First returns the share whose turn it is, and false when none is left.
func (o *Order) First() (Share, bool) {
	if len(o.heap) == 0 {
		return Share{}, false
	}

	return o.heap[0], true
}

// Take advances the first share by a task of so many seconds, as its claim does.
func (o *Order) Take(seconds int64) {
	first := &o.heap[0]
	first.VirtualStart = Advance(first.VirtualStart, Cost(seconds), first.Weight)

	// Only a few shares take part at a time, so that restoring the heap is cheaper than
	// sorting the tasks of all shares.
	heap.Fix(&o.heap, 0)
}

// Drop removes the first share, which has no more tasks.
func (o *Order) Drop() { heap.Pop(&o.heap) }

// shareHeap is a heap of shares, the next one first.
type shareHeap []Share

func (h shareHeap) Len() int           { return len(h) }
func (h shareHeap) Less(i, j int) bool { return h[i].Before(h[j]) }
func (h shareHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *shareHeap) Push(x any)        { *h = append(*h, x.(Share)) }

func (h *shareHeap) Pop() any {
	last := len(*h) - 1
	share := (*h)[last]
	*h = (*h)[:last]

	return share
}
