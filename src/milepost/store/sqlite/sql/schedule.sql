-- name: missed_starts
-- The tasks that have not started by the time that they were to.
SELECT {columns} FROM task AS t
WHERE t.start_by IS NOT NULL AND t.started_at IS NULL AND t.start_by <= ?
  AND t.state IN ('scheduled', 'blocked', 'queued')
ORDER BY t.start_by LIMIT ?

-- name: due_starts
-- The scheduled tasks whose time has come.
SELECT {columns} FROM task AS t WHERE t.state = 'scheduled' AND t.run_at <= ? ORDER BY t.run_at LIMIT ?

-- name: due_runs
-- The repeating tasks whose next run is due.
SELECT {columns} FROM task AS t
WHERE t.next_run_at IS NOT NULL AND t.next_run_at <= ? ORDER BY t.next_run_at LIMIT ?

-- name: next_due
-- When the first of these will be.
SELECT min(due) FROM (
    SELECT min(run_at) AS due FROM task WHERE state = 'scheduled'
    UNION ALL SELECT min(next_run_at) FROM task WHERE next_run_at IS NOT NULL
    UNION ALL SELECT * FROM (
        SELECT start_by FROM task
        WHERE start_by IS NOT NULL AND started_at IS NULL AND state IN ('scheduled', 'blocked', 'queued')
        ORDER BY start_by LIMIT 1
    )
)

-- name: unoffered
-- The queued tasks that do not say yet that no live worker offers their type, or still say so although one does.
WITH offered (type) AS (
    SELECT json_each.value FROM worker, json_each(worker.info, '$.types')
    WHERE worker.ended_at IS NULL
)
SELECT row, type IN offered FROM task
WHERE finished_at IS NULL AND state = 'queued' AND runner <> 'external'
  AND (message IS :message) = (type IN offered)
LIMIT :limit
