-- The record of a task: one column a field of milepost.task.Task, in the order of its fields, after the row number.
-- Times and durations are microseconds, times since the Unix epoch in UTC. Structured fields are JSON.
-- What a status read does not need (input, checkpoint, result, traceback, log) is kept apart, so that rows stay small.
CREATE TABLE task (
    row INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    tenant TEXT NOT NULL,
    owner TEXT NOT NULL,
    type TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    number INTEGER NOT NULL,
    parent TEXT,
    origin TEXT NOT NULL,
    runner TEXT NOT NULL,
    title TEXT,
    description TEXT,
    list_id TEXT,
    assignee TEXT,
    creator TEXT,
    metadata TEXT,
    debug TEXT,
    state TEXT NOT NULL,
    progress REAL NOT NULL,
    message TEXT,
    counts TEXT,
    trigger TEXT,
    run_at INTEGER,
    next_run_at INTEGER,
    run INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    timeout INTEGER,
    start_by INTEGER,
    attempt INTEGER NOT NULL,
    max_attempts INTEGER NOT NULL,
    losses INTEGER NOT NULL,
    cancel_requested INTEGER NOT NULL,
    pause_requested INTEGER NOT NULL,
    unique_key TEXT,
    depends_on TEXT,
    on_dependency_failure TEXT NOT NULL,
    blocked_by TEXT,
    blocked_reason TEXT,
    blocked_at INTEGER,
    started_at INTEGER,
    finished_at INTEGER,
    result_expires_at INTEGER,
    expires_at INTEGER,
    version INTEGER NOT NULL,
    result TEXT,
    failure TEXT,
    epoch INTEGER NOT NULL,
    worker TEXT,
    lease_seconds INTEGER,
    leased_until INTEGER,
    continues INTEGER NOT NULL,
    held INTEGER NOT NULL,
    has_succeeded INTEGER NOT NULL,
    keep_result INTEGER NOT NULL,
    keep_record INTEGER NOT NULL,
    log_seq INTEGER NOT NULL,
    log_bytes INTEGER NOT NULL,
    log_dropped INTEGER NOT NULL,
    -- The indexes and queries below tell the unfinished by this.
    CHECK ((finished_at IS NOT NULL) = (state IN ('succeeded', 'failed', 'cancelled')))
) STRICT;

-- Lists, and dialects with integer ids. The first three never change with a task.
CREATE INDEX task_tenant ON task (tenant);
CREATE UNIQUE INDEX task_number ON task (tenant, number);
CREATE INDEX task_owner ON task (tenant, owner);
CREATE INDEX task_assignee ON task (tenant, assignee) WHERE assignee IS NOT NULL;
CREATE INDEX task_list ON task (list_id) WHERE list_id IS NOT NULL;
CREATE INDEX task_parent ON task (parent) WHERE parent IS NOT NULL;

-- The unfinished by state: what can be claimed, in order; what runs, of which type; lists of either.
CREATE INDEX task_live ON task (state, type, priority DESC) WHERE finished_at IS NULL;
CREATE INDEX task_requested ON task (worker) WHERE state = 'running' AND (cancel_requested OR pause_requested);

-- What is due: starts, next runs, missed starts, and the end of results and records.
CREATE INDEX task_scheduled ON task (run_at) WHERE state = 'scheduled';
CREATE INDEX task_next_run ON task (next_run_at) WHERE next_run_at IS NOT NULL;
CREATE INDEX task_start_by ON task (start_by) WHERE start_by IS NOT NULL AND started_at IS NULL;
CREATE INDEX task_result_expiry ON task (result_expires_at) WHERE result IS NOT NULL AND result_expires_at IS NOT NULL;
CREATE INDEX task_expiry ON task (expires_at) WHERE expires_at IS NOT NULL;

CREATE UNIQUE INDEX task_unique_key ON task (tenant, owner, type, unique_key)
    WHERE unique_key IS NOT NULL AND (finished_at IS NULL OR next_run_at IS NOT NULL);
CREATE INDEX task_file ON task (result ->> '$.key') WHERE result ->> '$.key' IS NOT NULL;

-- The last number given in each tenant.
CREATE TABLE tenant (name TEXT PRIMARY KEY, number INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- The cold parts of a record; `task` is its row.
CREATE TABLE input (task INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
CREATE TABLE checkpoint (task INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
CREATE TABLE result (task INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
CREATE TABLE traceback (task INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT;

-- A row is what one change of a task wrote to its log: entries `first` to `last`, with the version of that change.
CREATE TABLE log (
    task INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    version INTEGER NOT NULL,
    entries TEXT NOT NULL,
    PRIMARY KEY (task, first)
) STRICT, WITHOUT ROWID;

-- `dependent` waits for `dependency` (rows of task) until it is met. `failed_it`: it failed because of this one.
CREATE TABLE edge (
    dependent INTEGER NOT NULL,
    dependency INTEGER NOT NULL,
    met INTEGER NOT NULL,
    failed_it INTEGER NOT NULL DEFAULT FALSE,
    PRIMARY KEY (dependent, dependency)
) STRICT, WITHOUT ROWID;
CREATE INDEX edge_dependency ON edge (dependency, dependent);

-- `task` is an id, as a key outlives its task.
CREATE TABLE idempotency (
    tenant TEXT NOT NULL,
    owner TEXT NOT NULL,
    type TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    task TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, owner, type, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_expiry ON idempotency (expires_at);

-- `info` is a WorkerInfo as JSON. A lease whose end was noted (`ended_at`) never comes back.
CREATE TABLE worker (
    id TEXT PRIMARY KEY,
    info TEXT NOT NULL,
    until INTEGER NOT NULL,
    ended_at INTEGER
) STRICT;

-- `info` is a TypeInfo as JSON.
CREATE TABLE task_type (name TEXT PRIMARY KEY, info TEXT NOT NULL) STRICT;

-- Seals the cursors of lists, which would else tell how many tasks other tenants have.
CREATE TABLE secret (cursor_key BLOB NOT NULL) STRICT;
INSERT INTO secret VALUES (randomblob(32));
