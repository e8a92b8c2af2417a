package store

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/unireel/unireel/internal/task"
)

func insertEndpoints(t testing.TB, s *Store, all ...Endpoint) {
	t.Helper()

	for _, e := range all {
		write(t, s, func(tx *Tx) error { return tx.InsertEndpoint(t.Context(), e) })
	}
}

func creationWithWebhook(id, acct, url string) *Creation {
	c := creation(id, acct, "", task.Queued)
	c.Webhook = &TaskWebhook{
		Signer: Endpoint{ID: "hook_signer_" + id, Account: acct, Kind: DefaultEndpoint, Secret: "whsec_" + id},
		Origin: Endpoint{ID: "hook_origin_" + id, Account: acct, Kind: RequestEndpoint, URL: "https://a.example"},
		URL:    url,
	}

	return c
}

// changeState writes the deliveries of a step that takes a task to a state.
func changeState(t testing.TB, s *Store, id string, state task.State) {
	t.Helper()
	write(t, s, func(tx *Tx) error {
		before, err := tx.Task(t.Context(), id)
		if err != nil {
			return err
		}

		after := before
		after.State = state
		after.Version = before.Version + 1

		return tx.pipeline(t.Context(), tx.deliveriesOfStep(before, after, 200))
	})
}

func deliveriesOf(t testing.TB, s *Store, f DeliveryFilter) string {
	t.Helper()

	f.Account = "acct_a"
	f.Limit = 50

	list, _, err := s.Deliveries(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}

	var text []string
	for _, d := range list {
		text = append(text, d.ID+" "+string(d.State))
	}

	return strings.Join(text, ", ")
}

// TestDeliveryFanOut checks that each endpoint that subscribes to an event gets
// it, and the URL that the request named.
func TestDeliveryFanOut(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		addAccount(t, s, "acct_a", 1, 0, 100)
		addAccount(t, s, "acct_b", 1, 0, 100)
		insertEndpoints(
			t, s,
			Endpoint{ID: "hook_all", Account: "acct_a", Kind: AccountEndpoint, URL: "https://all.example"},
			Endpoint{ID: "hook_ends", Account: "acct_a", Kind: AccountEndpoint, URL: "https://ends.example", Events: []string{"video.completed", "video.failed"}},
			Endpoint{ID: "hook_other", Account: "acct_b", Kind: AccountEndpoint, URL: "https://b.example"},
		)

		if _, err := s.Create(ctx, creation("task_1", "acct_a", "", task.Queued)); err != nil {
			t.Fatal(err)
		}

		for _, c := range []*Creation{creationWithWebhook("task_2", "acct_a", "https://a.example/x?y=1"), creationWithWebhook("task_3", "acct_a", "https://a.example/z")} {
			if _, err := s.Create(ctx, c); err != nil {
				t.Fatal(err)
			}
		}

		for _, state := range []task.State{task.Submitting, task.Running, task.Collecting} {
			changeState(t, s, "task_2", state)
		}

		changeState(t, s, "task_1", task.Failed)

		for endpoint, want := range map[string]string{
			"hook_all":  "evt_2_in_progress pending, evt_1_failed pending, evt_3_queued pending, evt_2_queued pending, evt_1_queued pending",
			"hook_ends": "evt_1_failed pending", "hook_other": "", "": "evt_2_in_progress pending, evt_3_queued pending, evt_2_queued pending",
		} {
			got := deliveriesOf(t, s, DeliveryFilter{Endpoint: endpoint})
			if endpoint == "hook_other" {
				list, _, err := s.Deliveries(ctx, DeliveryFilter{Account: "acct_b", Endpoint: endpoint, Limit: 9})
				if err != nil || len(list) != 0 {
					t.Errorf("another account receives %v, %v", list, err)
				}

				continue
			}

			if got != want {
				t.Errorf("%s: %s\nwant %s", endpoint, got, want)
			}
		}

		signer, err := s.DefaultEndpoint(ctx, "acct_a")
		if err != nil || signer.Secret != "whsec_task_2" {
			t.Errorf("not the secret of the first request: %+v, %v", signer, err)
		}

		d, err := s.Delivery(ctx, "acct_a", "", "evt_2_queued")
		if err != nil || d.URL != "https://a.example/x?y=1" || d.Endpoint != "hook_origin_task_2" || d.GiveUpAt != 100+deliveryLifetime {
			t.Errorf("%+v, %v", d, err)
		}

		if _, err := s.Delivery(ctx, "acct_b", "", "evt_2_queued"); err == nil {
			t.Error("another account can read it")
		}
	})
}

// TestClaimDeliveriesInOrder checks that nobody else claims a claimed delivery,
// that an event waits for the earlier one of its task, and that a failed
// delivery waits until its endpoint is no longer suspended.
func TestClaimDeliveriesInOrder(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		addAccount(t, s, "acct_a", 1, 0, 100)
		insertEndpoints(t, s, Endpoint{ID: "hook_a", Account: "acct_a", Kind: AccountEndpoint, URL: "https://a.example"})

		for _, id := range []string{"task_1", "task_2"} {
			if _, err := s.Create(ctx, creation(id, "acct_a", "", task.Queued)); err != nil {
				t.Fatal(err)
			}
		}

		changeState(t, s, "task_1", task.Running)

		if due, err := s.DueEndpoints(ctx, 99, false, 9); err != nil || len(due) != 0 {
			t.Errorf("due before anything happened: %v, %v", due, err)
		}

		claim := func(now int64) (list []Delivery) {
			write(t, s, func(tx *Tx) (err error) { list, err = tx.ClaimDeliveries(ctx, "hook_a", now, 9); return err })
			return list
		}
		save := func(d Delivery, suspendedUntil int64) {
			write(t, s, func(tx *Tx) error { return tx.SaveDelivery(ctx, d, suspendedUntil) })
		}

		first := claim(300)
		if fmt.Sprint(ids(first)) != "[evt_1_queued evt_2_queued]" {
			t.Fatalf("claimed %v", ids(first))
		}

		if again := claim(301); len(again) != 0 {
			t.Errorf("claimed twice: %v", ids(again))
		}

		if due, err := s.DueEndpoints(ctx, 301, false, 9); err != nil || len(due) != 0 {
			t.Errorf("due while everything is claimed: %v, %v", due, err)
		}

		first[0].State = DeliveryDelivered
		first[0].EndedAt = 302
		first[0].ResponseStatus = 204
		save(first[0], 0)

		if next := claim(303); fmt.Sprint(ids(next)) != "[evt_1_in_progress]" {
			t.Errorf("after the earlier event: %v", ids(next))
		}

		first[1].Error = "no"
		first[1].DueAt = 5000
		save(first[1], 4000)

		if due, err := s.DueEndpoints(ctx, 3999, true, 9); err != nil || len(due) != 0 {
			t.Errorf("suspended, but due: %v, %v", due, err)
		}

		if due, err := s.DueEndpoints(ctx, 5000, true, 9); err != nil || len(due) != 1 || due[0].Failures != 1 {
			t.Errorf("due again: %v, %v", due, err)
		}

		retried := claim(5000)
		if fmt.Sprint(ids(retried)) != "[evt_2_queued]" || retried[0].Tries != 2 {
			t.Fatalf("tried again: %+v", retried)
		}

		save(first[1], 9000) // the result of the first try comes too late

		if e, err := s.Endpoint(ctx, "acct_a", "hook_a"); err != nil || e.Failures != 1 || e.SuspendedUntil != 4000 {
			t.Errorf("after a late result: %+v, %v", e, err)
		}

		retried[0].State = DeliveryDelivered
		retried[0].EndedAt = 5001
		save(retried[0], 0)

		if e, err := s.Endpoint(ctx, "acct_a", "hook_a"); err != nil || e.Failures != 0 || e.SuspendedUntil != 0 {
			t.Errorf("after a success: %+v, %v", e, err)
		}

		if late := claim(303 + deliveryClaimTime); fmt.Sprint(ids(late)) != "[evt_1_in_progress]" || late[0].Tries != 2 {
			t.Errorf("after a claim without a result: %v", late)
		}
	})
}

func ids(list []Delivery) (all []string) {
	for _, d := range list {
		all = append(all, d.ID)
	}

	return all
}

func TestSweepAndRedeliver(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		addAccount(t, s, "acct_a", 1, 0, 100)
		insertEndpoints(t, s, Endpoint{ID: "hook_a", Account: "acct_a", Kind: AccountEndpoint, URL: "https://a.example"})

		if _, err := s.Create(ctx, creation("task_1", "acct_a", "", task.Queued)); err != nil {
			t.Fatal(err)
		}

		sweep := func(now, ended int64) (n int64) {
			write(t, s, func(tx *Tx) (err error) { n, err = tx.SweepDeliveries(ctx, now, ended, 100); return err })
			return n
		}
		if n := sweep(100+deliveryLifetime-1, 0); n != 0 {
			t.Errorf("gave up %d too early", n)
		}

		if n := sweep(100+deliveryLifetime, 0); n != 1 || deliveriesOf(t, s, DeliveryFilter{Endpoint: "hook_a", State: DeliveryFailed}) != "evt_1_queued failed" {
			t.Errorf("gave up %d: %s", n, deliveriesOf(t, s, DeliveryFilter{Endpoint: "hook_a"}))
		}

		redeliver := func(now int64) (ok bool) {
			write(t, s, func(tx *Tx) (err error) { ok, err = tx.Redeliver(ctx, "hook_a", "evt_1_queued", now); return err })
			return ok
		}
		if !redeliver(2*deliveryLifetime) || redeliver(2*deliveryLifetime) {
			t.Error("an ended delivery cannot be made pending, or a pending one can")
		}

		if due, err := s.DueEndpoints(ctx, 2*deliveryLifetime, false, 9); err != nil || len(due) != 1 {
			t.Errorf("due after that: %v, %v", due, err)
		}

		if n := sweep(2*deliveryLifetime+1, 2*deliveryLifetime); n != 0 {
			t.Errorf("deleted %d pending deliveries", n)
		}

		sweep(3*deliveryLifetime, 0)

		if n := sweep(3*deliveryLifetime, 3*deliveryLifetime); n != 1 || deliveriesOf(t, s, DeliveryFilter{Endpoint: "hook_a"}) != "" {
			t.Errorf("deleted %d deliveries", n)
		}
	})
}

// TestDeliveriesPaginate checks that each page starts where the one before ends.
func TestDeliveriesPaginate(t *testing.T) {
	forEachDatabase(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		addAccount(t, s, "acct_a", 1, 0, 1000)
		insertEndpoints(t, s, Endpoint{ID: "hook_a", Account: "acct_a", Kind: AccountEndpoint, URL: "https://a.example"})

		for i := range 5 {
			if _, err := s.Create(ctx, creation(fmt.Sprintf("task_%d", i), "acct_a", "", task.Queued)); err != nil {
				t.Fatal(err)
			}
		}

		var all []string

		f := DeliveryFilter{Account: "acct_a", Endpoint: "hook_a", Limit: 2}
		for {
			list, more, err := s.Deliveries(context.Background(), f)
			if err != nil {
				t.Fatal(err)
			}

			all = append(all, ids(list)...)

			if !more {
				break
			}

			f.After = list[len(list)-1]
		}

		if fmt.Sprint(all) != "[evt_4_queued evt_3_queued evt_2_queued evt_1_queued evt_0_queued]" {
			t.Errorf("%v", all)
		}
	})
}
