package cli

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/unireel/unireel/client"
)

type webhookCmd struct {
	List       webhookListCmd       `cmd:"" help:"Show where the account is told of its tasks."`
	Add        webhookAddCmd        `cmd:"" help:"Have the account told at an address; prints the signing secret."`
	Change     webhookChangeCmd     `cmd:"" help:"Change an endpoint's address or events, or turn it off and on."`
	Remove     webhookRemoveCmd     `cmd:"" help:"Take an endpoint away, and what was to be delivered there."`
	Secret     webhookSecretCmd     `cmd:"" help:"Show what signs an endpoint's deliveries, or make a new secret."`
	Test       webhookTestCmd       `cmd:"" help:"Send a test event."`
	Deliveries webhookDeliveriesCmd `cmd:"" help:"Show what was sent, and what became of it."`
	Redeliver  webhookRedeliverCmd  `cmd:"" help:"Send an event again."`
	Listen     webhookListenCmd     `cmd:"" help:"Take events at an address of this machine, verify them and print them."`
}

// hookID is how a command names an endpoint.
type hookID struct {
	ID string `arg:"" help:"The endpoint's id; \"default\" stands for the webhook_url of requests."`
}

// asking runs do against the server.
func (s server) asking(do func(*client.Client) error) error {
	c, err := s.connect()
	if err != nil {
		return err
	}
	defer c.Close()

	return do(c)
}

type webhookListCmd struct{ server }

// Help teaches by examples.
func (webhookListCmd) Help() string { return "Examples:\n\n  unireel webhook list" }

// Run lists them.
func (c *webhookListCmd) Run(ctx context.Context, w *World) error {
	return c.asking(func(server *client.Client) error {
		list, err := server.Webhooks(ctx)
		if err != nil {
			return err
		}

		if c.JSON {
			return w.printJSON(list)
		}

		table := tabwriter.NewWriter(w.Out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "WEBHOOK\tURL\tEVENTS\tSTATE")

		for _, h := range list {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", h.ID, h.URL, eventList(h.Events), hookState(h))
		}

		return table.Flush()
	})
}

func eventList(events []string) string {
	if len(events) == 0 {
		return "all"
	}

	return strings.Join(events, " ")
}

func hookState(h client.Webhook) string {
	switch {
	case !h.Enabled:
		return "disabled"
	case h.ParkedUntil > 0:
		return fmt.Sprintf("failed %d times, parked until %s", h.Failures, clock(h.ParkedUntil))
	case h.Failures > 0:
		return fmt.Sprintf("failed %d times", h.Failures)
	}

	return "works"
}

type webhookAddCmd struct {
	server
	URL    string   `arg:"" name:"address" help:"Where events are POSTed: http or https, on the public internet."`
	Events []string `name:"events" placeholder:"EVENT" help:"Only these: video.queued, video.in_progress, video.completed, video.failed, video.cancelled. Default: all."`
}

// Help teaches by examples.
func (webhookAddCmd) Help() string {
	return "Deliveries are signed as Standard Webhooks say; its libraries, OpenAI's and the Go client verify them with the secret that is printed.\n\nExamples:\n\n  unireel webhook add https://example.com/hooks/unireel --events video.completed,video.failed"
}

// Run adds it.
func (c *webhookAddCmd) Run(ctx context.Context, w *World) error {
	return c.asking(func(server *client.Client) error {
		h, err := server.AddWebhook(ctx, c.URL, c.Events...)
		if err != nil {
			return err
		}

		if c.JSON {
			return w.printJSON(h)
		}

		_, err = fmt.Fprintf(w.Out, "%s tells %s of %s\nSigning secret: %s\n", h.ID, h.URL, eventList(h.Events), h.Secret)

		return err
	})
}

type webhookChangeCmd struct {
	server
	hookID
	To     string   `name:"to" placeholder:"URL" help:"Another address."`
	Events []string `name:"events" placeholder:"EVENT" help:"Other events; \"all\" for all."`
	Off    bool     `name:"off" xor:"on" help:"Send nothing there for now."`
	On     bool     `name:"on" xor:"on" help:"Send there again, also what waited less than 24 hours."`
}

// Help teaches by examples.
func (webhookChangeCmd) Help() string {
	return "Examples:\n\n  unireel webhook change hook_01KDVDNR20QDZS6SH4PY0G9QRQ --off\n\n  unireel webhook change hook_01KDVDNR20QDZS6SH4PY0G9QRQ --events all"
}

// Run changes it.
func (c *webhookChangeCmd) Run(ctx context.Context, w *World) error {
	var change client.WebhookChange
	if c.To != "" {
		change.URL = &c.To
	}

	if c.Events != nil {
		if len(c.Events) == 1 && c.Events[0] == "all" {
			c.Events = []string{}
		}

		change.Events = &c.Events
	}

	if c.On || c.Off {
		change.Enabled = &c.On
	}

	if change == (client.WebhookChange{}) {
		return usagef("say what to change: --to, --events, --on or --off")
	}

	return c.asking(func(server *client.Client) error {
		h, err := server.ChangeWebhook(ctx, c.ID, change)
		if err != nil {
			return err
		}

		if c.JSON {
			return w.printJSON(h)
		}

		_, err = fmt.Fprintf(w.Out, "%s tells %s of %s: %s\n", h.ID, h.URL, eventList(h.Events), hookState(h))

		return err
	})
}

type webhookRemoveCmd struct {
	server
	hookID
}

// Help teaches by examples.
func (webhookRemoveCmd) Help() string {
	return "Examples:\n\n  unireel webhook remove hook_01KDVDNR20QDZS6SH4PY0G9QRQ"
}

// Run removes it.
func (c *webhookRemoveCmd) Run(ctx context.Context, w *World) error {
	return c.asking(func(server *client.Client) error {
		err := server.DeleteWebhook(ctx, c.ID)
		if err == nil {
			_, err = fmt.Fprintf(w.Out, "%s is gone\n", c.ID)
		}

		return err
	})
}

type webhookSecretCmd struct {
	server
	hookID
	Rotate bool          `name:"rotate" help:"Make a new secret."`
	Keep   time.Duration `name:"keep" default:"24h" placeholder:"TIME" help:"How long the old one signs too."`
}

// Help teaches by examples.
func (webhookSecretCmd) Help() string {
	return "Examples:\n\n  unireel webhook secret default\n\n  unireel webhook secret hook_01KDVDNR20QDZS6SH4PY0G9QRQ --rotate --keep 1h"
}

// Run shows or rotates it.
func (c *webhookSecretCmd) Run(ctx context.Context, w *World) error {
	return c.asking(func(server *client.Client) error {
		s, err := server.WebhookSecret(ctx, c.ID)
		if err == nil && c.Rotate {
			s, err = server.RotateWebhookSecret(ctx, c.ID, c.Keep)
		}

		if err != nil {
			return err
		}

		if c.JSON {
			return w.printJSON(s)
		}

		if s.Earlier != "" {
			fmt.Fprintf(w.Err, "The secret before signs too until %s.\n", clock(s.EarlierUntil))
		}

		_, err = fmt.Fprintln(w.Out, s.Secret)

		return err
	})
}

type webhookTestCmd struct {
	server
	hookID
}

// Help teaches by examples.
func (webhookTestCmd) Help() string {
	return "Examples:\n\n  unireel webhook test hook_01KDVDNR20QDZS6SH4PY0G9QRQ"
}

// Run sends it.
func (c *webhookTestCmd) Run(ctx context.Context, w *World) error {
	return c.asking(func(server *client.Client) error {
		d, err := server.TestWebhook(ctx, c.ID)
		return w.printDelivery(c.JSON, d, err)
	})
}

func (w *World) printDelivery(asJSON bool, d client.Delivery, err error) error {
	switch {
	case err != nil:
		return err
	case asJSON:
		return w.printJSON(d)
	}

	_, err = fmt.Fprintf(w.Out, "%s is on its way\n", d.ID)

	return err
}

type webhookDeliveriesCmd struct {
	server
	hookID
	Status string `name:"status" enum:"pending,delivered,failed," default:"" placeholder:"STATUS" help:"Only those: pending, delivered or failed."`
	Limit  int    `name:"limit" default:"20" help:"At most so many, newest first."`
}

// Help teaches by examples.
func (webhookDeliveriesCmd) Help() string {
	return "Examples:\n\n  unireel webhook deliveries default --status failed"
}

// Run lists them.
func (c *webhookDeliveriesCmd) Run(ctx context.Context, w *World) error {
	return c.asking(func(server *client.Client) error {
		list := []client.Delivery{}

		for d, err := range server.Deliveries(ctx, c.ID, c.Status) {
			if err != nil {
				return err
			}

			if len(list) >= c.Limit {
				break
			}

			list = append(list, d)
		}

		if c.JSON {
			return w.printJSON(list)
		}

		table := tabwriter.NewWriter(w.Out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "EVENT\tTYPE\tSTATUS\tTRIES\tNEXT TRY\tANSWER\tERROR")

		for _, d := range list {
			fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%d\t%s\n", d.ID, d.Type, d.Status, d.Tries, clock(d.NextTryAt), d.Answer, d.Error)
		}

		return table.Flush()
	})
}

type webhookRedeliverCmd struct {
	server
	hookID
	Event string `arg:"" help:"The event's id, from deliveries."`
}

// Help teaches by examples.
func (webhookRedeliverCmd) Help() string {
	return "Examples:\n\n  unireel webhook redeliver default evt_01KDVDNR20QDZS6SH4PY0G9QRQ_completed"
}

// Run sends it again.
func (c *webhookRedeliverCmd) Run(ctx context.Context, w *World) error {
	return c.asking(func(server *client.Client) error {
		d, err := server.Redeliver(ctx, c.ID, c.Event)
		return w.printDelivery(c.JSON, d, err)
	})
}
