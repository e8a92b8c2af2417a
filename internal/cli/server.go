package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/unireel/unireel/client"
	"github.com/unireel/unireel/internal/app"
	"github.com/unireel/unireel/internal/config"
)

// server is how a customer's command finds the server: flags, then the
// environment, then the profile that serve wrote on this host.
type server struct {
	URL  string        `name:"url" env:"UNIREEL_URL" placeholder:"URL" help:"The server. Default: the one that runs on this host."`
	Key  config.Secret `name:"key" env:"UNIREEL_API_KEY" placeholder:"KEY" help:"The API key. Default: the first key of the server on this host."`
	Data string        `name:"data" env:"UNIREEL_DATA" type:"path" placeholder:"DIR" help:"The data folder of the server on this host, when it is not the usual one."`
	JSON bool          `name:"json" help:"Print the server's answer as it is."`
}

// connect makes the client.
func (s server) connect() (*client.Client, error) {
	url := s.URL

	key := s.Key.Reveal()
	if url == "" || key == "" {
		folder := s.Data
		if folder == "" {
			var err error
			if folder, err = config.DefaultData(); err != nil {
				return nil, err
			}
		}

		profile, err := config.ReadProfile(folder)
		switch {
		case errors.Is(err, os.ErrNotExist) && url == "":
			return nil, usagef("no server is known: start one here with \"unireel serve\", or name one with --url and --key (UNIREEL_URL, UNIREEL_API_KEY)")
		case errors.Is(err, os.ErrNotExist):
			return nil, usagef("no API key: give one with --key or UNIREEL_API_KEY")
		case err != nil:
			return nil, err
		case url != "" && url != profile.URL:
			// The local key is not shown to a server that it was not made for.
			return nil, usagef("no API key for %s: give one with --key or UNIREEL_API_KEY", url)
		}

		url = profile.URL
		if key == "" {
			key = profile.Key.Reveal()
		}
	}

	return newClient(url, key)
}

func newClient(url, key string) (*client.Client, error) {
	c, err := client.New(url, key, client.WithUserAgent("unireel-cli/"+app.Version()))
	if err != nil {
		return nil, usagef("--url: %s", err)
	}

	return c, nil
}

// host is how a command finds the installation on this host.
type host struct {
	File     string        `name:"config" env:"UNIREEL_CONFIG" type:"path" placeholder:"FILE" help:"The server's configuration file."`
	Data     string        `name:"data" env:"UNIREEL_DATA" type:"path" placeholder:"DIR" help:"The server's data folder, when it is not the usual one."`
	Database config.Secret `name:"database" env:"UNIREEL_DATABASE" placeholder:"URL" help:"The server's PostgreSQL database, when it has one."`
	JSON     bool          `name:"json" help:"Print the answer as JSON."`
}

// operator is how an operator's command finds the installation: on this host, or
// through the API with a key of the scope admin.
type operator struct {
	host
	URL string        `name:"url" env:"UNIREEL_URL" placeholder:"URL" help:"A server elsewhere. Default: the installation on this host, for which no key is needed."`
	Key config.Secret `name:"key" env:"UNIREEL_API_KEY" placeholder:"KEY" help:"With --url: an API key of the scope admin."`
}

func (o host) load() (config.Config, error) {
	var flags []string
	if o.File != "" {
		flags = append(flags, "--config="+o.File)
	}

	if o.Data != "" {
		flags = append(flags, "--data="+o.Data)
	}

	if o.Database.Set() {
		flags = append(flags, "--database="+o.Database.Reveal())
	}

	return config.Load(flags...)
}

// with runs do against the operator's API.
func (o operator) with(ctx context.Context, w *World, do func(client.Admin) error) error {
	if o.URL != "" {
		return o.elsewhere(do)
	}

	cfg, err := o.load()
	if err != nil {
		return err
	}

	rt, closer, err := w.House.Operator(ctx, cfg)
	if err != nil {
		return err
	}

	c, err := client.New("http://operator", "", client.WithTransport(rt))
	if err == nil {
		err = do(c.Admin())
	}

	if closed := closer(); err == nil && closed != nil {
		return fmt.Errorf("close the data folder: %w", closed)
	}

	return err
}

// elsewhere runs do against the operator's API of a server that is named.
func (o operator) elsewhere(do func(client.Admin) error) error {
	if !o.Key.Set() {
		return usagef("no API key for %s: give one of the scope admin with --key or UNIREEL_API_KEY; on the server's own host leave out --url and UNIREEL_URL", o.URL)
	}

	c, err := newClient(o.URL, o.Key.Reveal())
	if err != nil {
		return err
	}
	defer c.Close()

	return do(c.Admin())
}

// printJSON writes raw bytes as they are, anything else indented.
func (w *World) printJSON(v any) error {
	if raw, ok := v.(json.RawMessage); ok {
		_, err := fmt.Fprintf(w.Out, "%s\n", raw)
		return err
	}

	encoder := json.NewEncoder(w.Out)
	encoder.SetIndent("", "  ")

	return encoder.Encode(v)
}
