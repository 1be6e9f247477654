-- By what a task finds again what it has started. `task` is the child's row, and goes with it; `parent` is an id.
CREATE TABLE child (
    task INTEGER PRIMARY KEY,
    parent TEXT NOT NULL,
    run INTEGER NOT NULL,
    type TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    UNIQUE (parent, run, type, key)
) STRICT;

-- A standing task has keys of its own for what is delivered to it: `parent` is its id, '' for all other starts. What
-- tasks had started was kept here before, under keys that no caller could send.
ALTER TABLE idempotency RENAME TO former;
CREATE TABLE idempotency (
    tenant TEXT NOT NULL,
    owner TEXT NOT NULL,
    type TEXT NOT NULL,
    parent TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    task TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, owner, type, parent, key)
) STRICT, WITHOUT ROWID;
INSERT INTO idempotency
SELECT tenant, owner, type, '', key, fingerprint, task, expires_at FROM former WHERE key >= ' ';
DROP TABLE former;
CREATE INDEX idempotency_expiry ON idempotency (expires_at);
