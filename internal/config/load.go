package config

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/alecthomas/kong"
)

// FileName is what the configuration file is called.
const FileName = "unireel.yaml"

// Load reads the configuration for a process that has no flags of its own for
// it: flags ("--data=/srv/unireel") above the environment above the file above
// the defaults. The result is valid.
func Load(flags ...string) (Config, error) {
	var c Config

	parser, err := kong.New(&c, kong.Name("unireel"), kong.NoDefaultHelp(), kong.ExplicitGroups(Groups()))
	if err != nil {
		return Config{}, fmt.Errorf("config: %w", err)
	}

	if _, err := parser.Parse(flags); err != nil {
		return Config{}, err
	}

	return c, nil
}

// Plain is Load without the environment and without a file: what a demo or a
// test must have, whatever the machine is set up for.
func Plain(flags ...string) (Config, error) {
	var c Config

	parser, err := kong.New(&c, kong.Name("unireel"), kong.NoDefaultHelp(), kong.ExplicitGroups(Groups()))
	if err != nil {
		return Config{}, fmt.Errorf("config: %w", err)
	}

	for _, flag := range parser.Model.Flags {
		flag.Tag.Envs = nil
	}

	if _, err := parser.Parse(append([]string{"--config=" + os.DevNull}, flags...)); err != nil {
		return Config{}, err
	}

	c.File = ""

	return c, nil
}

// Groups is the order and the titles of the knobs in --help.
func Groups() []kong.Group {
	return []kong.Group{
		{Key: "Where", Title: "Where things are:"},
		{Key: "HTTP", Title: "The server:"},
		{Key: "Money", Title: "Money:"},
		{Key: "Tasks", Title: "Models and tasks:"},
		{Key: "References", Title: "Fetching references:"},
		{Key: "Previews", Title: "The embedded renderer:"},
		{Key: "Blobs", Title: "Where videos and files are kept:"},
		{Key: "DashScope", Title: "DashScope:", Description: "Several accounts stand in the file, as a list under upstreams (docs/config.md)."},
	}
}

// knobs lists the flags of Config.
func knobs() ([]*kong.Flag, error) {
	parser, err := kong.New(&Config{}, kong.NoDefaultHelp(), kong.ExplicitGroups(Groups()))
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}

	return parser.Model.Flags, nil
}

// BeforeReset is for kong: see IgnoreEmpty.
func (c *Config) BeforeReset(ctx *kong.Context) error { return IgnoreEmpty(ctx) }

// IgnoreEmpty is a hook for kong, to run before its reset: a variable of the
// environment that is set to nothing counts as not set, as compose files need it.
func IgnoreEmpty(ctx *kong.Context) error {
	for _, flag := range ctx.Flags() {
		flag.Tag.Envs = slices.DeleteFunc(slices.Clone(flag.Tag.Envs), func(name string) bool {
			text, ok := os.LookupEnv(name)
			return ok && text == ""
		})
	}

	return nil
}

// BeforeResolve is for kong: it finds the file and puts it under the flags and
// the environment.
func (c *Config) BeforeResolve(ctx *kong.Context) error {
	asked := ""
	data := ""

	for _, flag := range ctx.Flags() {
		switch flag.Name {
		case "config":
			asked, _ = ctx.FlagValue(flag).(string)
		case "data":
			data, _ = ctx.FlagValue(flag).(string)
		}
	}

	path := asked
	inData := false

	if path == "" {
		folder := data
		if folder == "" {
			folder, _ = DefaultData() // without a home there is no file in it
		}

		own := filepath.Join(folder, FileName)

		var err error
		if path, err = find([]string{FileName, own, filepath.Join("/etc/unireel", FileName)}); err != nil {
			return err
		}

		inData = path == own
	}

	if path == "" {
		return nil
	}

	list, err := knobs()
	if err != nil {
		return err
	}

	read, err := readFile(path, list)
	if err != nil {
		return err
	}

	if _, moved := read.values["data"]; moved && inData {
		return fmt.Errorf("config: %s: data cannot be set in the data folder's own file; use --data or UNIREEL_DATA", path)
	}

	c.Upstreams = read.upstreams
	ctx.AddResolver(read)

	return nil
}

// AfterApply is for kong: it fills in what only the machine knows and refuses
// what is wrong.
func (c *Config) AfterApply() error {
	if c.Data == "" {
		folder, err := DefaultData()
		if err != nil {
			return err
		}

		c.Data = folder
	}

	if err := c.finishUpstreams(); err != nil {
		return err
	}

	return c.Validate()
}

// DefaultData is the data folder of this user on this machine.
func DefaultData() (string, error) {
	if folder := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(folder) {
		return filepath.Join(folder, "unireel"), nil
	}

	home, err := os.UserHomeDir()
	if err != nil {
		return "", errNoHome
	}

	if runtime.GOOS == "darwin" {
		return filepath.Join(home, "Library", "Application Support", "unireel"), nil
	}

	return filepath.Join(home, ".local", "share", "unireel"), nil
}

// DataFolder is the data folder that the environment names, else the default:
// for clients that look for a profile and have no other configuration.
func DataFolder() (string, error) {
	if folder := os.Getenv("UNIREEL_DATA"); folder != "" {
		return folder, nil
	}

	return DefaultData()
}
