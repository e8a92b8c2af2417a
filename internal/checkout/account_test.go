package checkout

import (
	"context"
	"testing"

	"github.com/unireel/unireel/internal/account"
	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/money"
)

func TestCreateAccount(t *testing.T) {
	onEachDatabase(t, 7, func(t *testing.T, fx *fixture) {
		ctx := context.Background()

		if b := fx.balance(); b.Granted != 7 {
			t.Errorf("opening credit %s, want 7", b.Granted)
		}

		_, err := fx.CreateAccount(ctx, "alice", 1, 0, 0)
		wantFault(t, err, fault.CodeInvalidValue, "name")
		_, err = fx.CreateAccount(ctx, "acct_x", 0, -1, -1)

		f := fault.From(err)
		if len(f.All()) != 4 {
			t.Errorf("not every wrong field is named: %v", f.All())
		}

		fx.checkConsistency()
	})
}

func TestCreateAndRevokeKey(t *testing.T) {
	onEachDatabase(t, 0, func(t *testing.T, fx *fixture) {
		ctx := context.Background()

		k, secret, err := fx.CreateKey(ctx, CreateKeyRequest{Account: "alice", Name: "laptop"})
		if err != nil || !k.Authenticates(secret, 1) || !k.HasScope(account.ScopeWrite) {
			t.Fatalf("%+v, %v", k, err)
		}

		_, other, err := fx.CreateKey(ctx, CreateKeyRequest{Account: fx.caller.Account})
		if err != nil || other == secret {
			t.Fatal("two keys have one secret", err)
		}

		_, _, err = fx.CreateKey(ctx, CreateKeyRequest{Account: "alice", Secret: secret})
		wantFault(t, err, fault.CodeInvalidValue, "secret")
		_, _, err = fx.CreateKey(ctx, CreateKeyRequest{Account: "nobody"})
		wantFault(t, err, fault.CodeAccountNotFound, "account")

		_, _, err = fx.CreateKey(ctx, CreateKeyRequest{
			Account:   "alice",
			Name:      "a\nb",
			Scopes:    []account.Scope{"read", "fly", "read"},
			ExpiresAt: 1,
			Secret:    "short",
		})
		if f := fault.From(err); len(f.All()) != 5 {
			t.Errorf("not every wrong field is named: %v", f.All())
		}

		revoked, err := fx.RevokeKey(ctx, k.ID)
		if err != nil || revoked.Authenticates(secret, 1) {
			t.Errorf("%+v, %v", revoked, err)
		}

		_, err = fx.RevokeKey(ctx, "key_nobody")
		wantFault(t, err, fault.CodeKeyNotFound, "id")
	})
}

func TestGrantOncePerReference(t *testing.T) {
	onEachDatabase(t, 0, func(t *testing.T, fx *fixture) {
		ctx := context.Background()
		for range 3 {
			b, err := fx.Grant(ctx, "alice", 5*money.Unit, "invoice 1")
			if err != nil || b.Granted != 5*money.Unit {
				t.Fatalf("%+v, %v", b, err)
			}
		}

		_, err := fx.Grant(ctx, "alice", 6*money.Unit, "invoice 1")
		wantFault(t, err, fault.CodeConflictingFields, "ref")
		_, err = fx.Grant(ctx, "alice", -6*money.Unit, "back")
		wantFault(t, err, fault.CodeInvalidValue, "amount")
		_, err = fx.Grant(ctx, "alice", 1, "a\x00b")
		wantFault(t, err, fault.CodeInvalidValue, "ref")
		_, err = fx.Grant(ctx, "alice", 0, "nothing")
		wantFault(t, err, fault.CodeInvalidValue, "amount")
		_, err = fx.Grant(ctx, "alice", 1<<63-1, "all there is")
		wantFault(t, err, fault.CodeInvalidValue, "amount")

		for want := range 2 {
			if b, err := fx.Grant(ctx, "alice", money.Unit, ""); err != nil || b.Granted != money.Amount(6+want)*money.Unit {
				t.Errorf("%+v, %v", b, err)
			}
		}

		fx.checkConsistency()
	})
}
