"""Does the small disk run full, and only that?"""

from pathlib import Path

import pytest

from milepost.cli.exits import Exit
from milepost.store.sqlite.migrate import migrate, migrations
from tests.chaos.disk import SmallDisk
from tests.cli.processes import JOBS, milepost


def test_a_disk_is_full_until_it_is_freed(tmp_path: Path) -> None:
    with SmallDisk(tmp_path / "disk", 2) as disk:
        file = disk.path / "file"
        file.touch()
        disk.fill()
        with pytest.raises(OSError, match="No space left"):
            file.write_bytes(b"x")
        (tmp_path / "elsewhere").write_bytes(b"x")
        disk.free()
        assert file.write_bytes(b"x" * 1_000_000) == 1_000_000
    assert not disk.path.is_mount()


def test_a_command_that_finds_the_disk_full_says_so_in_one_line(tmp_path: Path) -> None:
    with SmallDisk(tmp_path / "disk", 4) as disk:
        store = disk.path / "tasks.db"
        migrate(store, busy_timeout=1000, scripts=migrations())
        disk.fill()
        full = milepost("worker", JOBS, "--store", store)
        assert (full.returncode, full.stderr) == (Exit.FAILED, f"milepost: --store: The disk of {store} is full.\n")
