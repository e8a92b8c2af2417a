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
	List       webhookListCmd       `cmd:"" help:"List the account's endpoints."`
	Add        webhookAddCmd        `cmd:"" help:"Add an endpoint and print its signing secret."`
	Change     webhookChangeCmd     `cmd:"" help:"Change an endpoint's URL or events, or turn it off or on."`
	Remove     webhookRemoveCmd     `cmd:"" help:"Delete an endpoint and its pending deliveries."`
	Secret     webhookSecretCmd     `cmd:"" help:"Show the secret that signs an endpoint's deliveries, or create a new one."`
	Test       webhookTestCmd       `cmd:"" help:"Send a test event."`
	Deliveries webhookDeliveriesCmd `cmd:"" help:"List an endpoint's deliveries and their outcome."`
	Redeliver  webhookRedeliverCmd  `cmd:"" help:"Send an event again."`
	Listen     webhookListenCmd     `cmd:"" help:"Receive events on this host, verify them and print them."`
}

// webhookArg is the argument that names an endpoint.
type webhookArg struct {
	ID string `arg:"" help:"The endpoint's id; \"default\" stands for the webhook_url of requests."`
}

// withClient calls do with a client of the server.
func (s serverFlags) withClient(do func(*client.Client) error) error {
	c, err := s.connect()
	if err != nil {
		return err
	}
	defer c.Close()

	return do(c)
}

type webhookListCmd struct{ serverFlags }

// Help returns examples.
func (webhookListCmd) Help() string { return "Examples:\n\n  unireel webhook list" }

// Run prints the list.
func (c *webhookListCmd) Run(ctx context.Context, env *Env) error {
	return c.withClient(func(server *client.Client) error {
		list, err := server.Webhooks(ctx)
		if err != nil {
			return err
		}

		if c.JSON {
			return env.printJSON(list)
		}

		table := tabwriter.NewWriter(env.Out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "WEBHOOK\tURL\tEVENTS\tSTATE")

		for _, h := range list {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", h.ID, h.URL, eventList(h.Events), webhookStatus(h))
		}

		return table.Flush()
	})
}

func eventList(events []string) string {
	if len(events) == 0 {
		return "all events"
	}

	return strings.Join(events, " ")
}

func webhookStatus(h client.Webhook) string {
	switch {
	case !h.Enabled:
		return "disabled"
	case h.SuspendedUntil > 0:
		return fmt.Sprintf("failed %d times, suspended until %s", h.Failures, formatTime(h.SuspendedUntil))
	case h.Failures > 0:
		return fmt.Sprintf("failed %d times", h.Failures)
	}

	return "works"
}

type webhookAddCmd struct {
	serverFlags
	URL    string   `arg:"" name:"address" help:"The URL to which events are POSTed: http or https, on the public internet."`
	Events []string `name:"events" placeholder:"EVENT" help:"Only these events: video.queued, video.in_progress, video.completed, video.failed, video.cancelled. Default: all."`
}

// Help returns examples.
func (webhookAddCmd) Help() string {
	return "Deliveries are signed according to Standard Webhooks. Its libraries, those of OpenAI and the Go client verify them with the printed secret.\n\nExamples:\n\n  unireel webhook add https://example.com/hooks/unireel --events video.completed,video.failed"
}

// Run adds the endpoint.
func (c *webhookAddCmd) Run(ctx context.Context, env *Env) error {
	return c.withClient(func(server *client.Client) error {
		h, err := server.AddWebhook(ctx, c.URL, c.Events...)
		if err != nil {
			return err
		}

		if c.JSON {
			return env.printJSON(h)
		}

		_, err = fmt.Fprintf(env.Out, "%s sends %s to %s\nSigning secret: %s\n", h.ID, eventList(h.Events), h.URL, h.Secret)

		return err
	})
}

type webhookChangeCmd struct {
	serverFlags
	webhookArg
	To     string   `name:"to" placeholder:"URL" help:"The new URL."`
	Events []string `name:"events" placeholder:"EVENT" help:"The new events; \"all\" means all."`
	Off    bool     `name:"off" xor:"on" help:"Stop sending to the endpoint."`
	On     bool     `name:"on" xor:"on" help:"Send to the endpoint again, including events that have waited less than 24 hours."`
}

// Help returns examples.
func (webhookChangeCmd) Help() string {
	return "Examples:\n\n  unireel webhook change hook_01KDVDNR20QDZS6SH4PY0G9QRQ --off\n\n  unireel webhook change hook_01KDVDNR20QDZS6SH4PY0G9QRQ --events all"
}

// Run changes the endpoint.
func (c *webhookChangeCmd) Run(ctx context.Context, env *Env) error {
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

	return c.withClient(func(server *client.Client) error {
		h, err := server.ChangeWebhook(ctx, c.ID, change)
		if err != nil {
			return err
		}

		if c.JSON {
			return env.printJSON(h)
		}

		_, err = fmt.Fprintf(env.Out, "%s sends %s to %s: %s\n", h.ID, eventList(h.Events), h.URL, webhookStatus(h))

		return err
	})
}

type webhookRemoveCmd struct {
	serverFlags
	webhookArg
}

// Help returns examples.
func (webhookRemoveCmd) Help() string {
	return "Examples:\n\n  unireel webhook remove hook_01KDVDNR20QDZS6SH4PY0G9QRQ"
}

// Run deletes the endpoint.
func (c *webhookRemoveCmd) Run(ctx context.Context, env *Env) error {
	return c.withClient(func(server *client.Client) error {
		err := server.DeleteWebhook(ctx, c.ID)
		if err == nil {
			_, err = fmt.Fprintf(env.Out, "%s is deleted\n", c.ID)
		}

		return err
	})
}

type webhookSecretCmd struct {
	serverFlags
	webhookArg
	Rotate bool          `name:"rotate" help:"Create a new secret."`
	Keep   time.Duration `name:"keep" default:"24h" placeholder:"TIME" help:"How long the old secret also signs."`
}

// Help returns examples.
func (webhookSecretCmd) Help() string {
	return "Examples:\n\n  unireel webhook secret default\n\n  unireel webhook secret hook_01KDVDNR20QDZS6SH4PY0G9QRQ --rotate --keep 1h"
}

// Run prints or rotates the secret.
func (c *webhookSecretCmd) Run(ctx context.Context, env *Env) error {
	return c.withClient(func(server *client.Client) error {
		s, err := server.WebhookSecret(ctx, c.ID)
		if err == nil && c.Rotate {
			s, err = server.RotateWebhookSecret(ctx, c.ID, c.Keep)
		}

		if err != nil {
			return err
		}

		if c.JSON {
			return env.printJSON(s)
		}

		if s.Previous != "" {
			fmt.Fprintf(env.Err, "The previous secret also signs until %s.\n", formatTime(s.PreviousUntil))
		}

		_, err = fmt.Fprintln(env.Out, s.Secret)

		return err
	})
}

type webhookTestCmd struct {
	serverFlags
	webhookArg
}

// Help returns examples.
func (webhookTestCmd) Help() string {
	return "Examples:\n\n  unireel webhook test hook_01KDVDNR20QDZS6SH4PY0G9QRQ"
}

// Run sends the test event.
func (c *webhookTestCmd) Run(ctx context.Context, env *Env) error {
	return c.withClient(func(server *client.Client) error {
		d, err := server.TestWebhook(ctx, c.ID)
		return env.printDelivery(c.JSON, d, err)
	})
}

func (env *Env) printDelivery(asJSON bool, d client.Delivery, err error) error {
	switch {
	case err != nil:
		return err
	case asJSON:
		return env.printJSON(d)
	}

	_, err = fmt.Fprintf(env.Out, "%s is being delivered\n", d.ID)

	return err
}

type webhookDeliveriesCmd struct {
	serverFlags
	webhookArg
	Status string `name:"status" enum:"pending,delivered,failed," default:"" placeholder:"STATUS" help:"Only deliveries with this status: pending, delivered or failed."`
	Limit  int    `name:"limit" default:"20" help:"The number of deliveries, newest first."`
}

// Help returns examples.
func (webhookDeliveriesCmd) Help() string {
	return "Examples:\n\n  unireel webhook deliveries default --status failed"
}

// Run prints the list.
func (c *webhookDeliveriesCmd) Run(ctx context.Context, env *Env) error {
	return c.withClient(func(server *client.Client) error {
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
			return env.printJSON(list)
		}

		table := tabwriter.NewWriter(env.Out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "EVENT\tTYPE\tSTATUS\tTRIES\tNEXT TRY\tRESPONSE\tERROR")

		for _, d := range list {
			fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%d\t%s\n", d.ID, d.Type, d.Status, d.Tries, formatTime(d.NextTryAt), d.ResponseStatus, d.Error)
		}

		return table.Flush()
	})
}

type webhookRedeliverCmd struct {
	serverFlags
	webhookArg
	Event string `arg:"" help:"The event's id, from \"unireel webhook deliveries\"."`
}

// Help returns examples.
func (webhookRedeliverCmd) Help() string {
	return "Examples:\n\n  unireel webhook redeliver default evt_01KDVDNR20QDZS6SH4PY0G9QRQ_completed"
}

// Run sends the event again.
func (c *webhookRedeliverCmd) Run(ctx context.Context, env *Env) error {
	return c.withClient(func(server *client.Client) error {
		d, err := server.Redeliver(ctx, c.ID, c.Event)
		return env.printDelivery(c.JSON, d, err)
	})
}
