package config

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// rawUpstream is an upstream as the file writes it.
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
}

type rawLimits struct {
	SubmitsPerSecond float64 `yaml:"submits_per_second"`
	InProgress       int     `yaml:"in_progress"`
	QueriesPerSecond float64 `yaml:"queries_per_second"`
}

// takeUpstreams reads the upstreams list; keys of secrets in the environment or
// in files are read at once.
func (f *file) takeUpstreams(node *yaml.Node) ([]Upstream, error) {
	if node.Kind != yaml.SequenceNode {
		return nil, fmt.Errorf("config: %s:%d: upstreams is a list; begin each with \"- name: ...\"", f.path, node.Line)
	}
	var list []Upstream
	for _, item := range node.Content {
		if err := f.knownKeys(item); err != nil {
			return nil, err
		}
		var raw rawUpstream
		if err := item.Decode(&raw); err != nil {
			return nil, fmt.Errorf("config: %s:%d: upstream: %s", f.path, item.Line, withoutValues(err))
		}
		upstream, err := raw.resolve()
		if err != nil {
			return nil, fmt.Errorf("config: %s:%d: upstream %s: %w", f.path, item.Line, raw.Name, err)
		}
		list = append(list, upstream)
	}
	return list, nil
}

// withoutValues drops what yaml quotes of the file: it may be a secret.
func withoutValues(err error) string {
	if kind := new(yaml.TypeError); errors.As(err, &kind) && len(kind.Errors) > 0 {
		before, _, _ := strings.Cut(kind.Errors[0], "`")
		place, _, _ := strings.Cut(before, ":")
		return "a value of the wrong type in " + place
	}
	return "a value of the wrong type"
}

func (f *file) knownKeys(item *yaml.Node) error {
	upstreamKeys := []string{"name", "provider", "base_url", "api_key", "api_key_env", "api_key_file", "region", "workspace", "settings", "models", "limits"}
	limitKeys := []string{"submits_per_second", "in_progress", "queries_per_second"}
	pairs, err := f.pairs(item)
	if err != nil {
		return err
	}
	for _, p := range pairs {
		if !slices.Contains(upstreamKeys, p.key) {
			return unknownKey(f.path, p, upstreamKeys)
		}
		if p.key != "limits" {
			continue
		}
		limits, err := f.pairs(p.node)
		if err != nil {
			return err
		}
		for _, limit := range limits {
			if !slices.Contains(limitKeys, limit.key) {
				return unknownKey(f.path, limit, limitKeys)
			}
		}
	}
	return nil
}

// resolve reads the secret from where it is and fills in the address.
func (r rawUpstream) resolve() (Upstream, error) {
	secret, err := r.secret()
	if err != nil {
		return Upstream{}, err
	}
	u := Upstream{
		Name: r.Name, Provider: r.Provider, BaseURL: r.BaseURL, APIKey: secret, Region: r.Region, Settings: r.Settings,
		Models: r.Models, Limits: Limits(r.Limits),
	}
	if u.Settings == nil {
		u.Settings = map[string]string{}
	}
	if r.Workspace != "" {
		u.Settings["workspace"] = r.Workspace
	}
	return u, nil
}

func (r rawUpstream) secret() (Secret, error) {
	ways := 0
	for _, way := range []string{r.APIKey, r.APIKeyEnv, r.APIKeyFile} {
		if way != "" {
			ways++
		}
	}
	switch {
	case ways > 1:
		return Secret{}, fmt.Errorf("give one of api_key, api_key_env, api_key_file, not several")
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

// finishUpstreams adds the account of the dashscope section and fills in what
// the upstreams leave open.
func (c *Config) finishUpstreams() error {
	if c.DashScope.APIKey.Set() {
		c.Upstreams = append(c.Upstreams, Upstream{
			Name: "dashscope", Provider: "dashscope", BaseURL: c.DashScope.BaseURL,
			APIKey: c.DashScope.APIKey, Region: c.DashScope.Region, Settings: map[string]string{},
		})
		if c.DashScope.Workspace != "" {
			c.Upstreams[len(c.Upstreams)-1].Settings["workspace"] = c.DashScope.Workspace
		}
	}
	for i := range c.Upstreams {
		u := &c.Upstreams[i]
		u.Limits = u.Limits.or(c.limits())
		if u.BaseURL == "" && u.Provider == "dashscope" {
			url, err := regionURL(u.Region, u.Settings["workspace"])
			if err != nil {
				return fmt.Errorf("config: upstream %s: %w", u.Name, err)
			}
			u.BaseURL = url
		}
		u.BaseURL = strings.TrimSuffix(strings.TrimRight(u.BaseURL, "/"), "/api/v1")
	}
	return nil
}
