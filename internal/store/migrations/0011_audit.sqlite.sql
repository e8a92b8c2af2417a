-- +goose Up
-- What operators changed: who, what and when. Rows are never deleted, like the entries of
-- the ledger. detail is JSON and never contains a secret.
CREATE TABLE audit (
  id TEXT NOT NULL PRIMARY KEY,
  at BIGINT NOT NULL,
  actor TEXT NOT NULL,
  action TEXT NOT NULL,
  object TEXT NOT NULL,
  detail TEXT NOT NULL
);
