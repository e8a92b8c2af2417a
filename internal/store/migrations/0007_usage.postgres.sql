-- +goose Up
-- An account's usage is summed up by the days on which its tasks ended.
CREATE INDEX task_usage ON task (account, completed_at) WHERE completed_at > 0;
