-- +goose Up
-- How much a key may spend in a day and in a month (micro-units, 0 is no bound), and
-- how often it may ask ("10/s", '' is no bound).
ALTER TABLE api_key ADD COLUMN budget_day BIGINT NOT NULL DEFAULT 0 CHECK (budget_day >= 0);
ALTER TABLE api_key ADD COLUMN budget_month BIGINT NOT NULL DEFAULT 0 CHECK (budget_month >= 0);
ALTER TABLE api_key ADD COLUMN rate_create TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE api_key ADD COLUMN rate_read TEXT COLLATE "C" NOT NULL DEFAULT '';

-- 1 when a key of the account has a budget: else nobody looks for one.
ALTER TABLE balance ADD COLUMN budgeted BIGINT NOT NULL DEFAULT 0;

-- What the tasks that a key ordered in a period (period 'day' or 'month', from start
-- until, in unix milliseconds) hold and have spent. Only keys with a budget have rows, from their first
-- order in the period. Doctor proves the sums; nothing here keeps a task from its end.
CREATE TABLE key_spending (
  api_key TEXT COLLATE "C" NOT NULL,
  period TEXT COLLATE "C" NOT NULL,
  start BIGINT NOT NULL,
  until BIGINT NOT NULL,
  spent BIGINT NOT NULL,
  held BIGINT NOT NULL,
  PRIMARY KEY (api_key, period, start)
);
