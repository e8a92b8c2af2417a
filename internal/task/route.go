package task

import (
	"cmp"
	"errors"
	"slices"
	"strings"
)

// The characters that join names into the texts that rows and metrics hold. A name of an
// upstream contains none of them; a supplier's name of a model may contain a slash.
const (
	modelSeparator   = "/"
	routeSeparator   = "|"
	processSeparator = "@"
	nameReserved     = modelSeparator + routeSeparator + processSeparator + "~"
)

// Route is a supplier's model at an upstream.
type Route struct {
	Upstream string // the name that the operator gave it
	Model    string // the supplier's name of the model
}

// String returns "upstream/model", by which metrics and logs name the route.
func (r Route) String() string { return r.Upstream + modelSeparator + r.Model }

// MarshalText makes logs show the route as String does.
func (r Route) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// RouteSet is the set of routes that a queue's tasks may take, sorted and each once. Its
// text is the queue's id: tasks that may take the same routes wait in the same queue.
type RouteSet []Route

// NewRouteSet returns the set of these routes.
func NewRouteSet(routes ...Route) RouteSet {
	set := slices.Clone(routes)
	slices.SortFunc(set, func(a, b Route) int { return cmp.Compare(a.String(), b.String()) })

	return slices.Compact(set)
}

// ParseRouteSet returns the set of a queue from the queue's id.
func ParseRouteSet(queue string) RouteSet {
	var set RouteSet

	for text := range strings.SplitSeq(queue, routeSeparator) {
		upstream, model, _ := strings.Cut(text, modelSeparator)
		set = append(set, Route{Upstream: upstream, Model: model})
	}

	return set
}

// String returns the id of the queue whose tasks may take exactly these routes.
func (s RouteSet) String() string {
	texts := make([]string, len(s))
	for i, r := range s {
		texts[i] = r.String()
	}

	return strings.Join(texts, routeSeparator)
}

// Includes reports whether one of the routes belongs to the upstream.
func (s RouteSet) Includes(upstream string) bool {
	return slices.ContainsFunc(s, func(r Route) bool { return r.Upstream == upstream })
}

// UpstreamID is under what an upstream is leased, and what Task.Upstream holds. An embedded
// renderer exists once in each process, so that its id names the process too.
type UpstreamID struct {
	Name    string // that the operator gave it
	Process string // "" for a supplier, which all replicas share
}

// ParseUpstreamID returns the id that String returned as id.
func ParseUpstreamID(id string) UpstreamID {
	name, process, _ := strings.Cut(id, processSeparator)
	return UpstreamID{Name: name, Process: process}
}

// String returns "name" or "name@process".
func (id UpstreamID) String() string {
	if id.Process == "" {
		return id.Name
	}

	return id.Name + processSeparator + id.Process
}

// CheckUpstreamName returns an error for a name that an upstream cannot have, since routes,
// queues and leases could not be told apart by it.
func CheckUpstreamName(name string) error {
	if name == "" || strings.ContainsAny(name, nameReserved) {
		return errors.New("the name of an upstream must not be empty or contain one of / | @ ~")
	}

	return nil
}
