-- What waits for a worker is found by whose turn it is, and by what it says that it waits for: apart from whatever else
-- is not finished, which lists and leases ask for.
DROP INDEX task_live;
CREATE INDEX task_live ON task (state, type) WHERE finished_at IS NULL AND state <> 'queued';
CREATE INDEX task_queue ON task (type, priority DESC, tenant) WHERE state = 'queued' AND runner <> 'external';
CREATE INDEX task_notice ON task (type, message) WHERE state = 'queued' AND runner <> 'external';

-- Whether tasks of a type are kept from starting, until somebody says otherwise.
ALTER TABLE task_type ADD COLUMN paused INTEGER NOT NULL DEFAULT FALSE;
CREATE INDEX task_type_paused ON task_type (name) WHERE paused;
