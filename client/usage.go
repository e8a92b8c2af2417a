package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// UsageFilter selects the finished tasks to sum up, and how to group them.
type UsageFilter struct {
	From, To string   // days in UTC, such as "2026-01-31", both included; "" means the last 30 days
	By       []string // any of "day", "model" and "key"; nil means day and model, empty means only the total
	Model    string   // only tasks billed as this model
	Key      string   // only tasks of the key with this id
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

// UsageReport sums up an account's tasks that ended within a range of days.
type UsageReport struct {
	From     string       `json:"from"`
	To       string       `json:"to"`
	By       []string     `json:"by"`
	Currency string       `json:"currency"`
	Total    UsageSums    `json:"total"`
	Data     []UsageGroup `json:"data"`
}

// UsageGroup is one row of a report. Fields that the report is not grouped by are "".
type UsageGroup struct {
	Day   string `json:"day"`
	Model string `json:"model"`
	Key   string `json:"key"`
	UsageSums
}

// UsageSums counts tasks that ended. Seconds is the length of the videos, BilledSeconds
// the seconds that were billed; Cost is a decimal in the report's currency.
type UsageSums struct {
	Tasks         int64       `json:"tasks"`
	Completed     int64       `json:"completed"`
	Failed        int64       `json:"failed"`
	Cancelled     int64       `json:"cancelled"`
	Seconds       int64       `json:"seconds"`
	BilledSeconds json.Number `json:"billed_seconds"`
	Cost          string      `json:"cost"`
}

// Usage returns a report of the account's finished tasks.
func (c *Client) Usage(ctx context.Context, f UsageFilter) (UsageReport, error) {
	var u UsageReport

	err := c.getJSON(ctx, "/v1/usage", f.query(), &u)

	return u, err
}

// UsageCSV returns the report as CSV.
func (c *Client) UsageCSV(ctx context.Context, f UsageFilter) ([]byte, error) {
	query := f.query()
	query.Set("format", "csv")
	table, _, err := c.doJSON(ctx, apiRequest{method: http.MethodGet, path: "/v1/usage", query: query, idempotent: true}, nil)

	return table, err
}
