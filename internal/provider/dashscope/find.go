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
	// clockSkew covers a supplier's clock that is ahead of ours.
	clockSkew = 2 * time.Minute
	pageSize  = 100
	maxPages  = 1000
)

// Find lists the supplier account's tasks of a model ("manage asynchronous
// tasks"). The supplier shows the last 24 hours only. An incomplete list is an
// error.
func (d *dashscope) Find(ctx context.Context, model string, since time.Time) ([]provider.RemoteTask, error) {
	const layout = "20060102150405"

	end := d.client.Now().Add(clockSkew)

	start := end.Add(-listWindow)
	if since.After(start) {
		start = since
	}

	if start.After(end) {
		start = end
	}

	q := url.Values{
		"model_name": {model}, "page_size": {strconv.Itoa(pageSize)},
		"start_time": {start.In(beijing).Format(layout)}, "end_time": {end.In(beijing).Format(layout)},
	}
	seen := map[provider.RemoteID]bool{}

	var list []provider.RemoteTask

	for n := 1; ; n++ {
		if n > maxPages {
			return nil, d.transientFailure(provider.Response{}, errors.New("the list has too many pages"))
		}

		q.Set("page_no", strconv.Itoa(n))

		response, f := d.query(ctx, http.MethodGet, d.tasksPath+"/?"+q.Encode())
		if f != nil {
			return nil, f
		}

		p, err := readTaskPage(response.Body)
		if err != nil {
			return nil, d.transientFailure(response, err)
		}

		for _, r := range *p.Data {
			remoteTask := remoteTaskOf(r)
			// New tasks move older ones to the next page, where they appear again.
			if remoteTask.Model != model || remoteTask.CreatedAt.Before(since) || seen[remoteTask.RemoteID] {
				continue
			}

			seen[remoteTask.RemoteID] = true
			list = append(list, remoteTask)
		}

		if len(*p.Data) == 0 || int64(n) >= p.TotalPages.Int64() {
			break
		}
	}

	slices.SortStableFunc(list, func(a, b provider.RemoteTask) int {
		return cmp.Compare(b.CreatedAt.UnixMilli(), a.CreatedAt.UnixMilli())
	})

	return list, nil
}

func remoteTaskOf(r taskRow) provider.RemoteTask {
	phase, known := phases[r.Status]
	if !known {
		phase = provider.Unknown
	}

	return provider.RemoteTask{
		RemoteID:  provider.RemoteID(r.TaskID),
		Model:     string(r.Model),
		KeyID:     string(r.KeyID),
		RequestID: string(r.RequestID),
		Phase:     phase,
		CreatedAt: time.UnixMilli(r.CreatedAt.Int64()),
	}
}
