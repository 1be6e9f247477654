"""What tests of the engine share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from milepost import Milepost
from tests.engine.bench import Bench


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """An open application."""
    root = tmp_path / "root"
    root.mkdir()
    app = Milepost(tmp_path / "milepost.db", files=tmp_path / "files", files_root=root)
    async with app.opened() as service:
        yield Bench(app, service, tmp_path)
