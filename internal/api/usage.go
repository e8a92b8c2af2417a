package api

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/unireel/unireel/internal/fault"
	"github.com/unireel/unireel/internal/store"
)

const (
	defaultUsageDays = 30     // covered without ?from
	maxUsageDays     = 366    // days
	maxUsageRows     = 10_000 // maximum rows of a response
	dayFormat        = "2006-01-02"
)

// usageReport sums up an account's tasks that ended from the day From to the day To, both
// in UTC and included.
type usageReport struct {
	Object   string       `json:"object"`
	From     string       `json:"from"`
	To       string       `json:"to"`
	By       []string     `json:"by"`
	Currency string       `json:"currency"`
	Total    usageTotals  `json:"total"`
	Data     []usageGroup `json:"data"`
}

// usageGroup is one row. Fields by which the report is not grouped are null.
type usageGroup struct {
	Day   *string `json:"day"`
	Model *string `json:"model"` // the billed model
	Key   *string `json:"key"`   // its id
	usageTotals
}

// usageTotals counts tasks that ended. Seconds is the length of the videos; BilledSeconds
// is what was charged, with at most three decimals; Cost is a decimal string.
type usageTotals struct {
	Tasks         int64       `json:"tasks"`
	Completed     int64       `json:"completed"`
	Failed        int64       `json:"failed"`
	Cancelled     int64       `json:"cancelled"`
	Seconds       int64       `json:"seconds"`
	BilledSeconds json.Number `json:"billed_seconds"`
	Cost          string      `json:"cost"`
}

func usageTotalsOf(u store.Usage) usageTotals {
	return usageTotals{
		Tasks:         u.Completed + u.Failed + u.Cancelled,
		Completed:     u.Completed,
		Failed:        u.Failed,
		Cancelled:     u.Cancelled,
		Seconds:       u.Seconds,
		BilledSeconds: decimal(u.Billed),
		Cost:          u.Cost.String(),
	}
}

// getUsage is GET /v1/usage: JSON, or CSV with ?format=csv.
func (a *API) getUsage(c *requestContext) error {
	q, err := a.parseUsageQuery(c)
	if err != nil {
		return err
	}

	q.filter.Limit = maxUsageRows + 1

	groups, err := a.Store.Usage(c.ctx(), q.filter)
	if err != nil {
		return fmt.Errorf("sum up usage: %w", err)
	}

	if len(groups) > maxUsageRows {
		return fault.New(fault.CodeInvalidValue, "by", fmt.Sprintf("The report has more than %d rows; request fewer days, one model or one key, or group by less.", maxUsageRows))
	}

	report := usageReport{
		Object: "usage", From: q.from.Format(dayFormat), To: q.to.Format(dayFormat), By: q.by,
		Currency: a.Catalog.Currency(), Data: make([]usageGroup, 0, len(groups)),
	}

	var total store.Usage
	for _, g := range groups {
		total.Completed += g.Completed
		total.Failed += g.Failed
		total.Cancelled += g.Cancelled
		total.Seconds += g.Seconds
		total.Billed += g.Billed
		total.Cost += g.Cost

		if len(q.by) > 0 {
			report.Data = append(report.Data, q.group(g))
		}
	}

	report.Total = usageTotalsOf(total)
	if q.csv {
		return c.csv("usage.csv", report.table())
	}

	return c.json(http.StatusOK, report)
}

// usageQuery is a parsed request for a report.
type usageQuery struct {
	filter   store.UsageFilter
	from, to time.Time // days
	by       []string
	csv      bool
}

func (q usageQuery) group(u store.Usage) usageGroup {
	g := usageGroup{usageTotals: usageTotalsOf(u)}
	if q.filter.ByDay {
		day := time.UnixMilli(u.Day).UTC().Format(dayFormat)
		g.Day = &day
	}

	if q.filter.ByModel {
		g.Model = &u.Model
	}

	if q.filter.ByKey {
		g.Key = &u.Key
	}

	return g
}

// parseUsageQuery parses the query of a request for a report.
func (a *API) parseUsageQuery(c *requestContext) (usageQuery, error) {
	query := c.req.URL.Query()
	q := usageQuery{filter: store.UsageFilter{Account: c.key.Account, Model: query.Get("model"), Key: query.Get("key")}, by: []string{}}
	faults := q.readDays(query, a.Now().UTC().Truncate(24*time.Hour))
	invalid := func(param, detail string) {
		faults = append(faults, *fault.New(fault.CodeInvalidValue, param, detail))
	}

	by := "day,model"
	if query.Has("by") {
		by = query.Get("by")
	}

	for name := range strings.SplitSeq(by, ",") {
		var flag *bool

		switch name {
		case "":
			continue
		case "day":
			flag = &q.filter.ByDay
		case "model":
			flag = &q.filter.ByModel
		case "key":
			flag = &q.filter.ByKey
		}

		if flag == nil || *flag {
			invalid("by", "by is a list of day, model and key, each at most once, such as by=day,key; an empty by= returns only the total.")
			break
		}

		*flag = true

		q.by = append(q.by, name)
	}

	switch query.Get("format") {
	case "", "json":
	case "csv":
		q.csv = true
	default:
		invalid("format", "The format must be json or csv.")
	}

	if f := fault.Join(faults); f != nil {
		return q, f
	}

	return q, nil
}

// readDays parses ?from and ?to.
func (q *usageQuery) readDays(query url.Values, today time.Time) (faults []fault.Fault) {
	day := func(param string, otherwise time.Time) time.Time {
		if !query.Has(param) {
			return otherwise
		}

		at, err := time.Parse(dayFormat, query.Get(param))
		if err != nil || at.Year() < 1970 {
			faults = append(faults, *fault.New(fault.CodeInvalidValue, param, "`"+param+"` is a day in UTC, such as "+today.Format(dayFormat)+"."))
		}

		return at
	}
	q.to = day("to", today)
	q.from = day("from", q.to.AddDate(0, 0, 1-defaultUsageDays))

	switch days := int(q.to.Sub(q.from).Hours()/24) + 1; {
	case len(faults) > 0:
	case days < 1:
		faults = append(faults, *fault.New(fault.CodeInvalidValue, "from", "`from` is a later day than `to`."))
	case days > maxUsageDays:
		faults = append(faults, *fault.New(fault.CodeInvalidValue, "from", fmt.Sprintf("These are %d days; request at most %d at once.", days, maxUsageDays)))
	}

	q.filter.From, q.filter.Until = q.from.UnixMilli(), q.to.AddDate(0, 0, 1).UnixMilli()

	return faults
}

// table returns the report as rows with a header. There is no total row, unless the report
// has no groups.
func (r usageReport) table() [][]string {
	rows := [][]string{{"day", "model", "key", "tasks", "completed", "failed", "cancelled", "seconds", "billed_seconds", "cost", "currency"}}

	groups := r.Data
	if len(r.By) == 0 {
		groups = []usageGroup{{usageTotals: r.Total}}
	}

	text := func(s *string) string {
		if s == nil {
			return ""
		}

		return *s
	}

	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	for _, g := range groups {
		rows = append(rows, []string{
			text(g.Day), text(g.Model), text(g.Key), number(g.Tasks), number(g.Completed), number(g.Failed), number(g.Cancelled),
			number(g.Seconds), string(g.BilledSeconds), g.Cost, r.Currency,
		})
	}

	return rows
}

// csv responds with a table for spreadsheets.
func (c *requestContext) csv(name string, rows [][]string) error {
	h := c.Header()
	h.Set("Content-Type", "text/csv; charset=utf-8")
	h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	h.Set("Cache-Control", "no-store")
	c.WriteHeader(http.StatusOK)
	_ = csv.NewWriter(c).WriteAll(rows) // an error means that the caller disconnected

	return nil
}
