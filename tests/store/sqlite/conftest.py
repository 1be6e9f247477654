from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from milepost.store.protocol import TaskStore
from milepost.store.sqlite import SqliteStore
from tests.store.scene import MakeStore, Scene


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "milepost.db"


@pytest.fixture
async def make_store(path: Path) -> AsyncIterator[MakeStore]:
    opened: list[TaskStore] = []

    async def make(**options: Any) -> TaskStore:
        store = SqliteStore(path, **options)
        opened.append(store)
        await store.open()
        return store

    yield make
    for store in opened:
        await store.close()


@pytest.fixture
async def store(make_store: MakeStore) -> TaskStore:
    return await make_store()


@pytest.fixture
def scene(store: TaskStore) -> Scene:
    return Scene(store)
