-- +goose Up
-- Of tasks that ended long ago only the row, the last event and the ledger entries
-- are kept. The column marks the tasks that were pruned; the index lists the others.
ALTER TABLE task ADD COLUMN pruned BIGINT NOT NULL DEFAULT 0;
CREATE INDEX task_prune ON task (completed_at) WHERE completed_at > 0 AND pruned = 0;
