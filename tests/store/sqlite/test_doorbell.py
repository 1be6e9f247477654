import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from milepost.store.sqlite.doorbell import FULL, LONGEST, Doorbell
from tests.store.scene import bounded

from .processes import child


def bells(path: Path) -> list[Path]:
    return list(path.with_name(f"{path.name}-bells").iterdir())


@asynccontextmanager
async def listening(bell: Doorbell) -> AsyncIterator[asyncio.Event]:
    rung = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(bell.fileno(), rung.set)
    try:
        yield rung
    finally:
        loop.remove_reader(bell.fileno())


async def test_all_others_hear_a_ring(path: Path) -> None:
    with closing(Doorbell(path)) as one, closing(Doorbell(path)) as two, closing(Doorbell(path)) as three:
        async with listening(one) as first, listening(two) as second, listening(three) as own:
            three.ring()
            await bounded(first.wait())
            await bounded(second.wait())
            assert not own.is_set()


async def test_another_process_hears_and_rings(path: Path) -> None:
    with closing(Doorbell(path)) as bell:
        async with child("ring", path) as other, listening(bell) as rung:
            assert await other.heard() == "bound"
            other.tell("ring")
            await bounded(rung.wait())
            await other.end()
        assert len(bells(path)) == 1


async def test_the_bell_of_a_killed_process_is_taken_away(path: Path) -> None:
    with closing(Doorbell(path)) as bell:
        async with child("ring", path) as other:
            assert await other.heard() == "bound"
            await other.kill()
        assert len(bells(path)) == 2
        bell.ring()
        assert len(bells(path)) == 1


async def test_hushing_takes_all_rings(path: Path) -> None:
    with closing(Doorbell(path)) as one, closing(Doorbell(path)) as two:
        for _ in range(5):
            two.ring()
        list(one.heard())
        list(one.heard())
        async with listening(one) as rung:
            await asyncio.sleep(0)
            assert not rung.is_set()
            two.ring()
            await bounded(rung.wait())


async def test_a_bell_that_nobody_listens_to_holds_nobody_up(path: Path) -> None:
    with closing(Doorbell(path)) as deaf, closing(Doorbell(path)) as two:

        def ring_on() -> None:
            for _ in range(5_000):
                two.ring()

        await bounded(asyncio.to_thread(ring_on))
        assert len(bells(path)) == 2
        list(deaf.heard())


def test_ringing_passes_over_what_is_no_bell(path: Path) -> None:
    with closing(Doorbell(path)) as bell:
        stray = bells(path)[0].with_name("stray")
        stray.write_text("not a socket")
        bell.ring()


def test_ringing_without_a_folder_is_in_vain(path: Path) -> None:
    bell = Doorbell(path)
    bells(path)[0].unlink()
    path.with_name(f"{path.name}-bells").rmdir()
    bell.ring()
    bell.close()


def test_closing_takes_the_bell_away(path: Path) -> None:
    bell = Doorbell(path)
    assert len(bells(path)) == 1
    bell.close()
    assert bells(path) == []


@pytest.fixture
def short_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files of the test's own, beneath which a socket can be bound wherever pytest has its."""
    with TemporaryDirectory(dir="/tmp") as folder:
        monkeypatch.setattr("tempfile.tempdir", folder)
        yield Path(folder)


@pytest.fixture
def long_path(tmp_path: Path) -> Path:
    """A path beside which no socket can be bound."""
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    return folder / "milepost.db"


async def test_long_paths_have_their_bells_in_a_private_folder(short_path: Path, long_path: Path) -> None:
    with closing(Doorbell(long_path)) as one, closing(Doorbell(long_path)) as two:
        async with listening(one) as rung:
            two.ring()
            await bounded(rung.wait())
        (folder,) = short_path.glob("milepost-*")
        assert folder.stat().st_mode & 0o777 == 0o700
        assert len(list(folder.iterdir())) == 2
        other = long_path.with_name("other.db")
        with closing(Doorbell(other)):
            assert len(list(short_path.glob("milepost-*"))) == 2


def test_a_folder_for_temporary_files_may_have_a_long_path_too(
    long_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(long_path.parent))
    bell = Doorbell(long_path)
    try:
        assert bell._folder.parent == Path("/tmp")
    finally:
        bell.close()
        bell._folder.rmdir()


def test_a_private_folder_that_is_none_is_refused(short_path: Path, long_path: Path) -> None:
    Doorbell(long_path).close()
    (folder,) = short_path.glob("milepost-*")
    folder.rmdir()
    elsewhere = short_path / "elsewhere"
    elsewhere.mkdir()
    folder.symlink_to(elsewhere)
    with pytest.raises(PermissionError):
        Doorbell(long_path)
    assert list(elsewhere.iterdir()) == []


def test_a_bell_that_can_not_be_bound_leaves_nothing_open(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda size: "0" * 2 * size)
    with closing(Doorbell(path)):
        before = len(list(Path("/proc/self/fd").iterdir()))
        with pytest.raises(OSError, match="in use"):
            Doorbell(path)
        assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_the_longest_address_is_what_the_system_takes(tmp_path: Path) -> None:
    name = "x" * (107 - len(os.fsencode(tmp_path)) - 1)
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as bell:
        bell.bind(str(tmp_path / name))
        with pytest.raises(OSError, match="too long"), closing(socket.socket(socket.AF_UNIX)) as longer:
            longer.bind(str(tmp_path / f"{name}y"))


def test_a_ring_says_what_was_changed(path: Path) -> None:
    with closing(Doorbell(path)) as one, closing(Doorbell(path)) as two:
        two.ring({"a": 2, "b": None})
        two.ring({})
        two.ring()
        assert list(one.heard()) == [{"a": 2, "b": None}, {}, None]
        two.ring({f"{number:036}": number for number in range(LONGEST // 36)})
        assert list(one.heard()) == [None], "that would be too much"


def test_what_is_no_ring_leads_to_a_look(path: Path) -> None:
    with closing(Doorbell(path)) as one, closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as stranger:
        (bell,) = bells(path)
        for said in (b"nonsense", b"[1]", b'{"a": "b"}'):
            stranger.sendto(said, str(bell))
        assert list(one.heard()) == [None, None, None]


def test_a_bell_that_was_full_is_told_the_rest_with_the_next_ring(path: Path) -> None:
    with closing(Doorbell(path)) as one, closing(Doorbell(path)) as two:
        sent = 0
        while not two._owed:
            two.ring({f"{sent}": sent})
            sent += 1
        two.ring({"more": 1})
        heard = list(one.heard())
        assert len(heard) > FULL
        assert heard[-1] is None, "there may be more, and nobody rings again"
        two.ring({"last": 1})
        rest = list(one.heard())
        told = {name for ring in (*heard, *rest) if ring is not None for name in ring}
        assert told == {*map(str, range(sent)), "more", "last"}
        assert not two._owed


def test_who_is_owed_too_much_has_to_look(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("milepost.store.sqlite.doorbell.LONGEST", 100)
    with closing(Doorbell(path)) as one, closing(Doorbell(path)) as two:
        while not two._owed:
            two.ring({"some": 1})
        for number in range(20):
            two.ring({f"{number:036}": 1})
        list(one.heard())
        two.ring({"last": 1})
        assert list(one.heard()) == [None]
        two.ring({"later": 1})
        assert list(one.heard()) == [{"later": 1}]
