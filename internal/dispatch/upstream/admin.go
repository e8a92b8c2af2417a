package upstream

import (
	"context"
	"errors"
	"time"

	"github.com/unireel/unireel/internal/provider"
	"github.com/unireel/unireel/internal/store"
)

// Reasons to refuse a change of an upstream.
var (
	ErrConfigured = errors.New("it is defined in the configuration: remove it there and restart the server")
	ErrExists     = errors.New("an upstream of this name exists already")
	ErrEmbedded   = errors.New("it is the embedded renderer, which is always available")
)

// Add adds an upstream at run time, on every replica. It is built here first, so that the
// operator learns at once what is wrong with its setup.
func (r *Registry) Add(ctx context.Context, setup string) (name string, err error) {
	c, err := r.Build(setup)
	if err != nil {
		return "", err
	}

	if closer, ok := c.Provider.(provider.Closer); ok {
		_ = closer.Close() // it was built only to check the setup
	}

	if r.Find(c.Name) != nil {
		return "", ErrExists
	}

	created := false
	auditLine := r.newAuditLine("add", c.Name, auditDetail(setup))

	err = r.Store.Write(ctx, func(tx *store.Tx) (err error) {
		if created, err = tx.AddUpstream(ctx, c.Name, setup); err != nil || !created {
			return err
		}

		return tx.InsertAuditEntry(ctx, auditLine)
	})
	switch {
	case err != nil:
		return "", err
	case !created:
		return "", ErrExists
	}

	return c.Name, r.reload(ctx, c.Name)
}

// SetDesiredState records what the operator wants of an upstream. No desired state affects
// what is in progress there.
func (r *Registry) SetDesiredState(ctx context.Context, name string, state store.DesiredState) error {
	up := r.Find(name)
	switch {
	case up != nil && up.Driver.Capabilities.SafeToResubmit:
		return ErrEmbedded
	case up != nil && state == store.DesiredRemoved && !up.Added():
		return ErrConfigured
	}

	auditLine := r.newAuditLine(auditAction(state), name, nil)

	err := r.Store.Write(ctx, func(tx *store.Tx) error {
		if up != nil { // it may have no row yet: nobody has served it
			if err := tx.EnsureUpstream(ctx, name); err != nil {
				return err
			}
		}

		err := tx.SetDesiredState(ctx, name, state)
		if err == nil && state == store.DesiredServing {
			err = tx.SuspendUpstream(ctx, name, 0, "") // an upstream that is resumed is tried at once
		}

		if err != nil {
			return err
		}

		return tx.InsertAuditEntry(ctx, auditLine)
	})
	if err != nil {
		return err
	}

	if up != nil && state == store.DesiredServing {
		up.ResetBreaker()
	}

	return r.reload(ctx, name)
}

// reload applies a change of a row on this replica now; the others read it when they next
// renew their leases.
func (r *Registry) reload(ctx context.Context, name string) error {
	row, err := r.Store.Upstream(ctx, name)
	if err != nil {
		return err
	}

	r.applyLocal(func() { r.syncRow(row) })

	return nil
}

// testTimeout bounds the poll by which an upstream is tested.
const testTimeout = 30 * time.Second

// Test polls a task that does not exist: a valid answer proves that the address and the key
// are right. It ends a suspension of the upstream, which is why it leaves a line in the
// audit log. store.ErrNotFound says that there is no such upstream.
func (r *Registry) Test(ctx context.Context, name string) error {
	up := r.Find(name)
	if up == nil {
		return store.ErrNotFound
	}

	ctx, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()

	if _, err := up.Provider.Poll(ctx, "00000000-0000-0000-0000-000000000000"); err != nil {
		return errors.Join(errors.New("the supplier's answer was not the expected one"), err)
	}

	auditLine := r.newAuditLine("test", name, nil)

	err := r.Write(ctx, func(tx *store.Tx) error {
		if err := tx.SuspendUpstream(ctx, up.LeaseID, 0, ""); err != nil {
			return err
		}

		return tx.InsertAuditEntry(ctx, auditLine)
	})
	if err != nil {
		return err
	}

	up.ResetBreaker()
	r.applyLocal(func() { up.setSuspended(time.Time{}, "") }) // another replica that serves the upstream reads this when it next renews its leases

	return nil
}
