-- The URL that is told of each end of a task.
ALTER TABLE task ADD COLUMN callback TEXT;

-- What is still to be told, and what was: a row for each end of a task that has a callback, written along with the end.
-- `task` is an id, as what is to be told outlives its task; `record` is the milepost.task.Task of then, as JSON, `result`
-- the value of its result where that is small. It is over once there is no `next_try_at`: told if there is a
-- `delivered_at`, else given up.
CREATE TABLE callback (
    row INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    task TEXT NOT NULL,
    tenant TEXT NOT NULL,
    url TEXT NOT NULL,
    ended_at INTEGER NOT NULL,
    record TEXT NOT NULL,
    result BLOB,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_try_at INTEGER,
    delivered_at INTEGER,
    status INTEGER,
    error TEXT
) STRICT;
CREATE INDEX callback_task ON callback (task);
CREATE INDEX callback_due ON callback (next_try_at, tenant) WHERE next_try_at IS NOT NULL;

-- What the callbacks of a tenant are signed with; `previous` still counts until `previous_until`.
CREATE TABLE webhook_secret (
    tenant TEXT PRIMARY KEY,
    secret BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    previous BLOB,
    previous_until INTEGER
) STRICT, WITHOUT ROWID;
