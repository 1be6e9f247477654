-- name: enlist
-- Gives a worker its lease.
INSERT OR REPLACE INTO worker (id, info) VALUES (?, ?)

-- name: beat
-- Counts a heartbeat of a worker whose lease nobody has ended.
UPDATE worker SET beats = beats + 1 WHERE id = ? AND ended_at IS NULL

-- name: pulses
-- The workers whose lease nobody has ended, with their heartbeats.
SELECT info, beats FROM worker WHERE ended_at IS NULL ORDER BY id

-- name: lease_holds
-- Whether a worker has a lease.
SELECT 1 FROM worker WHERE id = ? AND ended_at IS NULL

-- name: end_lease
-- Ends a worker's lease.
UPDATE worker SET ended_at = ? WHERE id = ? AND ended_at IS NULL

-- name: end_silent_lease
-- Ends a worker's lease, unless its heart has beaten meanwhile.
UPDATE worker SET ended_at = ? WHERE id = ? AND beats = ? AND ended_at IS NULL

-- name: held_by
-- The tasks under the lease of a worker.
SELECT {columns} FROM task AS t
WHERE t.finished_at IS NULL AND t.state <> 'queued' AND t.state = 'running' AND t.worker = ?

-- name: without_lease
-- The running tasks whose worker has no lease any more, or whose client has been silent for too long.
SELECT {columns} FROM task AS t WHERE {unleased}

-- name: any_without_lease
-- Whether there are such.
SELECT EXISTS (SELECT 1 FROM task AS t WHERE {unleased})

-- name: unleased
-- Part: that a task runs under no lease.
t.finished_at IS NULL AND t.state <> 'queued' AND t.state = 'running' AND {fit}
AND (t.leased_until <= :now
     OR (t.worker IS NOT NULL
         AND NOT EXISTS (SELECT 1 FROM worker WHERE worker.id = t.worker AND worker.ended_at IS NULL)))

-- name: count_running
-- How many tasks of a type run in the whole store.
SELECT count(*) FROM task WHERE finished_at IS NULL AND state <> 'queued' AND state = 'running' AND type = ?

-- name: waits_for_a_worker
-- Part: what is queued; what its client drives is not for workers.
state = 'queued' AND runner <> 'external'

-- name: due
-- Part: when a task came up. A run that repeats, or a try again, comes behind what has come up before it.
max(created_at, ifnull(run_at, 0))

-- name: first_of_types
-- Of each of some types that are not paused: the highest priority at which its tasks wait, the first tenant there, and
-- the one of that which was due first.
SELECT wanted.value, t.priority, t.tenant, t.row, {due} FROM json_each(?) AS wanted JOIN task AS t ON t.row = (
    SELECT row FROM task
    WHERE {waits_for_a_worker} AND type = wanted.value
    ORDER BY priority DESC, tenant, {due}, row LIMIT 1
)
WHERE NOT EXISTS (SELECT 1 FROM task_type WHERE paused AND name = wanted.value)

-- name: first_below
-- The same of one type, below a priority.
SELECT priority, tenant, row, {due} FROM task
WHERE {waits_for_a_worker} AND type = ? AND priority < ?
ORDER BY priority DESC, tenant, {due}, row LIMIT 1

-- name: next_tenant
-- The tenant that follows a given one among those whose tasks of a type wait at a priority, and which of these was due
-- first.
SELECT tenant, row, {due} FROM task
WHERE {waits_for_a_worker} AND type = ? AND priority = ? AND tenant > ?
ORDER BY tenant, {due}, row LIMIT 1

-- name: next_of_tenant
-- The tasks of a tenant, of a type, at a priority, that follow a given one.
SELECT row, {due} FROM task
WHERE {waits_for_a_worker} AND type = :type AND priority = :priority AND tenant = :tenant
    AND {due} >= :due AND ({due} > :due OR row > :row)
ORDER BY {due}, row LIMIT :limit

-- name: get_row_with_cold
-- The record of a row, with what it needs to run.
SELECT {columns},
    (SELECT body FROM input WHERE task = t.row),
    (SELECT body FROM checkpoint WHERE task = t.row),
    {delivered},
    (SELECT sealed FROM input WHERE task = t.row)
FROM task AS t WHERE t.row = ?

-- name: requests
-- The cancels and pauses that wait for a worker's running tasks.
SELECT id, epoch, cancel_requested, pause_requested FROM task
WHERE state = 'running' AND (cancel_requested OR pause_requested) AND worker = ?

-- name: forget_workers
-- Forgets the workers that have been gone since a given time.
DELETE FROM worker WHERE ended_at <= ?

-- name: put_type
-- Makes a task type known. Whether it is paused stays as it is.
INSERT INTO task_type (name, info) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET info = excluded.info

-- name: pause_type
-- Keeps tasks of a type from starting, or lets them again.
UPDATE task_type SET paused = ? WHERE name = ? RETURNING info, paused

-- name: paused_types
-- The types whose tasks are kept from starting.
SELECT name FROM task_type WHERE paused
