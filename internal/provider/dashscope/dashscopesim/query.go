package dashscopesim

import (
	"cmp"
	"errors"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"
)

func rateLimited() response {
	return errorResponse(http.StatusTooManyRequests, "Throttling.RateQuota", "Requests rate limit exceeded, please try again later.")
}

// query reports the state of a task. The status is always 200, also for an unknown
// task.
func (s *Sim) query(c *apiCall) response {
	if !s.allow("query "+c.key.Account, s.o.Limits.Queries, c.now) {
		return rateLimited()
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	s.advance(c.now)
	output := map[string]any{"task_id": c.PathValue("id"), "task_status": "UNKNOWN"}
	body := map[string]any{"request_id": c.requestID, "output": output}

	t := s.tasks[c.PathValue("id")]
	if t == nil || t.key.Account != c.key.Account {
		return jsonResponse(http.StatusOK, body)
	}

	output["task_status"] = t.status

	output["submit_time"] = formatTime(t.createdAt)
	if !t.startedAt.IsZero() {
		output["scheduled_time"] = formatTime(t.startedAt)
	}

	if !t.endedAt.IsZero() {
		output["end_time"] = formatTime(t.endedAt)
	}

	switch t.status {
	case succeeded:
		output["orig_prompt"] = t.prompt
		output["video_url"] = s.resultLink(c.Request, t)
		body["usage"] = t.usage()
	case failed:
		if t.code != "" {
			output["code"] = t.code
		}

		if t.message != "" {
			output["message"] = t.message
		}
	}

	return jsonResponse(http.StatusOK, body)
}

// usage is what the task is billed for, in seconds.
func (t *task) usage() map[string]any {
	number := func(v float64) any {
		v = math.Round(v*1000) / 1000
		if t.stringNumbers {
			return strconv.FormatFloat(v, 'f', -1, 64)
		}

		return v
	}
	tier := 1080.0

	switch pixels := t.spec.Width * t.spec.Height; {
	case pixels <= 640*720:
		tier = 480
	case pixels <= 1280*720:
		tier = 720
	}

	u := map[string]any{
		"duration":              number(t.inputSeconds + float64(t.spec.Seconds)),
		"input_video_duration":  number(t.inputSeconds),
		"output_video_duration": number(float64(t.spec.Seconds)),
		"video_count":           1,
		"SR":                    number(tier),
	}
	if t.size != "" {
		u["size"] = t.size
	}

	if _, media := modelFamilyOf(t.model); media {
		u["fps"] = 30
		if t.ratio != "" {
			u["ratio"] = t.ratio
		}
	}

	return u
}

// cancel removes a PENDING task from the queue.
func (s *Sim) cancel(c *apiCall) response {
	if !s.allow("query "+c.key.Account, s.o.Limits.Queries, c.now) {
		return rateLimited()
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	s.advance(c.now)

	t := s.tasks[c.PathValue("id")]
	if t == nil || t.key.Account != c.key.Account || t.status != pending {
		return errorResponse(http.StatusBadRequest, "UnsupportedOperation", "Failed to cancel the task, please confirm if the task is in PENDING status.")
	}

	if q := s.queues[queueKey{t.key.Account, t.model}]; q != nil {
		q.pending = without(q.pending, t.id)
	}

	t.status = canceled
	t.endedAt = c.now

	return jsonResponse(http.StatusOK, map[string]string{"request_id": c.requestID})
}

// list returns the account's tasks, newest first.
func (s *Sim) list(c *apiCall) response {
	if !s.allow("query "+c.key.Account, s.o.Limits.Queries, c.now) {
		return rateLimited()
	}

	q := c.URL.Query()

	from, to, err := listWindow(q.Get("start_time"), q.Get("end_time"), c.now)
	if err != nil {
		return errorResponse(http.StatusBadRequest, "InvalidParameter", err.Error())
	}

	page := max(atoi(q.Get("page_no"), 1), 1)
	size := min(max(atoi(q.Get("page_size"), 10), 1), 100)

	s.mu.Lock()
	defer s.mu.Unlock()

	s.advance(c.now)

	var rows []map[string]any

	for _, t := range s.created {
		if t.key.Account != c.key.Account || t.createdAt.Before(from) || t.createdAt.After(to) || c.now.Sub(t.createdAt) < s.o.ListLag ||
			!matches(q.Get("model_name"), t.model) || !matches(q.Get("status"), t.status) || !matches(q.Get("task_id"), t.id) {
			continue
		}

		rows = append(rows, t.row())
	}

	slices.SortStableFunc(rows, func(a, b map[string]any) int {
		return cmp.Compare(b["gmt_create"].(int64), a["gmt_create"].(int64))
	})
	total := len(rows)
	first := min((page-1)*size, total)
	rows = append([]map[string]any{}, rows[first:min(first+size, total)]...)

	return jsonResponse(http.StatusOK, map[string]any{
		"total":      total,
		"data":       rows,
		"total_page": (total + size - 1) / size,
		"page_no":    page,
		"page_size":  size,
		"request_id": c.requestID,
	})
}

func (t *task) row() map[string]any {
	row := map[string]any{
		"api_key_id":          t.key.ID,
		"caller_parent_id":    t.key.Account,
		"caller_uid":          t.key.Account,
		"gmt_create":          t.createdAt.UnixMilli(),
		"model_name":          t.model,
		"region":              "ap-southeast-1",
		"request_id":          t.requestID,
		"status":              t.status,
		"task_id":             t.id,
		"user_api_unique_key": "apikey:v1:aigc:video-generation:video-synthesis:" + t.model,
	}
	if !t.startedAt.IsZero() {
		row["start_time"] = t.startedAt.UnixMilli()
	}

	if !t.endedAt.IsZero() {
		row["end_time"] = t.endedAt.UnixMilli()
	}

	return row
}

// listWindow reads the list's time window: at most 24 hours, written in UTC+8.
func listWindow(from, to string, now time.Time) (time.Time, time.Time, error) {
	const layout = "20060102150405"

	end := now

	if to != "" {
		t, err := time.ParseInLocation(layout, to, beijing)
		if err != nil {
			return now, now, errors.New("Required parameter(end_time) missing or invalid, please check the request parameters.") //nolint:staticcheck // the supplier's own sentence
		}

		end = t.Add(time.Second - 1)
	}

	start := end.Add(-24 * time.Hour)

	if from != "" {
		t, err := time.ParseInLocation(layout, from, beijing)
		if err != nil || end.Sub(t) > 24*time.Hour+time.Second {
			return now, now, errors.New("Required parameter(start_time) missing or invalid, please check the request parameters.") //nolint:staticcheck // the supplier's own sentence
		}

		start = t
	}

	return start, end, nil
}

func matches(asked, is string) bool { return asked == "" || asked == is }

func atoi(s string, fallback int) int {
	if n, err := strconv.Atoi(s); err == nil {
		return n
	}

	return fallback
}
