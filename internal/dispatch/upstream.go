package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/store"
)

// upstream is an Upstream that can be served here. What serves it is a tenure.
type upstream struct {
	Upstream
	lease string          // the id of its lease: its name, or that of this process's own renderer
	setup string          // what it was added with while a server ran; "": it is configured
	ranks map[string]rank // by the supplier's model; the first that names it

	mu        sync.Mutex
	keyID     string // the supplier's id of our key, once a ticket of ours showed it
	wish      store.Wish
	parked    time.Time
	parkedWhy string
	lastErr   string
	breaker   breaker
}

// roster is the upstreams that this process knows. It changes seldom and is read
// everywhere.
type roster struct {
	mu      sync.Mutex // of changes
	now     atomic.Pointer[[]*upstream]
	meeting sync.Mutex        // rows are met one look at a time
	told    int               // how often this process itself changed a row
	broken  map[string]string // set-ups that cannot be used here, by name: told once
}

// mark is to be taken before rows are read that are met later.
func (r *roster) mark() int {
	r.meeting.Lock()
	defer r.meeting.Unlock()

	return r.told
}

// tell has what this process wrote into a row stand in memory. Rows that were read
// before are not believed any more: they may be older.
func (r *roster) tell(f func()) {
	r.meeting.Lock()
	defer r.meeting.Unlock()

	r.told++

	f()
}

func (r *roster) list() []*upstream {
	if list := r.now.Load(); list != nil {
		return *list
	}

	return nil
}

func (r *roster) change(f func([]*upstream) ([]*upstream, error)) error {
	r.mu.Lock()
	defer r.mu.Unlock()

	list, err := f(slices.Clone(r.list()))
	if err == nil {
		r.now.Store(&list)
	}

	return err
}

// join adds an upstream to those that can be served here.
func (d *Dispatch) join(u Upstream, setup string) error {
	if strings.ContainsAny(u.Name, "/|@~") || u.Name == "" {
		return fmt.Errorf("dispatch: upstream name %q is empty or has one of / | @ ~", u.Name)
	}

	up := &upstream{Upstream: u, lease: u.Name, setup: setup, ranks: d.ranksOf(u)}
	if u.Kind.Traits.Resubmit && !d.Alone {
		up.lease += "@" + d.owner // it renders in this process: every replica has its own
	}

	return d.roster.change(func(list []*upstream) ([]*upstream, error) {
		if slices.ContainsFunc(list, func(other *upstream) bool { return other.Name == u.Name }) {
			return nil, fmt.Errorf("dispatch: upstream name %q stands twice", u.Name)
		}

		return append(list, up), nil
	})
}

// StandsIn says whether previews serve requests for real videos.
func (d *Dispatch) StandsIn() bool {
	return d.StandIn && !slices.ContainsFunc(d.roster.list(), func(up *upstream) bool { return up.setup != "" })
}

// joinAdded takes up the upstreams that were added while a server ran, here or at
// another replica. One that cannot be made here (its key is not on this machine)
// is said and left to others.
func (d *Dispatch) joinAdded(ctx context.Context) error {
	rows, err := d.Store.Upstreams(ctx)
	if err != nil {
		return fmt.Errorf("read the upstreams: %w", err)
	}

	d.meetAll(rows, 0)

	return nil
}

// meetAll takes over what rows say that were read after a mark. Where this process
// changed one meanwhile, the next look has the truth.
func (d *Dispatch) meetAll(rows []store.Upstream, mark int) {
	d.roster.meeting.Lock()
	defer d.roster.meeting.Unlock()

	if d.roster.told != mark {
		return
	}

	for _, row := range rows {
		d.meet(row)
	}
}

// meet makes what this process knows of an upstream as its row says: added, as
// its operator wishes, or gone.
func (d *Dispatch) meet(row store.Upstream) {
	up := d.upstream(row.ID)
	switch {
	case up != nil && up.setup != "" && up.setup != row.Setup:
		d.dismiss(up)
	case up != nil && (up.lease == row.ID || up.Name == row.ID):
		up.see(row)
	case up == nil && row.Setup != "" && d.Make != nil:
		u, err := d.Make(row.Setup)
		if err == nil && u.Name != row.ID {
			err = fmt.Errorf("it is set up as %q", u.Name)
		}

		if err == nil {
			err = d.join(u, row.Setup)
		}

		if err != nil {
			d.stats.unusable.WithLabelValues(row.ID).Set(1)

			if d.roster.broken[row.ID] != row.Setup { // it is tried again at every look
				d.Log.Error("ALERT: an upstream that was added cannot be used here", "upstream", row.ID, "error", err)
			}

			d.roster.broken[row.ID] = row.Setup

			return
		}

		delete(d.roster.broken, row.ID)
		d.stats.unusable.WithLabelValues(row.ID).Set(0)
		d.upstream(row.ID).see(row)
		d.Log.Info("an upstream was added", "upstream", row.ID, "provider", u.Kind.Name)
	}
}

// dismiss forgets an upstream that was removed: nothing of it is in progress.
func (d *Dispatch) dismiss(up *upstream) {
	_ = d.roster.change(func(list []*upstream) ([]*upstream, error) {
		return slices.DeleteFunc(list, func(other *upstream) bool { return other == up }), nil
	})
	if t := d.keeper.tenure(up.lease); t != nil {
		t.lose(errRemoved)
	}

	if c, ok := up.Provider.(provider.Closer); ok {
		_ = c.Close()
	}

	if d.Dismissed != nil {
		d.Dismissed(up.Name)
	}

	d.Log.Info("an upstream was removed", "upstream", up.Name)
}

// see takes over what the row says that operators and owners wrote.
func (u *upstream) see(row store.Upstream) {
	u.mu.Lock()
	defer u.mu.Unlock()

	u.keyID = row.KeyID
	u.wish = row.Wish
	u.parked = time.UnixMilli(row.ParkedUntil)
	u.parkedWhy = row.ParkedWhy
}

// parkedUntil is the time before which nothing is submitted.
func (u *upstream) parkedUntil() time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()

	return u.parked
}

func (u *upstream) wished() store.Wish {
	u.mu.Lock()
	defer u.mu.Unlock()

	return u.wish
}

// takesNew says whether new tasks may count on it: one that is paused comes back.
func (u *upstream) takesNew() bool {
	wish := u.wished()
	return wish == store.WishServe || wish == store.WishPause
}

func (u *upstream) note(f *provider.Failure) {
	u.mu.Lock()
	defer u.mu.Unlock()

	u.lastErr = f.Error()
}

// parkTime is how long an upstream with key trouble is left alone.
const parkTime = 10 * time.Minute

// park closes an upstream for a while, with the reason for its operator.
func (d *Dispatch) park(ctx context.Context, up *upstream, until time.Time, why string) {
	set := func() {
		up.mu.Lock()
		defer up.mu.Unlock()

		up.parked = until
		up.parkedWhy = why
	}

	set() // at once; and again when it is on disk, since a row may be met meanwhile
	defer d.roster.tell(set)

	d.stats.parked.WithLabelValues(up.Name).Inc()

	if err := d.write(ctx, func(tx *store.Tx) error { return tx.Park(ctx, up.lease, until.UnixMilli(), why) }); err != nil {
		d.Log.Error("cannot note a parked upstream", "upstream", up.Name, "error", err)
	}
}

// The breaker's bounds.
const (
	breakerAfter = 5 // failures on end
	breakerFirst = 30 * time.Second
	breakerLast  = 10 * time.Minute
)

// breaker counts what an upstream failed at. It lives in its owner's memory; what
// it decides, a time before which nothing is submitted, is on disk.
type breaker struct {
	failures int    // on end
	trips    int    // on end
	trying   string // the gate that tries whether it works again; "" is none
}

// failed counts a failure of the supplier, and parks it when there were too many
// on end: each time for twice as long.
func (d *Dispatch) failed(ctx context.Context, up *upstream, f *provider.Failure) {
	up.mu.Lock()
	b := &up.breaker

	b.trying = ""
	if b.failures++; b.failures < breakerAfter {
		up.mu.Unlock()
		return
	}

	rest := min(breakerFirst<<min(b.trips, 10), breakerLast)
	b.trips++
	up.mu.Unlock()

	until := d.Now().Add(rest)
	d.Log.Error("ALERT: an upstream fails again and again; it is left alone for a while", "upstream", up.Name, "failures", b.failures, "last", f.Error(), "until", until)
	d.park(ctx, up, until, fmt.Sprintf("it failed %d times on end; the last: %s", b.failures, f.Error()))
}

// worked ends a count of failures.
func (u *upstream) worked() {
	u.mu.Lock()
	defer u.mu.Unlock()

	u.breaker = breaker{}
}

// mayTry says whether a gate may submit: after failures on end only one does, until
// its answer shows whether the supplier works again.
func (u *upstream) mayTry(route string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()

	b := &u.breaker
	if b.failures < breakerAfter || b.trying == route {
		return true
	}

	if b.trying != "" {
		return false
	}

	b.trying = route

	return true
}

// tried gives the try up: there was nothing to submit, or the answer says nothing.
func (u *upstream) tried(route string) {
	u.mu.Lock()
	defer u.mu.Unlock()

	if u.breaker.trying == route {
		u.breaker.trying = ""
	}
}

// Why a change of an upstream is refused.
var (
	ErrConfigured = errors.New("it stands in the configuration: take it out there and start again")
	ErrExists     = errors.New("there is an upstream of this name")
	ErrEmbedded   = errors.New("it is the embedded renderer, which is always there")
)

// AddUpstream adds one while the server runs, on every replica: it is made here
// first, so that what is wrong with it is said at once.
func (d *Dispatch) AddUpstream(ctx context.Context, setup string) (name string, err error) {
	u, err := d.Make(setup)
	if err != nil {
		return "", err
	}

	if c, ok := u.Provider.(provider.Closer); ok {
		_ = c.Close() // it was a trial
	}

	if d.upstream(u.Name) != nil {
		return "", ErrExists
	}

	made := false
	line := d.audited("add", u.Name, shownOf(setup))

	err = d.Store.Write(ctx, func(tx *store.Tx) (err error) {
		if made, err = tx.SetUp(ctx, u.Name, setup); err != nil || !made {
			return err
		}

		return tx.NoteAudit(ctx, line)
	})
	switch {
	case err != nil:
		return "", err
	case !made:
		return "", ErrExists
	}

	return u.Name, d.afterWish(ctx, u.Name)
}

// WishUpstream notes what the operator wants of an upstream. Nothing that is in
// progress there is harmed by any of it.
func (d *Dispatch) WishUpstream(ctx context.Context, name string, wish store.Wish) error {
	up := d.upstream(name)
	switch {
	case up != nil && up.Kind.Traits.Resubmit:
		return ErrEmbedded
	case up != nil && wish == store.WishRemove && up.setup == "":
		return ErrConfigured
	}

	line := d.audited(actOf(wish), name, nil)

	err := d.Store.Write(ctx, func(tx *store.Tx) error {
		if up != nil { // it may never have been served
			if err := tx.EnsureUpstream(ctx, name); err != nil {
				return err
			}
		}

		err := tx.SetWish(ctx, name, wish)
		if err == nil && wish == store.WishServe {
			err = tx.Park(ctx, name, 0, "") // what is resumed is tried at once
		}

		if err != nil {
			return err
		}

		return tx.NoteAudit(ctx, line)
	})
	if err != nil {
		return err
	}

	if up != nil && wish == store.WishServe {
		up.worked()
	}

	return d.afterWish(ctx, name)
}

// afterWish lets this replica see the change now; the others look within two
// seconds.
func (d *Dispatch) afterWish(ctx context.Context, name string) error {
	row, err := d.Store.Upstream(ctx, name)
	if err != nil {
		return err
	}

	d.roster.tell(func() { d.meet(row) })
	d.keeper.wake()
	d.openGates()

	return nil
}
