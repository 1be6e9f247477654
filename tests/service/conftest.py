from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from milepost.files.folder import FolderFiles
from milepost.store.protocol import TypeInfo
from milepost.store.sqlite.store import SqliteStore
from tests.service.hands import Hands


@pytest.fixture
async def hands(tmp_path: Path) -> AsyncIterator[Hands]:
    store, files = SqliteStore(tmp_path / "m.db"), FolderFiles(tmp_path / "files")
    await store.open()
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "additionalProperties": False}
    await store.publish_types([TypeInfo("job", "loop", schema, max_attempts=2)])
    hands = Hands(store, files)
    await hands.enlist()
    yield hands
    await files.close()
    await store.close()
