
-- name: next_number
-- Gives a task the number that follows in its tenant.
INSERT INTO tenant (name, number) VALUES (?, 1)
ON CONFLICT (name) DO UPDATE SET number = number + 1
RETURNING number

-- name: visible
-- Part: what a caller may see. Whoever may not is answered as if there were nothing.
(:everything
 OR t.tenant IN (SELECT value FROM json_each(:whole))
 OR ((t.owner = :name OR t.assignee = :name) AND t.tenant IN (SELECT value FROM json_each(:own))))

-- name: kept
-- Part: what has not expired. An unfinished dependent keeps a record from that.
(t.expires_at IS NULL OR t.expires_at > :now OR {waited_for})

-- name: waited_for
-- Part: whether an unfinished task depends on this one.
EXISTS (
    SELECT 1 FROM edge JOIN task AS waiting ON waiting.row = edge.dependent
    WHERE edge.dependency = t.row AND waiting.finished_at IS NULL
)

-- name: get
-- The record of an id, for who may see it.
SELECT {columns} FROM task AS t WHERE t.id = :id AND {visible} AND {kept}

-- name: get_leased
-- The record of a task whose lease a worker holds.
SELECT {columns} FROM task AS t WHERE t.id = ? AND t.state = 'running' AND t.epoch = ?

-- name: get_row
-- The record of a row that another row or an index led to.
SELECT {columns} FROM task AS t WHERE t.row = ?

-- name: unique_key_holder
-- Which task has a unique key that is in force.
SELECT id FROM task
WHERE tenant = ? AND owner = ? AND type = ? AND unique_key = ?
  AND unique_key IS NOT NULL AND (finished_at IS NULL OR next_run_at IS NOT NULL)

-- name: insert_log
-- Adds what one change wrote to a task's log.
INSERT INTO log (task, first, last, version, entries) VALUES (?, ?, ?, ?, ?)

-- name: put_input
-- Keeps what a task was started with.
INSERT INTO input (task, body) VALUES (?, ?)

-- name: put_result
-- Keeps a JSON result.
INSERT OR REPLACE INTO result (task, body) VALUES (?, ?)

-- name: drop_result
-- Forgets a JSON result.
DELETE FROM result WHERE task = ?

-- name: put_checkpoint
-- Keeps what a task saved of itself.
INSERT OR REPLACE INTO checkpoint (task, body) VALUES (?, ?)

-- name: drop_checkpoint
-- Forgets what a task saved of itself.
DELETE FROM checkpoint WHERE task = ?

-- name: put_traceback
-- Keeps where a try failed.
INSERT OR REPLACE INTO traceback (task, body) VALUES (?, ?)

-- name: drop_traceback
-- Forgets where a try failed.
DELETE FROM traceback WHERE task = ?

-- name: find_idempotency_key
-- What a caller's key for a start stands for.
SELECT fingerprint, task, expires_at FROM idempotency WHERE tenant = ? AND owner = ? AND type = ? AND key = ?

-- name: put_idempotency_key
-- Lets a key stand for a start, in place of an older one that has expired.
INSERT OR REPLACE INTO idempotency (tenant, owner, type, key, fingerprint, task, expires_at)
VALUES (?, ?, ?, ?, ?, ?, ?)
