-- What people call those who come without keys, as whoever vouches for them has said.
CREATE TABLE display_name (name TEXT PRIMARY KEY, display_name TEXT NOT NULL) STRICT, WITHOUT ROWID;
