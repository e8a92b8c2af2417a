package dispatch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/unireel/unireel/internal/store"
)

// How long a lease lasts and how often it is renewed (rules.md, leases).
const (
	leaseTime  = 10 * time.Second
	leaseRenew = 2 * time.Second
	leaseTrust = 7 * time.Second // from before the renewal was sent, by our own clocks
)

// takeLease makes this process the one that serves the upstream, as soon as
// nobody else does.
func (d *Dispatch) takeLease(ctx context.Context, up *upstream) error {
	if d.Alone {
		if err := d.Store.Write(ctx, func(tx *store.Tx) error { return tx.VoidLease(ctx, up.Name) }); err != nil {
			return err
		}
	}
	for {
		err := d.renewLease(ctx, up)
		if !errors.Is(err, store.ErrNotOwner) {
			return err
		}
		d.Log.Info("waiting for the lease of an upstream", "upstream", up.Name)
		if !wait(ctx, leaseRenew) {
			return ctx.Err()
		}
	}
}

func (d *Dispatch) takeLeases(ctx context.Context) error {
	for _, up := range d.upstreams {
		if err := d.takeLease(ctx, up); err != nil {
			return fmt.Errorf("take over upstream %s: %w", up.Name, err)
		}
	}
	return nil
}

func (d *Dispatch) renewLease(ctx context.Context, up *upstream) error {
	now, sent := d.millis(), time.Now()
	var fence int64
	var row store.Upstream
	err := d.Store.Write(ctx, func(tx *store.Tx) (err error) {
		if fence, err = tx.TakeLease(ctx, up.Name, d.owner, now, now+leaseTime.Milliseconds()); err != nil {
			return err
		}
		row, err = tx.Upstream(ctx, up.Name)
		return err
	})
	if err != nil {
		return err
	}
	up.mu.Lock()
	defer up.mu.Unlock()
	up.fence, up.keyID, up.renewed = fence, row.KeyID, sent
	up.parked, up.parkedWhy = time.UnixMilli(row.ParkedUntil), row.ParkedWhy
	return nil
}

// keepLeases renews until ctx ends.
func (d *Dispatch) keepLeases(ctx context.Context) {
	for wait(ctx, leaseRenew) {
		for _, up := range d.upstreams {
			if err := d.renewLease(ctx, up); err != nil && ctx.Err() == nil {
				d.Log.Error("cannot renew a lease", "upstream", up.Name, "error", err)
			}
		}
	}
}

func (d *Dispatch) dropLeases(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, leaseTime)
	defer cancel()
	return d.Store.Write(ctx, func(tx *store.Tx) error { return tx.DropLeases(ctx, d.owner) })
}

// lease is what decisions are checked against.
func (u *upstream) lease() int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.fence
}

func (u *upstream) parkedUntil() time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.parked
}

// park closes an upstream that only its operator can set right, and looks again
// after a while.
func (d *Dispatch) park(ctx context.Context, up *upstream, why string) {
	until := d.Now().Add(parkTime)
	up.mu.Lock()
	up.parked, up.parkedWhy = until, why
	up.mu.Unlock()
	d.stats.parked.WithLabelValues(up.Name).Inc()
	d.Log.Error("ALERT: an upstream is parked: its key, account or money needs the operator", "upstream", up.Name, "why", why, "until", until)
	if err := d.Store.WriteBackground(ctx, func(tx *store.Tx) error { return tx.Park(ctx, up.Name, until.UnixMilli(), why) }); err != nil {
		d.Log.Error("cannot note a parked upstream", "upstream", up.Name, "error", err)
	}
}

// parkTime is how long an upstream with key trouble is left alone.
const parkTime = 10 * time.Minute

// errLeaseOld says that our lease may have run out while we looked away.
var errLeaseOld = errors.New("the lease was not renewed in time")

// trusted says whether the lease certainly is still ours: Submit asks it before
// the first byte goes out.
func (u *upstream) trusted() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	if now.Sub(u.renewed) > leaseTrust || now.Round(0).Sub(u.renewed.Round(0)) > leaseTrust {
		return errLeaseOld
	}
	return nil
}
