package dashscope

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/unireel/unireel/internal/provider"
)

const (
	listWindow = 24 * time.Hour
	// listAhead covers a supplier's clock that is ahead of ours.
	listAhead = 2 * time.Minute
	pageSize  = 100
	maxPages  = 1000
)

// Find lists the supplier account's tasks of a model ("manage asynchronous
// tasks"): what the supplier still shows, the last 24 hours. Half a list is an
// error.
func (d *dashscope) Find(ctx context.Context, model string, since time.Time) ([]provider.Found, error) {
	const form = "20060102150405"

	end := d.talk.Now().Add(listAhead)

	start := end.Add(-listWindow)
	if since.After(start) {
		start = since
	}

	if start.After(end) {
		start = end
	}

	q := url.Values{
		"model_name": {model}, "page_size": {strconv.Itoa(pageSize)},
		"start_time": {start.In(beijing).Format(form)}, "end_time": {end.In(beijing).Format(form)},
	}
	seen := map[provider.Ticket]bool{}

	var list []provider.Found

	for n := 1; ; n++ {
		if n > maxPages {
			return nil, d.broken(provider.Answer{}, errors.New("the list does not end"))
		}

		q.Set("page_no", strconv.Itoa(n))

		x, f := d.ask(ctx, http.MethodGet, d.tasksPath+"/?"+q.Encode())
		if f != nil {
			return nil, f
		}

		p, err := readPage(x.Body)
		if err != nil {
			return nil, d.broken(x, err)
		}

		for _, r := range *p.Data {
			one := foundOf(r)
			// New tasks push older ones to the next page, where they come again.
			if one.Model != model || one.MadeAt.Before(since) || seen[one.Ticket] {
				continue
			}

			seen[one.Ticket] = true
			list = append(list, one)
		}

		if len(*p.Data) == 0 || int64(n) >= p.TotalPage.Whole() {
			break
		}
	}

	slices.SortStableFunc(list, func(a, b provider.Found) int { return cmp.Compare(b.MadeAt.UnixMilli(), a.MadeAt.UnixMilli()) })

	return list, nil
}

func foundOf(r row) provider.Found {
	phase, known := phases[r.Status]
	if !known {
		phase = provider.Unknown
	}

	return provider.Found{
		Ticket: provider.Ticket(r.TaskID), Model: string(r.Model), KeyID: string(r.KeyID),
		RequestID: string(r.RequestID), Phase: phase, MadeAt: time.UnixMilli(r.Created.Whole()),
	}
}
