-- name: api_key_columns
-- Part: what is read of a key, in the order of ApiKey's fields.
id, name, display_name, grants, profile, digest, created_at, revoked_at

-- name: put_api_key
-- Makes a key.
INSERT INTO api_key ({api_key_columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)

-- name: find_api_key
-- The key of an id, whether or not it was revoked: asked at each request.
SELECT {api_key_columns} FROM api_key WHERE id = ?

-- name: api_keys
-- All keys, oldest first.
SELECT {api_key_columns} FROM api_key ORDER BY row

-- name: api_keys_of
-- All keys that somebody had, oldest first.
SELECT {api_key_columns} FROM api_key WHERE name = ? ORDER BY row

-- name: any_api_key
-- Whether ever a key was made.
SELECT EXISTS (SELECT 1 FROM api_key)

-- name: revoke_api_key
-- Ends a key; one that has ended keeps the time.
UPDATE api_key SET revoked_at = ifnull(revoked_at, ?) WHERE id = ? RETURNING {api_key_columns}
