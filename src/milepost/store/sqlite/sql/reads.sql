-- name: cold
-- What is read of a record only when asked for.
SELECT
    (SELECT body FROM input WHERE task = t.row),
    (SELECT body FROM checkpoint WHERE task = t.row),
    (SELECT body FROM traceback WHERE task = t.row),
    {delivered},
    (SELECT sealed FROM input WHERE task = t.row)
FROM task AS t WHERE {of_id}

-- name: result
-- Where a JSON result is kept: its bytes are read from there.
SELECT result.task FROM task AS t JOIN result ON result.task = t.row
WHERE {of_id} AND (t.result_expires_at IS NULL OR t.result_expires_at > :now)
  AND (:run IS NULL OR t.run = :run)

-- name: log
-- What changes wrote to a task's log, from the row on that has entry :after + 1, and after the version :since. Versions
-- rise along with sequence numbers: both places are found from the nearer end.
SELECT first, version, entries FROM log
WHERE task = :row
  AND first >= coalesce((SELECT max(first) FROM log WHERE task = :row AND first <= :after + 1), 0)
  AND first > CASE WHEN :since > 0 THEN coalesce((
        SELECT first FROM log WHERE task = :row AND first > :after AND version <= :since ORDER BY first DESC LIMIT 1
    ), 0) ELSE 0 END
  AND version > :since
ORDER BY first

-- name: history
-- What changes wrote to a task's log that has a state or an outcome in it, newest first, from before an entry on.
SELECT first, version, entries FROM log WHERE task = :row AND eventful AND first < :before ORDER BY first DESC

-- name: tenant_number
-- By which number a tenant is known that is not its name.
SELECT known_as FROM tenant WHERE name = ? AND known_as IS NOT NULL

-- name: tenant_numbered
-- The tenant that a number was given to.
SELECT name FROM tenant WHERE known_as = ?

-- name: matching
-- Part: what a list was asked for, after a place in it.
t.row < :before
AND {visible}
AND {kept}
AND (:tenant IS NULL OR t.tenant = :tenant)
AND (:number IS NULL OR t.number = :number)
AND (:states IS NULL OR t.state IN (SELECT value FROM json_each(:states)))
AND (:type IS NULL OR t.type = :type)
AND (:owner IS NULL OR t.owner = :owner)
AND (:list_id IS NULL OR t.list_id = :list_id)
AND (:parent IS NULL OR t.parent = :parent)
AND (:assignee IS NULL OR t.assignee = :assignee)
AND (:origin IS NULL OR t.origin = :origin)
AND (:depends_on IS NULL OR EXISTS (
    SELECT 1 FROM edge WHERE edge.dependent = t.row AND edge.dependency = :depends_on AND NOT edge.any_end
))

-- name: find_anywhere
-- A list of all tasks.
SELECT {columns} FROM task AS t WHERE {matching} ORDER BY t.row DESC LIMIT :limit

-- name: find_live
-- A list of unfinished tasks by their states, other than queued.
SELECT {columns} FROM task AS t WHERE t.row IN (
    SELECT t.row FROM task AS t
    WHERE t.finished_at IS NULL AND t.state <> 'queued' AND t.state IN (SELECT value FROM json_each(:states))
      AND {matching}
    ORDER BY t.row DESC LIMIT :limit
) ORDER BY t.row DESC

-- name: find_in_tenant
-- A list of a tenant's tasks.
SELECT {columns} FROM task AS t WHERE t.tenant = :its_tenant AND {matching} ORDER BY t.row DESC LIMIT :limit

-- name: find_by_number
-- The task that has a number in a tenant.
SELECT {columns} FROM task AS t WHERE t.tenant = :its_tenant AND t.number = :number AND {matching} LIMIT :limit

-- name: find_by_number_anywhere
-- The tasks that have a number, each in its tenant: a step for each tenant that there is.
SELECT {columns} FROM tenant CROSS JOIN task AS t ON t.tenant = tenant.name AND t.number = :number
WHERE {matching} ORDER BY t.row DESC LIMIT :limit

-- name: find_by_owner
-- A list of what somebody started in a tenant.
SELECT {columns} FROM task AS t
WHERE t.tenant = :its_tenant AND t.owner = :its_person AND {matching} ORDER BY t.row DESC LIMIT :limit

-- name: find_by_assignee
-- A list of what is assigned to somebody in a tenant.
SELECT {columns} FROM task AS t
WHERE t.tenant = :its_tenant AND t.assignee = :its_person AND {matching} ORDER BY t.row DESC LIMIT :limit

-- name: find_by_list
-- A list of the tasks that share a list.
SELECT {columns} FROM task AS t WHERE t.list_id = :list_id AND {matching} ORDER BY t.row DESC LIMIT :limit

-- name: find_by_parent
-- A list of a task's children.
SELECT {columns} FROM task AS t WHERE t.parent = :parent AND {matching} ORDER BY t.row DESC LIMIT :limit

-- name: find_by_dependency
-- A list of the tasks that depend on one.
SELECT {columns} FROM task AS t WHERE t.row IN (
    SELECT edge.dependent FROM edge WHERE edge.dependency = :depends_on
) AND {matching} ORDER BY t.row DESC LIMIT :limit

-- name: seen_among
-- Which of some tasks, by their ids as JSON, a caller can see.
SELECT t.id FROM json_each(:ids) AS named CROSS JOIN task AS t ON t.id = named.value WHERE {visible} AND {kept}

-- name: tally
-- How many tasks a caller can see, by type and state.
SELECT t.type, t.state, count(*) FROM task AS t WHERE {visible} AND {kept} GROUP BY t.type, t.state

-- name: unfinished
-- How many tasks of a tenant have not ended, up to a number.
SELECT count(*) FROM (SELECT 1 FROM task WHERE tenant = :tenant AND finished_at IS NULL LIMIT :most)

-- name: versions
-- How far some records are.
SELECT id, version FROM task WHERE id IN (SELECT value FROM json_each(?))

-- name: types
-- The task types that are known.
SELECT info, paused FROM task_type ORDER BY name

-- name: cursor_key
-- What the cursors of this store are sealed with.
SELECT cursor_key FROM secret
