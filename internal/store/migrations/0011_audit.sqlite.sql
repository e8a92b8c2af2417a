-- +goose Up
-- What operators changed: who, what, when. Lines are kept for good, as the ledger's
-- entries are; detail is JSON and never has a secret.
CREATE TABLE audit (
  id TEXT NOT NULL PRIMARY KEY,
  at BIGINT NOT NULL,
  actor TEXT NOT NULL,
  action TEXT NOT NULL,
  object TEXT NOT NULL,
  detail TEXT NOT NULL
);
