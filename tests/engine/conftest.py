"""What tests of the engine share."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from milepost import Milepost
from tests.engine.bench import Bench, Clock
from tests.engine.processes import Pipe


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """An open application."""
    root = tmp_path / "root"
    root.mkdir()
    clock = Clock()
    app = Milepost(tmp_path / "milepost.db", files=tmp_path / "files", files_root=root, clock=clock)
    async with app.opened() as service:
        yield Bench(app, service, tmp_path, clock)


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Pipe]:
    """A way to talk to functions in other processes."""
    pipe = Pipe(tmp_path / "pipe")
    yield pipe
    pipe.close()
