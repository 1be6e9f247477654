"""What becomes of a store on a real disk that is full? See `small_disk.py`; `test_disk_errors.py` has the rest."""

import asyncio
import os
import sys
from pathlib import Path
from subprocess import PIPE

import pytest

from tests.store.scene import bounded

from .processes import ROOT

# The mount goes with the process, and with nobody else. Whoever is not root becomes so for this process alone.
NAMESPACE = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]


@pytest.mark.parametrize(
    ("what", "disks"), [("write", 1), ("write_alone", 4), ("carry_over", 1), ("open_and_close", 1)]
)
async def test_p1_a_full_disk_loses_nothing_that_was_acknowledged(tmp_path: Path, what: str, disks: int) -> None:
    folder, elsewhere = tmp_path / "small", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    command = [*NAMESPACE, sys.executable, "-m", "tests.store.sqlite.small_disk", what, str(folder), str(elsewhere)]
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, cwd=ROOT)
    try:
        said, _ = await bounded(process.communicate())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0
    # On every disk there was too little room at times.
    assert [int(line) > 0 for line in said.split()] == [True] * disks
    assert list(folder.iterdir()) == []
