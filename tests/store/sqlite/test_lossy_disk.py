from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from .lossy_disk import (
    SECTOR,
    Event,
    LossyDisk,
    Name,
    Resize,
    Sync,
    SyncFailed,
    SyncFolder,
    Write,
    everything,
    nothing,
    some,
)

FILE = "/disk/file"
MADE = (Name(FILE, 1), Resize(1, 0), Sync(1), SyncFolder("/disk"))


def left(*events: Event, choose: object = nothing) -> bytes | None:
    """What the file contains after a loss; None where it is gone."""
    return LossyDisk(events).after_loss(choose).get(FILE)  # type: ignore[arg-type]


def all_left(*events: Event) -> set[bytes | None]:
    """What it may contain, as far as a thousand losses tell."""
    disk = LossyDisk(events)
    return {disk.after_loss(some(seed, 0.3)).get(FILE) for seed in range(1000)}


def test_what_is_synced_stays() -> None:
    events = (*MADE, Write(1, 0, b"one"), Write(1, 5, b"two"), Sync(1))
    assert all_left(*events) == {b"one\0\0two"}


def test_a_file_is_lost_without_its_name() -> None:
    events = (Name(FILE, 1), Write(1, 0, b"one"), Sync(1))
    assert all_left(*events) == {None, b"one"}
    assert all_left(*events, SyncFolder("/other")) == {None, b"one"}
    assert all_left(*events, SyncFolder("/disk")) == {b"one"}


def test_a_file_is_lost_without_its_folder() -> None:
    events = (Name("/disk", 9), *MADE)
    assert all_left(*events) == {None, b""}
    assert all_left(*events, SyncFolder("/")) == {b""}


def test_a_deleted_file_may_be_back() -> None:
    events = (*MADE, Write(1, 0, b"old"), Sync(1), Name(FILE, None))
    assert all_left(*events) == {b"old", None}
    again = (*events, Name(FILE, 2), Write(2, 0, b"new"), Sync(2))
    assert all_left(*again) == {b"old", None, b"new"}
    assert all_left(*again, SyncFolder("/disk")) == {b"new"}


def test_sectors_are_lost_one_by_one_and_have_been_what_they_were() -> None:
    old, one, two = (letter * SECTOR for letter in (b"o", b"1", b"2"))
    events = (*MADE, Write(1, 0, old + old), Sync(1), Write(1, 0, one + one), Write(1, SECTOR, two))
    assert all_left(*events) == {first + second for first in (old, one) for second in (old, one, two)}


def test_a_write_that_fills_no_sector_leaves_the_rest_of_it_alone() -> None:
    events = (*MADE, Write(1, 0, b"o" * 2 * SECTOR), Sync(1), Write(1, SECTOR - 1, b"nn"))
    half, other = b"o" * (SECTOR - 1), b"n"
    assert all_left(*events) == {half + first + second + half for first in (b"o", other) for second in (b"o", other)}


def test_a_size_is_lost_apart_from_what_is_in_it() -> None:
    longer = (*MADE, Write(1, 0, b"new"))
    assert all_left(*longer) == {b"", b"\0\0\0", b"new"}
    shorter = (*MADE, Write(1, 0, b"old" * SECTOR), Sync(1), Resize(1, SECTOR))
    assert {len(file or b"") for file in all_left(*shorter)} == {SECTOR, 3 * SECTOR}
    assert left(*shorter, Sync(1)) == (b"old" * SECTOR)[:SECTOR]
    assert left(*shorter, Resize(1, 2 * SECTOR), Sync(1)) == (b"old" * SECTOR)[:SECTOR] + bytes(SECTOR)


def test_what_a_sync_failed_to_write_is_not_written_by_the_next() -> None:
    old, new = b"o" * SECTOR, b"n" * SECTOR
    events = (*MADE, Write(1, 0, old + old), Sync(1), Write(1, 0, new + new), SyncFailed(1))
    assert all_left(*events, Sync(1)) == {first + second for first in (old, new) for second in (old, new)}
    assert all_left(*events, Write(1, 0, new), Sync(1)) == {new + old, new + new}
    assert all_left(*events, Write(1, 0, new + new), Sync(1)) == {new + new}


@given(
    st.lists(
        st.builds(Write, st.just(1), st.integers(0, 1500), st.binary(min_size=1, max_size=1200))
        | st.builds(Resize, st.just(1), st.integers(0, 2000))
        | st.just(Sync(1))
    )
)
def test_without_a_loss_it_is_like_any_disk(tmp_path_factory: pytest.TempPathFactory, events: list[Event]) -> None:
    path = tmp_path_factory.getbasetemp() / "real"
    synced = after = _carried_out(path, [])
    for at, event in enumerate(events):
        after = _carried_out(path, events[: at + 1])
        if isinstance(event, Sync):
            synced = after
    assert left(*MADE, *events, choose=everything) == after
    assert left(*MADE, *events, choose=nothing) == synced


def _carried_out(path: Path, events: list[Event]) -> bytes:
    with path.open("wb") as file:
        for event in events:
            if isinstance(event, Write):
                file.seek(event.offset)
                file.write(event.data)
            elif isinstance(event, Resize):
                file.truncate(event.size)
    return path.read_bytes()
