package config

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/alecthomas/kong"
)

// FileName is the name of the configuration file.
const FileName = "unireel.yaml"

// Load returns the configuration from flags such as "--data=/srv/unireel", the
// environment, the file and the defaults, in this order of precedence. It is for
// processes that do not parse these flags themselves. The result is valid.
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

// LoadFlagsOnly is like Load but ignores the environment and configuration files, so that
// demos and tests do not depend on the host's settings.
func LoadFlagsOnly(flags ...string) (Config, error) {
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

// Groups returns the groups of options in --help, in order, with their titles.
func Groups() []kong.Group {
	return []kong.Group{
		{Key: "Where", Title: "Locations:"},
		{Key: "HTTP", Title: "The server:"},
		{Key: "Money", Title: "Money:"},
		{Key: "Tasks", Title: "Models and tasks:"},
		{Key: "References", Title: "Fetching references:"},
		{Key: "Previews", Title: "The embedded renderer:"},
		{Key: "Blobs", Title: "Storage of videos and files:"},
		{Key: "DashScope", Title: "DashScope:", Description: "Configure several accounts in the file, as a list under upstreams (docs/config.md)."},
	}
}

// allOptions returns the flags of Config.
func allOptions() ([]*kong.Flag, error) {
	parser, err := kong.New(&Config{}, kong.NoDefaultHelp(), kong.ExplicitGroups(Groups()))
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}

	return parser.Model.Flags, nil
}

// BeforeReset is a hook of kong: see IgnoreEmpty.
func (c *Config) BeforeReset(ctx *kong.Context) error { return IgnoreEmpty(ctx) }

// IgnoreEmpty is a hook for kong's BeforeReset. It makes an environment variable with an
// empty value count as not set, because compose files pass unset variables that way.
func IgnoreEmpty(ctx *kong.Context) error {
	for _, flag := range ctx.Flags() {
		flag.Tag.Envs = slices.DeleteFunc(slices.Clone(flag.Tag.Envs), func(name string) bool {
			text, ok := os.LookupEnv(name)
			return ok && text == ""
		})
	}

	return nil
}

// BeforeResolve is a hook of kong. It finds and reads the configuration file and adds it
// as a resolver, below the flags and the environment.
func (c *Config) BeforeResolve(ctx *kong.Context) error {
	explicitPath := ""
	data := ""

	for _, flag := range ctx.Flags() {
		switch flag.Name {
		case "config":
			explicitPath, _ = ctx.FlagValue(flag).(string)
		case "data":
			data, _ = ctx.FlagValue(flag).(string)
		}
	}

	path := explicitPath
	fromDataFolder := false

	if path == "" {
		folder := data
		if folder == "" {
			folder, _ = DefaultData() // without a home folder there is no default data folder to search
		}

		dataFolderFile := filepath.Join(folder, FileName)

		var err error
		if path, err = firstExisting([]string{FileName, dataFolderFile, filepath.Join("/etc/unireel", FileName)}); err != nil {
			return err
		}

		fromDataFolder = path == dataFolderFile
	}

	if path == "" {
		return nil
	}

	list, err := allOptions()
	if err != nil {
		return err
	}

	parsed, err := readFile(path, list)
	if err != nil {
		return err
	}

	if _, setsData := parsed.values["data"]; setsData && fromDataFolder {
		return fmt.Errorf("config: %s: data cannot be set in the data folder's own file; use --data or UNIREEL_DATA", path)
	}

	c.Upstreams = parsed.upstreams
	ctx.AddResolver(parsed)

	return nil
}

// AfterApply is a hook of kong. It fills in the values that depend on the host, and
// validates the result.
func (c *Config) AfterApply() error {
	if c.Data == "" {
		folder, err := DefaultData()
		if err != nil {
			return err
		}

		c.Data = folder
	}

	if err := c.resolveUpstreams(); err != nil {
		return err
	}

	return c.Validate()
}

// DefaultData returns the default data folder of this user.
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

// DataFolder returns the data folder that the environment sets, or else the default. It
// is for clients, which look for a profile and have no other configuration.
func DataFolder() (string, error) {
	if folder := os.Getenv("UNIREEL_DATA"); folder != "" {
		return folder, nil
	}

	return DefaultData()
}
