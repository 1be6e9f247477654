-- name: callback_columns
-- Part: a callback, without the record that it tells of.
id, task, tenant, url, ended_at, attempts, next_try_at, delivered_at, status, error

-- name: put_callback
-- Lets the end of a task be told.
INSERT INTO callback (id, task, tenant, url, ended_at, record, result, next_try_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)

-- name: callbacks_of
-- What was told of a task, and is still to be, in the order of its ends.
SELECT {callback_columns} FROM callback WHERE task = ? ORDER BY row

-- name: due_callback
-- Part: what may be tried, of all tenants but some.
next_try_at IS NOT NULL AND tenant NOT IN (SELECT value FROM json_each(:but))

-- name: next_callback
-- When the first of them may be.
SELECT next_try_at FROM callback WHERE {due_callback} ORDER BY next_try_at LIMIT 1

-- name: claim_callbacks
-- Takes those that are due, for a try each; should nobody say what came of it, they are due again.
UPDATE callback SET attempts = attempts + 1, next_try_at = :until
WHERE row IN (
    SELECT row FROM callback WHERE {due_callback} AND next_try_at <= :now ORDER BY next_try_at LIMIT :limit
)
RETURNING {callback_columns}, record, result

-- name: settle_callback
-- What came of a try, unless another one has begun since. What was told stays told.
UPDATE callback SET next_try_at = :next_try_at, delivered_at = :delivered_at, status = :status, error = :error
WHERE id = :id AND next_try_at IS NOT NULL AND (attempts = :attempts OR :delivered_at IS NOT NULL)

-- name: forget_callback
-- Drops one that is over, if its task is gone.
DELETE FROM callback
WHERE id = ? AND next_try_at IS NULL AND NOT EXISTS (SELECT 1 FROM task WHERE task.id = callback.task)

-- name: delete_callbacks
-- Drops what was told of tasks, by their rows. What is still to be told stays until it is.
DELETE FROM callback
WHERE task IN (SELECT task.id FROM json_each(?) AS gone CROSS JOIN task ON task.row = gone.value)
  AND next_try_at IS NULL

-- name: webhook_secret_columns
-- Part: what a tenant's callbacks are signed with.
tenant, secret, created_at, previous, previous_until

-- name: webhook_secret
-- What a tenant's callbacks are signed with.
SELECT {webhook_secret_columns} FROM webhook_secret WHERE tenant = ?

-- name: of_tenants
-- Part: what is of some tenants, or of all.
(:tenants IS NULL OR tenant IN (SELECT value FROM json_each(:tenants)))

-- name: known_webhook_secrets
-- The same of some tenants, or of all.
SELECT {webhook_secret_columns} FROM webhook_secret
WHERE {of_tenants} ORDER BY tenant

-- name: add_webhook_secret
-- Gives a tenant its first one.
INSERT INTO webhook_secret (tenant, secret, created_at) VALUES (?, ?, ?) ON CONFLICT (tenant) DO NOTHING

-- name: rotate_webhook_secret
-- Gives a tenant another one; the one before it counts for a while.
UPDATE webhook_secret
SET previous = secret, previous_until = :previous_until, secret = :secret, created_at = :created_at
WHERE tenant = :tenant

-- name: exchange_webhook_secret
-- Writes a tenant's secrets otherwise, unless they are others by now.
UPDATE webhook_secret SET secret = :new_secret, previous = :new_previous
WHERE tenant = :tenant AND secret = :secret AND previous IS :previous

-- name: remove_webhook_secret
-- Forgets what a tenant's callbacks are signed with.
DELETE FROM webhook_secret WHERE tenant = :tenant AND {of_tenants} RETURNING {webhook_secret_columns}
