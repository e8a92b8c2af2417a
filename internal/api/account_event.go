package api

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/unireel/unireel/internal/store"
)

// accountEventPrefix begins the ids of an account's stream, so that an id of a task's
// stream is not taken for one of them.
const accountEventPrefix = "a"

// accountEventID returns an event's id within its account's stream.
func accountEventID(p store.EventPosition) string { return accountEventPrefix + p.String() }

// parseAccountEventID parses what accountEventID wrote; it returns false for anything
// else.
func parseAccountEventID(text string) (store.EventPosition, bool) {
	position, prefixed := strings.CutPrefix(text, accountEventPrefix)
	p, ok := store.ParseEventPosition(position)

	return p, ok && prefixed
}

// accountStream is one subscriber's position in the events of their account.
type accountStream struct {
	a        *API
	s        *stream
	position store.EventPosition
}

// accountEvents is GET /v1/events: the events of the account's tasks from now on, or those
// after the last id that the caller saw.
func (a *API) accountEvents(c *requestContext) error {
	text, param := lastEventID(c.req)

	at, ok := parseAccountEventID(text)
	if text != "" && !ok {
		return invalidEventID(param)
	}

	last, err := a.Store.LastEventPosition(c.ctx(), c.key.Account)
	if err != nil {
		return fmt.Errorf("read the last event: %w", err)
	}

	if !ok || at.After(last) { // after a restore of an older database, an id may lie in the future
		at = last
	}

	return a.serveEvents(c, func(s *stream) error {
		h := &accountStream{a: a, s: s, position: at}
		if err := h.start(last); err != nil {
			return err
		}

		return h.listen()
	})
}

// start sends the position at which the stream begins, so that a subscriber who loses the
// connection before the first event can still resume there. Then it sends the events that
// were missed.
func (s *accountStream) start(last store.EventPosition) error {
	if err := s.s.write([]byte("id: " + accountEventID(s.position) + "\n\n")); err != nil {
		return err
	}

	if s.position == last {
		return nil
	}

	return s.catchUp(s.s.c.ctx())
}

// listen forwards the account's events until the stream ends.
//
// It subscribes to the tailer first and reads the database once more afterwards: an event
// committed before the subscription is found by that read, a later one is published by the
// tailer. Events that arrive both ways are dropped by their position.
func (s *accountStream) listen() error {
	events, unsubscribe := s.a.tail.subscribe(s.s.c.key.Account, s.position)
	defer unsubscribe()

	if err := s.catchUp(s.s.c.ctx()); err != nil {
		return err
	}

	return s.forward(events)
}

// catchUp sends the stored events after the stream's position.
func (s *accountStream) catchUp(ctx context.Context) error {
	for {
		list, _, err := s.a.Store.EventsOfAccount(ctx, s.s.c.key.Account, s.position, eventPageSize)
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}

		for _, e := range list {
			loaded, shown, err := loadEventTask(ctx, s.a.Store, e)
			if err != nil {
				return fmt.Errorf("read task: %w", err)
			}

			s.position = e.Position
			if shown {
				if err := s.send(loaded); err != nil {
					return err
				}
			}

			select {
			case <-s.a.draining:
				return nil
			default:
			}
		}

		if len(list) < eventPageSize {
			return nil
		}
	}
}

// errSlowSubscriber says that the subscriber did not keep up with the events.
var errSlowSubscriber = errors.New("the subscriber is too slow; it can resume from its last event id")

// forward sends what the tailer publishes until the server drains or the subscriber
// leaves.
func (s *accountStream) forward(events <-chan *accountEvent) error {
	heartbeat := time.NewTicker(heartbeatInterval)
	defer heartbeat.Stop()

	for {
		var err error

		select {
		case e, ok := <-events:
			switch {
			case !ok:
				return errSlowSubscriber
			case e.Position.After(s.position): // otherwise catchUp has sent it
				s.position = e.Position
				err = s.send(e)
			}
		case <-heartbeat.C:
			err = s.a.heartbeat(s.s)
		case <-s.a.draining:
			return nil
		case <-s.s.c.ctx().Done():
			return nil
		}

		if err != nil {
			return err
		}
	}
}

// send sends one event with its task.
func (s *accountStream) send(e *accountEvent) error {
	return s.s.send(accountEventID(e.Position), streamEvent{
		Type:      "video." + e.State.Status(),
		CreatedAt: e.At / 1000,
		Data:      s.a.video(s.s.c, e.task),
	})
}
