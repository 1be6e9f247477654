import os
from pathlib import Path

from .lossy_disk import Event, LossyDisk, everything, nothing
from .watched_calls import watched_calls


def test_calls_of_files_are_seen(tmp_path: Path) -> None:
    events: list[Event] = []
    with watched_calls(events, tmp_path):
        (tmp_path / "folder").mkdir()
        file = tmp_path / "folder" / "file"
        file.touch()
        file.write_bytes(b"data")
        file.rename(tmp_path / "moved")
        (tmp_path / "folder" / "gone").touch()
        (tmp_path / "folder" / "gone").unlink()
        (tmp_path.parent / "elsewhere").touch()
    assert LossyDisk(events).after_loss(everything) == {str(tmp_path / "moved"): b"data"}


def test_what_was_not_synced_is_lost(tmp_path: Path) -> None:
    events: list[Event] = []
    with watched_calls(events, tmp_path):
        for name in ("one", "two"):
            with (tmp_path / name).open("wb") as file:
                descriptor = os.open(tmp_path / name, os.O_RDWR | os.O_CREAT)
                file.write(b"data")
                file.flush()
                if name == "one":
                    os.fsync(descriptor)
                os.close(descriptor)
        folder = os.open(tmp_path, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
    assert LossyDisk(events).after_loss(nothing) == {str(tmp_path / "one"): b"data", str(tmp_path / "two"): b""}
