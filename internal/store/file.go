package store

import (
	"context"
	"errors"
)

// ErrExists means that there already is a row with this id.
var ErrExists = errors.New("the id is taken")

// File is a reference that a customer uploaded.
type File struct {
	ID        string // "file_" + ULID
	Account   string
	Name      string // as uploaded, cleaned
	Kind      string // image, video, audio
	Type      string // media type, from the bytes
	Blob      string // key in the blob store
	Bytes     int64
	SHA256    string // hex
	CreatedAt int64  // unix milliseconds
	ExpiresAt int64  // unix milliseconds
	DeletedAt int64  // 0 is not deleted
}

const fileColumns = "id, account, name, kind, type, blob, bytes, sha256, created_at, expires_at, deleted_at"

func scanFile(s scanner) (f File, err error) {
	return f, s.Scan(&f.ID, &f.Account, &f.Name, &f.Kind, &f.Type, &f.Blob, &f.Bytes, &f.SHA256, &f.CreatedAt, &f.ExpiresAt, &f.DeletedAt)
}

// InsertFile adds a file whose blob is durable, or returns ErrExists.
func (tx *Tx) InsertFile(ctx context.Context, f File) error {
	n, err := tx.exec(ctx, "INSERT INTO file ("+fileColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING",
		f.ID, f.Account, f.Name, f.Kind, f.Type, f.Blob, f.Bytes, f.SHA256, f.CreatedAt, f.ExpiresAt, f.DeletedAt)
	if err == nil && n == 0 {
		err = ErrExists
	}

	return err
}

// FileOf reads an account's file that is not deleted, or ErrNotFound.
func (r Reader) FileOf(ctx context.Context, account, id string) (File, error) {
	return queryOne(ctx, r.q, scanFile, "SELECT "+fileColumns+" FROM file WHERE id = $1 AND account = $2 AND deleted_at = 0", id, account)
}

// Files lists an account's files whose ids are before the given one ("" for the
// newest), newest first. more reports whether others follow.
func (r Reader) Files(ctx context.Context, account, before string, limit int) (list []File, more bool, err error) {
	if before == "" {
		before = "~"
	}

	list, err = queryAll(ctx, r.q, scanFile, "SELECT "+fileColumns+" FROM file WHERE account = $1 AND deleted_at = 0 AND id < $2 ORDER BY id DESC LIMIT $3", account, before, limit+1)
	if more = len(list) > limit; more {
		list = list[:limit]
	}

	return list, more, err
}

// DeleteFile marks an account's file as deleted. It returns false if there is
// none.
func (tx *Tx) DeleteFile(ctx context.Context, account, id string, at int64) (bool, error) {
	n, err := tx.exec(ctx, "UPDATE file SET deleted_at = $3 WHERE id = $1 AND account = $2 AND deleted_at = 0", id, account, at)
	return n == 1, err
}

// ExpiredFiles lists expired files of all accounts.
func (r Reader) ExpiredFiles(ctx context.Context, now int64, limit int) ([]File, error) {
	return queryAll(ctx, r.q, scanFile, "SELECT "+fileColumns+" FROM file WHERE deleted_at = 0 AND expires_at > 0 AND expires_at <= $1 ORDER BY expires_at LIMIT $2", now, limit)
}

// BlobReferenced reports whether a row references the blob; a blob that no row
// references is deleted after some time. Blobs of unfinished tasks count as
// referenced.
func (r Reader) BlobReferenced(ctx context.Context, key, owner string) (bool, error) {
	n, err := queryOne(ctx, r.q, func(s scanner) (n int64, err error) { return n, s.Scan(&n) },
		`SELECT (SELECT COUNT(*) FROM artifact WHERE task = $2 AND blob = $1)
			+ (SELECT COUNT(*) FROM file WHERE id = $2 AND blob = $1 AND deleted_at = 0)
			+ (SELECT COUNT(*) FROM task WHERE id = $2 AND state IN ('preparing', 'queued', 'submitting', 'running', 'collecting'))`, key, owner)

	return n > 0, err
}

// Idempotency is the stored record of an Idempotency-Key.
type Idempotency struct {
	Account  string
	Key      string
	BodyHash string // hex SHA-256 of the canonical body
	Task     string
	Expires  int64 // unix milliseconds
}

func scanIdempotency(s scanner) (i Idempotency, err error) {
	return i, s.Scan(&i.Account, &i.Key, &i.BodyHash, &i.Task, &i.Expires)
}

// Idempotency finds the record of a key that has not expired at now, or
// ErrNotFound.
func (r Reader) Idempotency(ctx context.Context, account, key string, now int64) (Idempotency, error) {
	return queryOne(ctx, r.q, scanIdempotency, "SELECT account, key, body_hash, task, expires FROM idempotency WHERE account = $1 AND key = $2 AND expires > $3", account, key, now)
}

// ReserveIdempotencyKey writes the key in the transaction that creates the task.
// If the key is taken at now, ok is false and existing is its record.
func (tx *Tx) ReserveIdempotencyKey(ctx context.Context, i Idempotency, now int64) (existing Idempotency, ok bool, err error) {
	n, err := tx.exec(ctx, `INSERT INTO idempotency (account, key, body_hash, task, expires) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (account, key) DO UPDATE SET body_hash = excluded.body_hash, task = excluded.task, expires = excluded.expires WHERE idempotency.expires <= $6`,
		i.Account, i.Key, i.BodyHash, i.Task, i.Expires, now)
	if err != nil || n == 1 {
		return i, err == nil, err
	}

	existing, err = tx.Idempotency(ctx, i.Account, i.Key, now)
	if errors.Is(err, ErrNotFound) {
		err = errors.New("the idempotency key is neither free nor taken")
	}

	return existing, false, err
}

// DeleteIdempotency deletes keys that expired before now, at most limit, and
// returns their number.
func (tx *Tx) DeleteIdempotency(ctx context.Context, now int64, limit int) (int64, error) {
	return tx.exec(ctx, "DELETE FROM idempotency WHERE (account, key) IN (SELECT account, key FROM idempotency WHERE expires <= $1 LIMIT $2)", now, limit)
}
