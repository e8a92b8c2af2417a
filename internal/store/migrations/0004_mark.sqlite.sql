-- +goose Up
-- What a transaction of PostgreSQL leaves, so that it can be told from outside
-- whether it was committed: a row for each connection that writes.
CREATE TABLE mark (
  id TEXT NOT NULL PRIMARY KEY,
  value TEXT NOT NULL,
  at BIGINT NOT NULL
);
