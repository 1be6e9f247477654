-- The files that were delivered together with a task's input, in their order; `task` is its row.
CREATE TABLE delivered_file (
    task INTEGER NOT NULL,
    number INTEGER NOT NULL,
    key TEXT NOT NULL,
    name TEXT NOT NULL,
    media_type TEXT NOT NULL,
    size INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (task, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX delivered_file_key ON delivered_file (key);
