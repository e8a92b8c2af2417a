-- +goose Up
-- What the operator wants of an upstream (paused, draining, removed), and how it is
-- set up if it was added while a server ran; secrets are never here.
ALTER TABLE upstream ADD COLUMN wish TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE upstream ADD COLUMN setup TEXT COLLATE "C" NOT NULL DEFAULT '';
