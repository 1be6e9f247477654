"""Does the small disk run full, and only that?"""

from pathlib import Path

import pytest

from tests.chaos.disk import SmallDisk


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
