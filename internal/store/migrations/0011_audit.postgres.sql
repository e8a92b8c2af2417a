-- +goose Up
-- What operators changed: who, what and when. Rows are never deleted, like the entries of
-- the ledger. detail is JSON and never contains a secret.
CREATE TABLE audit (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  at BIGINT NOT NULL,
  actor TEXT COLLATE "C" NOT NULL,
  action TEXT COLLATE "C" NOT NULL,
  object TEXT COLLATE "C" NOT NULL,
  detail TEXT COLLATE "C" NOT NULL
);
