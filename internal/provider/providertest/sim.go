package providertest

import "net/http"

// Step is one of the calls that a provider makes.
type Step string

// The steps.
const (
	Upload  Step = "upload"  // of a reference, before the order
	Submit  Step = "submit"  // the order itself
	Poll    Step = "poll"    // how it stands
	Collect Step = "collect" // the bytes of the result
	Other   Step = "other"   // lists, cancels
)

// Sim is a simulated supplier as the fault matrix drives it: what happens on the
// wire before and after it is the matrix's own.
type Sim interface {
	http.Handler
	// Step says which call a request belongs to.
	Step(r *http.Request) Step
	// Accepted counts the orders that were taken and whose prompt holds the text.
	Accepted(text string) int
}
