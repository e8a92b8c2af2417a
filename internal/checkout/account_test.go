package checkout

import (
	"context"
	"testing"

	"github.com/unireel/unireel/internal/account"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/money"
)

func TestAnAccountIsOpenedOnce(t *testing.T) {
	onEach(t, 7, func(t *testing.T, w *world) {
		ctx := context.Background()

		if b := w.balance(); b.Granted != 7 {
			t.Errorf("opened with %s", b.Granted)
		}

		_, err := w.OpenAccount(ctx, "alice", 1, 0, 0)
		wantFault(t, err, fault.CodeInvalidValue, "name")
		_, err = w.OpenAccount(ctx, "acct_x", 0, -1, -1)

		f := fault.From(err)
		if len(f.All()) != 4 {
			t.Errorf("not every wrong field is named: %v", f.All())
		}

		w.sound()
	})
}

func TestKeysAreIssuedAndRevoked(t *testing.T) {
	onEach(t, 0, func(t *testing.T, w *world) {
		ctx := context.Background()

		k, secret, err := w.IssueKey(ctx, KeyOrder{Account: "alice", Name: "laptop"})
		if err != nil || !k.Opens(secret, 1) || !k.May(account.ScopeWrite) {
			t.Fatalf("%+v, %v", k, err)
		}

		_, other, err := w.IssueKey(ctx, KeyOrder{Account: w.who.Account})
		if err != nil || other == secret {
			t.Fatal("two keys have one secret", err)
		}

		_, _, err = w.IssueKey(ctx, KeyOrder{Account: "alice", Secret: secret})
		wantFault(t, err, fault.CodeInvalidValue, "secret")
		_, _, err = w.IssueKey(ctx, KeyOrder{Account: "nobody"})
		wantFault(t, err, fault.CodeNoAccount, "account")

		_, _, err = w.IssueKey(ctx, KeyOrder{Account: "alice", Name: "a\nb", Scopes: []account.Scope{"read", "fly", "read"}, ExpiresAt: 1, Secret: "short"})
		if f := fault.From(err); len(f.All()) != 5 {
			t.Errorf("not every wrong field is named: %v", f.All())
		}

		revoked, err := w.RevokeKey(ctx, k.ID)
		if err != nil || revoked.Opens(secret, 1) {
			t.Errorf("%+v, %v", revoked, err)
		}

		_, err = w.RevokeKey(ctx, "key_nobody")
		wantFault(t, err, fault.CodeNoAPIKey, "id")
	})
}

func TestAReferenceGrantsOnce(t *testing.T) {
	onEach(t, 0, func(t *testing.T, w *world) {
		ctx := context.Background()
		for range 3 {
			b, err := w.Grant(ctx, "alice", 5*money.Unit, "invoice 1")
			if err != nil || b.Granted != 5*money.Unit {
				t.Fatalf("%+v, %v", b, err)
			}
		}

		_, err := w.Grant(ctx, "alice", 6*money.Unit, "invoice 1")
		wantFault(t, err, fault.CodeConflict, "ref")
		_, err = w.Grant(ctx, "alice", -6*money.Unit, "back")
		wantFault(t, err, fault.CodeInvalidValue, "amount")
		_, err = w.Grant(ctx, "alice", 1, "a\x00b")
		wantFault(t, err, fault.CodeInvalidValue, "ref")
		_, err = w.Grant(ctx, "alice", 0, "nothing")
		wantFault(t, err, fault.CodeInvalidValue, "amount")
		_, err = w.Grant(ctx, "alice", 1<<63-1, "all there is")
		wantFault(t, err, fault.CodeInvalidValue, "amount")

		for want := range 2 {
			if b, err := w.Grant(ctx, "alice", money.Unit, ""); err != nil || b.Granted != money.Amount(6+want)*money.Unit {
				t.Errorf("%+v, %v", b, err)
			}
		}

		w.sound()
	})
}
