-- name: begin
-- Takes the write lock at once, so that a transaction can't find out late that somebody else wrote.
BEGIN IMMEDIATE

-- name: commit
-- Makes everything since `begin` durable.
COMMIT

-- name: rollback
-- Undoes everything since `begin`.
ROLLBACK

-- name: begin_reading
-- Several reads of one moment; ended by `commit`.
BEGIN DEFERRED

-- name: savepoint_call
-- What one caller asked for succeeds or fails as a whole.
SAVEPOINT call

-- name: undo_call
-- Undoes what the call has done.
ROLLBACK TO call

-- name: release_call
-- The call is done.
RELEASE call

-- name: savepoint_item
-- What is refused changes nothing.
SAVEPOINT item

-- name: undo_item
-- Undoes what the item has done.
ROLLBACK TO item

-- name: release_item
-- The item is done.
RELEASE item

-- name: count_tables
-- Whether a database has anything in it.
SELECT count(*) FROM sqlite_schema
