-- +goose Up
CREATE TABLE replica (
  id TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  serves TEXT NOT NULL,
  expires BIGINT NOT NULL
);

ALTER TABLE task ADD COLUMN worker TEXT NOT NULL DEFAULT '';

CREATE INDEX task_preview_render_time ON task (rendered_at) WHERE rendered_at > 0 AND preview = 1;
