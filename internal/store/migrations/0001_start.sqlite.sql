-- +goose Up
CREATE TABLE meta (
  key TEXT NOT NULL PRIMARY KEY,
  value TEXT NOT NULL
);

CREATE TABLE account (
  id TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  weight BIGINT NOT NULL CHECK (weight > 0),
  cap BIGINT NOT NULL CHECK (cap >= 0),
  created_at BIGINT NOT NULL
);

CREATE TABLE api_key (
  id TEXT NOT NULL PRIMARY KEY,
  account TEXT NOT NULL,
  name TEXT NOT NULL,
  hash TEXT NOT NULL UNIQUE,
  hint TEXT NOT NULL,
  scopes TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  revoked_at BIGINT NOT NULL
);
CREATE INDEX api_key_account ON api_key (account, id);

CREATE TABLE balance (
  account TEXT NOT NULL PRIMARY KEY,
  granted BIGINT NOT NULL,
  spent BIGINT NOT NULL,
  held BIGINT NOT NULL CHECK (held >= 0),
  CHECK (granted - spent - held >= 0)
);

CREATE TABLE entry (
  id TEXT NOT NULL PRIMARY KEY,
  account TEXT NOT NULL,
  task TEXT NOT NULL,
  kind TEXT NOT NULL,
  amount BIGINT NOT NULL,
  ref TEXT NOT NULL,
  at BIGINT NOT NULL
);
CREATE UNIQUE INDEX entry_task ON entry (task, kind) WHERE task <> '';
CREATE UNIQUE INDEX entry_grant ON entry (account, ref) WHERE kind = 'grant';
CREATE INDEX entry_account ON entry (account, id);

CREATE TABLE task (
  id TEXT NOT NULL PRIMARY KEY,
  account TEXT NOT NULL,
  api_key TEXT NOT NULL,
  version BIGINT NOT NULL,
  state TEXT NOT NULL,
  object TEXT NOT NULL,
  model TEXT NOT NULL,
  resolved_model TEXT NOT NULL,
  prompt TEXT NOT NULL,
  size TEXT NOT NULL,
  seconds BIGINT NOT NULL,
  preview BIGINT NOT NULL,
  metadata TEXT NOT NULL,
  warnings TEXT NOT NULL,
  hold BIGINT NOT NULL,
  unit_price BIGINT NOT NULL,
  billing TEXT NOT NULL,
  billed BIGINT NOT NULL,
  cost BIGINT NOT NULL,
  queue TEXT NOT NULL,
  attempt BIGINT NOT NULL,
  upstream TEXT NOT NULL,
  remote_id TEXT NOT NULL,
  result TEXT NOT NULL,
  progress BIGINT NOT NULL,
  retries BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  queued_at BIGINT NOT NULL,
  submitted_at BIGINT NOT NULL,
  started_at BIGINT NOT NULL,
  rendered_at BIGINT NOT NULL,
  completed_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  start_by BIGINT NOT NULL,
  swept_at BIGINT NOT NULL,
  cancel_requested_at BIGINT NOT NULL,
  hidden_at BIGINT NOT NULL,
  error TEXT NOT NULL
);
CREATE INDEX task_account ON task (account, id) WHERE hidden_at = 0;
CREATE INDEX task_queued ON task (queue, account, id) WHERE state = 'queued';
CREATE INDEX task_live ON task (state, id) WHERE state IN ('preparing', 'submitting', 'running', 'collecting');
CREATE INDEX task_start_by ON task (start_by) WHERE start_by > 0 AND state IN ('preparing', 'queued');
CREATE INDEX task_expires ON task (expires_at) WHERE expires_at > 0 AND swept_at = 0;
CREATE INDEX task_render_time ON task (resolved_model, rendered_at) WHERE rendered_at > 0 AND preview = 0;

CREATE TABLE request (
  task TEXT NOT NULL PRIMARY KEY,
  body TEXT NOT NULL,
  prepared TEXT NOT NULL
);

CREATE TABLE artifact (
  task TEXT NOT NULL,
  kind TEXT NOT NULL,
  blob TEXT NOT NULL,
  type TEXT NOT NULL,
  bytes BIGINT NOT NULL,
  sha256 TEXT NOT NULL,
  width BIGINT NOT NULL,
  height BIGINT NOT NULL,
  millis BIGINT NOT NULL,
  sound BIGINT NOT NULL,
  PRIMARY KEY (task, kind)
);

CREATE TABLE event (
  task TEXT NOT NULL,
  seq BIGINT NOT NULL,
  account TEXT NOT NULL,
  state TEXT NOT NULL,
  note TEXT NOT NULL,
  at BIGINT NOT NULL,
  PRIMARY KEY (task, seq)
);

CREATE TABLE attempt (
  task TEXT NOT NULL,
  n BIGINT NOT NULL,
  upstream TEXT NOT NULL,
  supplier_account TEXT NOT NULL,
  model TEXT NOT NULL,
  sent_at BIGINT NOT NULL,
  uncertain_at BIGINT NOT NULL,
  request_id TEXT NOT NULL,
  remote_id TEXT NOT NULL,
  outcome TEXT NOT NULL,
  PRIMARY KEY (task, n)
);
CREATE UNIQUE INDEX attempt_remote_id ON attempt (supplier_account, remote_id) WHERE remote_id <> '';
CREATE INDEX attempt_sent ON attempt (sent_at);

CREATE TABLE queue (
  id TEXT NOT NULL PRIMARY KEY,
  virtual_time BIGINT NOT NULL
);

CREATE TABLE share (
  queue TEXT NOT NULL,
  account TEXT NOT NULL,
  virtual_start BIGINT NOT NULL,
  weight BIGINT NOT NULL,
  cap BIGINT NOT NULL,
  queued BIGINT NOT NULL CHECK (queued >= 0),
  running BIGINT NOT NULL CHECK (running >= 0),
  ready BIGINT NOT NULL,
  PRIMARY KEY (queue, account)
);
CREATE INDEX share_ready ON share (queue, virtual_start, account) WHERE ready = 1;

CREATE TABLE upstream (
  id TEXT NOT NULL PRIMARY KEY,
  owner TEXT NOT NULL,
  fence BIGINT NOT NULL,
  expires BIGINT NOT NULL,
  suspended_until BIGINT NOT NULL,
  suspended_reason TEXT NOT NULL,
  key_id TEXT NOT NULL
);

CREATE TABLE idempotency (
  account TEXT NOT NULL,
  key TEXT NOT NULL,
  body_hash TEXT NOT NULL,
  task TEXT NOT NULL,
  expires BIGINT NOT NULL,
  PRIMARY KEY (account, key)
);
CREATE INDEX idempotency_expires ON idempotency (expires);

CREATE TABLE file (
  id TEXT NOT NULL PRIMARY KEY,
  account TEXT NOT NULL,
  name TEXT NOT NULL,
  kind TEXT NOT NULL,
  type TEXT NOT NULL,
  blob TEXT NOT NULL,
  bytes BIGINT NOT NULL,
  sha256 TEXT NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  deleted_at BIGINT NOT NULL
);
CREATE INDEX file_account ON file (account, id) WHERE deleted_at = 0;
CREATE INDEX file_expires ON file (expires_at) WHERE deleted_at = 0 AND expires_at > 0;
