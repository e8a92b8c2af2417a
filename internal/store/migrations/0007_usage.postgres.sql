-- +goose Up
-- What an account used is summed up over the days in which its tasks ended.
CREATE INDEX task_usage ON task (account, completed_at) WHERE completed_at > 0;
