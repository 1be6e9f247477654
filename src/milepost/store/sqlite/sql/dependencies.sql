-- name: find_dependency
-- A task that one of the same tenant may wait for, if the caller can see it.
SELECT {columns} FROM task AS t WHERE t.id = :id AND t.tenant = :tenant AND {visible} AND {kept}

-- name: insert_edge
-- Lets a task wait for another.
INSERT INTO edge (dependent, dependency, met) VALUES (?, ?, ?)

-- name: drop_edges_from
-- Lets a task wait for nothing any more.
DELETE FROM edge WHERE dependent = ?

-- name: unmet
-- Whom a task still waits for.
SELECT t.id FROM edge JOIN task AS t ON t.row = edge.dependency WHERE edge.dependent = ? AND edge.met = 0

-- name: unmet_finished
-- Whom a task still waits for although it is finished.
SELECT {columns} FROM edge JOIN task AS t ON t.row = edge.dependency
WHERE edge.dependent = ? AND edge.met = 0 AND t.finished_at IS NOT NULL

-- name: waits_for
-- Whether a task waits for another, directly or through others.
WITH RECURSIVE ahead (row) AS (
    SELECT :dependent
    UNION
    SELECT edge.dependency FROM ahead JOIN edge ON edge.dependent = ahead.row
)
SELECT 1 FROM ahead WHERE row = :dependency

-- name: has_dependents
-- Whether any task depends on another; of most none does.
SELECT 1 FROM edge WHERE dependency = ? LIMIT 1

-- name: waiting_dependents
-- The blocked tasks that wait for another.
SELECT {columns} FROM edge JOIN task AS t ON t.row = edge.dependent
WHERE edge.dependency = ? AND edge.met = 0 AND t.state = 'blocked'

-- name: failed_dependents
-- The tasks that failed because of another.
SELECT {columns} FROM edge JOIN task AS t ON t.row = edge.dependent
WHERE edge.dependency = ? AND edge.failed_it AND t.state = 'failed'

-- name: meet_edges
-- Nobody has to wait for a task any more.
UPDATE edge SET met = 1 WHERE dependency = ? AND met = 0

-- name: meet_edge
-- One task need not wait for another any more.
UPDATE edge SET met = 1 WHERE dependent = ? AND dependency = ?

-- name: blame_edge
-- Notes that a task failed because of another.
UPDATE edge SET failed_it = 1 WHERE dependent = ? AND dependency = ?

-- name: forgive_edges
-- Forgets because of whom a task failed, as it begins again.
UPDATE edge SET failed_it = 0 WHERE dependent = ? AND failed_it

-- name: visible_dependents
-- The tasks that depend on another, as far as the caller can see them.
SELECT {columns} FROM edge JOIN task AS t ON t.row = edge.dependent
WHERE edge.dependency = :dependency AND {visible} AND {kept}
ORDER BY t.row
