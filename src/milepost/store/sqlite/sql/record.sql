-- name: columns
-- A record with the number of its row in front, and a JSON result behind that is small enough to be carried along.
t.row,
t.id, t.tenant, t.owner, t.type, t.created_at, t.updated_at, t.number, t.parent, t.origin, t.runner, t.title,
t.description, t.list_id, t.assignee, t.creator, t.metadata, t.debug, t.state, t.progress, t.message,
t.counts, t.trigger, t.run_at, t.next_run_at, t.run, t.priority, t.timeout, t.start_by, t.attempt,
t.max_attempts, t.losses, t.cancel_requested, t.pause_requested, t.unique_key, t.depends_on,
t.on_dependency_failure, t.blocked_by, t.blocked_reason, t.blocked_at, t.started_at, t.finished_at,
t.result_expires_at, t.expires_at, t.version, t.result, t.failure, t.epoch, t.worker, t.lease_seconds,
t.leased_until, t.continues, t.apart, t.own_losses, t.held, t.has_succeeded, t.keep_result, t.keep_record,
t.log_seq, t.log_bytes, t.log_dropped, t.roles, t.callback,
CASE WHEN t.result IS NOT NULL
    THEN (SELECT body FROM result WHERE task = t.row AND length(body) <= 65536) END

-- name: last_row
-- The row that was made last, 0 for none.
SELECT coalesce(max(row), 0) FROM task

-- name: insert_task
-- Makes a record.
INSERT INTO task (
    row, id, tenant, owner, type, created_at, updated_at, number, parent, origin, runner, title, description,
    list_id, assignee, creator, metadata, debug, state, progress, message, counts, trigger, run_at,
    next_run_at, run, priority, timeout, start_by, attempt, max_attempts, losses, cancel_requested,
    pause_requested, unique_key, depends_on, on_dependency_failure, blocked_by, blocked_reason, blocked_at,
    started_at, finished_at, result_expires_at, expires_at, version, result, failure, epoch, worker,
    lease_seconds, leased_until, continues, apart, own_losses, held, has_succeeded, keep_result, keep_record,
    log_seq, log_bytes, log_dropped, roles, callback
) VALUES (
    ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
    ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
)

-- name: update_task
-- Writes a change of a record, if nobody else has changed it since. What never changes is left out.
UPDATE task SET
    updated_at = ?, runner = ?, title = ?, description = ?, list_id = ?, assignee = ?, creator = ?,
    metadata = ?, debug = ?, state = ?, progress = ?, message = ?, counts = ?, trigger = ?, run_at = ?,
    next_run_at = ?, run = ?, priority = ?, timeout = ?, start_by = ?, attempt = ?, max_attempts = ?,
    losses = ?, cancel_requested = ?, pause_requested = ?, unique_key = ?, depends_on = ?,
    on_dependency_failure = ?, blocked_by = ?, blocked_reason = ?, blocked_at = ?, started_at = ?,
    finished_at = ?, result_expires_at = ?, expires_at = ?, version = ?, result = ?, failure = ?, epoch = ?,
    worker = ?, lease_seconds = ?, leased_until = ?, continues = ?, apart = ?, own_losses = ?, held = ?, has_succeeded = ?,
    keep_result = ?, keep_record = ?, log_seq = ?, log_bytes = ?, log_dropped = ?
WHERE row = ? AND version = ? AND epoch = ?

-- name: update_report
-- Writes what a running task said of itself, which stands in no index.
UPDATE task SET
    updated_at = ?, progress = ?, message = ?, counts = ?, version = ?, log_seq = ?, log_bytes = ?,
    log_dropped = ?
WHERE row = ? AND version = ? AND epoch = ?

-- name: take_numbers
-- Gives tasks, so many, the numbers that follow in their tenant; the last of these, and by which one the tenant is known.
INSERT INTO tenant (name, number) VALUES (?1, ?2)
ON CONFLICT (name) DO UPDATE SET number = number + ?2
RETURNING number, known_as

-- name: number_tenant
-- Gives a tenant the next number that is for names.
UPDATE tenant SET known_as = max(
    :first_given, 1 + coalesce((SELECT max(known_as) FROM tenant WHERE known_as IS NOT NULL), 0)
) WHERE name = :name

-- name: visible
-- Part: what a caller may see. Whoever may not is answered as if there were nothing. Tenants are looked at first, so
-- that this takes as long for everybody's tasks; an empty list of them costs nothing.
(:everything
 OR (:whole <> '[]' AND t.tenant IN (SELECT value FROM json_each(:whole)))
 OR (:own <> '[]' AND t.tenant IN (SELECT value FROM json_each(:own))
   AND (t.owner = :name OR (t.assignee = :name AND :assigned))))

-- name: row_of_id
-- Part: the row of an id; where there is none that of the first task, so that finding nothing takes as long as finding
-- what is not the caller's.
coalesce((SELECT row FROM task WHERE id = :id), (SELECT min(row) FROM task))

-- name: of_id
-- Part: whether this is the task of an id, for who may see it. What is not visible is not looked at any further.
t.row = {row_of_id} AND CASE WHEN {visible} THEN t.id = :id AND {kept} ELSE FALSE END

-- name: kept
-- Part: what has not expired. An unfinished dependent, or parent, keeps a record from that.
(t.expires_at IS NULL OR t.expires_at > :now OR {waited_for})

-- name: fit
-- Part: what was not found to be damaged. `:skipped` are ids with the versions that they were met in.
(t.id, t.version) NOT IN (SELECT value ->> 0, value ->> 1 FROM json_each(:skipped))

-- name: waited_for
-- Part: whether an unfinished task depends on this one, or has started it and may ask for it again.
(EXISTS (
    SELECT 1 FROM edge JOIN task AS waiting ON waiting.row = edge.dependent
    WHERE edge.dependency = t.id AND waiting.finished_at IS NULL
) OR (t.parent IS NOT NULL AND EXISTS (
    SELECT 1 FROM task AS parent WHERE parent.id = t.parent AND parent.finished_at IS NULL AND parent.runner <> 'external'
)))

-- name: get
-- The record of an id, for who may see it.
SELECT {columns} FROM task AS t WHERE {of_id}

-- name: get_leased
-- The record of a task whose lease a worker holds.
SELECT {columns} FROM task AS t WHERE t.id = ? AND t.state = 'running' AND t.epoch = ?

-- name: insert_file
-- Gives a task a file that was delivered with it.
INSERT INTO delivered_file (task, number, key, name, media_type, size, sha256) VALUES (?, ?, ?, ?, ?, ?, ?)

-- name: delivered
-- Part: the files that were delivered with a task, as JSON; NULL for none.
(SELECT nullif(json_group_array(json_object(
    'key', f.key, 'name', f.name, 'media_type', f.media_type, 'size', f.size, 'sha256', f.sha256
)), '[]') FROM (SELECT * FROM delivered_file AS d WHERE d.task = t.row ORDER BY d.number) AS f)

-- name: get_row
-- The record of a row that another row or an index led to.
SELECT {columns} FROM task AS t WHERE t.row = ?

-- name: get_rows
-- The records of many rows, as JSON, in their order, as far as there are any.
SELECT {columns} FROM json_each(?) AS wanted CROSS JOIN task AS t ON t.row = wanted.value

-- name: unique_key_holder
-- Which task has a unique key that is in force.
SELECT id FROM task
WHERE tenant = ? AND owner = ? AND type = ? AND unique_key = ?
  AND unique_key IS NOT NULL AND (finished_at IS NULL OR next_run_at IS NOT NULL)

-- name: insert_log
-- Adds what one change wrote to a task's log.
INSERT INTO log (task, first, last, version, entries, eventful) VALUES (?, ?, ?, ?, ?, ?)

-- name: put_input
-- Keeps what a task was started with.
INSERT INTO input (task, body) VALUES (?, ?)

-- name: seal_input
-- Keeps what of it is secret, apart.
UPDATE input SET sealed = ? WHERE task = ?

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
SELECT fingerprint, task, expires_at FROM idempotency
WHERE tenant = ? AND owner = ? AND type = ? AND parent = ? AND key = ?

-- name: put_idempotency_key
-- Lets a key stand for a start, in place of an older one that has expired.
INSERT OR REPLACE INTO idempotency (tenant, owner, type, parent, key, fingerprint, task, expires_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)

-- name: find_child
-- What a task has started under a key.
SELECT child.fingerprint, task.id FROM child JOIN task ON task.row = child.task
WHERE child.parent = ? AND child.run = ? AND child.type = ? AND child.key = ?

-- name: put_child
-- Lets a task find again what it has started, in place of what it started before and is past its retention.
INSERT OR REPLACE INTO child (task, parent, run, type, key, fingerprint) VALUES (?, ?, ?, ?, ?, ?)
