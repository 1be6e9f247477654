-- name: missed_starts
-- The tasks that have not started by the time that they were to: what milepost.lifecycle.missed_start says, as an index
-- finds it.
SELECT {columns} FROM task AS t
WHERE t.start_by IS NOT NULL AND t.started_at IS NULL AND t.start_by <= :now
  AND t.state IN ('scheduled', 'blocked', 'queued') AND {fit}
ORDER BY t.start_by LIMIT :limit

-- name: due_starts
-- The scheduled tasks whose time has come.
SELECT {columns} FROM task AS t
WHERE t.state = 'scheduled' AND t.run_at <= :now AND {fit} ORDER BY t.run_at LIMIT :limit

-- name: due_runs
-- The repeating tasks whose next run is due.
SELECT {columns} FROM task AS t
WHERE t.next_run_at IS NOT NULL AND t.next_run_at <= :now AND {fit} ORDER BY t.next_run_at LIMIT :limit

-- name: next_due
-- When the first of these will be.
SELECT min(due) FROM (
    SELECT min(run_at) AS due FROM task AS t WHERE state = 'scheduled' AND {fit}
    UNION ALL SELECT min(next_run_at) FROM task AS t WHERE next_run_at IS NOT NULL AND {fit}
    UNION ALL SELECT * FROM (
        SELECT start_by FROM task AS t
        WHERE start_by IS NOT NULL AND started_at IS NULL AND state IN ('scheduled', 'blocked', 'queued') AND {fit}
        ORDER BY start_by LIMIT 1
    )
)

-- name: queued_types
-- The types of what is queued: a step each, however much there is of it.
WITH RECURSIVE queued (type) AS (
    VALUES ('')
    UNION ALL
    SELECT (SELECT type FROM task WHERE {waits_for_a_worker} AND type > queued.type ORDER BY type LIMIT 1)
    FROM queued WHERE queued.type IS NOT NULL
)
SELECT type FROM queued WHERE type <> ''

-- name: offered_types
-- The types that a live worker takes tasks of.
SELECT DISTINCT json_each.value FROM worker, json_each(worker.info, '$.types') WHERE worker.ended_at IS NULL

-- name: saying
-- The queued tasks of a type whose message is this.
SELECT row FROM task AS t WHERE {waits_for_a_worker} AND type = :type AND message = :message AND {fit} LIMIT :limit

-- name: not_saying
-- The queued tasks of a type whose message is another, or none.
SELECT row FROM task AS t WHERE {waits_for_a_worker} AND type = :type AND message IS NULL AND {fit}
UNION ALL
SELECT row FROM task AS t WHERE {waits_for_a_worker} AND type = :type AND message < :message AND {fit}
UNION ALL
SELECT row FROM task AS t WHERE {waits_for_a_worker} AND type = :type AND message > :message AND {fit}
LIMIT :limit
