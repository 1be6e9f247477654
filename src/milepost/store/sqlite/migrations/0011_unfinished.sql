-- How many tasks of a tenant have not ended. Written at the start and at the end of a task only.
CREATE INDEX task_unfinished ON task (tenant) WHERE finished_at IS NULL;
