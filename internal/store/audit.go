package store

import (
	"context"
	"fmt"
)

// Finding is something that the tables say and that cannot be.
type Finding struct {
	Check  string // which rule: one of Checks
	Detail string // which row, and how it differs
}

// audits are the rules that doctor proves, each a query that lists its breaches.
var audits = []struct{ name, text string }{
	{"sums of entries are balances", `SELECT b.account || ': granted ' || b.granted || ', spent ' || b.spent || ', held ' || b.held || '; entries say ' || COALESCE(e.granted, 0) || ', ' || COALESCE(e.spent, 0) || ', ' || COALESCE(e.held, 0)
		FROM balance b LEFT JOIN (SELECT account,
			SUM(CASE WHEN kind = 'grant' THEN amount ELSE 0 END) AS granted,
			SUM(CASE WHEN kind = 'capture' THEN amount ELSE 0 END) AS spent,
			SUM(CASE kind WHEN 'hold' THEN amount WHEN 'capture' THEN -amount WHEN 'release' THEN -amount ELSE 0 END) AS held
			FROM entry GROUP BY account) e ON e.account = b.account
		WHERE b.granted <> COALESCE(e.granted, 0) OR b.spent <> COALESCE(e.spent, 0) OR b.held <> COALESCE(e.held, 0)`},
	{"every final task has capture + release = hold", `SELECT t.id || ': hold ' || t.hold || ', settled ' || COALESCE(e.settled, 0)
		FROM task t LEFT JOIN (SELECT task, SUM(amount) AS settled FROM entry WHERE kind IN ('capture', 'release') GROUP BY task) e ON e.task = t.id
		WHERE t.state IN ('completed', 'failed', 'cancelled') AND t.hold <> COALESCE(e.settled, 0)`},
	{"every final task's cost is its capture", `SELECT t.id || ': cost ' || t.cost || ', captured ' || COALESCE(e.amount, 0)
		FROM task t LEFT JOIN entry e ON e.task = t.id AND e.kind = 'capture'
		WHERE t.state IN ('completed', 'failed', 'cancelled') AND t.cost <> COALESCE(e.amount, 0)`},
	{"every task has its hold, and every unfinished one an open one", `SELECT t.id || ': hold ' || t.hold || ', held ' || COALESCE(h.amount, 0) || ', settled ' || COALESCE(s.amount, 0)
		FROM task t LEFT JOIN entry h ON h.task = t.id AND h.kind = 'hold'
		LEFT JOIN (SELECT task, SUM(amount) AS amount FROM entry WHERE kind IN ('capture', 'release') GROUP BY task) s ON s.task = t.id
		WHERE t.hold <> COALESCE(h.amount, 0) OR (t.state NOT IN ('completed', 'failed', 'cancelled') AND COALESCE(s.amount, 0) <> 0)`},
	{"budgets count what their keys' tasks hold and cost", `SELECT s.api_key || ' ' || s.period || ' from ' || s.start || ': spent ' || s.spent || ', held ' || s.held || '; entries say ' || COALESCE(e.spent, 0) || ', ' || COALESCE(e.held, 0)
		FROM key_spending s LEFT JOIN (SELECT w.api_key, w.period, w.start,
			SUM(CASE WHEN e.kind = 'capture' THEN e.amount ELSE 0 END) AS spent,
			SUM(CASE e.kind WHEN 'hold' THEN e.amount ELSE -e.amount END) AS held
			FROM key_spending w JOIN task t ON t.api_key = w.api_key AND t.created_at >= w.start AND t.created_at < w.until JOIN entry e ON e.task = t.id
			GROUP BY w.api_key, w.period, w.start) e ON e.api_key = s.api_key AND e.period = s.period AND e.start = s.start
		WHERE s.spent <> COALESCE(e.spent, 0) OR s.held <> COALESCE(e.held, 0)
		UNION ALL SELECT b.account || ': budgeted ' || b.budgeted FROM balance b
		WHERE b.budgeted <> CASE WHEN EXISTS (SELECT 1 FROM api_key k WHERE k.account = b.account AND (k.budget_day > 0 OR k.budget_month > 0)) THEN 1 ELSE 0 END`},
	{"turns count their tasks", `SELECT u.lane || ' ' || u.account || ': queued ' || u.queued || ', running ' || u.running
		FROM turn u WHERE u.queued <> (SELECT COUNT(*) FROM task t WHERE t.lane = u.lane AND t.account = u.account AND t.state = 'queued')
		OR u.running <> (SELECT COUNT(*) FROM task t WHERE t.state IN ('submitting', 'running', 'collecting') AND t.lane = u.lane AND t.account = u.account)
		OR u.ready <> ` + isReady},
	{"turns have their accounts' weights and caps", `SELECT u.lane || ' ' || u.account || ': weight ' || u.weight || ', cap ' || u.cap || '; the account has ' || a.weight || ', ' || a.cap
		FROM turn u JOIN account a ON a.id = u.account WHERE u.weight <> a.weight OR u.cap <> a.cap`},
	{"every completed task has its video, or its time is over", `SELECT t.id FROM task t WHERE t.state = 'completed' AND t.swept_at = 0
		AND NOT EXISTS (SELECT 1 FROM artifact a WHERE a.task = t.id AND a.kind = 'video')`},
}

// Checks lists the rules that Audit proves.
func Checks() []string {
	names := make([]string, len(audits))
	for i, a := range audits {
		names[i] = a.name
	}

	return names
}

// Audit reads the whole database and lists every breach of its rules, at most
// limit for each rule.
func (r Reader) Audit(ctx context.Context, limit int) ([]Finding, error) {
	var findings []Finding

	for _, a := range audits {
		list, err := collect(ctx, r.q, func(s scanner) (f Finding, err error) { f.Check = a.name; return f, s.Scan(&f.Detail) }, a.text+" LIMIT $1", limit)
		if err != nil {
			return nil, fmt.Errorf("audit %q: %w", a.name, err)
		}

		findings = append(findings, list...)
	}

	return findings, nil
}

// NamedBlobs calls visit for each blob that a row names, until it returns false.
func (r Reader) NamedBlobs(ctx context.Context, visit func(key string) bool) error {
	rows, err := r.q.query(ctx, "SELECT blob FROM artifact UNION ALL SELECT blob FROM file WHERE deleted_at = 0")
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()

	for rows.Next() {
		var key string
		if err := rows.Scan(&key); err != nil {
			return err
		}

		if !visit(key) {
			break
		}
	}

	return rows.Err()
}
