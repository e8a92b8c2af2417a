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

// serverFlags tell a customer's command which server to use: the flags, else the
// environment, else the profile that serve wrote on this host.
type serverFlags struct {
	URL  string        `name:"url" env:"UNIREEL_URL" placeholder:"URL" help:"The server's URL. Default: the server on this host."`
	Key  config.Secret `name:"key" env:"UNIREEL_API_KEY" placeholder:"KEY" help:"The API key. Default: the first key of the server on this host."`
	Data string        `name:"data" env:"UNIREEL_DATA" type:"path" placeholder:"DIR" help:"The data folder of the server on this host, if it is not the default one."`
	JSON bool          `name:"json" help:"Print the server's response unchanged."`
}

// connect returns the client.
func (s serverFlags) connect() (*client.Client, error) {
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
			return nil, usagef("no server is known: start one here with \"unireel serve\", or choose one with --url and --key (UNIREEL_URL, UNIREEL_API_KEY)")
		case errors.Is(err, os.ErrNotExist):
			return nil, usagef("no API key: set one with --key or UNIREEL_API_KEY")
		case err != nil:
			return nil, err
		case url != "" && url != profile.URL:
			// The local key must not be sent to a server for which it was not created.
			return nil, usagef("no API key for %s: set one with --key or UNIREEL_API_KEY", url)
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

// hostFlags tell a command which installation on this host to use.
type hostFlags struct {
	File     string        `name:"config" env:"UNIREEL_CONFIG" type:"path" placeholder:"FILE" help:"The server's configuration file."`
	Data     string        `name:"data" env:"UNIREEL_DATA" type:"path" placeholder:"DIR" help:"The server's data folder, if it is not the default one."`
	Database config.Secret `name:"database" env:"UNIREEL_DATABASE" placeholder:"URL" help:"The server's PostgreSQL database, if it uses one."`
	JSON     bool          `name:"json" help:"Print the result as JSON."`
}

// operatorFlags tell an operator's command which installation to use: the one on this
// host, or another through the API with a key with the scope admin.
type operatorFlags struct {
	hostFlags
	URL string        `name:"url" env:"UNIREEL_URL" placeholder:"URL" help:"The URL of a remote server. Default: the installation on this host, which needs no key."`
	Key config.Secret `name:"key" env:"UNIREEL_API_KEY" placeholder:"KEY" help:"With --url: an API key with the scope admin."`
}

func (o hostFlags) loadConfig() (config.Config, error) {
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

// withAdmin calls do with the operator's API.
func (o operatorFlags) withAdmin(ctx context.Context, env *Env, do func(client.Admin) error) error {
	if o.URL != "" {
		return o.withRemoteAdmin(do)
	}

	cfg, err := o.loadConfig()
	if err != nil {
		return err
	}

	rt, closeTransport, err := env.App.AdminTransport(ctx, cfg)
	if err != nil {
		return err
	}

	c, err := client.New("http://operator", "", client.WithTransport(rt))
	if err == nil {
		err = do(c.Admin())
	}

	if closeErr := closeTransport(); err == nil && closeErr != nil {
		return fmt.Errorf("close the data folder: %w", closeErr)
	}

	return err
}

// withRemoteAdmin calls do with the operator's API of the server that --url names.
func (o operatorFlags) withRemoteAdmin(do func(client.Admin) error) error {
	if !o.Key.Set() {
		return usagef("no API key for %s: set one with the scope admin with --key or UNIREEL_API_KEY; on the server's own host leave out --url and UNIREEL_URL", o.URL)
	}

	c, err := newClient(o.URL, o.Key.Reveal())
	if err != nil {
		return err
	}
	defer c.Close()

	return do(c.Admin())
}

// printJSON prints raw JSON unchanged and any other value indented.
func (env *Env) printJSON(v any) error {
	if raw, ok := v.(json.RawMessage); ok {
		_, err := fmt.Fprintf(env.Out, "%s\n", raw)
		return err
	}

	encoder := json.NewEncoder(env.Out)
	encoder.SetIndent("", "  ")

	return encoder.Encode(v)
}
