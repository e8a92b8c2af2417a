-- +goose Up
-- What a transaction of PostgreSQL leaves, so that it can be told from outside
-- whether it was committed: a row for each connection that writes.
CREATE TABLE mark (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  value TEXT COLLATE "C" NOT NULL,
  at BIGINT NOT NULL
);
