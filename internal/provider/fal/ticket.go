package fal

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/unireel/unireel/internal/provider"
)

// ticket is what is needed to follow an order: its id and the paths that the
// supplier gave with it. They cannot be built from the model ("do not build these
// URLs yourself"), so all of them are kept in the Ticket, spaces between.
type ticket struct {
	id, status, response, cancel string
}

// maxTicket bounds a Ticket, in bytes.
const maxTicket = 1000

// ticketOf wants every address on the configured origin: the key goes nowhere
// else.
func (f *fal) ticketOf(q queued) (provider.Ticket, error) {
	parts := []string{string(q.ID)}
	for _, address := range []provider.Text{q.Status, q.Response, q.Cancel} {
		path, ok := f.path(string(address))
		if !ok {
			return "", fmt.Errorf("the answer's address %s is not below the base URL %s: the order may run, but cannot be followed", address, f.talk.Origin)
		}

		parts = append(parts, path)
	}

	whole := strings.Join(parts, " ")
	if len(strings.Fields(whole)) != len(parts) || len(whole) > maxTicket {
		return "", errors.New("the answer's request_id or addresses cannot be kept")
	}

	return provider.Ticket(whole), nil
}

// path is what of an address stands behind the configured origin, "/a/b?c=d";
// false for an address anywhere else.
func (f *fal) path(address string) (string, bool) {
	u, err := url.Parse(address)
	if err != nil || u.User != nil || u.Opaque != "" || !f.talk.Ours(u) {
		return "", false
	}

	origin, err := url.Parse(f.talk.Origin)
	if err != nil {
		return "", false
	}

	path, ok := strings.CutPrefix(u.EscapedPath(), origin.EscapedPath())
	if !ok || !strings.HasPrefix(path, "/") {
		return "", false
	}

	if u.RawQuery != "" {
		path += "?" + u.RawQuery
	}

	return path, true
}

// readTicket is false for what ticketOf never made.
func readTicket(t provider.Ticket) (ticket, bool) {
	parts := strings.Split(string(t), " ")
	if len(parts) != 4 || parts[0] == "" {
		return ticket{}, false
	}

	for _, path := range parts[1:] {
		if !strings.HasPrefix(path, "/") {
			return ticket{}, false
		}
	}

	return ticket{parts[0], parts[1], parts[2], parts[3]}, true
}
