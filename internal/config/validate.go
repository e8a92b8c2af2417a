package config

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/shopspring/decimal"
)

// minKey is the fewest letters of a key that an operator chooses.
const minKey = 16

// Validate names the first knob that is wrong and says in one line how to mend
// it. It looks at the values only, not at the machine. (kong calls it too,
// before the upstreams are finished.)
func (c *Config) Validate() error {
	for _, check := range []func() error{c.checkHTTP, c.checkMoney, c.checkTimes, c.checkLimits, c.checkBlobs, c.checkUpstreams} {
		if err := check(); err != nil {
			return err
		}
	}

	return nil
}

func wrong(knob, format string, args ...any) error {
	return fmt.Errorf("config: %s: %s", knob, fmt.Sprintf(format, args...))
}

func (c *Config) checkHTTP() error {
	if _, port, err := net.SplitHostPort(c.Addr); err != nil || port == "" {
		return wrong("addr", "%q is not HOST:PORT; write it like 127.0.0.1:8080 or :8080", c.Addr)
	}

	if c.PublicURL != "" && !plainURL(c.PublicURL) {
		return wrong("public_url", "%q is not an http(s) address; write it like https://video.example.com", c.PublicURL)
	}

	for _, origin := range c.CORSOrigins {
		if origin != "*" && origin != "none" && !plainURL(origin) {
			return wrong("cors_origins", "%q is not an origin; write it like https://app.example.com, * or none", origin)
		}
	}

	if c.MaxUpload <= 0 {
		return wrong("max_upload", "must be above 0; write it like 512MiB")
	}

	if u, err := url.Parse(c.Database.Reveal()); c.Database.Set() && (err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql")) {
		return wrong("database", "is not a PostgreSQL address; write it like postgres://user:password@host:5432/name")
	}

	return nil
}

func plainURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.RawQuery == "" && u.Fragment == ""
}

func (c *Config) checkMoney() error {
	if key := c.BootstrapKey.Reveal(); key != "" && (len(key) < minKey || strings.ContainsAny(key, " \t\r\n")) {
		return wrong("bootstrap_key", "must have at least %d characters and no spaces", minKey)
	}

	credit, err := decimal.NewFromString(c.BootstrapCredit)
	if err != nil || credit.IsNegative() || -credit.Exponent() > 6 {
		return wrong("bootstrap_credit", "%q is not an amount; write it like 100.00, at most six places", c.BootstrapCredit)
	}

	if len(c.Currency) != 3 || strings.Trim(c.Currency, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return wrong("currency", "%q is not a currency code; write it like USD, EUR or CNY", c.Currency)
	}

	markup, err := decimal.NewFromString(c.Markup)
	if err != nil || markup.IsNegative() || -markup.Exponent() > 6 || markup.GreaterThan(decimal.NewFromInt(1000)) {
		return wrong("markup", "%q is not a factor; write it like 1 or 1.25, at most six places", c.Markup)
	}

	return nil
}

func (c *Config) checkTimes() error {
	for _, knob := range []struct {
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
		if knob.value < knob.least {
			return wrong(knob.name, "%s is too short; the least is %s", knob.value, knob.least)
		}
	}

	return nil
}

func (c *Config) checkLimits() error {
	if c.Renders < 1 || c.Renders > 64 {
		return wrong("renders", "must be 1 to 64, not %d", c.Renders)
	}

	if name := c.limits().wrong(); name != "" {
		return wrong(name, "must be above 0")
	}

	return nil
}

// wrong names the first limit that is not above 0, "" when all are.
func (l Limits) wrong() string {
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

// knob names an upstream and the place to mend it.
func (u Upstream) knob() string {
	if u.Where == "" {
		return "upstreams: " + u.Name
	}

	return u.Where + ": upstream " + u.Name
}

func (c *Config) checkUpstreams() error {
	names := map[string]bool{}

	for _, u := range c.Upstreams {
		knob := u.knob()
		switch {
		case u.Name == "" || len(u.Name) > 64 || strings.Trim(u.Name, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "":
			return wrong(knob, "the name must be made of a-z, 0-9, - and _, at most 64 of them")
		case names[u.Name]:
			return wrong(knob, "stands twice; the dashscope section and DASHSCOPE_API_KEY make one named dashscope")
		case u.Provider == "":
			return wrong(knob, "has no provider; add \"provider: dashscope\"")
		case !u.APIKey.Set() && u.Provider == "dashscope":
			return wrong(knob, "has no key; add api_key, api_key_env or api_key_file")
		case u.BaseURL != "" && !plainURL(u.BaseURL):
			return wrong(knob, "base_url %q is not an http(s) address", u.BaseURL)
		case u.Limits.or(c.limits()).wrong() != "":
			return wrong(knob, "limits: %s must be above 0", u.Limits.or(c.limits()).wrong())
		case u.Order < 0 || u.Order > 100:
			return wrong(knob, "order must be 1 to 100; 1 comes first")
		case u.Weight < 0 || u.Weight > 1000:
			return wrong(knob, "weight must be 1 to 1000")
		}

		for i, r := range u.Routes {
			if r.Order < 0 || r.Order > 100 || r.Weight < 0 || r.Weight > 1000 {
				return wrong(knob, "routes[%d]: order must be 1 to 100 and weight 1 to 1000", i)
			}
		}

		names[u.Name] = true
	}

	return nil
}
