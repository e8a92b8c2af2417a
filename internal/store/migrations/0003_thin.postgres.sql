-- +goose Up
-- Of tasks that ended long ago only the row, its last event and its entries are
-- kept. The column says which were thinned already; the index lists the others.
ALTER TABLE task ADD COLUMN thinned BIGINT NOT NULL DEFAULT 0;
CREATE INDEX task_thin ON task (completed_at) WHERE completed_at > 0 AND thinned = 0;
