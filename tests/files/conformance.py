"""What must every file store do? Its test module subclasses `FileStoreConformance` and has a fixture `files`."""

import asyncio
import hashlib
import os
import random
import time
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, suppress
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from milepost.files.protocol import FileMissing, FileStore, StoredFile

HOUR = 3_600_000_000
MEGABYTE = 1 << 20
SIZE = 700_001
BOUND = 30
"""Seconds after which a wait has failed."""

around_pieces = st.sampled_from([*range(3), *range(256 * 1024 - 2, 256 * 1024 + 3), *range(SIZE - 2, SIZE + 3)])
offsets = st.integers(0, SIZE + 10) | around_pieces
examples = settings(
    max_examples=25,
    deadline=None,
    # Examples share a store, and stores share the tests: both are meant.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
)


def now() -> int:
    return time.time_ns() // 1000


async def stream(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def content(files: FileStore, key: str, start: int = 0, stop: int | None = None) -> bytes:
    return b"".join([piece async for piece in files.read(key, start, stop)])


async def sweep_all_but(files: FileStore, *keys: str) -> int:
    """Sweeps as if long after now, when only these keys are known."""

    async def known(page: Sequence[str]) -> set[str]:
        return set(page) & set(keys)

    return await files.sweep(older_than=HOUR, now=now() + 2 * HOUR, known=known)


class FileStoreConformance:
    """Needs a fixture `files`: an empty store, closed afterwards."""

    @pytest.fixture
    def data(self) -> bytes:
        return random.Random(0).randbytes(SIZE)

    @pytest.fixture
    def source(self, tmp_path: Path, data: bytes) -> Path:
        path = tmp_path / "source"
        path.write_bytes(data)
        return path

    async def test_a_file_put_by_path_is_copied(self, files: FileStore, source: Path, data: bytes) -> None:
        stored = await files.put(source)
        assert stored == StoredFile(stored.key, SIZE, hashlib.sha256(data).hexdigest())
        assert source.read_bytes() == data
        source.write_bytes(b"changed since")
        assert await content(files, stored.key) == data

    @examples
    @given(pieces=st.lists(st.binary() | st.sampled_from([b"", b"x" * 65536, b"y" * MEGABYTE, b"z" * 1_500_000])))
    async def test_a_stream_is_kept_however_it_is_cut(self, files: FileStore, pieces: list[bytes]) -> None:
        data = b"".join(pieces)
        stored = await files.put(stream(*pieces))
        assert stored == StoredFile(stored.key, len(data), hashlib.sha256(data).hexdigest())
        assert await content(files, stored.key) == data

    async def test_an_empty_file_is_a_file(self, files: FileStore, tmp_path: Path) -> None:
        empty = tmp_path / "empty"
        empty.touch()
        for source in (empty, stream()):
            stored = await files.put(source)
            assert stored == StoredFile(stored.key, 0, hashlib.sha256(b"").hexdigest())
            assert await content(files, stored.key) == b""

    async def test_the_same_bytes_put_twice_are_two_files(self, files: FileStore, source: Path, data: bytes) -> None:
        one, two = await files.put(source), await files.put(source)
        await files.delete([one.key])
        assert await content(files, two.key) == data

    async def test_many_are_put_and_read_at_once(self, files: FileStore) -> None:
        async def put_and_read(number: int) -> str:
            data = random.Random(number).randbytes(300_000)
            stored = await files.put(stream(data))
            assert await content(files, stored.key) == data
            return stored.key

        keys = await asyncio.gather(*(put_and_read(number) for number in range(40)))
        assert len(set(keys)) == 40

    @examples
    @given(start=offsets, stop=st.none() | offsets)
    async def test_a_range_is_what_a_slice_would_be(
        self, files: FileStore, source: Path, data: bytes, start: int, stop: int | None
    ) -> None:
        stored = await files.put(source)
        assert await content(files, stored.key, start, stop) == data[start:stop]

    async def test_no_piece_is_empty_or_large(self, files: FileStore, source: Path) -> None:
        stored = await files.put(source)
        assert all([0 < len(piece) <= MEGABYTE async for piece in files.read(stored.key)])

    @examples
    @given(key=st.text() | st.from_regex(r"[0-9a-f]{32}\n?", fullmatch=True) | st.just("\0") | st.just("../partial"))
    async def test_what_was_never_put_is_missing(self, files: FileStore, key: str) -> None:
        with pytest.raises(FileMissing):
            await content(files, key)
        with pytest.raises(FileMissing):
            await content(files, key, 5, 5)
        await files.delete([key])

    async def test_a_deleted_file_is_missing(self, files: FileStore, source: Path, data: bytes) -> None:
        gone, kept = await files.put(source), await files.put(source)
        await files.delete([gone.key, gone.key, "no key"])
        await files.delete([gone.key])
        await files.delete([])
        with pytest.raises(FileMissing):
            await content(files, gone.key)
        assert await content(files, kept.key) == data

    async def test_who_reads_a_file_while_it_is_deleted_gets_it_whole_or_nothing(
        self, files: FileStore, source: Path, data: bytes
    ) -> None:
        stored = await files.put(source)
        begun = asyncio.Semaphore(0)
        deleted = asyncio.Event()

        async def read() -> bytes:
            pieces = []
            with suppress(FileMissing):
                async for piece in files.read(stored.key):
                    pieces.append(piece)
                    begun.release()
                    await deleted.wait()
                return b"".join(pieces)
            return data if data.startswith(b"".join(pieces)) else b"wrong bytes"

        async with asyncio.timeout(BOUND), asyncio.TaskGroup() as group:
            readers = [group.create_task(read()) for _ in range(5)]
            for _ in readers:
                await begun.acquire()
            await files.delete([stored.key])
            deleted.set()
        assert all(reader.result() == data for reader in readers)

    async def test_a_reader_may_stop_early(self, files: FileStore, source: Path, data: bytes) -> None:
        stored = await files.put(source)
        for _ in range(50):
            async with aclosing(files.read(stored.key)) as pieces:
                first = await anext(pieces)
            assert data.startswith(first)
            with pytest.raises(StopAsyncIteration):
                await anext(pieces)
        assert await content(files, stored.key) == data

    async def test_a_reader_may_be_cancelled(self, files: FileStore, source: Path, data: bytes) -> None:
        stored = await files.put(source)
        for turns in range(20):
            reader = asyncio.create_task(content(files, stored.key))
            await _turn(turns)
            reader.cancel()
            with suppress(asyncio.CancelledError):
                assert await reader == data

    async def test_an_error_of_the_stream_leaves_nothing(self, files: FileStore) -> None:
        async def failing() -> AsyncIterator[bytes]:
            yield bytes(2 * MEGABYTE)
            yield b"held"
            raise ValueError("no more")

        with pytest.raises(ValueError, match="no more"):
            await files.put(failing())
        assert await sweep_all_but(files) == 0

    async def test_a_source_that_cannot_be_read_leaves_nothing(self, files: FileStore, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            await files.put(tmp_path / "missing")
        with pytest.raises(IsADirectoryError):
            await files.put(tmp_path)
        assert await sweep_all_but(files) == 0

    async def test_a_stream_cancelled_midway_leaves_nothing(self, files: FileStore) -> None:
        midway = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            yield bytes(2 * MEGABYTE)
            midway.set()
            await asyncio.Event().wait()

        put = asyncio.create_task(files.put(endless()))
        await asyncio.wait_for(midway.wait(), BOUND)
        put.cancel("as it was said")
        with pytest.raises(asyncio.CancelledError, match="as it was said"):
            await put
        assert await sweep_all_but(files) == 0

    async def test_a_put_in_a_cancelled_scope_leaves_nothing(self, files: FileStore) -> None:
        """anyio, and with it Starlette, cancels again and again until the scope is left."""
        with anyio.CancelScope() as scope:

            async def endless() -> AsyncIterator[bytes]:
                yield bytes(2 * MEGABYTE)
                scope.cancel()
                await anyio.sleep_forever()

            await files.put(endless())
        assert scope.cancelled_caught
        assert await sweep_all_but(files) == 0

    async def test_a_put_cancelled_at_any_moment_leaves_all_or_nothing(
        self, files: FileStore, source: Path, data: bytes
    ) -> None:
        stored = []
        for turns in (*range(20), 40, 80, 160, 320, 640, 1280):
            for put in (files.put(source), files.put(stream(data[:9], data[9:]))):
                task = asyncio.create_task(put)
                await _turn(turns)
                task.cancel()
                with suppress(asyncio.CancelledError):
                    stored.append((await task).key)
        assert await sweep_all_but(files, *stored) == 0
        assert all([await content(files, key) == data for key in stored])

    async def test_a_sweep_deletes_what_is_old_and_unknown(self, files: FileStore, source: Path, data: bytes) -> None:
        orphan, kept = await files.put(source), await files.put(source)
        asked: list[str] = []

        async def known(page: Sequence[str]) -> set[str]:
            asked.extend(page)
            return {kept.key, "0" * 32}

        assert await files.sweep(older_than=HOUR, now=now() + 2 * HOUR, known=known) == 1
        assert sorted(asked) == sorted([orphan.key, kept.key])
        assert await content(files, kept.key) == data
        with pytest.raises(FileMissing):
            await content(files, orphan.key)
        assert await files.sweep(older_than=HOUR, now=now() + 2 * HOUR, known=known) == 0

    async def test_a_sweep_does_not_even_ask_about_young_files(self, files: FileStore, source: Path) -> None:
        await files.put(source)

        async def known(page: Sequence[str]) -> set[str]:
            raise AssertionError

        assert await files.sweep(older_than=HOUR, now=now(), known=known) == 0

    async def test_a_sweep_of_an_empty_store_finds_nothing(self, files: FileStore) -> None:
        assert await sweep_all_but(files) == 0

    async def test_a_sweep_that_gets_no_answer_deletes_nothing(
        self, files: FileStore, source: Path, data: bytes
    ) -> None:
        stored = await files.put(source)

        async def known(page: Sequence[str]) -> set[str]:
            raise ConnectionError

        with pytest.raises(ConnectionError):
            await files.sweep(older_than=HOUR, now=now() + 2 * HOUR, known=known)
        assert await content(files, stored.key) == data

    async def test_a_sweep_leaves_a_put_alone_that_is_under_way(self, files: FileStore, data: bytes) -> None:
        async def swept_between() -> AsyncIterator[bytes]:
            yield data
            yield bytes(MEGABYTE)
            assert await files.sweep(older_than=HOUR, now=now(), known=_none) == 0
            yield data

        stored = await files.put(swept_between())
        assert await content(files, stored.key) == data + bytes(MEGABYTE) + data

    async def test_a_large_file_is_never_whole_in_memory(self, files: FileStore, tmp_path: Path) -> None:
        size = 64 * MEGABYTE
        large = tmp_path / "large"
        large.touch()
        os.truncate(large, size)

        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(size // 65536):
                yield bytes(65536)

        tracemalloc.start()
        try:
            by_path, by_stream = await files.put(large), await files.put(pieces())
            read = 0
            async for piece in files.read(by_path.key):
                read += len(piece)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert (by_path.size, by_path.sha256) == (by_stream.size, by_stream.sha256)
        assert read == size
        assert peak < 8 * MEGABYTE


async def _turn(times: int) -> None:
    """Lets the event loop go round so many times."""
    for _ in range(times):
        await asyncio.sleep(0)


async def _none(page: Sequence[str]) -> set[str]:
    return set()
