-- name: expired_records
-- The records past their retention that nobody waits for.
SELECT {columns} FROM task AS t
WHERE t.expires_at IS NOT NULL AND t.expires_at <= :now AND NOT {waited_for} AND {fit}
ORDER BY t.expires_at LIMIT :limit

-- name: expired_results
-- The records whose result is past its retention.
SELECT {columns} FROM task AS t
WHERE t.result IS NOT NULL AND t.result_expires_at IS NOT NULL AND t.result_expires_at <= :now AND {fit}
ORDER BY t.result_expires_at LIMIT :limit

-- name: forget_idempotency_keys
-- Drops the keys past their retention.
DELETE FROM idempotency WHERE (tenant, owner, type, parent, key) IN (
    SELECT tenant, owner, type, parent, key FROM idempotency WHERE expires_at <= ? ORDER BY expires_at LIMIT ?
)

-- name: files_of
-- The files that were delivered with tasks, by their rows.
SELECT key FROM delivered_file WHERE task IN (SELECT value FROM json_each(?))

-- name: delete_delivered
-- Drops what is known of files that were delivered with tasks.
DELETE FROM delivered_file WHERE task IN (SELECT value FROM json_each(?))

-- name: delete_children
-- Drops by what children are found again.
DELETE FROM child WHERE task IN (SELECT value FROM json_each(?))

-- name: delete_tasks
-- Drops records, by their rows.
DELETE FROM task WHERE row IN (SELECT value FROM json_each(?))

-- name: delete_inputs
-- Drops what tasks were started with.
DELETE FROM input WHERE task IN (SELECT value FROM json_each(?))

-- name: delete_checkpoints
-- Drops what tasks saved of themselves.
DELETE FROM checkpoint WHERE task IN (SELECT value FROM json_each(?))

-- name: delete_results
-- Drops JSON results.
DELETE FROM result WHERE task IN (SELECT value FROM json_each(?))

-- name: delete_tracebacks
-- Drops where tries failed.
DELETE FROM traceback WHERE task IN (SELECT value FROM json_each(?))

-- name: delete_logs
-- Drops logs.
DELETE FROM log WHERE task IN (SELECT value FROM json_each(?))

-- name: delete_edges
-- Drops what tasks depended on. Edges to them stay: whoever depends on them knows by that that they are gone.
DELETE FROM edge WHERE dependent IN (SELECT value FROM json_each(?))

-- name: known_files
-- Those of some files that a record points to, or that were delivered with a task.
SELECT result ->> '$.key' FROM task
WHERE result ->> '$.key' IS NOT NULL AND result ->> '$.key' IN (SELECT value FROM json_each(:keys))
UNION SELECT key FROM delivered_file WHERE key IN (SELECT value FROM json_each(:keys))
