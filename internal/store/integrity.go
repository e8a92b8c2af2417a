package store

import (
	"context"
	"fmt"
)

// Finding is a contradiction in the tables.
type Finding struct {
	Check  string // the rule that is broken: one of IntegrityChecks
	Detail string // the row, and how it differs
}

// integrityChecks are the rules that unireel doctor checks. Each is a query that
// lists the rows that break it.
var integrityChecks = []struct{ name, query string }{
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
		UNION ALL SELECT b.account || ': has_budget ' || b.has_budget FROM balance b
		WHERE b.has_budget <> CASE WHEN EXISTS (SELECT 1 FROM api_key k WHERE k.account = b.account AND (k.budget_day > 0 OR k.budget_month > 0)) THEN 1 ELSE 0 END`},
	{"shares count their tasks", `SELECT u.queue || ' ' || u.account || ': queued ' || u.queued || ', running ' || u.running
		FROM share u WHERE u.queued <> (SELECT COUNT(*) FROM task t WHERE t.queue = u.queue AND t.account = u.account AND t.state = 'queued')
		OR u.running <> (SELECT COUNT(*) FROM task t WHERE t.state IN ('submitting', 'running', 'collecting') AND t.queue = u.queue AND t.account = u.account)
		OR u.ready <> ` + readyExpr},
	{"shares have their accounts' weights and caps", `SELECT u.queue || ' ' || u.account || ': weight ' || u.weight || ', cap ' || u.cap || '; the account has ' || a.weight || ', ' || a.cap
		FROM share u JOIN account a ON a.id = u.account WHERE u.weight <> a.weight OR u.cap <> a.cap`},
	{"every completed task has its video, or its time is over", `SELECT t.id FROM task t WHERE t.state = 'completed' AND t.swept_at = 0
		AND NOT EXISTS (SELECT 1 FROM artifact a WHERE a.task = t.id AND a.kind = 'video')`},
}

// IntegrityChecks lists the names of the rules that CheckIntegrity checks.
func IntegrityChecks() []string {
	names := make([]string, len(integrityChecks))
	for i, a := range integrityChecks {
		names[i] = a.name
	}

	return names
}

// CheckIntegrity reads the whole database and lists the rows that break its
// rules, at most limit for each rule.
func (r Reader) CheckIntegrity(ctx context.Context, limit int) ([]Finding, error) {
	var findings []Finding

	for _, check := range integrityChecks {
		list, err := queryAll(ctx, r.q, func(s scanner) (f Finding, err error) { f.Check = check.name; return f, s.Scan(&f.Detail) }, check.query+" LIMIT $1", limit)
		if err != nil {
			return nil, fmt.Errorf("audit %q: %w", check.name, err)
		}

		findings = append(findings, list...)
	}

	return findings, nil
}

// ReferencedBlobs calls visit for each blob that a row references, until visit
// returns false.
func (r Reader) ReferencedBlobs(ctx context.Context, visit func(key string) bool) error {
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
