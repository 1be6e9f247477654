-- name: find_dependency
-- A task that one of the same tenant may wait for, if the caller can see it.
SELECT {columns} FROM task AS t WHERE {of_id} AND t.tenant = :tenant

-- name: insert_edge
-- Lets a task wait for another.
INSERT INTO edge (dependent, dependency, met) VALUES (?, ?, ?)

-- name: insert_wait
-- Lets a task wait for the end of one that it started.
INSERT OR REPLACE INTO edge (dependent, dependency, met, any_end) VALUES (?, ?, FALSE, TRUE)

-- name: drop_waits
-- Lets a task wait no more for those that it started.
DELETE FROM edge WHERE dependent = ? AND any_end

-- name: unfinished_children
-- The tasks that another has started and that will run on, or once more.
SELECT {columns} FROM task AS t WHERE t.parent = ? AND (t.finished_at IS NULL OR t.next_run_at IS NOT NULL)

-- name: external_parent
-- The task that another was started by, if its client runs it.
SELECT {columns} FROM task AS t WHERE t.id = ? AND t.runner = 'external'

-- name: drop_edges
-- Lets a task wait for nothing any more.
DELETE FROM edge WHERE dependent = ?

-- name: unmet
-- What a task depends on that has not succeeded, as far as that is still there; and what it started and waits for.
SELECT edge.dependency, t.state, t.has_succeeded, t.next_run_at, edge.any_end
FROM edge LEFT JOIN task AS t ON t.id = edge.dependency
WHERE edge.dependent = ? AND (NOT edge.met OR edge.any_end)

-- name: waits_for
-- Whether a task waits for another, directly or through others.
WITH RECURSIVE ahead (id) AS (
    SELECT :dependent
    UNION
    SELECT edge.dependency FROM ahead JOIN task ON task.id = ahead.id JOIN edge ON edge.dependent = task.row
)
SELECT 1 FROM ahead WHERE id = :dependency

-- name: has_dependents
-- Whether any task depends on another; of most none does.
SELECT 1 FROM edge WHERE dependency = ? LIMIT 1

-- name: waiting_dependents
-- The blocked tasks that wait for another.
SELECT {columns} FROM edge JOIN task AS t ON t.row = edge.dependent
WHERE edge.dependency = ? AND NOT edge.met AND t.state = 'blocked'

-- name: failed_dependents
-- The tasks that failed because of another.
SELECT {columns} FROM edge JOIN task AS t ON t.row = edge.dependent
WHERE edge.dependency = ? AND edge.failed_it AND t.state = 'failed'

-- name: meet_edges
-- A task has succeeded: nobody has to wait for it any more.
UPDATE edge SET met = TRUE WHERE dependency = ? AND NOT met

-- name: blame_edge
-- Notes that a task failed because of another.
UPDATE edge SET failed_it = TRUE WHERE dependent = ? AND dependency = ?

-- name: forgive_edges
-- Forgets because of whom a task failed, as it begins again.
UPDATE edge SET failed_it = FALSE WHERE dependent = ? AND failed_it

-- name: visible_dependents
-- The tasks that depend on another, as far as the caller can see them.
SELECT {columns} FROM edge JOIN task AS t ON t.row = edge.dependent
WHERE edge.dependency = :dependency AND {visible} AND {kept}
ORDER BY t.row
