"""A store in one SQLite file, which several processes can share."""

from milepost.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
