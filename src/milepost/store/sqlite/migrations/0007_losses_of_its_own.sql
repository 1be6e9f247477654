-- A task that runs in a process of its own is not to blame for what ends the worker that it shares with others.
ALTER TABLE task ADD COLUMN apart INTEGER NOT NULL DEFAULT 0;
ALTER TABLE task ADD COLUMN own_losses INTEGER NOT NULL DEFAULT 0;
UPDATE task SET own_losses = losses WHERE losses > 0;
