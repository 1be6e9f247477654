-- Of a tenant the task goes first that was due first. The oldest would else go first at each of its runs, however often
-- it repeats, and keep all others of its tenant from running.
DROP INDEX task_queue;
CREATE INDEX task_queue ON task (type, priority DESC, tenant, max(created_at, ifnull(run_at, 0)))
WHERE state = 'queued' AND runner <> 'external';
