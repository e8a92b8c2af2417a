package providertest

import "net/http"

// Operation is one kind of request that a provider makes.
type Operation string

const (
	Upload   Operation = "upload"   // of a reference, before the submission
	Submit   Operation = "submit"   // the submission itself
	Poll     Operation = "poll"     // a question about the state
	Download Operation = "download" // of the result's bytes
	Other    Operation = "other"    // lists, cancels
)

// Sim is a simulated supplier as dispatch's fault matrix uses it. The matrix
// itself adds the faults on the connection.
type Sim interface {
	http.Handler
	// Operation says which operation a request belongs to.
	Operation(r *http.Request) Operation
	// Accepted counts the accepted submissions whose prompt contains the text.
	Accepted(text string) int
}
