package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// UsageFilter says which ended tasks to sum up, and by what.
type UsageFilter struct {
	From, To string   // days in UTC, such as "2026-01-31", both included; "": the last 30 days
	By       []string // of "day", "model" and "key"; nil: day and model; empty: the total alone
	Model    string   // only what was billed as this model
	Key      string   // only of the key with this id
}

func (f UsageFilter) query() url.Values {
	q := url.Values{}

	for name, value := range map[string]string{"from": f.From, "to": f.To, "model": f.Model, "key": f.Key} {
		if value != "" {
			q.Set(name, value)
		}
	}

	if f.By != nil {
		q.Set("by", strings.Join(f.By, ","))
	}

	return q
}

// UsageReport is what an account's tasks came to that ended within some days.
type UsageReport struct {
	From     string       `json:"from"`
	To       string       `json:"to"`
	By       []string     `json:"by"`
	Currency string       `json:"currency"`
	Total    UsageSums    `json:"total"`
	Data     []UsageGroup `json:"data"`
}

// UsageGroup is one row; what was not asked by is "".
type UsageGroup struct {
	Day   string `json:"day"`
	Model string `json:"model"`
	Key   string `json:"key"`
	UsageSums
}

// UsageSums counts tasks that ended. Seconds are of the videos, BilledSeconds those
// that were paid for; Cost is a decimal of the currency.
type UsageSums struct {
	Tasks         int64       `json:"tasks"`
	Completed     int64       `json:"completed"`
	Failed        int64       `json:"failed"`
	Cancelled     int64       `json:"cancelled"`
	Seconds       int64       `json:"seconds"`
	BilledSeconds json.Number `json:"billed_seconds"`
	Cost          string      `json:"cost"`
}

// Usage sums up what the account used.
func (c *Client) Usage(ctx context.Context, f UsageFilter) (UsageReport, error) {
	var u UsageReport

	err := c.get(ctx, "/v1/usage", f.query(), &u)

	return u, err
}

// UsageCSV is the same as a table for spreadsheets.
func (c *Client) UsageCSV(ctx context.Context, f UsageFilter) ([]byte, error) {
	query := f.query()
	query.Set("format", "csv")
	table, _, err := c.ask(ctx, call{method: http.MethodGet, path: "/v1/usage", query: query, safe: true}, nil)

	return table, err
}
