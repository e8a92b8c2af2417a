package config

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// rawUpstream is an upstream as written in the file.
type rawUpstream struct {
	Name       string            `yaml:"name"`
	Provider   string            `yaml:"provider"`
	BaseURL    string            `yaml:"base_url"`
	APIKey     string            `yaml:"api_key"`
	APIKeyEnv  string            `yaml:"api_key_env"`
	APIKeyFile string            `yaml:"api_key_file"`
	Region     string            `yaml:"region"`
	Workspace  string            `yaml:"workspace"`
	Settings   map[string]string `yaml:"settings"`
	Models     []string          `yaml:"models"`
	Limits     rawLimits         `yaml:"limits"`
	Order      int               `yaml:"order"`
	Weight     int               `yaml:"weight"`
	Routes     []Route           `yaml:"routes"`
}

// The allowed keys of an upstream, its limits and its routes.
var (
	upstreamKeys = []string{"name", "provider", "base_url", "api_key", "api_key_env", "api_key_file", "region", "workspace", "settings", "models", "limits", "order", "weight", "routes"}
	limitKeys    = []string{"submits_per_second", "in_progress", "queries_per_second"}
	routeKeys    = []string{"models", "supplier_model", "order", "weight", "sizes", "seconds", "prompt_max", "images", "videos", "references", "unsupported"}
)

type rawLimits struct {
	SubmitsPerSecond float64 `yaml:"submits_per_second"`
	InProgress       int     `yaml:"in_progress"`
	QueriesPerSecond float64 `yaml:"queries_per_second"`
}

// readUpstreams reads the list of upstreams. It also reads the API keys that are in
// environment variables or files.
func (f *file) readUpstreams(node *yaml.Node) ([]Upstream, error) {
	if node.Kind != yaml.SequenceNode {
		return nil, fmt.Errorf("config: %s:%d: upstreams is a list; begin each with \"- name: ...\"", f.path, node.Line)
	}

	var list []Upstream

	for _, item := range node.Content {
		upstream, err := f.readUpstream(item)
		if err != nil {
			return nil, err
		}

		list = append(list, upstream)
	}

	return list, nil
}

func (f *file) readUpstream(item *yaml.Node) (Upstream, error) {
	if err := f.checkUpstreamKeys(item); err != nil {
		return Upstream{}, err
	}

	source := fmt.Sprintf("%s:%d", f.path, item.Line)

	var raw rawUpstream
	if err := item.Decode(&raw); err != nil {
		return Upstream{}, fmt.Errorf("config: %s: upstream: %s", source, withoutValues(err))
	}

	upstream, err := raw.resolve()
	if err != nil {
		return Upstream{}, fmt.Errorf("config: %s: upstream %s: %w", source, raw.Name, err)
	}

	upstream.Source = source

	return upstream, nil
}

// ParseUpstream parses one upstream, written as YAML as in the file's list or as JSON,
// with the same checks. source names the origin in errors. Limits that are left out are
// those of c.
func (c Config) ParseUpstream(text []byte, source string) (Upstream, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil || len(document.Content) != 1 {
		return Upstream{}, fmt.Errorf("config: %s: not an upstream with keys and values", source)
	}

	u, err := (&file{path: source}).readUpstream(document.Content[0])
	if err != nil {
		return Upstream{}, err
	}

	u.Source = source

	single := Config{SubmitsPerSecond: c.SubmitsPerSecond, InProgress: c.InProgress, QueriesPerSecond: c.QueriesPerSecond, Upstreams: []Upstream{u}}
	if err := errors.Join(single.resolveUpstreams(), single.checkUpstreams()); err != nil {
		return Upstream{}, err
	}

	return single.Upstreams[0], nil
}

// withoutValues returns the message of a YAML error without the quoted value, which may
// be a secret.
func withoutValues(err error) string {
	if kind := new(yaml.TypeError); errors.As(err, &kind) && len(kind.Errors) > 0 {
		before, _, _ := strings.Cut(kind.Errors[0], "`")
		place, _, _ := strings.Cut(before, ":")

		return "a value of the wrong type in " + place
	}

	return "a value of the wrong type"
}

// checkUpstreamKeys returns an error for a key that upstreams, limits or routes do not
// have.
func (f *file) checkUpstreamKeys(item *yaml.Node) error {
	pairs, err := f.allowedPairs(item, upstreamKeys)
	if err != nil {
		return err
	}

	for _, p := range pairs {
		switch p.key {
		case "limits":
			if _, err := f.allowedPairs(p.node, limitKeys); err != nil {
				return err
			}
		case "routes":
			if p.node.Kind != yaml.SequenceNode {
				return fmt.Errorf("config: %s:%d: routes is a list; begin each with \"- models: [...]\"", f.path, p.line)
			}

			for _, route := range p.node.Content {
				if _, err := f.allowedPairs(route, routeKeys); err != nil {
					return err
				}
			}
		}
	}

	return nil
}

func (f *file) allowedPairs(node *yaml.Node, allowed []string) ([]keyNode, error) {
	pairs, err := f.pairs(node)
	for _, p := range pairs {
		if !slices.Contains(allowed, p.key) {
			return nil, unknownKey(f.path, p, allowed)
		}
	}

	return pairs, err
}

// resolve converts the upstream and reads its API key from where it is stored.
func (r rawUpstream) resolve() (Upstream, error) {
	secret, err := r.resolveSecret()
	if err != nil {
		return Upstream{}, err
	}

	u := Upstream{
		Name: r.Name, Provider: r.Provider, BaseURL: r.BaseURL, APIKey: secret, KeyEnv: r.APIKeyEnv, Region: r.Region, Settings: r.Settings,
		Models: r.Models, Limits: Limits(r.Limits), Order: r.Order, Weight: r.Weight, Routes: r.Routes,
	}
	if u.Settings == nil {
		u.Settings = map[string]string{}
	}

	if r.Workspace != "" {
		u.Settings["workspace"] = r.Workspace
	}

	return u, nil
}

func (r rawUpstream) resolveSecret() (Secret, error) {
	sources := 0

	for _, source := range []string{r.APIKey, r.APIKeyEnv, r.APIKeyFile} {
		if source != "" {
			sources++
		}
	}

	switch {
	case sources > 1:
		return Secret{}, fmt.Errorf("set only one of api_key, api_key_env and api_key_file")
	case r.APIKeyEnv != "":
		text := os.Getenv(r.APIKeyEnv)
		if text == "" {
			return Secret{}, fmt.Errorf("api_key_env names %s, which is not set", r.APIKeyEnv)
		}

		return NewSecret(text), nil
	case r.APIKeyFile != "":
		text, err := os.ReadFile(r.APIKeyFile)
		if err != nil {
			return Secret{}, fmt.Errorf("api_key_file: %w", err)
		}

		return NewSecret(strings.TrimSpace(string(text))), nil
	}

	return NewSecret(r.APIKey), nil
}

// resolveUpstreams adds the account of the dashscope section and fills in the values that
// upstreams leave out.
func (c *Config) resolveUpstreams() error {
	if c.DashScope.APIKey.Set() {
		c.Upstreams = append(c.Upstreams, Upstream{
			Name: "dashscope", Provider: "dashscope", BaseURL: c.DashScope.BaseURL,
			APIKey: c.DashScope.APIKey, Region: c.DashScope.Region, Settings: map[string]string{}, Source: "DASHSCOPE_API_KEY",
		})
		if c.DashScope.Workspace != "" {
			c.Upstreams[len(c.Upstreams)-1].Settings["workspace"] = c.DashScope.Workspace
		}
	}

	for i := range c.Upstreams {
		u := &c.Upstreams[i]

		u.Limits = u.Limits.withDefaults(c.defaultLimits())
		u.Order = cmp.Or(u.Order, 1)
		u.Weight = cmp.Or(u.Weight, 1)

		if u.BaseURL == "" && u.Provider == "dashscope" {
			url, err := regionURL(u.Region, u.Settings["workspace"])
			if err != nil {
				return invalid(u.location(), "%v", err)
			}

			u.BaseURL = url
		}

		u.BaseURL = strings.TrimSuffix(strings.TrimRight(u.BaseURL, "/"), "/api/v1")
	}

	return nil
}
