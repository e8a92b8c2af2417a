-- +goose Up
-- The order of all events of an account: by the transaction (where several write at
-- the same time) and a serial number. Events from before this migration have neither.
ALTER TABLE event ADD COLUMN xid BIGINT NOT NULL DEFAULT 0;
ALTER TABLE event ADD COLUMN n BIGINT NOT NULL DEFAULT 0;
CREATE INDEX event_account ON event (account, xid, n) WHERE n > 0;
CREATE SEQUENCE event_n;
