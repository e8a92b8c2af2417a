package task

import "slices"

// State is where a task stands on its path.
type State string

// The states. Customers see preparing, queued and submitting as queued, running
// and collecting as in_progress.
const (
	Preparing  State = "preparing"  // its references are fetched and measured
	Queued     State = "queued"     // waits in its lane for a supplier with room
	Submitting State = "submitting" // the intention to submit is on disk; an answer is not
	Running    State = "running"    // the supplier has it; we have the ticket
	Collecting State = "collecting" // rendered; its bytes become ours
	Completed  State = "completed"
	Failed     State = "failed"
	Cancelled  State = "cancelled"
)

// Status is how customers know the state.
func (s State) Status() string {
	switch s {
	case Running, Collecting:
		return "in_progress"
	case Completed, Failed, Cancelled:
		return string(s)
	default:
		return string(Queued)
	}
}

// Move is one step that the law allows, and why it is taken.
type Move struct {
	From, To State
	Why      string
}

// moves is the law: who may follow whom. docs/states.md is drawn from it.
var moves = []Move{
	{Preparing, Queued, "references are ours and measured"},
	{Preparing, Failed, "a reference is unreachable or not what the model takes; or start_by is past"},
	{Preparing, Cancelled, "the customer changed their mind before anything was submitted"},
	{Queued, Submitting, "claimed: a supplier has room and it is the account's turn"},
	{Queued, Failed, "start_by is past"},
	{Queued, Cancelled, "the customer changed their mind before anything was submitted"},
	{Submitting, Running, "the supplier took it and gave a ticket"},
	{Submitting, Queued, "not taken: it goes back to its lane"},
	{Submitting, Failed, "the supplier refused it for good, or it cannot be found out whether it was taken"},
	{Submitting, Cancelled, "not taken, and a cancel was wished meanwhile"},
	{Running, Collecting, "rendered"},
	{Running, Queued, "the supplier failed in a way that a new submission may mend; a failed task costs nothing there"},
	{Running, Failed, "the supplier failed at it or lost it"},
	{Running, Cancelled, "the supplier agreed to cancel"},
	{Collecting, Completed, "the bytes are ours"},
	{Collecting, Queued, "the embedded renderer was restarted before its file was ours"},
	{Collecting, Failed, "the result is lost or not what was sent"},
}

// Moves lists the law.
func Moves() []Move { return slices.Clone(moves) }

// States lists every state, in the order of the path.
func States() []State {
	return []State{Preparing, Queued, Submitting, Running, Collecting, Completed, Failed, Cancelled}
}

// MayBecome says whether the law allows the step.
func (s State) MayBecome(next State) bool {
	return slices.ContainsFunc(moves, func(m Move) bool { return m.From == s && m.To == next })
}

// Final says whether nothing can follow.
func (s State) Final() bool { return s == Completed || s == Failed || s == Cancelled }

// Submitted says whether a supplier may hold the task: the states that count as
// running in a turn.
func (s State) Submitted() bool { return s == Submitting || s == Running || s == Collecting }
