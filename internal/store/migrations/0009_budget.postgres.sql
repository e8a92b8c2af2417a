-- +goose Up
-- How much a key may spend in a day and in a month (micro-units, 0 is no limit), and
-- how many requests it may send ("10/s", '' is no limit).
ALTER TABLE api_key ADD COLUMN budget_day BIGINT NOT NULL DEFAULT 0 CHECK (budget_day >= 0);
ALTER TABLE api_key ADD COLUMN budget_month BIGINT NOT NULL DEFAULT 0 CHECK (budget_month >= 0);
ALTER TABLE api_key ADD COLUMN rate_create TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE api_key ADD COLUMN rate_read TEXT COLLATE "C" NOT NULL DEFAULT '';

-- 1 if a key of the account has a budget; if it is 0, no budget is looked up.
ALTER TABLE balance ADD COLUMN has_budget BIGINT NOT NULL DEFAULT 0;

-- What the tasks that a key created in a period hold and have spent (period 'day' or
-- 'month', from start to until, in unix milliseconds). Only keys with a budget have rows,
-- from their first task in the period. unireel doctor checks the sums. A missing row
-- does not stop a task from ending.
CREATE TABLE key_spending (
  api_key TEXT COLLATE "C" NOT NULL,
  period TEXT COLLATE "C" NOT NULL,
  start BIGINT NOT NULL,
  until BIGINT NOT NULL,
  spent BIGINT NOT NULL,
  held BIGINT NOT NULL,
  PRIMARY KEY (api_key, period, start)
);
