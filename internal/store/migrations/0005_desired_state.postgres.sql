-- +goose Up
-- What the operator wants of an upstream (paused, draining, removed), and its
-- configuration if it was added while a server was running; never its secrets.
ALTER TABLE upstream ADD COLUMN desired_state TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE upstream ADD COLUMN setup TEXT COLLATE "C" NOT NULL DEFAULT '';
