-- Who may call. Of a key's secret there is a SHA-256 hash alone; a key that was revoked stays, so that what it named is
-- still known, and so that a store that once had a key never counts as one that had none. `grants` is JSON: pairs of
-- tenant and role.
CREATE TABLE api_key (
    row INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    display_name TEXT NOT NULL,
    grants TEXT NOT NULL,
    profile TEXT,
    digest BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;
CREATE INDEX api_key_name ON api_key (name);
