-- How long keys are valid, when they were used last, to the minute, and which one has taken the place of another.
ALTER TABLE api_key ADD COLUMN expires_at INTEGER;
ALTER TABLE api_key ADD COLUMN last_used_at INTEGER;
ALTER TABLE api_key ADD COLUMN replaced_by TEXT;

-- Which roles a task's starter held, as JSON; NULL for a user, as which every task of before works.
ALTER TABLE task ADD COLUMN roles TEXT;
