-- Edges name their dependency by id, so that one which was never met is remembered when its record is gone.
-- `met`: the dependency has succeeded. `failed_it`: the dependent failed because of this one. `any_end`: the dependent
-- started it, and waits for its end, whatever that is.
CREATE TABLE edge_by_id (
    dependent INTEGER NOT NULL,
    dependency TEXT NOT NULL,
    met INTEGER NOT NULL,
    failed_it INTEGER NOT NULL DEFAULT FALSE,
    any_end INTEGER NOT NULL DEFAULT FALSE,
    PRIMARY KEY (dependent, dependency)
) STRICT, WITHOUT ROWID;
INSERT INTO edge_by_id (dependent, dependency, met, failed_it)
    SELECT edge.dependent, task.id, edge.met AND task.has_succeeded, edge.failed_it
    FROM edge JOIN task ON task.row = edge.dependency;
DROP TABLE edge;
ALTER TABLE edge_by_id RENAME TO edge;
CREATE INDEX edge_dependency ON edge (dependency, dependent);

-- A lease holds while its worker beats: `beats` counts, so that no clock has to be right. Leases do not outlive an upgrade.
DROP TABLE worker;
CREATE TABLE worker (
    id TEXT PRIMARY KEY,
    info TEXT NOT NULL,
    beats INTEGER NOT NULL DEFAULT 0,
    ended_at INTEGER
) STRICT;
