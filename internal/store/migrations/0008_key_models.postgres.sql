-- +goose Up
-- The models that a key may ask for, parted by spaces; none is all.
ALTER TABLE api_key ADD COLUMN models TEXT COLLATE "C" NOT NULL DEFAULT '';
