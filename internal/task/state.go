package task

import "slices"

// State is the stage that a task has reached.
type State string

// The states. Customers see preparing, queued and submitting as queued, and
// running and collecting as in_progress.
const (
	Preparing  State = "preparing"  // its references are being fetched and checked
	Queued     State = "queued"     // waits in its queue for a supplier with free capacity
	Submitting State = "submitting" // the intention to submit is stored; the supplier's answer is not
	Running    State = "running"    // the supplier accepted it, and its remote ID is stored
	Collecting State = "collecting" // rendered; its file is being copied to the blob store
	Completed  State = "completed"
	Failed     State = "failed"
	Cancelled  State = "cancelled"
)

// Status returns the state's name for customers.
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

// Transition is one allowed change of state, and the reason for it.
type Transition struct {
	From, To State
	Reason   string
}

// transitions lists every allowed change of state. docs/states.md is generated
// from it.
var transitions = []Transition{
	{Preparing, Queued, "all references are stored and checked"},
	{Preparing, Failed, "a reference cannot be fetched, or the model does not accept it; or start_by has passed"},
	{Preparing, Cancelled, "the customer cancelled it before it was submitted"},
	{Queued, Submitting, "claimed: a supplier has free capacity and the account is next in the fair order"},
	{Queued, Failed, "start_by has passed"},
	{Queued, Cancelled, "the customer cancelled it before it was submitted"},
	{Submitting, Running, "the supplier accepted it and returned a remote ID"},
	{Submitting, Queued, "the supplier did not accept it: it returns to its queue"},
	{Submitting, Failed, "the supplier rejected it for good, or it cannot be found out whether the supplier accepted it"},
	{Submitting, Cancelled, "the supplier did not accept it, and the customer has asked to cancel it"},
	{Running, Collecting, "the supplier has rendered it"},
	{Running, Queued, "the supplier failed in a way that a new submission may overcome; the supplier does not charge for a failed task"},
	{Running, Failed, "the supplier failed to render it, or no longer knows it"},
	{Running, Cancelled, "the supplier cancelled it"},
	{Collecting, Completed, "its file is in the blob store"},
	{Collecting, Queued, "the embedded renderer was restarted before its file was copied"},
	{Collecting, Failed, "the result is lost, or the file is not a valid video"},
}

// Transitions lists every allowed change of state.
func Transitions() []Transition { return slices.Clone(transitions) }

// States lists every state, in the order in which a task passes them.
func States() []State {
	return []State{Preparing, Queued, Submitting, Running, Collecting, Completed, Failed, Cancelled}
}

// CanBecome reports whether a task may change from s to next.
func (s State) CanBecome(next State) bool {
	return slices.ContainsFunc(transitions, func(m Transition) bool { return m.From == s && m.To == next })
}

// Final reports whether no other state can follow.
func (s State) Final() bool { return s == Completed || s == Failed || s == Cancelled }

// Submitted reports whether a supplier may have the task: these states count as
// running in a share.
func (s State) Submitted() bool { return s == Submitting || s == Running || s == Collecting }
