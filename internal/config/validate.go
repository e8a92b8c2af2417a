package config

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/shopspring/decimal"
)

// minKeyLength is the minimum length of a key that an operator chooses, in bytes.
const minKeyLength = 16

// Validate returns an error for the first invalid option. The error has one line and says
// how to fix the option. Validate checks only the values, not the host. Kong calls it too,
// before the upstreams are resolved.
func (c *Config) Validate() error {
	for _, check := range []func() error{c.checkHTTP, c.checkMoney, c.checkTimes, c.checkLimits, c.checkBlobs, c.checkUpstreams} {
		if err := check(); err != nil {
			return err
		}
	}

	return nil
}

func invalid(option, format string, args ...any) error {
	return fmt.Errorf("config: %s: %s", option, fmt.Sprintf(format, args...))
}

func (c *Config) checkHTTP() error {
	if _, port, err := net.SplitHostPort(c.Addr); err != nil || port == "" {
		return invalid("addr", "%q is not HOST:PORT; write it like 127.0.0.1:8080 or :8080", c.Addr)
	}

	if c.PublicURL != "" && !isHTTPURL(c.PublicURL) {
		return invalid("public_url", "%q is not an http(s) address; write it like https://video.example.com", c.PublicURL)
	}

	for _, origin := range c.CORSOrigins {
		if origin != "*" && origin != "none" && !isHTTPURL(origin) {
			return invalid("cors_origins", "%q is not an origin; write it like https://app.example.com, * or none", origin)
		}
	}

	if c.MaxUpload <= 0 {
		return invalid("max_upload", "must be above 0; write it like 512MiB")
	}

	if u, err := url.Parse(c.Database.Reveal()); c.Database.Set() && (err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql")) {
		return invalid("database", "is not a PostgreSQL address; write it like postgres://user:password@host:5432/name")
	}

	return nil
}

func isHTTPURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.RawQuery == "" && u.Fragment == ""
}

func (c *Config) checkMoney() error {
	if key := c.BootstrapKey.Reveal(); key != "" && (len(key) < minKeyLength || strings.ContainsAny(key, " \t\r\n")) {
		return invalid("bootstrap_key", "must have at least %d characters and no spaces", minKeyLength)
	}

	credit, err := decimal.NewFromString(c.BootstrapCredit)
	if err != nil || credit.IsNegative() || -credit.Exponent() > 6 {
		return invalid("bootstrap_credit", "%q is not an amount; write it like 100.00, with at most six decimal places", c.BootstrapCredit)
	}

	if len(c.Currency) != 3 || strings.Trim(c.Currency, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return invalid("currency", "%q is not a currency code; write it like USD, EUR or CNY", c.Currency)
	}

	markup, err := decimal.NewFromString(c.Markup)
	if err != nil || markup.IsNegative() || -markup.Exponent() > 6 || markup.GreaterThan(decimal.NewFromInt(1000)) {
		return invalid("markup", "%q is not a factor; write it like 1 or 1.25, with at most six decimal places", c.Markup)
	}

	return nil
}

func (c *Config) checkTimes() error {
	for _, option := range []struct {
		name  string
		value time.Duration
		least time.Duration
	}{
		{"retention", c.Retention, time.Minute},
		{"file_retention", c.FileRetention, time.Minute},
		{"history", c.History, 48 * time.Hour},
		{"task_timeout", c.TaskTimeout, time.Minute},
		{"shutdown_grace", c.ShutdownGrace, 0},
	} {
		if option.value < option.least {
			return invalid(option.name, "%s is too short; the minimum is %s", option.value, option.least)
		}
	}

	return nil
}

func (c *Config) checkLimits() error {
	if c.Renders < 1 || c.Renders > 64 {
		return invalid("renders", "must be 1 to 64, not %d", c.Renders)
	}

	if name := c.defaultLimits().invalidField(); name != "" {
		return invalid(name, "must be above 0")
	}

	return nil
}

// invalidField returns the name of the first limit that is not above 0, or "".
func (l Limits) invalidField() string {
	switch {
	case !(l.SubmitsPerSecond > 0):
		return "submits_per_second"
	case l.InProgress < 1:
		return "in_progress"
	case !(l.QueriesPerSecond > 0):
		return "queries_per_second"
	}

	return ""
}

// location returns the upstream's name and where it is configured.
func (u Upstream) location() string {
	if u.Source == "" {
		return "upstreams: " + u.Name
	}

	return u.Source + ": upstream " + u.Name
}

func (c *Config) checkUpstreams() error {
	names := map[string]bool{}

	for _, u := range c.Upstreams {
		option := u.location()
		switch {
		case u.Name == "" || len(u.Name) > 64 || strings.Trim(u.Name, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "":
			return invalid(option, "the name must consist of a-z, 0-9, - and _, with at most 64 characters")
		case names[u.Name]:
			return invalid(option, "exists twice; the dashscope section and DASHSCOPE_API_KEY define one named dashscope")
		case u.Provider == "":
			return invalid(option, "has no provider; add \"provider: dashscope\"")
		case !u.APIKey.Set() && u.Provider == "dashscope":
			return invalid(option, "has no key; add api_key, api_key_env or api_key_file")
		case u.BaseURL != "" && !isHTTPURL(u.BaseURL):
			return invalid(option, "base_url %q is not an http(s) address", u.BaseURL)
		case u.Limits.withDefaults(c.defaultLimits()).invalidField() != "":
			return invalid(option, "limits: %s must be above 0", u.Limits.withDefaults(c.defaultLimits()).invalidField())
		case u.Order < 0 || u.Order > 100:
			return invalid(option, "order must be 1 to 100; 1 is tried first")
		case u.Weight < 0 || u.Weight > 1000:
			return invalid(option, "weight must be 1 to 1000")
		}

		for i, r := range u.Routes {
			if r.Order < 0 || r.Order > 100 || r.Weight < 0 || r.Weight > 1000 {
				return invalid(option, "routes[%d]: order must be 1 to 100 and weight 1 to 1000", i)
			}
		}

		names[u.Name] = true
	}

	return nil
}
