-- +goose Up
CREATE TABLE replica (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  name TEXT COLLATE "C" NOT NULL,
  serves TEXT COLLATE "C" NOT NULL,
  expires BIGINT NOT NULL
);

ALTER TABLE task ADD COLUMN worker TEXT COLLATE "C" NOT NULL DEFAULT '';

CREATE INDEX task_preview_render_time ON task (rendered_at) WHERE rendered_at > 0 AND preview = 1;
