-- +goose Up
-- Where customers want events to be sent. kind 'account' is an endpoint that they
-- created; 'request' is the origin of a request's webhook_url; 'default' has the secret
-- that signs deliveries to those. events are separated and surrounded by spaces, '' is
-- all. next_due is when its next delivery is due, in unix milliseconds.
CREATE TABLE endpoint (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  account TEXT COLLATE "C" NOT NULL,
  kind TEXT COLLATE "C" NOT NULL,
  url TEXT COLLATE "C" NOT NULL,
  events TEXT COLLATE "C" NOT NULL,
  secret TEXT COLLATE "C" NOT NULL,
  previous_secret TEXT COLLATE "C" NOT NULL DEFAULT '',
  previous_secret_until BIGINT NOT NULL DEFAULT 0,
  created_at BIGINT NOT NULL,
  disabled_at BIGINT NOT NULL DEFAULT 0,
  failures BIGINT NOT NULL DEFAULT 0,
  suspended_until BIGINT NOT NULL DEFAULT 0,
  next_due BIGINT NOT NULL
);
CREATE INDEX endpoint_account ON endpoint (account, id);
CREATE UNIQUE INDEX endpoint_origin ON endpoint (account, kind, url) WHERE kind <> 'account';
CREATE INDEX endpoint_due ON endpoint (next_due, suspended_until) WHERE disabled_at = 0;

-- Where the request of a task wants its events to be sent.
CREATE TABLE task_hook (
  task TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  endpoint TEXT COLLATE "C" NOT NULL,
  url TEXT COLLATE "C" NOT NULL
);

-- One event for one endpoint. It is tried until it is delivered or given up. url is the
-- URL that the request named, or '' for the endpoint's. due is when it is tried next, and
-- until is when it is given up.
CREATE TABLE delivery (
  endpoint TEXT COLLATE "C" NOT NULL,
  id TEXT COLLATE "C" NOT NULL,
  account TEXT COLLATE "C" NOT NULL,
  task TEXT COLLATE "C" NOT NULL,
  event TEXT COLLATE "C" NOT NULL,
  seq BIGINT NOT NULL,
  url TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  due BIGINT NOT NULL,
  until BIGINT NOT NULL,
  state TEXT COLLATE "C" NOT NULL,
  tries BIGINT NOT NULL DEFAULT 0,
  status BIGINT NOT NULL DEFAULT 0,
  error TEXT COLLATE "C" NOT NULL DEFAULT '',
  tried_at BIGINT NOT NULL DEFAULT 0,
  ended_at BIGINT NOT NULL DEFAULT 0,
  PRIMARY KEY (endpoint, id)
);
CREATE INDEX delivery_due ON delivery (endpoint, due) WHERE state = 'pending';
CREATE INDEX delivery_task ON delivery (endpoint, task, seq) WHERE state = 'pending';
CREATE INDEX delivery_until ON delivery (until) WHERE state = 'pending';
CREATE INDEX delivery_ended ON delivery (ended_at) WHERE ended_at > 0;
CREATE INDEX delivery_log ON delivery (endpoint, created_at, seq, id);
CREATE INDEX delivery_request ON delivery (account, created_at, seq, id) WHERE url <> '';
