-- +goose Up
-- What a PostgreSQL transaction leaves behind, so that a client can find out whether it
-- was committed: one row for each writing connection.
CREATE TABLE commit_marker (
  id TEXT NOT NULL PRIMARY KEY,
  value TEXT NOT NULL,
  at BIGINT NOT NULL
);
