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
SELECT {columns} FROM task AS t WHERE t.finished_at IS NULL AND t.state = 'running' AND t.worker = ?

-- name: without_lease
-- The running tasks whose worker has no lease any more, or whose client has been silent for too long.
SELECT {columns} FROM task AS t WHERE {unleased}

-- name: any_without_lease
-- Whether there are such.
SELECT EXISTS (SELECT 1 FROM task AS t WHERE {unleased})

-- name: unleased
-- Part: that a task runs under no lease.
t.finished_at IS NULL AND t.state = 'running'
AND (t.leased_until <= :now
     OR (t.worker IS NOT NULL
         AND NOT EXISTS (SELECT 1 FROM worker WHERE worker.id = t.worker AND worker.ended_at IS NULL)))

-- name: count_running
-- How many tasks of a type run in the whole store.
SELECT count(*) FROM task WHERE finished_at IS NULL AND state = 'running' AND type = ?

-- name: claimable
-- The queued tasks of a type in the order in which they are taken; what their clients drive is not for workers.
SELECT -priority, row FROM task
WHERE finished_at IS NULL AND state = 'queued' AND type = ? AND runner <> 'external'
ORDER BY priority DESC, row
LIMIT ?

-- name: get_row_with_cold
-- The record of a row, with what it needs to run.
SELECT {columns},
    (SELECT body FROM input WHERE task = t.row),
    (SELECT body FROM checkpoint WHERE task = t.row),
    {delivered}
FROM task AS t WHERE t.row = ?

-- name: requests
-- The cancels and pauses that wait for a worker's running tasks.
SELECT id, epoch, cancel_requested, pause_requested FROM task
WHERE state = 'running' AND (cancel_requested OR pause_requested) AND worker = ?

-- name: forget_workers
-- Forgets the workers that have been gone since a given time.
DELETE FROM worker WHERE ended_at <= ?
