-- +goose Up
CREATE TABLE meta (
  key TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  value TEXT COLLATE "C" NOT NULL
);

CREATE TABLE account (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  name TEXT COLLATE "C" NOT NULL UNIQUE,
  weight BIGINT NOT NULL CHECK (weight > 0),
  cap BIGINT NOT NULL CHECK (cap >= 0),
  created_at BIGINT NOT NULL
);

CREATE TABLE api_key (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  account TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  hash TEXT COLLATE "C" NOT NULL UNIQUE,
  hint TEXT COLLATE "C" NOT NULL,
  scopes TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  revoked_at BIGINT NOT NULL
);
CREATE INDEX api_key_account ON api_key (account, id);

CREATE TABLE balance (
  account TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  granted BIGINT NOT NULL,
  spent BIGINT NOT NULL,
  held BIGINT NOT NULL CHECK (held >= 0),
  CHECK (granted - spent - held >= 0)
);

CREATE TABLE entry (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  account TEXT COLLATE "C" NOT NULL,
  task TEXT COLLATE "C" NOT NULL,
  kind TEXT COLLATE "C" NOT NULL,
  amount BIGINT NOT NULL,
  ref TEXT COLLATE "C" NOT NULL,
  at BIGINT NOT NULL
);
CREATE UNIQUE INDEX entry_task ON entry (task, kind) WHERE task <> '';
CREATE UNIQUE INDEX entry_grant ON entry (account, ref) WHERE kind = 'grant';
CREATE INDEX entry_account ON entry (account, id);

CREATE TABLE task (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  account TEXT COLLATE "C" NOT NULL,
  api_key TEXT COLLATE "C" NOT NULL,
  version BIGINT NOT NULL,
  state TEXT COLLATE "C" NOT NULL,
  object TEXT COLLATE "C" NOT NULL,
  model TEXT COLLATE "C" NOT NULL,
  resolved_model TEXT COLLATE "C" NOT NULL,
  prompt TEXT COLLATE "C" NOT NULL,
  size TEXT COLLATE "C" NOT NULL,
  seconds BIGINT NOT NULL,
  preview BIGINT NOT NULL,
  metadata TEXT COLLATE "C" NOT NULL,
  warnings TEXT COLLATE "C" NOT NULL,
  hold BIGINT NOT NULL,
  unit_price BIGINT NOT NULL,
  billing TEXT COLLATE "C" NOT NULL,
  billed BIGINT NOT NULL,
  cost BIGINT NOT NULL,
  queue TEXT COLLATE "C" NOT NULL,
  attempt BIGINT NOT NULL,
  upstream TEXT COLLATE "C" NOT NULL,
  remote_id TEXT COLLATE "C" NOT NULL,
  result TEXT COLLATE "C" NOT NULL,
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
  error TEXT COLLATE "C" NOT NULL
);
CREATE INDEX task_account ON task (account, id) WHERE hidden_at = 0;
CREATE INDEX task_queued ON task (queue, account, id) WHERE state = 'queued';
CREATE INDEX task_live ON task (state, id) WHERE state IN ('preparing', 'submitting', 'running', 'collecting');
CREATE INDEX task_start_by ON task (start_by) WHERE start_by > 0 AND state IN ('preparing', 'queued');
CREATE INDEX task_expires ON task (expires_at) WHERE expires_at > 0 AND swept_at = 0;
CREATE INDEX task_render_time ON task (resolved_model, rendered_at) WHERE rendered_at > 0 AND preview = 0;

CREATE TABLE request (
  task TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  body TEXT COLLATE "C" NOT NULL,
  prepared TEXT COLLATE "C" NOT NULL
);

CREATE TABLE artifact (
  task TEXT COLLATE "C" NOT NULL,
  kind TEXT COLLATE "C" NOT NULL,
  blob TEXT COLLATE "C" NOT NULL,
  type TEXT COLLATE "C" NOT NULL,
  bytes BIGINT NOT NULL,
  sha256 TEXT COLLATE "C" NOT NULL,
  width BIGINT NOT NULL,
  height BIGINT NOT NULL,
  millis BIGINT NOT NULL,
  sound BIGINT NOT NULL,
  PRIMARY KEY (task, kind)
);

CREATE TABLE event (
  task TEXT COLLATE "C" NOT NULL,
  seq BIGINT NOT NULL,
  account TEXT COLLATE "C" NOT NULL,
  state TEXT COLLATE "C" NOT NULL,
  note TEXT COLLATE "C" NOT NULL,
  at BIGINT NOT NULL,
  PRIMARY KEY (task, seq)
);

CREATE TABLE attempt (
  task TEXT COLLATE "C" NOT NULL,
  n BIGINT NOT NULL,
  upstream TEXT COLLATE "C" NOT NULL,
  supplier_account TEXT COLLATE "C" NOT NULL,
  model TEXT COLLATE "C" NOT NULL,
  sent_at BIGINT NOT NULL,
  uncertain_at BIGINT NOT NULL,
  request_id TEXT COLLATE "C" NOT NULL,
  remote_id TEXT COLLATE "C" NOT NULL,
  outcome TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (task, n)
);
CREATE UNIQUE INDEX attempt_remote_id ON attempt (supplier_account, remote_id) WHERE remote_id <> '';
CREATE INDEX attempt_sent ON attempt (sent_at);

CREATE TABLE queue (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  virtual_time BIGINT NOT NULL
);

CREATE TABLE share (
  queue TEXT COLLATE "C" NOT NULL,
  account TEXT COLLATE "C" NOT NULL,
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
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  owner TEXT COLLATE "C" NOT NULL,
  fence BIGINT NOT NULL,
  expires BIGINT NOT NULL,
  suspended_until BIGINT NOT NULL,
  suspended_reason TEXT COLLATE "C" NOT NULL,
  key_id TEXT COLLATE "C" NOT NULL
);

CREATE TABLE idempotency (
  account TEXT COLLATE "C" NOT NULL,
  key TEXT COLLATE "C" NOT NULL,
  body_hash TEXT COLLATE "C" NOT NULL,
  task TEXT COLLATE "C" NOT NULL,
  expires BIGINT NOT NULL,
  PRIMARY KEY (account, key)
);
CREATE INDEX idempotency_expires ON idempotency (expires);

CREATE TABLE file (
  id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
  account TEXT COLLATE "C" NOT NULL,
  name TEXT COLLATE "C" NOT NULL,
  kind TEXT COLLATE "C" NOT NULL,
  type TEXT COLLATE "C" NOT NULL,
  blob TEXT COLLATE "C" NOT NULL,
  bytes BIGINT NOT NULL,
  sha256 TEXT COLLATE "C" NOT NULL,
  created_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  deleted_at BIGINT NOT NULL
);
CREATE INDEX file_account ON file (account, id) WHERE deleted_at = 0;
CREATE INDEX file_expires ON file (expires_at) WHERE deleted_at = 0 AND expires_at > 0;
