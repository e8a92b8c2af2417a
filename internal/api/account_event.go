package api

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/unireel/unireel/internal/store"
)

// accountEventID names an event within its account's stream.
func accountEventID(p store.Place) string {
	return "a" + strconv.FormatInt(p.Xid, 10) + "." + strconv.FormatInt(p.N, 10)
}

// readAccountEventID is what accountEventID wrote; false for anything else.
func readAccountEventID(text string) (store.Place, bool) {
	xid, n, _ := strings.Cut(strings.TrimPrefix(text, "a"), ".")

	var (
		p          store.Place
		err, other error
	)

	p.Xid, err = strconv.ParseInt(xid, 10, 64)
	p.N, other = strconv.ParseInt(n, 10, 64)

	return p, err == nil && other == nil && p.Xid >= 0 && p.N >= 0 && text == accountEventID(p)
}

// hearing is one caller's place in their account's events.
type hearing struct {
	a  *API
	s  *stream
	at store.Place
}

// accountEvents is GET /v1/events: what happens to the account's tasks from now
// on, or what happened after the last id.
func (a *API) accountEvents(c *call) error {
	text, param := resumeText(c.r)

	at, ok := readAccountEventID(text)
	if text != "" && !ok {
		return badResume(param)
	}

	last, err := a.Store.LastPlace(c.ctx(), c.key.Account)
	if err != nil {
		return fmt.Errorf("read the last event: %w", err)
	}

	if !ok || at.After(last) { // an id of a database that was set back is of the future
		at = last
	}

	return a.streaming(c, func(s *stream) error {
		h := &hearing{a: a, s: s, at: at}
		if err := h.begin(last); err != nil {
			return err
		}

		return h.listen()
	})
}

// begin tells where the stream begins, so that who hears nothing until the
// connection is lost can go on there too, and then what was missed.
func (h *hearing) begin(last store.Place) error {
	if err := h.s.write([]byte("id: " + accountEventID(h.at) + "\n\n")); err != nil {
		return err
	}

	if h.at == last {
		return nil
	}

	return h.catchUp(h.s.c.ctx())
}

// listen joins the tailer, then reads once more, so that nothing falls between.
func (h *hearing) listen() error {
	events, leave := h.a.tail.join(h.s.c.key.Account, h.at)
	defer leave()

	if err := h.catchUp(h.s.c.ctx()); err != nil {
		return err
	}

	return h.hear(events)
}

// catchUp tells what is there behind the place.
func (h *hearing) catchUp(ctx context.Context) error {
	for {
		list, _, err := h.a.Store.HappeningsOf(ctx, h.s.c.key.Account, h.at, eventPage)
		if err != nil {
			return fmt.Errorf("read events: %w", err)
		}

		for _, e := range list {
			all, shown, err := withTask(ctx, h.a.Store, e)
			if err != nil {
				return fmt.Errorf("read task: %w", err)
			}

			h.at = e.Place
			if shown {
				if err := h.tell(all); err != nil {
					return err
				}
			}

			select {
			case <-h.a.draining:
				return nil
			default:
			}
		}

		if len(list) < eventPage {
			return nil
		}
	}
}

// errBehind says that a listener was too slow.
var errBehind = errors.New("the listener is too slow; it can go on from its last id")

// hear tells what the tailer gives until the server or the listener ends it.
func (h *hearing) hear(events <-chan *happened) error {
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()

	for {
		var err error

		select {
		case e, ok := <-events:
			switch {
			case !ok:
				return errBehind
			case e.Place.After(h.at): // else it was read already
				h.at = e.Place
				err = h.tell(e)
			}
		case <-beat.C:
			err = h.a.beat(h.s)
		case <-h.a.draining:
			return nil
		case <-h.s.c.ctx().Done():
			return nil
		}

		if err != nil {
			return err
		}
	}
}

func (h *hearing) tell(e *happened) error {
	return h.s.tell(accountEventID(e.Place), told{Type: "video." + e.State.Status(), CreatedAt: e.At / 1000, Data: h.a.video(h.s.c, e.now)})
}
