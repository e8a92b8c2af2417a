-- +goose Up
-- When the supplier said that it cannot stop a task whose customer cancelled it.
ALTER TABLE task ADD COLUMN cancel_refused_at BIGINT NOT NULL DEFAULT 0;
