-- +goose Up
-- The models that a key may use, separated by spaces; '' is all.
ALTER TABLE api_key ADD COLUMN models TEXT COLLATE "C" NOT NULL DEFAULT '';
